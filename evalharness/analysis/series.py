"""Checkpoints of one training in the order of their steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evalharness.errors import InputError

_NAMED_STEP = re.compile(
    r"(?:checkpoint|ckpt|global[_-]?step|step|iter(?:ation)?|epoch)[_\-/=. ]*(\d+)", re.IGNORECASE
)
METRICS = ("accuracy", "tokens_mean", "tokens_correct", "tokens_incorrect", "truncated")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPoint:
    """One checkpoint on one benchmark."""

    series: str
    """The name that the checkpoints share, the step left out; empty where nothing is left."""
    model: str
    template: str
    benchmark: str
    step: int
    metrics: dict[str, Mapping[str, Any]]
    """Metric -> its row: accuracy, both lengths, all lengths, truncated share."""


def parse_step(model: str) -> tuple[str, int] | None:
    """The series and the step that a checkpoint's name gives; None where there is no number.

    A number after `checkpoint`, `step`, `iter` or `epoch`, the last such; else the last part of the
    path when that is nothing but a number (`run/200`).
    """
    named = list(_NAMED_STEP.finditer(model))
    if named:
        found = named[-1]
        return _without(model, found.start(), found.end()), int(found[1])
    parent, _, last = model.rstrip("/").rpartition("/")
    if last.isdecimal():
        return parent, int(last)
    return None


def _without(model: str, start: int, end: int) -> str:
    rest = re.sub(r"/{2,}", "/", model[:start] + model[end:])
    return rest.strip("/-_. ")


def checkpoint_series(
    rows: Iterable[Mapping[str, Any]], steps: Mapping[str, int] | None = None
) -> list[SeriesPoint]:
    """The metric rows of checkpoints by series, template and benchmark, each by its step.

    Args:
        rows: as in metrics.json.
        steps: model -> step for names that don't tell; these models form one series.

    Returns:
        only series with at least two steps.

    Raises:
        InputError: two checkpoints of a series have the same step.
    """
    points: dict[tuple[str, str, str], dict[int, SeriesPoint]] = {}
    for row in rows:
        if row["metric"] not in METRICS:
            continue
        model = row["model"]
        if steps is not None:
            found = ("", steps[model]) if model in steps else None
        else:
            found = parse_step(model)
        if found is None:
            continue
        series, step = found
        line = points.setdefault((series, row["template"], row["benchmark"]), {})
        point = line.setdefault(
            step,
            SeriesPoint(
                series=series,
                model=model,
                template=row["template"],
                benchmark=row["benchmark"],
                step=step,
                metrics={},
            ),
        )
        if point.model != model:
            raise InputError(
                f"{point.model} and {model} are both step {step} of a series: give their steps"
            )
        point.metrics[row["metric"]] = row
    return [line[step] for line in points.values() if len(line) > 1 for step in sorted(line)]
