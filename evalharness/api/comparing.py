"""compare(): paired differences of runs as a frame."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.api.runs import Run, load_run
from evalharness.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_RATIOS = ("inflation", "inflation_correct", "inflation_wrong", "excess_wrong")
_PARTS = ("low", "high", "n")

_Source = Run | str | Path


def compare(
    runs: _Source | Sequence[_Source],
    baseline: str | None = None,
    *,
    models: Sequence[str] = (),
    common: bool = False,
    verdicts: str | None = None,
) -> pd.DataFrame:
    """Every model and template of some runs against one of them, paired by problem.

    The columns are those of `evalharness compare --json`; a ratio of lengths `inflation` stands
    with its `inflation_low`, `inflation_high` and `inflation_n`. What has no counterpart in the
    baseline is left out with a warning, and named in `frame.attrs["left_out"]`.

    Args:
        runs: runs, or their folders.
        baseline: `MODEL` or `MODEL:TEMPLATE`; otherwise the first model, of a single model its
            first template.
        models: compare only these; all otherwise.
        common: compare what is shared where problems, golds or token limits differ.
        verdicts: a verdict table that every run has; otherwise that of each run, which is the
            newest where only the folder is named.

    Raises:
        StoreError: a folder is no run.
        InputError: the baseline or a model is unknown, or the runs can't be compared.
    """
    frame = compared_frame(runs, baseline, models=models, common=common, verdicts=verdicts)
    warn_left_out(frame)
    return frame


def compared_frame(
    runs: _Source | Sequence[_Source],
    baseline: str | None,
    *,
    models: Sequence[str],
    common: bool,
    verdicts: str | None,
) -> pd.DataFrame:
    """What `compare` returns, before anybody is warned."""
    import pandas as pd

    from evalharness.analysis.comparison import comparison_record
    from evalharness.report.compare import compare_runs

    listed = [runs] if isinstance(runs, Run | str | Path) else runs
    if not isinstance(listed, Sequence) or not all(isinstance(each, _Source) for each in listed):
        raise InputError(f"compare: {runs!r} is no run: give a run, a folder or a list of them")
    if not listed:
        raise InputError("compare: no run is named: give a run, a folder or a list of them")
    found = [
        each if isinstance(each, Run) else load_run(each, verdicts=verdicts) for each in listed
    ]
    tables = {verdicts or each.verdict_table for each in found}
    if len(tables) > 1:
        raise InputError(
            f"compare: the runs were checked by {', '.join(sorted(tables))}: score them alike, or "
            "name the verdicts of all"
        )
    compared = compare_runs(
        [each.folder for each in found],
        baseline if baseline is not None else _first(found[0]),
        common=common,
        verdicts=tables.pop(),
        models=[models] if isinstance(models, str) else models,
    )
    frame = pd.DataFrame([_flat(comparison_record(row)) for row in compared.rows])
    frame.attrs["left_out"] = list(compared.left_out)
    return frame


def warn_left_out(frame: pd.DataFrame) -> None:
    """One warning, at the line of the user's that asked for the comparison."""
    left_out = frame.attrs["left_out"]
    if left_out:
        more = f"; and {len(left_out) - 1} more, see frame.attrs['left_out']"
        more = more if len(left_out) > 1 else ""
        warnings.warn(f"left out: {left_out[0]}{more}", stacklevel=3)


def _first(run: Run) -> str:
    """The first model, with its first template where there is no other model."""
    models, templates = list(run.spec["models"]), list(run.spec["templates"])
    return models[0] if len(models) > 1 else f"{models[0]}:{templates[0]}"


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `compare --json` without the tables in its cells."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if name in _RATIOS:
            flat[name] = value["value"] if value else None
            flat |= {f"{name}_{part}": value[part] if value else None for part in _PARTS}
        else:
            flat[name] = value
    return flat
