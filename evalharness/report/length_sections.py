"""The sections on length: by verdict, against accuracy, at a token budget."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evalharness.analysis.length import (
    VERDICTS,
    Lengths,
    VerdictLength,
    budget_curve,
    length_by_verdict,
    tokens_per_correct,
)
from evalharness.report.charts import (
    VERDICT_COLORS,
    interval_chart,
    line_chart,
    scatter_chart,
)
from evalharness.report.gather import Cell, Gathered, cell_lengths
from evalharness.report.parts import Figure, Section, file_name, metric_rows, point
from evalharness.report.survival import survival_table
from evalharness.report.tables import Table, number, percent

_CURVE_POINTS = 150
_TABLE_BUDGETS = 12
Labels = Mapping[Cell, str]


class CellLengths:
    """The lengths of every model and template, by benchmark."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.found: dict[str, dict[Cell, Lengths]] = {name: {} for name in gathered.benchmarks}
        parts = {
            (benchmark, (model, template)): part
            for (model, template, benchmark), part in gathered.frame.groupby(
                ["model", "template", "benchmark"], sort=False
            )
        }
        for cell in gathered.cells:
            for benchmark in gathered.benchmarks:
                part = parts.get((benchmark, cell))
                if part is not None and part["num_tokens"].notna().any():
                    self.found[benchmark][cell] = cell_lengths(part, gathered.clusters)


def length_sections(gathered: Gathered, labels: Labels, overview: Table) -> list[Section]:
    """All of them; those without a figure or a table are for the caller to drop."""
    lengths = CellLengths(gathered)
    return [
        _verdict_section(gathered, labels, lengths, overview),
        _scatter_section(gathered, labels),
        _budget_section(gathered, labels, lengths),
    ]


def _verdict_section(
    gathered: Gathered, labels: Labels, lengths: CellLengths, overview: Table
) -> Section:
    figures = []
    for benchmark, cells in lengths.found.items():
        if not cells:
            continue
        title = f"{gathered.titles[benchmark]}: length by verdict"
        points, lines = [], []
        for cell, found in cells.items():
            for each in length_by_verdict(found):
                if each.mean is None:
                    continue
                points.append(
                    {
                        "label": labels[cell],
                        "group": each.verdict,
                        "value": each.mean.value,
                        "low": each.mean.low,
                        "high": each.mean.high,
                    }
                )
                lines.append((labels[cell], each.verdict, *_verdict_texts(each)))
            lines.append((labels[cell], "tokens per correct answer", *_per_correct(found)))
        points.sort(key=lambda each: VERDICTS.index(str(each["group"])))
        order = {labels[cell]: place for place, cell in enumerate(cells)}
        points.sort(key=lambda each: order[str(each["label"])])
        figures.append(
            Figure(
                name=file_name("length", benchmark),
                title=title,
                spec=interval_chart(
                    points,
                    x_title="tokens, mean up to the limit and 95% interval",
                    colors=VERDICT_COLORS,
                ),
                table=Table(
                    title=title,
                    columns=("model", "responses", "mean", "median", "p90", "share", "cut", "n"),
                    rows=tuple(lines),
                    num_labels=2,
                    notes=(
                        "Share: of all responses. Cut: of these, at the token limit. A quantile "
                        "that truncated responses would change is left out.",
                    ),
                ),
            )
        )
    survival = survival_table(gathered)
    return Section(
        key="length",
        title="Length by verdict",
        lead="Wrong answers come from harder problems, so a longer mean of the wrong ones alone "
        "does not say that a model rambles: see the length inflation.",
        tables=(overview, *([survival] if survival else [])),
        figures=tuple(figures),
    )


def _verdict_texts(each: VerdictLength) -> tuple[str, ...]:
    mean = "–" if each.mean is None else f"{each.mean.value:,.0f}"
    if each.mean is not None and each.mean.low is not None and each.mean.high is not None:
        mean += f" [{each.mean.low:,.0f}, {each.mean.high:,.0f}]"
    quantiles = ("–" if value is None else f"{value:,.0f}" for value in (each.median, each.p90))
    return (
        mean,
        *quantiles,
        percent(each.share.value),
        percent(each.truncated_share),
        str(each.num_responses),
    )


