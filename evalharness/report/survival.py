"""Lengths where token limits differ: means and quantiles up to a horizon that all share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalharness.analysis.length import Survival, kaplan_meier
from evalharness.report.gather import Gathered
from evalharness.report.tables import Table, short_names

if TYPE_CHECKING:
    import pandas as pd


def survival_table(gathered: Gathered) -> Table | None:
    """For each benchmark whose responses had several token limits; None where none has.

    A benchmark is left out where the limit, the length or the end of a response isn't known.
    """
    names = short_names(model for model, _ in gathered.cells)
    rows: list[tuple[str, ...]] = []
    for benchmark in gathered.benchmarks:
        part = gathered.frame[gathered.frame["benchmark"] == benchmark]
        known = part[["token_limit", "num_tokens", "finish_reason"]].notna().all(axis=None)
        if not known or part["token_limit"].nunique() < 2:
            continue
        laws = {
            (str(model), str(template)): (_law(cell), cell["token_limit"])
            for (model, template), cell in part.groupby(["model", "template"], sort=False)
        }
        # Of a law that comes down to 0 everything is known.
        horizon = min(
            (law.horizon for law, _ in laws.values() if law.still_going[-1] > 0),
            default=max(law.horizon for law, _ in laws.values()),
        )
        for cell in gathered.cells:
            if cell in laws:
                law, limits = laws[cell]
                rows.append(
                    (
                        *(names[cell[0]], cell[1], gathered.titles[benchmark]),
                        _joined(limits),
                        f"{horizon:,.0f}",
                        f"{law.restricted_mean(horizon):,.0f}",
                        *(_tokens(law.quantile(level), horizon) for level in (0.5, 0.9)),
                    )
                )
    if not rows:
        return None
    return Table(
        title="Length in tokens under unequal limits, up to a common horizon",
        columns=("model", "template", "benchmark", "limits", "horizon", "mean", "median", "p90"),
        rows=tuple(rows),
        num_labels=3,
        notes=(
            "Kaplan-Meier over responses. Horizon: beyond it a limit hides the lengths of one of "
            "them. Mean: of the length or the horizon, whichever is smaller. A quantile beyond the "
            "horizon is a dash.",
        ),
    )


def _law(cell: pd.DataFrame) -> Survival:
    return kaplan_meier(
        cell["num_tokens"].to_numpy(float), (cell["finish_reason"] == "length").to_numpy(bool)
    )


def _joined(limits: pd.Series) -> str:
    found = np.unique(limits.to_numpy(float))
    return f"{found[0]:,.0f}" if len(found) == 1 else f"{found[0]:,.0f} to {found[-1]:,.0f}"


def _tokens(value: float | None, horizon: float) -> str:
    return "–" if value is None or value > horizon else f"{value:,.0f}"
