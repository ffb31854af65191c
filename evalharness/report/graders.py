"""How far the score of a run depends on its grader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.report.tables import Table
from evalharness.store import verdicts_frame

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["model", "template", "benchmark", "problem_id", "sample_index"]
_GROUP = ["model", "template", "benchmark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderComparison:
    """The same responses under several verdict tables."""

    graders: tuple[str, ...]
    """Names of verdict tables, in the order of the columns."""
    rows: tuple[dict[str, Any], ...]
    """One a model, template and benchmark: `num_responses`, `accuracy` by grader, the mean over
    responses, and `num_disagreements`."""
    disagreements: tuple[dict[str, Any], ...]
    """One a response that some graders call correct and others don't: its key and, by grader, the
    `status`."""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "graders": list(self.graders),
            "rows": list(self.rows),
            "disagreements": list(self.disagreements),
        }

    def table(self) -> Table:
        """For a terminal, in percent."""
        columns = ("model", "template", "benchmark", "n", *self.graders, "spread", "disagree")
        rows = []
        for row in self.rows:
            shares = [row["accuracy"][name] for name in self.graders]
            rows.append(
                (
                    *(row[name] for name in _GROUP),
                    str(row["num_responses"]),
                    *(f"{100 * share:.1f}" for share in shares),
                    f"{100 * (max(shares) - min(shares)):.1f}",
                    str(row["num_disagreements"]),
                )
            )
        total = sum(row["num_responses"] for row in self.rows)
        note = (
            f"The graders disagree on {len(self.disagreements)} of {total} responses; "
            "--json names them. Accuracy is the mean over responses, in percent."
        )
        return Table(
            title="Accuracy under each grader",
            columns=columns,
            rows=tuple(rows),
            num_labels=len(_GROUP),
            notes=(note,),
        )


def compare_graders(folder: Path, graders: Sequence[str]) -> GraderComparison:
    """Lay the verdict tables of a run side by side.

    Only a status of `correct` counts as correct. A response without a verdict in one of the tables
    is in none of them: its problem has no answer under the chosen golds.

    Raises:
        StoreError: the run has no such table.
    """
    wide = _side_by_side(folder, graders)
    is_right = wide[list(graders)] == "correct"
    differs = is_right.any(axis=1) & ~is_right.all(axis=1)
    rows = []
    for key, part in wide.groupby(_GROUP, sort=False):
        shares = is_right.loc[part.index].mean()
        rows.append(
            dict(zip(_GROUP, key, strict=True))
            | {
                "num_responses": len(part),
                "accuracy": {name: float(shares[name]) for name in graders},
                "num_disagreements": int(differs.loc[part.index].sum()),
            }
        )
    disagreements = [
        {name: row[name] for name in _KEY} | {"status": {name: row[name] for name in graders}}
        for row in wide[differs].to_dict("records")
    ]
    return GraderComparison(
        graders=tuple(graders), rows=tuple(rows), disagreements=tuple(disagreements)
    )


def _side_by_side(folder: Path, graders: Sequence[str]) -> pd.DataFrame:
    """One row a response, one column of statuses a grader."""
    wide: pd.DataFrame | None = None
    for name in graders:
        table = verdicts_frame(folder, name, [*_KEY, "status"]).rename(columns={"status": name})
        wide = table if wide is None else wide.merge(table, on=_KEY, how="inner")
    if wide is None:
        raise ValueError("no graders to compare")
    return wide