def _per_correct(found: Lengths) -> tuple[str, ...]:
    each = tokens_per_correct(
        found.tokens_N, found.status_N == "correct", found.problem_N, found.cluster_N
    )
    if each is None:
        return ("none is correct", "", "", "", "", "")
    interval = "" if each.low is None else f" [{each.low:,.0f}, {each.high:,.0f}]"
    return (f"{each.value:,.0f}{interval}", "", "", "", "", "")


def _scatter_section(gathered: Gathered, labels: Labels) -> Section:
    figures = []
    for benchmark in gathered.benchmarks:
        accuracy = metric_rows(gathered.metrics, benchmark, "accuracy")
        tokens = metric_rows(gathered.metrics, benchmark, "tokens_mean")
        cells = [cell for cell in accuracy if cell in tokens]
        if len(cells) < 2:
            continue
        title = f"{gathered.titles[benchmark]}: accuracy against length"
        points = [
            point(labels[cell], accuracy[cell]) | {"x": tokens[cell]["value"]} for cell in cells
        ]
        figures.append(
            Figure(
                name=file_name("tradeoff", benchmark),
                title=title,
                spec=scatter_chart(points, x_title="mean tokens a response", y_title="accuracy"),
                table=Table(
                    title=title,
                    columns=("model", "accuracy", "tokens"),
                    rows=tuple(
                        (labels[cell], percent(accuracy[cell]["value"]), number(tokens[cell]))
                        for cell in cells
                    ),
                    num_labels=1,
                ),
            )
        )
    return Section(
        key="trade-off",
        title="Accuracy against length",
        lead="Up is better, left is shorter.",
        figures=tuple(figures),
    )


def _budget_section(gathered: Gathered, labels: Labels, lengths: CellLengths) -> Section:
    figures = []
    for benchmark, cells in lengths.found.items():
        curves = {cell: budget_curve(found, _CURVE_POINTS) for cell, found in cells.items()}
        last = max((curve.budgets[-1] for curve in curves.values()), default=0.0)
        if last <= 0:
            continue
        title = f"{gathered.titles[benchmark]}: accuracy at a token budget"
        points = [
            {"label": labels[cell], "x": x, "value": value, "low": None, "high": None}
            for cell, curve in curves.items()
            for x, value in zip(
                [*curve.budgets.tolist(), float(last)],
                [*curve.accuracies.tolist(), float(curve.accuracies[-1])],
                strict=True,
            )
            if x > 0
        ]
        budgets = _round_budgets(float(last))
        figures.append(
            Figure(
                name=file_name("budget", benchmark),
                title=title,
                spec=line_chart(
                    points,
                    x_title="budget in tokens (logarithmic)",
                    y_title="accuracy",
                    is_share=True,
                    is_log=True,
                    is_step=True,
                ),
                table=Table(
                    title=title,
                    columns=("model", *(f"{budget:,}" for budget in budgets)),
                    rows=tuple(
                        (
                            labels[cell],
                            *(
                                percent(
                                    float(
                                        curve.accuracies[
                                            np.searchsorted(curve.budgets, budget, "right") - 1
                                        ]
                                    )
                                )
                                for budget in budgets
                            ),
                        )
                        for cell, curve in (
                            (cell, budget_curve(found)) for cell, found in cells.items()
                        )
                    ),
                    num_labels=1,
                ),
            )
        )
    return Section(
        key="budget",
        title="Accuracy at a token budget",
        lead="What the accuracy would be had every response been stopped after so many tokens: "
        "correct, stopped by itself, and no longer than that. From the one run, nothing was "
        "generated again.",
        figures=tuple(figures),
    )


def _round_budgets(last: float) -> list[int]:
    """Powers of two up to the first that holds everything."""
    budgets = [2**power for power in range(5, 40) if 2 ** (power - 1) < last]
    return budgets[-_TABLE_BUDGETS:]
