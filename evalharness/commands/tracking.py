"""The metrics of a run to a tracker, where one is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.analysis.series import parse_step
from evalharness.trackers import Tracker, open_tracker

if TYPE_CHECKING:
    from evalharness.plan import RunPlan

_ENDS = {"value": "", "low": "_low", "high": "_high"}


@contextmanager
def tracked(name: str | None, plan: RunPlan, folder: Path) -> Iterator[Tracker | None]:
    """The tracker of a run, opened before anything is generated; None where none is asked for.

    Raises:
        InputError: no such tracker, its package isn't installed, or it refuses to start.
    """
    from evalharness.store import run_id

    if name is None:
        yield None
        return
    config = {"run_id": run_id(plan.identity), "command": plan.command} | plan.identity
    tracker = open_tracker(name, folder=folder, config=config)
    try:
        yield tracker
    finally:
        tracker.close()


def send_metrics(tracker: Tracker, folder: Path, verdicts: str) -> None:
    """The metrics of a run under one verdict table, step by step."""
    from evalharness.measuring import metrics_of

    for step, values in sorted(values_by_step(metrics_of(folder, verdicts)).items()):
        tracker.log(step, values)


def values_by_step(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """Training step -> `benchmark/model/template/metric` -> value, and its `_low` and `_high`.

    A checkpoint whose name tells its step gives the model's name without it, so that the
    checkpoints of one training form one line; every other model stands at step 0, and so do two
    checkpoints that would be the same point.
    """
    rows = list(rows)
    owners: dict[tuple[str, int], set[str]] = {}
    for model in {row["model"] for row in rows}:
        if found := parse_step(model):
            owners.setdefault(found, set()).add(model)
    steps: dict[int, dict[str, float]] = {}
    for row in rows:
        model, step = row["model"], 0
        found = parse_step(model)
        if found and len(owners[found]) == 1:
            model, step = found
        parts = (row["benchmark"], model.strip("/"), row["template"], row["metric"])
        name = "/".join(part for part in parts if part)
        for column, end in _ENDS.items():
            value = row[column]
            if value is not None and math.isfinite(value):
                steps.setdefault(step, {})[name + end] = float(value)
    return steps
