"""The sections that compare: paired differences, length inflation, what was fixed and broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.analysis.comparison import Comparison
from evalharness.analysis.inflation import Ratio
from evalharness.report.charts import interval_chart
from evalharness.report.compare_tables import comparison_tables
from evalharness.report.comparisons import BaselineRows
from evalharness.report.gather import Cell, Gathered
from evalharness.report.glance import glance_table
from evalharness.report.parts import Figure, Links, Section, Target, baseline_name, file_name
from evalharness.report.tables import AVERAGES, Table

_COLORS = {"all": "#6b7785", "correct": "#2a9d6f", "wrong": "#d1495b", "wrong / correct": "#e0a030"}

_ENDS = ("value", "low", "high")


def comparison_sections(
    gathered: Gathered, compared: BaselineRows, labels: Mapping[Cell, str]
) -> list[Section]:
    """Paired differences, then length inflation; nothing where there is nothing to compare."""
    if not compared.rows and not compared.troubles:
        return []
    groups: dict[str, list[Comparison]] = {}
    for row in compared.rows:
        name = baseline_name(row.baseline, row.template, gathered.cells)
        groups.setdefault(name, []).append(row)
    tables = [_tables_against(name, group, gathered) for name, group in groups.items()]
    columns = [
        (name, rows)
        for column in gathered.columns
        for name, group in groups.items()
        if (rows := [row for row in group if row.benchmark == column])
        if len(rows) > 1 or column not in AVERAGES
    ]
    glance = glance_table(compared.rows, gathered.titles, gathered.cells)
    return [
        Section(
            key="glance",
            title="Better, or only longer?",
            lead="Accuracy and length against a baseline, paired by problem.",
            tables=(glance,) if glance else (),
            notes=compared.troubles,
        ),
        Section(
            key="differences",
            title="Differences",
            lead="Each model and template against a baseline on the same problems, in points of "
            "accuracy.",
            tables=tuple(each[0] for each in tables),
            figures=tuple(
                _difference_figure(name, rows, gathered, labels) for name, rows in columns
            ),
            links=_changed(compared.rows, gathered, labels),
        ),
        Section(
            key="inflation",
            title="Length inflation",
            lead="How many times longer the responses to the same problems became, apart from "
            "which problems were solved. Wrong / correct above 1: wrong answers grew more.",
            tables=tuple(table for each in tables for table in each[1:]),
            figures=tuple(
                _inflation_figure(name, rows, gathered, labels)
                for name, rows in columns
                if any(row.inflation.overall for row in rows)
            ),
        ),
    ]


def _tables_against(name: str, rows: Sequence[Comparison], gathered: Gathered) -> list[Table]:
    """The tables of one baseline; the first names it already."""
    first, *others = comparison_tables(rows, gathered.titles, against=name)
    ending = f" (against {name})"
    return [first, *(dataclasses.replace(each, title=each.title + ending) for each in others)]


def _difference_figure(
    baseline: str, rows: Sequence[Comparison], gathered: Gathered, labels: Mapping[Cell, str]
) -> Figure:
    title = f"{gathered.titles[rows[0].benchmark]}: difference from {baseline}"
    return Figure(
        name=file_name("difference", rows[0].benchmark, baseline),
        title=title,
        spec=interval_chart(
            [
                {
                    "label": labels[row.model, row.template],
                    **{name: _hundredfold(getattr(row.difference, name)) for name in _ENDS},
                }
                for row in rows
            ],
            x_title="difference in points of accuracy, 95% interval",
            reference=0,
            is_difference=True,
        ),
        table=Table(
            title=title,
            columns=("model", "difference", "from", "to", "p (Holm)", "n"),
            rows=tuple(
                (
                    labels[row.model, row.template],
                    *map(_points, (row.difference.value, row.difference.low, row.difference.high)),
                    f"{row.p_holm:.3f}",
                    str(row.difference.n),
                )
                for row in rows
            ),
            num_labels=1,
        ),
    )


def _inflation_figure(
    baseline: str, rows: Sequence[Comparison], gathered: Gathered, labels: Mapping[Cell, str]
) -> Figure:
    title = f"{gathered.titles[rows[0].benchmark]}: length, times that of {baseline}"
    found: list[tuple[str, str, Ratio]] = []
    for row in rows:
        for name, ratio in (
            ("all", row.inflation.overall),
            ("correct", row.inflation.correct),
            ("wrong", row.inflation.wrong),
            ("wrong / correct", row.inflation.excess_wrong),
        ):
            if ratio is not None:
                found.append((labels[row.model, row.template], name, ratio))
    return Figure(
        name=file_name("inflation", rows[0].benchmark, baseline),
        title=title,
        spec=interval_chart(
            [
                {
                    "label": label,
                    "group": name,
                    "value": ratio.value,
                    "low": ratio.low,
                    "high": ratio.high,
                }
                for label, name, ratio in found
            ],
            x_title="times longer, 95% interval (logarithmic)",
            colors=_COLORS,
            reference=1,
            is_ratio=True,
        ),
        table=Table(
            title=title,
            columns=("model", "responses", "times longer", "from", "to", "problems"),
            rows=tuple(
                (label, name, *_ratio_texts(ratio), str(ratio.n)) for label, name, ratio in found
            ),
            num_labels=2,
        ),
    )


def _changed(
    rows: Sequence[Comparison], gathered: Gathered, labels: Mapping[Cell, str]
) -> tuple[Links, ...]:
    """Which problems were fixed and broken, per benchmark."""
    found = []
    for row in rows:
        if row.benchmark not in gathered.benchmarks:
            continue
        base = _cell(row.baseline, gathered)
        name = labels[row.model, row.template]
        for word, ids in (("fixed", row.fixed), ("broken", row.broken)):
            if base is not None and ids:
                found.append(
                    Links(
                        title=f"{gathered.titles[row.benchmark]}, {name} against {labels[base]}: "
                        f"{len(ids)} {word}",
                        targets=tuple(
                            Target(problem_id=each, cell=base, beside=(row.model, row.template))
                            for each in ids
                        ),
                    )
                )
    return tuple(found)


def _cell(name: str, gathered: Gathered) -> Cell | None:
    return next((cell for cell in gathered.cells if f"{cell[0]}:{cell[1]}" == name), None)


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def _ratio_texts(ratio: Any) -> tuple[str, ...]:
    return tuple(
        "–" if each is None else f"{each:.2f}" for each in (ratio.value, ratio.low, ratio.high)
    )
