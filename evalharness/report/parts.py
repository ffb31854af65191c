"""What the sections of a report are made of: figures with their tables, names, rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.report.gather import Cell
from evalharness.report.tables import Table, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with the table that holds the same numbers."""

    name: str
    """Of its file, without a suffix."""
    title: str
    spec: dict[str, Any]
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Responses to look at in the browser of the page."""

    title: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A problem, as two models answered it."""

    problem_id: str
    cell: Cell
    beside: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question and what answers it."""

    key: str
    title: str
    lead: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    links: tuple[Links, ...] = ()
    notes: tuple[str, ...] = ()


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


def baseline_name(baseline: str, template: str, cells: Sequence[Cell]) -> str:
    """The name of a baseline's model, with its template where the compared one has another.

    Args:
        baseline: `model:template`.
        template: of what is compared with it.
        cells: every model and template of the report.
    """
    model, own = next(cell for cell in cells if f"{cell[0]}:{cell[1]}" == baseline)
    names = cell_labels([(each, "") for each in dict.fromkeys(model for model, _ in cells)])
    return names[model, ""] if own == template else f"{names[model, '']} · {own}"


def metric_rows(
    metrics: Iterable[Mapping[str, Any]], benchmark: str, metric: str
) -> dict[Cell, Mapping[str, Any]]:
    """(model, template) -> the row of one metric, where it has a value."""
    return {
        (row["model"], row["template"]): row
        for row in metrics
        if row["benchmark"] == benchmark and row["metric"] == metric and row["value"] is not None
    }


def point(label: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a chart."""
    return {"label": label, **{name: row[name] for name in ("value", "low", "high")}}


def interval_texts(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A mean length, the ends of its interval, and how many problems."""
    ends = ("–" if row[name] is None else f"{row[name]:,.1f}" for name in ("low", "high"))
    return (number(row), *ends, f"{row['n']:g}")


def estimate_table(
    title: str,
    labels: Mapping[Cell, str],
    rows: Mapping[Cell, Mapping[str, Any]],
    form: Callable[[float | None], str],
) -> Table:
    """A line a model: value, interval, n and k."""
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


def file_name(*parts: str) -> str:
    """Parts as one name that every file system takes; letters of any alphabet stay."""
    return "-".join(re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts)
