"""What a supervised run is made of, checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evalharness.errors import InputError
from evalharness.templates import load_template
from evalharness.training.toy import ToyModel

NUM_STEPS = 1200
WARMUP_STEPS = 100
EVALUATE_EVERY = 400


# Of the rows, what is left out is known by the fingerprint of the others.
_NOT_THE_WEIGHTS = ("save_every", "keep_checkpoints", "evaluate_every", "evaluate_on", "overlong")
_CHOICES = {"keep_checkpoints": ("all", "last"), "overlong": ("refuse", "drop")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """One training run; the defaults made the shipped checkpoint."""

    output: Path
    """Folder of the run: checkpoints, metrics.jsonl, training.json, at the end the model itself."""
    templates: Mapping[str, str]
    """Name -> text with `{{problem}}`."""
    shares: Mapping[str, float] = field(default_factory=lambda: {"no": 0.95, "qwen-math": 0.05})
    """Template name -> its weight among the training problems."""
    model: ToyModel = field(default_factory=ToyModel)
    """A fresh model, where no `start` is given."""
    start: str | None = None
    """A folder or a hub id to start from."""
    problems: str = "practice"
    """What `worked_solutions` takes."""
    problem_column: str | None = None
    solution_column: str | None = None
    overlong: Literal["refuse", "drop"] = "refuse"
    """Rows that don't fit the model's context: train on none at all, or leave them out."""
    evaluate_on: tuple[str, ...] = ()
    """Benchmarks that no training problem may be in."""
    allow_contamination: bool = False
    num_steps: int = NUM_STEPS
    rows_per_step: int = 40
    learning_rate: float = 3e-3
    warmup_steps: int = WARMUP_STEPS
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0
    save_every: int = 50
    """Steps between checkpoints; the last step always makes one."""
    keep_checkpoints: Literal["all", "last"] = "last"
    """`all` keeps the weights of every checkpoint; `last` ends with the model alone."""
    evaluate_every: int = EVALUATE_EVERY
    num_validation_per_kind: int = 5

    def settings(self) -> dict[str, Any]:
        """All but where the files are; with a model to start from, the size is that model's."""
        settings = dataclasses.asdict(self)
        del settings["output"]
        if self.start is not None:
            settings["model"] = None
        return settings

    def identity(self) -> dict[str, Any]:
        """What decides the weights: another value makes another run.

        The number of steps is in it, because the learning rate falls towards the last.
        """
        settings = self.settings()
        for name in _NOT_THE_WEIGHTS:
            del settings[name]
        return settings


def raw_template(name: str) -> str:
    """The text of a raw template, with `{{problem}}`.

    Raises:
        InputError: no such template, or a chat template, which needs a tokenizer to be rendered.
    """
    template = load_template(name)
    if template.mode != "raw":
        raise InputError(
            f'template "{name}" is a chat template: supervised training takes raw ones, such as '
            "no, r1 or qwen-math"
        )
    return template.text


def learning_rate_at(step: int, config: SFTConfig) -> float:
    """The rate of a 1-based step: linear from 0 over the warmup, then a cosine down to a tenth."""
    if step < config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    rest = max(config.num_steps - config.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * (step - config.warmup_steps) / rest)) / 2
    return config.learning_rate * (0.1 + 0.9 * cosine)


def check_sft_config(config: SFTConfig) -> None:
    """Refuse a run that can't be trained, before anything is made.

    Raises:
        InputError: with the field and the remedy.
    """
    for name, share in config.shares.items():
        if name not in config.templates:
            known = ", ".join(config.templates) or "none"
            raise InputError(f'shares: no text for the template "{name}" (known: {known})')
        if not share > 0:
            raise InputError(f'shares: the share of "{name}" is {share}: it must be above 0')
    for name, choices in _CHOICES.items():
        if getattr(config, name) not in choices:
            raise InputError(
                f'{name} is "{getattr(config, name)}": it must be {" or ".join(choices)}'
            )
    if not config.shares:
        raise InputError("shares: empty, so there is nothing to train on: name a template")
    counts = (
        "num_steps",
        "rows_per_step",
        "save_every",
        "evaluate_every",
        "num_validation_per_kind",
    )
    for name in counts:
        if getattr(config, name) < 1:
            raise InputError(f"{name} is {getattr(config, name)}: it must be at least 1")
    for name in ("learning_rate", "max_grad_norm"):
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(f"{name} is {getattr(config, name)}: it must be a number above 0")
    if not 0 <= config.weight_decay < math.inf:
        raise InputError(
            f"weight_decay is {config.weight_decay}: it must be a number of at least 0"
        )
    if not 0 <= config.warmup_steps < config.num_steps:
        raise InputError(
            f"warmup_steps is {config.warmup_steps}: it must be below num_steps, "
            f"which is {config.num_steps}"
        )
