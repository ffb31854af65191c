"""Rows of published tables, checked, and laid beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.analysis.accuracy import CONFIDENCE, wilson
from evalharness.analysis.checks import grim_sentence
from evalharness.definitions import Definition
from evalharness.errors import InputError

_KEYS = ("title", "source", "code", "decimals", "notes", "problems", "row")
_ROW_KEYS = ("model", "template", "macro", "corrected", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One row of a published table, in percent."""

    model: str
    template: str
    accuracies: dict[str, float]
    """Benchmark -> as printed, or as corrected where the printed number is impossible."""
    macro: float | None
    """The printed average."""
    errors: tuple[str, ...]
    """What is wrong with the printed numbers: as noted by hand, and what the checks find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """A published table with its source."""

    title: str
    source: str
    notes: tuple[str, ...]
    num_problems: dict[str, int]
    rows: tuple[PublishedRow, ...]


def load_published(path: Path) -> PublishedTable:
    """Read and check a table: every share against its count, every average against its parts.

    Raises:
        InputError: the file can't be read, or a key is missing or unknown.
    """
    definition = Definition(path)
    table = definition.table
    definition.check_keys(table, _KEYS)
    problems = definition.need(table, "problems", dict)
    for benchmark, number in problems.items():
        if not isinstance(number, int) or number < 1:
            raise definition.wrong(f'"{benchmark}" must be a number of problems', benchmark)
    decimals = definition.get(table, "decimals", int, 1)
    rows = []
    for row in definition.need(table, "row", list):
        definition.check_keys(row, [*problems, *_ROW_KEYS])
        rows.append(_row(definition, row, problems, decimals))
    return PublishedTable(
        title=definition.need(table, "title", str),
        source=definition.need(table, "source", str),
        notes=definition.strings(table, "notes"),
        num_problems=dict(problems),
        rows=tuple(rows),
    )


def _row(
    definition: Definition, row: Mapping[str, Any], problems: Mapping[str, int], decimals: int
) -> PublishedRow:
    corrected = definition.get(row, "corrected", dict, {})
    errors = [row["errors"]] if "errors" in row else []
    accuracies = {}
    for benchmark, number in problems.items():
        if benchmark not in row:
            continue
        printed = definition.need(row, benchmark, float)
        if (wrong := grim_sentence(printed, number, decimals)) is not None:
            errors.append(f"{benchmark}: {wrong}")
        accuracies[benchmark] = float(corrected.get(benchmark, printed))
    macro = definition.get(row, "macro", float, -1.0) if "macro" in row else None
    if macro is not None and len(accuracies) == len(problems):
        mean = sum(accuracies.values()) / len(accuracies)
        # Each part and the average were rounded by up to half of the last digit.
        if abs(mean - macro) > 10.0**-decimals + 1e-9:
            errors.append(f"the average of the benchmarks is {mean:.{decimals}f}, not {macro}")
    return PublishedRow(
        model=definition.need(row, "model", str),
        template=definition.need(row, "template", str),
        accuracies=accuracies,
        macro=macro,
        errors=tuple(errors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BesidePublished:
    """Our accuracy beside a published one, in shares."""

    benchmark: str
    published: float
    ours: float
    low: float | None
    """Of the difference, ours minus published."""
    high: float | None
    n: int | None
    """Our problems; None for the average."""
    notes: tuple[str, ...]


def beside_published(
    table: PublishedTable,
    published_model: str,
    published_template: str,
    metrics: Iterable[Mapping[str, Any]],
    model: str,
    template: str,
) -> list[BesidePublished]:
    """Lay the row of a published model beside our accuracy rows of a model and template.

    The published responses aren't known, so the two can't be paired by problem: the interval of the
    difference is that of independent shares (Newcombe 1998, from both Wilson intervals), too wide
    if the same problems were solved. The average is laid beside without an interval.

    Args:
        table: from `load_published`.
        published_model: a row of it.
        published_template: of the same row.
        metrics: rows as in metrics.json.
        model: ours.
        template: ours.

    Raises:
        InputError: the table has no such row.
    """
    rows = [
        row
        for row in table.rows
        if (row.model, row.template) == (published_model, published_template)
    ]
    if not rows:
        known = ", ".join(f"{row.model}:{row.template}" for row in table.rows)
        raise InputError(
            f"{table.title}: no row {published_model}:{published_template}; it has {known}"
        )
    row = rows[0]
    ours = {
        each["benchmark"]: each
        for each in metrics
        if each["metric"] == "accuracy" and (each["model"], each["template"]) == (model, template)
    }
    found = []
    for benchmark, percent in row.accuracies.items():
        if benchmark in ours:
            found.append(_beside(benchmark, percent / 100, ours[benchmark], table))
    if row.macro is not None and "macro" in ours and len(found) == len(row.accuracies):
        found.append(
            BesidePublished(
                benchmark="macro",
                published=row.macro / 100,
                ours=ours["macro"]["value"],
                low=None,
                high=None,
                n=None,
                notes=row.errors,
            )
        )
    return found


def _beside(
    benchmark: str, share: float, ours: Mapping[str, Any], table: PublishedTable
) -> BesidePublished:
    from scipy import stats

    number = table.num_problems[benchmark]
    notes = ["not paired by problem: the published responses aren't known"]
    if ours["n"] != number:
        notes.append(f"ours has {ours['n']} problems, the published one {number}")
    difference = ours["value"] - share
    low = high = None
    if ours["low"] is not None:
        z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
        from_below, from_above = wilson(share, number, z)
        low = difference - ((ours["value"] - ours["low"]) ** 2 + (from_above - share) ** 2) ** 0.5
        high = difference + ((ours["high"] - ours["value"]) ** 2 + (share - from_below) ** 2) ** 0.5
    return BesidePublished(
        benchmark=benchmark,
        published=share,
        ours=ours["value"],
        low=low,
        high=high,
        n=ours["n"],
        notes=tuple(notes),
    )
