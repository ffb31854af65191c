"""The tables behind `report --details`: lengths by verdict, texts, checkpoint series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evalharness.analysis.length import (
    VerdictLength,
    budget_curve,
    length_by_verdict,
)
from evalharness.analysis.series import checkpoint_series
from evalharness.errors import InputError
from evalharness.report.browser import chosen_texts
from evalharness.report.gather import Gathered, cell_lengths
from evalharness.report.options import ReportOptions
from evalharness.report.survival import survival_table
from evalharness.report.tables import Table, number, percent, percent_interval, short_names
from evalharness.report.text_section import text_table

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_BUDGET = 256
TEXT_LIMIT = 200_000
"""Responses whose texts are read at most."""
MOST_BUDGETS = 8
"""Columns of the budget table: the smallest doubled, as far as the longest response."""


def detail_tables(gathered: Gathered, options: ReportOptions) -> list[Table]:
    """Lengths by verdict, accuracy at token budgets, what the texts do, checkpoint series."""
    names = short_names(model for model, _ in gathered.cells)
    tables = [verdict_table(gathered, names), budget_table(gathered, names)]
    if survival := survival_table(gathered):
        tables.insert(1, survival)
    tables.append(text_table(gathered, chosen_texts(gathered, TEXT_LIMIT), options.keywords))
    return [*tables, *series_tables(gathered.metrics, gathered.titles, options.steps or None)]


def _cells(gathered: Gathered) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Model, template and benchmark with their responses, in the order of the report."""
    groups = dict(list(gathered.frame.groupby(["model", "template", "benchmark"], sort=False)))
    return [
        ((model, template, benchmark), groups[model, template, benchmark])
        for model, template in gathered.cells
        for benchmark in gathered.benchmarks
        if (model, template, benchmark) in groups
    ]


def verdict_table(gathered: Gathered, names: Mapping[str, str]) -> Table:
    """Share, mean, median and 90th percentile of the length for each verdict."""
    rows: list[tuple[str, ...]] = []
    notes: dict[str, None] = {}
    for (model, template, benchmark), part in _cells(gathered):
        for each in length_by_verdict(cell_lengths(part, gathered.clusters)):
            if each.num_responses == 0:
                continue
            rows.append(
                (
                    names[model],
                    template,
                    gathered.titles[benchmark],
                    each.verdict,
                    str(each.num_responses),
                    percent(each.share.value),
                    _mean(each),
                    _tokens(each.median),
                    _tokens(each.p90),
                    percent(each.truncated_share),
                )
            )
            notes |= dict.fromkeys(note for note in each.notes if "don't say" in note)
    return Table(
        title="Length in tokens by verdict",
        columns=(
            *("model", "template", "benchmark", "verdict"),
            *("responses", "share %", "mean", "median", "p90", "truncated %"),
        ),
        rows=tuple(rows),
        num_labels=4,
        notes=(
            *(f"{note[0].upper()}{note[1:]}." for note in notes),
            "Means are restricted to the token limit; a quantile that truncated responses would "
            "change is a dash. Truncated: cut at the limit and not correct. Undecided: the checker "
            "could not read or decide.",
        ),
    )


def _mean(each: VerdictLength) -> str:
    if each.mean is None:
        return "–"
    if each.mean.low is None or each.mean.high is None:
        return f"{each.mean.value:,.0f}"
    return f"{each.mean.value:,.0f} [{each.mean.low:,.0f}, {each.mean.high:,.0f}]"


def _tokens(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def budget_table(gathered: Gathered, names: Mapping[str, str]) -> Table:
    """Accuracy if every response had been stopped at a budget of tokens, the same for all."""
    longest = gathered.frame["num_tokens"].astype(float).max()
    budgets = [SMALLEST_BUDGET]
    while budgets[-1] < longest and len(budgets) < MOST_BUDGETS:
        budgets.append(2 * budgets[-1])
    rows = []
    for (model, template, benchmark), part in _cells(gathered):
        lengths = cell_lengths(part, gathered.clusters)
        if np.isnan(lengths.tokens_N).all():
            continue
        curve = budget_curve(lengths)
        places = np.searchsorted(curve.budgets, budgets, side="right") - 1
        cells = [percent(float(curve.accuracies[place])) for place in places]
        rows.append((names[model], template, gathered.titles[benchmark], *cells))
    return Table(
        title="Accuracy in % within a budget of tokens",
        columns=("model", "template", "benchmark", *(f"{budget:,}" for budget in budgets)),
        rows=tuple(rows),
        num_labels=3,
        notes=("Correct, ended by itself, and no longer than the budget.",),
    )


def series_tables(
    metrics: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    steps: Mapping[str, int] | None = None,
) -> list[Table]:
    """Accuracy and both lengths against the training step, a table a series; none without steps.

    Args:
        metrics: rows as in metrics.json.
        titles: benchmark -> its title for people.
        steps: as in `checkpoint_series`.
    """
    try:
        points = checkpoint_series(metrics, steps)
    except InputError as error:
        if steps is not None:
            raise
        return [Table(title="Checkpoints", columns=(), rows=(), num_labels=0, notes=(str(error),))]
    lines: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for point in points:
        found = point.metrics
        lines.setdefault((point.series, point.template), []).append(
            (
                titles.get(point.benchmark, point.benchmark),
                str(point.step),
                percent_interval(found["accuracy"]),
                *(
                    number(found[name]) if name in found else "–"
                    for name in ("tokens_mean", "tokens_correct", "tokens_incorrect")
                ),
                percent(found["truncated"]["value"]) if "truncated" in found else "–",
            )
        )
    return [
        Table(
            title=f"Checkpoints of {series or 'one training'} under {template}",
            columns=(
                *("benchmark", "step", "accuracy %", "tokens", "correct", "not correct"),
                "truncated %",
            ),
            rows=tuple(rows),
            num_labels=2,
        )
        for (series, template), rows in lines.items()
    ]
