"""What a run tells of each step: counted from its rollouts, kept in metrics.jsonl."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evalharness.store import write_atomically
from evalharness.trackers import Tracker
from evalharness.training.learner import UpdateMetrics
from evalharness.training.rollout import Rollout

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One line of metrics.jsonl. Lengths are completion tokens, EOS included."""

    step: int
    """1-based."""
    reward: float
    """Mean over the completions: the share that is correct and not truncated."""
    tokens: float
    tokens_correct: float | None
    """Mean over the rewarded completions; None where there is none."""
    tokens_incorrect: float | None
    truncated: float
    """Share of the completions."""
    uniform_groups: float
    """Share of the problems whose completions all got the same reward."""
    loss: float
    grad_norm: float
    entropy: float | None
    kl: float | None
    clip_share: float
    critic_loss: float | None
    prm_loss: float | None
    num_trained: int
    """Completions that went through forward and backward."""
    seconds_generate: float
    seconds_score: float
    seconds_learn: float
    evaluation: dict[str, dict[str, float]] | None = None
    """Benchmark -> metric -> value, where this step was evaluated."""


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("generate", "score", "learn"), 0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the seconds of a block to a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started


def step_metrics(
    step: int,
    rollouts: Sequence[Rollout],
    update: UpdateMetrics,
    clock: Clock,
    group_size: int,
) -> StepMetrics:
    """One step's rollouts and what was learned from them, the groups next to each other."""
    lengths = {
        reward: [each.num_tokens for each in rollouts if (each.reward > 0) == reward]
        for reward in (True, False)
    }
    groups = parts([each.reward for each in rollouts], group_size)
    return StepMetrics(
        step=step,
        reward=statistics.fmean(each.reward for each in rollouts),
        tokens=statistics.fmean(each.num_tokens for each in rollouts),
        tokens_correct=statistics.fmean(lengths[True]) if lengths[True] else None,
        tokens_incorrect=statistics.fmean(lengths[False]) if lengths[False] else None,
        truncated=statistics.fmean(each.is_truncated for each in rollouts),
        uniform_groups=statistics.fmean(len(set(group)) == 1 for group in groups),
        loss=update.loss,
        grad_norm=update.grad_norm,
        entropy=update.entropy,
        kl=update.kl,
        clip_share=update.clip_share,
        critic_loss=update.critic_loss,
        prm_loss=update.prm_loss,
        num_trained=update.num_trained,
        seconds_generate=clock.seconds["generate"],
        seconds_score=clock.seconds["score"],
        seconds_learn=clock.seconds["learn"],
    )


def write_metrics(output: Path, metrics: DataclassInstance, tracker: Tracker | None) -> None:
    """Add a step to metrics.jsonl, and its numbers to the tracker."""
    values = dataclasses.asdict(metrics)
    with (output / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")
    if tracker is None:
        return
    numbers = {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and name != "step"
    }
    for benchmark, found in (values.get("evaluation") or {}).items():
        numbers |= {f"{benchmark}/{name}": value for name, value in found.items()}
    tracker.log(values["step"], numbers)


def read_metrics(output: Path, step: int) -> dict[str, Any] | None:
    """What metrics.jsonl has of a step that was taken; None where it has nothing."""
    path = output / METRICS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in reversed(lines):
        values: dict[str, Any] = json.loads(line)
        if values["step"] == step:
            return values
    return None


def parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut items into pieces of a size; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def cut_metrics(path: Path, last_step: int) -> None:
    """Drop the lines of steps after the checkpoint: they are taken again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line)
        except (ValueError, KeyError):
            continue  # torn by the interruption: a step after the checkpoint
    write_atomically(path, "".join(f"{line}\n" for line in kept))
