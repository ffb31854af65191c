"""What a report says, in order: each section with its tables and charts, whatever the format."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from evalharness.report.charts import (
    heat_map,
    interval_chart,
    line_chart,
)
from evalharness.report.comparison_sections import comparison_sections
from evalharness.report.comparisons import Compared, main_tables
from evalharness.report.gather import Cell, Gathered
from evalharness.report.length_sections import length_sections
from evalharness.report.options import ReportOptions
from evalharness.report.parts import (
    Figure,
    Section,
    cell_labels,
    estimate_table,
    file_name,
    metric_rows,
    point,
)
from evalharness.report.published import published_table
from evalharness.report.tables import Table, percent
from evalharness.report.text_section import text_section
from evalharness.report.training_section import training_section

if TYPE_CHECKING:
    import pandas as pd


def report_sections(
    gathered: Gathered,
    options: ReportOptions | None = None,
    texts: pd.DataFrame | None = None,
) -> list[Section]:
    """The sections that these runs carry.

    Args:
        gathered: the runs.
        options: the baseline, a published row, training steps and keywords.
        texts: from `chosen_texts`; without, nothing is said of them.

    Raises:
        InputError: the baseline isn't in these runs, or there is no such published row.
    """
    options = options or ReportOptions()
    labels = cell_labels(gathered.cells)
    compared = Compared(gathered)
    accuracy, length = main_tables(gathered, compared.leaders())
    # The page has those of the runs at its top.
    notes = tuple(note for note in accuracy.notes if note not in gathered.notes)
    accuracy = dataclasses.replace(accuracy, notes=notes)
    found = [
        _accuracy_section(gathered, labels, accuracy),
        *comparison_sections(gathered, compared.with_baseline(options.baseline), labels),
        _heat_map_section(gathered),
        *length_sections(gathered, labels, length),
        training_section(gathered, options.steps),
        _samples_section(gathered, labels),
    ]
    if texts is not None:
        found.append(text_section(gathered, texts, options.keywords))
    if options.published:
        found.append(_published_section(gathered, options.published))
    return [each for each in found if each.tables or each.figures or each.notes]


def _accuracy_section(gathered: Gathered, labels: Mapping[Cell, str], table: Table) -> Section:
    figures = []
    for benchmark in gathered.columns:
        rows = metric_rows(gathered.metrics, benchmark, "accuracy")
        if len(rows) < 2 or not gathered.is_comparable(benchmark):
            continue
        title = f"{gathered.titles[benchmark]}: accuracy"
        figures.append(
            Figure(
                name=file_name("accuracy", benchmark),
                title=title,
                spec=interval_chart(
                    [point(labels[cell], row) for cell, row in rows.items()],
                    x_title="accuracy, 95% interval",
                    is_share=True,
                ),
                table=estimate_table(title, labels, rows, percent),
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
                name=file_name("templates", benchmark),
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


def _published_section(gathered: Gathered, name: str) -> Section:
    return Section(
        key="published",
        title="Beside published numbers",
        lead="A row of a paper beside ours. Its responses aren't known, so nothing is paired.",
        tables=(published_table(gathered, name),),
    )


def _samples_section(gathered: Gathered, labels: Mapping[Cell, str]) -> Section:
    """pass@k and maj@k against k; nothing with one sample."""
    figures = []
    for benchmark in gathered.benchmarks:
        points, lines = [], []
        for row in gathered.metrics:
            kind, sign, size = row["metric"].partition("@")
            if row["benchmark"] != benchmark or row["value"] is None:
                continue
            if sign and kind in ("pass", "maj"):
                kinds = [(f"{kind}@k", int(size))]
            elif row["metric"] == "accuracy" and row["k"] > 1:
                kinds = [("pass@k", 1), ("maj@k", 1)]
            else:
                continue
            label = labels[row["model"], row["template"]]
            for name, k in kinds:
                points.append(point(f"{label}, {name}", row) | {"x": k})
                ends = (percent(row[each]) for each in ("value", "low", "high"))
                lines.append((label, name, str(k), *ends))
        if not points:
            continue
        title = f"{gathered.titles[benchmark]}: pass@k and maj@k"
        columns = ("model", "measure", "k", "value", "from", "to")
        figures.append(
            Figure(
                name=file_name("samples", benchmark),
                title=title,
                spec=line_chart(
                    points,
                    x_title="k, samples of each problem (logarithmic)",
                    y_title="share of problems",
                    is_share=True,
                    is_log=True,
                    has_points=True,
                    has_band=True,
                ),
                table=Table(
                    title=title,
                    columns=columns,
                    rows=tuple(sorted(lines, key=lambda line: (*line[:2], int(line[2])))),
                    num_labels=2,
                ),
            )
        )
    return Section(
        key="samples",
        title="Several samples",
        lead="pass@k: one of k samples is correct; maj@k: the most frequent answer of k is. At "
        "k = 1 both are the accuracy.",
        figures=tuple(figures),
    )
