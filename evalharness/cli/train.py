"""The grammar of `train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from evalharness.cli.flags import Names, add_command
from evalharness.commands import train

_RL_EXAMPLE = (
    "evalharness train rl --algorithm dr_grpo --model tiny-base --problems practice-sums "
    "--steps 20 --max-tokens 96 --learning-rate 3e-4 --out checkpoints/mine"
)


def add_train(group: Any) -> None:
    """The grammar of `train`."""
    parser = add_command(
        group,
        "train",
        None,
        "make models to compare",
        _RL_EXAMPLE,
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    _add_toy(kinds)
    _add_sft(kinds)
    _add_rl(kinds)
    _add_compare(kinds)


def _add_toy(kinds: Any) -> None:
    toy = add_command(
        kinds,
        "toy",
        train.make_toy,
        "a small untrained model with a byte tokenizer, to train from nothing",
        "evalharness train toy --hidden-size 64 --layers 2 --heads 2 --out checkpoints/blank",
    )
    toy.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint folder")
    toy.add_argument("--hidden-size", type=int, default=128)
    toy.add_argument("--intermediate-size", type=int, help="default: 2.5 times the hidden size")
    toy.add_argument("--layers", type=int, default=5)
    toy.add_argument("--heads", type=int, default=4)
    toy.add_argument("--head-size", type=int, default=32, help="vLLM needs 32 or more on a CPU")
    toy.add_argument("--context-length", type=int, default=16384)
    toy.add_argument(
        "--word",
        action="append",
        default=[],
        help="a text that is one token, such as ' so'; repeatable, 29 at most",
    )
    toy.add_argument("--seed", type=int, default=0)


def _add_sft(kinds: Any) -> None:
    sft = add_command(
        kinds,
        "sft",
        train.train_sft,
        "supervised training on worked solutions; the same command goes on",
        "evalharness train sft --out checkpoints/mine --steps 200",
    )
    sft.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the run; at the end the model is in it",
    )
    sft.add_argument("--config", type=Path, metavar="FILE.toml", help="any of these flags")
    sft.add_argument(
        "--model", help="start from this folder or hub id (default: a fresh tiny model)"
    )
    _add_backend(sft)
    sft.add_argument(
        "--problems",
        default="practice",
        metavar="P",
        help="practice (default), practice-sums and rambling (the demonstration's), gsm8k-train, "
        "or a data file with worked solutions",
    )
    sft.add_argument("--problem-column", help="of your own file")
    sft.add_argument("--solution-column", help="of your own file")
    sft.add_argument(
        "--overlong",
        choices=("refuse", "drop"),
        help="rows that don't fit the model's context: refuse to start (default), or leave them "
        "out and say how many; none is cut",
    )
    sft.add_argument(
        "--template",
        action=Names,
        metavar="T",
        help="one of them for each row (default: no; a fresh tiny model also sees 5%% qwen-math)",
    )
    sft.add_argument("--steps", type=int, help="default: 1200, as the shipped checkpoint was made")
    sft.add_argument("--rows-per-step", type=int, help="default: 40")
    sft.add_argument("--learning-rate", type=float, help="default: 3e-3, for the tiny model")
    sft.add_argument("--warmup-steps", type=int, help="default: 100, or a tenth of fewer steps")
    sft.add_argument("--seed", type=int, default=0)
    _add_checkpoints(sft)
    sft.add_argument("--allow-contamination", action="store_true", help=_CONTAMINATION)
    sft.add_argument(
        "--evaluate-on",
        action=Names,
        metavar="B",
        help="benchmarks that no training problem may be in",
    )


def _add_rl(kinds: Any) -> None:
    rl = add_command(
        kinds,
        "rl",
        train.train_rl,
        "reinforcement learning with the checker as reward; the same command goes on",
        _RL_EXAMPLE,
    )
    rl.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    rl.add_argument("--config", type=Path, metavar="FILE.toml", help="any of these flags")
    rl.add_argument("--model", metavar="M", help="start from this folder or hub id")
    rl.add_argument(
        "--algorithm",
        metavar="A",
        help="grpo, dr_grpo, rloo, reinforce, ppo, prime, prime_ppo, dapo, grpo_no_std or "
        "grpo_no_length",
    )
    _add_backend(rl)
    _add_switches(rl.add_argument_group("the algorithm's switches (default: the algorithm's own)"))
    data = rl.add_argument_group("problems")
    data.add_argument(
        "--problems", metavar="P", help="practice (default), a benchmark, a file or a hub id"
    )
    data.add_argument("--kinds", action=Names, metavar="K", help="of the practice problems")
    data.add_argument("--problem-column", help="of your own file")
    data.add_argument("--gold-column", help="of your own file")
    data.add_argument("--template", metavar="T", help="default: no")
    data.add_argument("--allow-contamination", action="store_true", help=_CONTAMINATION)
    _add_step(rl.add_argument_group("a step"))
    run = rl.add_argument_group("the run")
    run.add_argument("--steps", dest="num_steps", type=int, metavar="N", help="default: 100")
    run.add_argument("--seed", type=int)
    _add_checkpoints(run)
    run.add_argument("--evaluate-every", type=int, metavar="N", help="steps (default: never)")
    run.add_argument(
        "--evaluate-on",
        action=Names,
        metavar="B",
        help="benchmarks to evaluate on, and that no training problem may be in",
    )
    run.add_argument("--evaluate-samples", type=int, metavar="K", help="a problem (default: 1)")
    run.add_argument("--device", help="auto (default), cpu, cuda or cuda:N")
    run.add_argument("--dtype", help="of the forward passes; auto: bfloat16 on a GPU")
    run.add_argument("--tracker", choices=("wandb", "trackio", "tensorboard"))
    run.add_argument("--json", action="store_true", help="one JSON line a step on stdout")


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        choices=("own", "trl"),
        default="own",
        help="trl: TRL's trainers with the same meaning, for several GPUs (default: own)",
    )
    parser.add_argument("--lora-rank", type=int, metavar="R", help="with --backend trl")


def _add_checkpoints(group: Any) -> None:
    group.add_argument(
        "--save-every", type=int, metavar="N", help="steps between checkpoints (default: 50)"
    )
    group.add_argument("--keep-checkpoints", choices=("all", "last"), help="default: last")


def _add_switches(group: Any) -> None:
    group.add_argument(
        "--length-normalisation",
        choices=("response", "constant", "token", "none"),
        help="response: GRPO's 1/|o|; constant: Dr. GRPO's 1/max_tokens; token: DAPO's",
    )
    group.add_argument("--std-normalisation", action=argparse.BooleanOptionalAction)
    group.add_argument("--clip-low", type=float)
    group.add_argument("--clip-high", type=float)
    group.add_argument("--kl-coefficient", type=float, help="0: no reference model")
    group.add_argument("--kl-estimator", choices=("k1", "k3"))
    group.add_argument("--kl-in-reward", action=argparse.BooleanOptionalAction)
    group.add_argument("--gamma", type=float)
    group.add_argument("--gae-lambda", type=float)


def _add_step(group: Any) -> None:
    group.add_argument("--problems-per-step", type=int, metavar="P", help="default: 16")
    group.add_argument("--group-size", type=int, metavar="G", help="completions each (default: 8)")
    group.add_argument("--max-tokens", type=int, help="of a completion (default: 128)")
    group.add_argument("--temperature", type=float, help="default: 1")
    group.add_argument("--learning-rate", type=float, help="default: 1e-6")
    group.add_argument("--critic-learning-rate", type=float, help="default: the policy's")
    group.add_argument("--warmup-steps", type=int)
    group.add_argument("--weight-decay", type=float)
    group.add_argument("--max-grad-norm", type=float, help="default: 1")
    group.add_argument("--updates-per-step", type=int, help="default: 1, strictly on-policy")
    group.add_argument("--micro-batch-tokens", type=int, help="default: 8192")
    group.add_argument("--rollout-engine", choices=("transformers", "vllm"))
    group.add_argument(
        "--preemptive-sampling",
        action=argparse.BooleanOptionalAction,
        help="DASH: one inference batch a step (default)",
    )
    group.add_argument("--micro-batch-rows", type=int, help="without it; default: 8")
    group.add_argument(
        "--filter-threshold",
        type=float,
        metavar="X",
        help="DASH: drop completions with |advantage| <= X before the forward",
    )
    group.add_argument(
        "--accuracy-low",
        type=float,
        metavar="A",
        help="drop problems of which a smaller share of the completions is right (PRIME: 0.2)",
    )
    group.add_argument(
        "--accuracy-high", type=float, metavar="A", help="or a larger share (PRIME: 0.8)"
    )


def _add_compare(kinds: Any) -> None:
    compare = add_command(
        kinds,
        "compare",
        train.train_compare,
        "train several algorithms and seeds from one base, evaluate all, write the report",
        "evalharness train compare reports/length-inflation/compare.toml --out runs/demo --jobs 2",
    )
    compare.add_argument("config", type=Path, metavar="FILE.toml", help="what to train")
    compare.add_argument("--out", type=Path, required=True, metavar="DIR")
    compare.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="trainings at a time (default: 1)"
    )
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")


_CONTAMINATION = "train although training problems are in an evaluated benchmark"
