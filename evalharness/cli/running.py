"""The commands that make responses and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalharness.cli.flags import (
    Names,
    add_benchmark_columns,
    add_checker,
    add_command,
    add_golds,
    add_server,
)
from evalharness.commands import running, suites


def add_run(group: Any) -> None:
    """The grammar of `run`."""
    parser = add_command(
        group,
        "run",
        running.run_models,
        "score models on benchmarks under templates",
        "evalharness run --model ckpt/100,ckpt/200 --benchmark aime24,math500 --template qwen-math",
    )
    parser.add_argument(
        "--model",
        action=Names,
        metavar="M",
        help="folder or hub id (also ID@REVISION), or NAME=FOLDER; repeatable (default: shipped "
        "tiny checkpoints)",
    )
    parser.add_argument(
        "--benchmark",
        action=Names,
        metavar="B",
        help="name, or a JSONL/JSON/CSV/Parquet file, a TOML or a hub id (default: practice; "
        "practice-sums where no model is named either)",
    )
    parser.add_argument(
        "--template",
        action=Names,
        metavar="T",
        help="name or the path of a TOML (default: qwen-math; no,qwen-math for the tiny model)",
    )
    parser.add_argument(
        "--engine", default="auto", help="auto, vllm, transformers, openai, ray or replay"
    )
    parser.add_argument("--samples", type=int, metavar="K", help="a problem (default: 1)")
    parser.add_argument("--temperature", type=float, help="0, the default, is greedy")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--top-k", type=int, default=0, help="0, the default, is off")
    parser.add_argument("--max-tokens", type=int, help="default: 3000, as in the paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, metavar="N", help="first N problems of each benchmark")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="draw every N-th response, from the I-th (0-based); see merge",
    )
    add_golds(parser)
    add_checker(parser)
    add_benchmark_columns(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/...)")
    parser.add_argument(
        "--overlong",
        choices=("refuse", "record"),
        default="refuse",
        help="prompts that fill the context: refuse to start, or record them as failed",
    )
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="any of these flags")
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="a published evaluation: drgrpo-2025, qwen2.5-math or the path of a TOML; a flag wins "
        "over it, and every deviation is told",
    )
    parser.add_argument(
        "--tracker",
        choices=("wandb", "trackio", "tensorboard"),
        help="also send the metrics there; the package has to be installed",
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    engine = parser.add_argument_group("engine options")
    engine.add_argument("--dtype", default="auto", help="auto: float32 on a CPU, else bfloat16")
    engine.add_argument("--device", default="auto")
    engine.add_argument(
        "--max-model-len", type=int, help="context in tokens (default: the model's)"
    )
    engine.add_argument("--batch-size", type=int, default=64, help="of the transformers engine")
    engine.add_argument("--tensor-parallel-size", type=int, default=1, help="GPUs an engine")
    engine.add_argument(
        "--data-parallel-size",
        type=int,
        default=1,
        metavar="N",
        help="engines on this machine, each a watched process on its own GPUs",
    )
    engine.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    engine.add_argument("--enforce-eager", action="store_true")
    engine.add_argument("--trust-remote-code", action="store_true")
    engine.add_argument(
        "--deterministic",
        action="store_true",
        help="all that the engine offers to repeat a response; other hardware, versions or "
        "parallel sizes may still differ, and a server has to be started so itself",
    )
    engine.add_argument(
        "--watch",
        action="store_true",
        help="run the engine in a process of its own and go on with a fresh one when it dies",
    )
    engine.add_argument(
        "--engine-timeout",
        type=float,
        metavar="SECONDS",
        help="with no step for so long a watched engine counts as hung (default: 300); implies "
        "--watch",
    )
    engine.add_argument("--replay-from", type=Path, metavar="RUN", help="of the replay engine")
    add_server(parser)
    cluster = parser.add_argument_group("cluster (--engine ray)")
    cluster.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="auto, HOST:PORT or ray://HOST:PORT (default: a cluster of this machine alone)",
    )
    cluster.add_argument(
        "--ray-workers",
        type=int,
        metavar="N",
        help="engines, each in an actor (default: one a GPU, or one where there are none)",
    )
    cluster.add_argument(
        "--ray-engine",
        default="auto",
        metavar="NAME",
        help="what they run: auto, vllm or transformers",
    )
    parser.set_defaults(print_result=True)


def add_suite(group: Any) -> None:
    """The grammar of `suite`."""
    parser = add_command(
        group,
        "suite",
        suites.run_suite,
        "run every checkpoint of a list, then print one table; flags of run behind --",
        "evalharness suite reports/suites/drgrpo-tables.toml --out runs/tables -- --limit 10",
    )
    parser.add_argument("file", type=Path, metavar="FILE.toml")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="of the run folders (default: runs/NAME)"
    )
    parser.add_argument(
        "--only", action=Names, default=[], metavar="NAME", help="these checkpoints; repeatable"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the runs as commands, run nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")


def add_score(group: Any) -> None:
    """The grammar of `score`."""
    parser = add_command(
        group,
        "score",
        running.score,
        "check the responses of a run again, without generating",
        "evalharness score runs/mine --golds corrected",
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    add_golds(parser)
    add_checker(parser, "; all: every one of them, and where they disagree")
    parser.add_argument("--json", action="store_true")


def add_merge(group: Any) -> None:
    """The grammar of `merge`."""
    parser = add_command(
        group,
        "merge",
        running.merge,
        "make one run of its shards",
        "evalharness merge runs/part-0 runs/part-1 --out runs/whole",
    )
    parser.add_argument("run", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", action="store_true")


def add_verify(group: Any) -> None:
    """The grammar of `verify`."""
    parser = add_command(
        group,
        "verify",
        running.verify,
        "run a sample of a run's responses again and tell how many differ",
        "evalharness verify runs/mine --limit 50",
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--fraction", type=float, metavar="F", help="of the responses, in (0, 1]")
    size.add_argument("--limit", type=int, metavar="N", help="responses (default: 100)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    engine = parser.add_argument_group("engine options (default: those of the run)")
    engine.add_argument("--device")
    engine.add_argument("--batch-size", type=int)
    engine.add_argument("--tensor-parallel-size", type=int)
    engine.add_argument("--data-parallel-size", type=int, metavar="N")
    engine.add_argument("--gpu-memory-utilization", type=float)
    add_server(parser)
