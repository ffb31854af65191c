"""The grammar of `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalharness.cli.flags import add_command
from evalharness.commands import train


def add_train(group: Any) -> None:
    """The grammar of `train`."""
    parser = add_command(
        group,
        "train",
        None,
        "make a model to compare",
        "evalharness train sft --out checkpoints/mine --steps 200",
    )
    algorithms = parser.add_subparsers(required=True, metavar="ALGORITHM")
    sft = add_command(
        algorithms,
        "sft",
        train.train_sft,
        "supervised training of a tiny model on worked practice problems",
        "evalharness train sft --out checkpoints/mine --steps 200",
    )
    sft.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint folder")
    sft.add_argument("--steps", type=int, help="default: as the shipped checkpoint was made")
    sft.add_argument("--learning-rate", type=float)
    sft.add_argument("--seed", type=int, default=0)
