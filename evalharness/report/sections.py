"""What a report says, in order: each section with its tables and charts, whatever the format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.report.charts import (
    VERDICT_COLORS,
    heat_map,
    interval_chart,
    scatter_chart,
)
from evalharness.report.gather import Gathered
from evalharness.report.tables import Table, number, percent, run_tables

Cell = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with the table that holds the same numbers."""

    name: str
    """Of its file, without a suffix."""
    title: str
    spec: dict[str, Any]
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question and what answers it."""

    key: str
    title: str
    lead: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


def report_sections(gathered: Gathered) -> list[Section]:
    """The sections that these runs carry."""
    labels = cell_labels(gathered.cells)
    found = [
        _accuracy_section(gathered, labels),
        _heat_map_section(gathered),
        _length_section(gathered, labels),
        _scatter_section(gathered, labels),
    ]
    return [section for section in found if section.tables or section.figures]


def cell_labels(cells: Sequence[Cell]) -> dict[Cell, str]:
    """The shortest names that tell models apart, with the template where a model has several."""
    models = list(dict.fromkeys(model for model, _ in cells))
    names = {}
    for model in models:
        parts = model.rstrip("/").split("/")
        others = [other.rstrip("/").split("/") for other in models if other != model]
        depth = 1
        while depth < len(parts) and any(other[-depth:] == parts[-depth:] for other in others):
            depth += 1
        names[model] = "/".join(parts[-depth:])
    count: dict[str, int] = {}
    for model, _ in cells:
        count[model] = count.get(model, 0) + 1
    return {
        (model, template): f"{names[model]} · {template}" if count[model] > 1 else names[model]
        for model, template in cells
    }


def metric_rows(
    metrics: Iterable[Mapping[str, Any]], benchmark: str, metric: str
) -> dict[Cell, Mapping[str, Any]]:
    """(model, template) -> the row of one metric, where it has a value."""
    return {
        (row["model"], row["template"]): row
        for row in metrics
        if row["benchmark"] == benchmark and row["metric"] == metric and row["value"] is not None
    }


def _accuracy_section(gathered: Gathered, labels: Mapping[Cell, str]) -> Section:
    table = run_tables(gathered.metrics, gathered.titles, gathered.notes)[0]
    figures = []
    for benchmark in gathered.columns:
        rows = metric_rows(gathered.metrics, benchmark, "accuracy")
        if len(rows) < 2 or not gathered.is_comparable(benchmark):
            continue
        title = f"{gathered.titles[benchmark]}: accuracy"
        figures.append(
            Figure(
                name=f"accuracy-{benchmark}",
                title=title,
                spec=interval_chart(
                    [_point(labels[cell], row) for cell, row in rows.items()],
                    x_title="accuracy, 95% interval",
                    is_share=True,
                ),
                table=_estimate_table(title, labels, rows, percent),
            )
        )
    return Section(
        key="accuracy",
        title="Accuracy",
        lead="The share of correct answers in percent: the mean over samples, then over problems.",
        tables=(table,),
        figures=tuple(figures),
    )


def _heat_map_section(gathered: Gathered) -> Section:
    """Where templates differ for a model, its grid; nothing for one template."""
    figures = []
    for benchmark in gathered.columns:
        rows = metric_rows(gathered.metrics, benchmark, "accuracy")
        count = Counter(model for model, _ in rows)
        models = [model for model, number in count.items() if number > 1]
        templates = list(dict.fromkeys(template for model, template in rows if count[model] > 1))
        if not models or not gathered.is_comparable(benchmark):
            continue
        names = cell_labels([(model, "") for model in models])
        title = f"{gathered.titles[benchmark]}: accuracy by template"
        figures.append(
            Figure(
                name=f"templates-{benchmark}",
                title=title,
                spec=heat_map(
                    [
                        {"x": template, "y": names[(model, "")], "value": row["value"]}
                        for (model, template), row in rows.items()
                        if model in models
                    ],
                    x_title="template",
                    y_title="model",
                    value="accuracy",
                ),
                table=Table(
                    title=title,
                    columns=("model", *templates),
                    rows=tuple(
                        (
                            model,
                            *(
                                percent(rows[(model, each)]["value"])
                                if (model, each) in rows
                                else ""
                                for each in templates
                            ),
                        )
                        for model in models
                    ),
                    num_labels=1,
                ),
            )
        )
    return Section(
        key="templates",
        title="Templates",
        lead="The same model under several templates: the score of a base model is often the "
        "template's.",
        figures=tuple(figures),
    )


def _length_section(gathered: Gathered, labels: Mapping[Cell, str]) -> Section:
    table = run_tables(gathered.metrics, gathered.titles)[1]
    figures = []
    for benchmark in gathered.benchmarks:
        groups = {
            "correct": metric_rows(gathered.metrics, benchmark, "tokens_correct"),
            "not correct": metric_rows(gathered.metrics, benchmark, "tokens_incorrect"),
        }
        cells = list(dict.fromkeys(cell for rows in groups.values() for cell in rows))
        if not cells:
            continue
        title = f"{gathered.titles[benchmark]}: mean length by verdict"
        points = [
            _point(labels[cell], rows[cell]) | {"group": group}
            for cell in cells
            for group, rows in groups.items()
            if cell in rows
        ]
        figures.append(
            Figure(
                name=f"length-{benchmark}",
                title=title,
                spec=interval_chart(
                    points, x_title="tokens, mean and 95% interval", colors=VERDICT_COLORS
                ),
                table=Table(
                    title=title,
                    columns=("model", "verdict", "tokens", "from", "to", "problems"),
                    rows=tuple(
                        (labels[cell], group, *_numbers(rows[cell]))
                        for cell in cells
                        for group, rows in groups.items()
                        if cell in rows
                    ),
                    num_labels=2,
                ),
            )
        )
    return Section(
        key="length",
        title="Length by verdict",
        lead="Wrong answers come from harder problems, so a longer mean of the wrong ones alone "
        "does not say that a model rambles.",
        tables=(table,),
        figures=tuple(figures),
    )


def _scatter_section(gathered: Gathered, labels: Mapping[Cell, str]) -> Section:
    figures = []
    for benchmark in gathered.benchmarks:
        accuracy = metric_rows(gathered.metrics, benchmark, "accuracy")
        tokens = metric_rows(gathered.metrics, benchmark, "tokens_mean")
        cells = [cell for cell in accuracy if cell in tokens]
        if len(cells) < 2:
            continue
        title = f"{gathered.titles[benchmark]}: accuracy against length"
        figures.append(
            Figure(
                name=f"tradeoff-{benchmark}",
                title=title,
                spec=scatter_chart(
                    [
                        _point(labels[cell], accuracy[cell]) | {"x": tokens[cell]["value"]}
                        for cell in cells
                    ],
                    x_title="mean tokens a response",
                    y_title="accuracy",
                ),
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
        key="tradeoff",
        title="Accuracy against length",
        lead="Up is better, left is shorter.",
        figures=tuple(figures),
    )


def _point(label: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": label, **{name: row[name] for name in ("value", "low", "high")}}


def _numbers(row: Mapping[str, Any]) -> tuple[str, ...]:
    ends = ("–" if row[name] is None else f"{row[name]:,.1f}" for name in ("low", "high"))
    return (number(row), *ends, f"{row['n']:g}")


def _estimate_table(
    title: str, labels: Mapping[Cell, str], rows: Mapping[Cell, Mapping[str, Any]], form: Any
) -> Table:
    return Table(
        title=title,
        columns=("model", "value", "from", "to", "n", "k"),
        rows=tuple(
            (
                labels[cell],
                *(form(row[name]) for name in ("value", "low", "high")),
                f"{row['n']:g}",
                f"{row['k']:g}",
            )
            for cell, row in rows.items()
        ),
        num_labels=1,
    )
