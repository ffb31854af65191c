"""A training step of ours beside one of TRL's, and DASH beside the loop that it replaces.

    python tests/perf/train_step.py [--model tiny] [--rounds 3] [--steps 3] [--max-tokens 96]

All take the same model, problems and batch sizes in one process, in turns. The first step of every
training is left out: it warms caches up, and TRL's generates its first batch there. The learning
rate is so low that the policy stays what it was, so that all steps do the same work. The two sides
of DASH draw the same completions, seed by seed, and so get equal rewards; that is checked.

Wall-clock seconds by stage, and the CPU seconds of whole steps in this process: the ratios are of
the latter, which other work on the machine hardly moves. On a GPU look at the former.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalharness.training.algorithms import algorithm
from evalharness.training.config import RLConfig
from evalharness.training.metrics import StepMetrics
from evalharness.training.trainer import train
from evalharness.training.trl_arguments import TRLOptions
from evalharness.training.trl_backend import train_with_trl

STAGES = ("generate", "score", "learn")


@dataclass(slots=True)
class Steps:
    """Seconds by stage of the steps of one side, and what the steps were about."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})
    rewards: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """CPU seconds of whole steps."""

    def add(self, metrics: StepMetrics, cpu: float) -> None:
        self.cpu.append(cpu)
        for stage in STAGES:
            self.seconds[stage].append(getattr(metrics, f"seconds_{stage}"))
        self.rewards.append(metrics.reward)
        self.tokens.append(metrics.tokens)
        self.trained.append(metrics.num_trained)

    def median(self, stage: str | None = None) -> float:
        """Of one stage, or of whole steps."""
        if stage is not None:
            return statistics.median(self.seconds[stage])
        return statistics.median(map(sum, zip(*self.seconds.values(), strict=True)))

    def line(self, name: str) -> str:
        stages = ", ".join(f"{stage} {self.median(stage):.3f}" for stage in STAGES)
        return (
            f"{name}: {statistics.median(self.cpu):.3f} CPU s a step; wall {self.median():.3f} s "
            f"({stages}); reward {statistics.fmean(self.rewards):.3f}, "
            f"{statistics.fmean(self.tokens):.1f} tokens"
        )


def ours(config: RLConfig, steps: Steps) -> None:
    """Train; the first step doesn't count."""

    began = 0.0

    def see(metrics: StepMetrics) -> None:
        nonlocal began
        now = time.process_time()
        if metrics.step > 1:
            steps.add(metrics, now - began)
        began = now

    with tempfile.TemporaryDirectory() as folder:
        train(replace(config, output=Path(folder) / "run"), progress=see)


def by_trl(config: RLConfig, rows: int, steps: Steps) -> None:
    """The same by TRL's GRPOTrainer, its stages timed where it has them in methods of their own."""
    with tempfile.TemporaryDirectory() as folder, timed_trl(steps):
        train_with_trl(
            replace(config, output=Path(folder) / "run"), TRLOptions(rows_per_device=rows)
        )


@contextmanager
def timed_trl(steps: Steps) -> Iterator[None]:
    """Have TRL's trainer note the seconds of its steps."""
    from evalharness.training.trl_trainers import import_trl

    trl = import_trl()
    from transformers import TrainerCallback

    spent = dict.fromkeys(("generate", "score", "step", "cpu"), 0.0)

    def clocked(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **more)
            finally:
                spent[stage] += time.perf_counter() - began

        return call

    class Clock(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            spent.update(generate=0.0, score=0.0)
            spent.update(step=time.perf_counter(), cpu=time.process_time())

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step > 1:
                steps.cpu.append(time.process_time() - spent["cpu"])
                took = time.perf_counter() - spent["step"]
                steps.seconds["generate"].append(spent["generate"])
                steps.seconds["score"].append(spent["score"])
                steps.seconds["learn"].append(took - spent["generate"] - spent["score"])

        def on_log(self, args: Any, state: Any, control: Any, **columns: Any) -> None:
            logs = columns["logs"]
            if "reward" in logs and state.global_step > 1:
                steps.rewards.append(float(logs["reward"]))
                steps.tokens.append(float(logs["completions/mean_length"]))

    plain = trl.GRPOTrainer

    class Timed(plain):  # type: ignore[misc,valid-type]
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self._generate = clocked("generate", self._generate)
            self._calculate_rewards = clocked("score", self._calculate_rewards)
            self.add_callback(Clock())

    trl.GRPOTrainer = Timed
    try:
        yield
    finally:
        trl.GRPOTrainer = plain


def measure_trl(config: RLConfig, rounds: int) -> None:
    our_steps, trl_steps = Steps(), Steps()
    # As many rows as fill a micro-batch of ours.
    rows = max(1, config.micro_batch_tokens // (config.max_tokens + 32))
    for _ in range(rounds):
        ours(config, our_steps)
        by_trl(config, rows, trl_steps)
    print(our_steps.line("ours"))
    print(trl_steps.line(f"TRL, {rows} rows a forward at most"))
    print(f"ours / TRL: {statistics.median(our_steps.cpu) / statistics.median(trl_steps.cpu):.2f}")


def measure_dash(config: RLConfig, rounds: int, rows: list[int]) -> None:
    dash = replace(config, filter_threshold=0.0)
    sides = {0: (dash, Steps())} | {
        each: (replace(config, preemptive_sampling=False, micro_batch_rows=each), Steps())
        for each in rows
    }
    for _ in range(rounds):
        for settings, steps in sides.values():
            ours(settings, steps)
    fast = sides[0][1]
    share = sum(fast.trained) / (len(fast.trained) * config.rows_per_step)
    print(fast.line("DASH") + f", {100 * share:.0f}% of the rows trained on")
    for each in rows:
        plain = sides[each][1]
        print(plain.line(f"plain loop, {each} rows at a time"))
        print(f"plain / DASH: {statistics.median(plain.cpu) / statistics.median(fast.cpu):.2f}")
        if plain.rewards != fast.rewards:
            raise SystemExit(f"the rewards differ: {plain.rewards} and {fast.rewards}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--problems", default="practice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="a training, after the first")
    parser.add_argument("--problems-per-step", type=int, default=16)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--rows", type=int, nargs="*", default=[4, 8, 16], help="of the plain loop")
    parser.add_argument("--only", choices=("trl", "dash"))
    options = parser.parse_args()
    config = RLConfig(
        output=Path("unused"),
        model=options.model,
        algorithm=algorithm("grpo"),
        problems=options.problems,
        num_steps=options.steps + 1,
        problems_per_step=options.problems_per_step,
        group_size=options.group_size,
        max_tokens=options.max_tokens,
        learning_rate=1e-9,
    )
    if options.only != "dash":
        measure_trl(config, options.rounds)
    if options.only != "trl":
        measure_dash(config, options.rounds, options.rows)


if __name__ == "__main__":
    main()
