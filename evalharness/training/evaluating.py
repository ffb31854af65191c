"""Evaluation of a checkpoint by the same pipeline that evaluates every model."""

from __future__ import annotations

from pathlib import Path

from evalharness.benchmarks import load_benchmark
from evalharness.engines.base import EngineOptions
from evalharness.measuring import metrics_of
from evalharness.pipeline import run
from evalharness.plan import RunPlan
from evalharness.records import Response, Sampling, Verdict
from evalharness.templates import load_template
from evalharness.training.config import RLConfig

_SHOWN = ("accuracy", "tokens_mean", "tokens_correct", "tokens_incorrect", "truncated")


def evaluate_checkpoint(
    config: RLConfig, checkpoint: Path, step: int
) -> dict[str, dict[str, float]]:
    """Score a checkpoint on `config.evaluate_on`; the run folder stays beside the checkpoints.

    Benchmark -> metric -> value, of `accuracy`, mean tokens and truncated share.

    Raises:
        EngineError: the checkpoint can't be run.
    """
    name = f"{config.output.name}-step-{step}"
    plan = RunPlan(
        models={name: str(checkpoint)},
        benchmarks=tuple(load_benchmark(each) for each in config.evaluate_on),
        templates=(load_template(config.template),),
        sampling=Sampling(
            temperature=config.temperature if config.evaluate_samples > 1 else 0.0,
            max_tokens=config.max_tokens,
            num_samples=config.evaluate_samples,
            seed=config.seed,
        ),
        engine="transformers",
        options=EngineOptions(device=config.device, dtype=config.dtype),
        overlong="record",
        command=f"periodic evaluation of {config.output.name}",
    )
    folder = config.output / "evaluation" / f"step-{step:06d}"
    result = run(plan, folder, _Silent())
    found: dict[str, dict[str, float]] = {}
    for row in metrics_of(folder, result.verdicts):
        if row["metric"] in _SHOWN and row["value"] is not None:
            found.setdefault(row["benchmark"], {})[row["metric"]] = row["value"]
    return found


class _Silent:
    """A run inside a run says nothing."""

    def stage(self, text: str) -> None:
        """Not told."""

    def expect(self, total: int, done: int) -> None:
        """Not told."""

    def response(self, response: Response) -> None:
        """Not told."""

    def judged(self, verdict: Verdict) -> None:
        """Not told."""

    def note(self, text: str) -> None:
        """Not told."""
