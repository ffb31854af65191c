"""The tables of a run: built once from the metric rows, shown by every format."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evalharness.errors import InputError

AVERAGES = ("macro", "micro")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled grid of texts; the first `num_labels` columns name the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_labels: int
    notes: tuple[str, ...] = ()
    best: frozenset[tuple[int, int]] = frozenset()
    """(row, column) of the cells to set in bold."""


def run_tables(
    metrics: Iterable[Mapping[str, Any]], titles: Mapping[str, str], notes: Iterable[str] = ()
) -> list[Table]:
    """Accuracy of models x templates by benchmark, and lengths split by verdict.

    Args:
        metrics: rows as in metrics.json.
        titles: benchmark -> its title for people, in the order of the columns.
        notes: what a reader must know, under the first table.
    """
    cells = {
        (row["model"], row["template"], row["benchmark"], row["metric"]): row for row in metrics
    }
    pairs = list(dict.fromkeys((model, template) for model, template, _, _ in cells))
    found = {key[2] for key in cells}
    benchmarks = [name for name in titles if name in found and name not in AVERAGES]
    names = short_names(model for model, _ in pairs)
    return [
        _accuracy_table(cells, pairs, benchmarks, titles, names, tuple(notes)),
        _length_table(cells, pairs, benchmarks, titles, names),
    ]


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Model names without the folders that all of them share."""
    names = list(dict.fromkeys(models))
    if len(names) == 1:
        return {names[0]: os.path.basename(names[0].rstrip("/")) or names[0]}  # noqa: PTH119 - may be a hub id
    folders = [name.split("/")[:-1] for name in names]
    common = 0
    while all(len(parts) > common for parts in folders) and (
        len({parts[common] for parts in folders}) == 1
    ):
        common += 1
    return {name: "/".join(name.split("/")[common:]) for name in names}


def find_model(name: str, models: Iterable[str]) -> str:
    """The model that `--model` means: as the tables show it, or in full.

    Raises:
        InputError: there is none.
    """
    names = short_names(models)
    for model, short in names.items():
        if name in (model, short):
            return model
    raise InputError(f"--model {name}: no such model in these runs; they have {', '.join(names)}")


def _accuracy_table(
    cells: Mapping[Any, Mapping[str, Any]],
    pairs: list[tuple[str, str]],
    benchmarks: list[str],
    titles: Mapping[str, str],
    names: Mapping[str, str],
    notes: tuple[str, ...],
) -> Table:
    shown = [*benchmarks, *(name for name in AVERAGES if any(key[2] == name for key in cells))]
    heads = []
    for benchmark in shown:
        found = [
            cells[(*pair, benchmark, "accuracy")]
            for pair in pairs
            if (*pair, benchmark, "accuracy") in cells
        ]
        sizes = sorted({row["n"] for row in found})
        samples = sorted({row["k"] for row in found})
        head = titles.get(benchmark, benchmark)
        if benchmark in AVERAGES:
            heads.append(head)
        else:
            heads.append(f"{head}\nn={_joined(sizes)} k={_joined(samples)}")
    rows = []
    for model, template in pairs:
        row = [names[model], template]
        for benchmark in shown:
            cell = cells.get((model, template, benchmark, "accuracy"))
            row.append(percent_interval(cell) if cell else "")
        rows.append(tuple(row))
    return Table(
        title="Accuracy in %, with its 95% interval",
        columns=("model", "template", *heads),
        rows=tuple(rows),
        num_labels=2,
        notes=(
            *notes,
            "n problems, k samples of each; intervals over problems (Wilson; with k > 1 Wilson "
            "with the effective sample size)." + _about_averages(cells, pairs, benchmarks),
        ),
    )


def _about_averages(
    cells: Mapping[Any, Mapping[str, Any]], pairs: list[tuple[str, str]], benchmarks: list[str]
) -> str:
    if len(benchmarks) < 2:
        return ""
    sets = {
        tuple(each for each in benchmarks if (*pair, each, "accuracy") in cells) for pair in pairs
    }
    text = " macro: mean of the benchmarks; micro: of all problems."
    if len(sets) > 1:
        text += " Not every row has every benchmark: averages over others can't be compared."
    return text


def _length_table(
    cells: Mapping[Any, Mapping[str, Any]],
    pairs: list[tuple[str, str]],
    benchmarks: list[str],
    titles: Mapping[str, str],
    names: Mapping[str, str],
) -> Table:
    rows = []
    for model, template in pairs:
        for benchmark in benchmarks:
            if (model, template, benchmark, "accuracy") not in cells:
                continue
            found = {
                metric: cells[(model, template, benchmark, metric)]
                for metric in ("tokens_mean", "tokens_correct", "tokens_incorrect", "truncated")
            }
            shares = [
                cells[(model, template, benchmark, metric)]["value"]
                for metric in ("no_answer", "unparsed", "timeout", "error")
            ]
            rows.append(
                (
                    names[model],
                    template,
                    titles.get(benchmark, benchmark),
                    number(found["tokens_mean"]),
                    number(found["tokens_correct"]),
                    number(found["tokens_incorrect"]),
                    percent(found["truncated"]["value"]),
                    percent(shares[0]),
                    percent(sum(shares[1:])),
                )
            )
    return Table(
        title="Response length in tokens, split by verdict",
        columns=(
            "model",
            "template",
            "benchmark",
            "all",
            "correct",
            "not correct",
            "truncated %",
            "no answer %",
            "undecided %",
        ),
        rows=tuple(rows),
        num_labels=3,
        notes=(
            "Means over responses cut at the token limit: with truncated responses they are too "
            "low. EOS isn't counted. Undecided: the checker could not read or decide the answer.",
        ),
    )


def percent(value: float | None) -> str:
    """`12.3`, or a dash where there is no value."""
    return "–" if value is None else f"{100 * value:.1f}"


def percent_interval(row: Mapping[str, Any]) -> str:
    """`61.8 [57.4, 66.0]`."""
    if row["low"] is None:
        return percent(row["value"])
    return f"{percent(row['value'])} [{percent(row['low'])}, {percent(row['high'])}]"


def number(row: Mapping[str, Any]) -> str:
    """A mean length, or a dash."""
    return "–" if row["value"] is None else f"{row['value']:,.1f}"


def _joined(values: list[float]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(texts) == 1 else f"{texts[0]}..{texts[-1]}"


def as_markdown(tables: Iterable[Table]) -> str:
    """GitHub tables; what could be markup in a name is escaped."""
    parts = []
    for table in tables:
        lines = [f"**{table.title}**", ""]
        lines.append("| " + " | ".join(map(_markdown, table.columns)) + " |")
        marks = ["---" if i < table.num_labels else "---:" for i in range(len(table.columns))]
        lines.append("| " + " | ".join(marks) + " |")
        for number, row in enumerate(table.rows):
            texts = [
                f"**{_markdown(text)}**" if (number, at) in table.best else _markdown(text)
                for at, text in enumerate(row)
            ]
            lines.append("| " + " | ".join(texts) + " |")
        lines += ["", *(f"_{_markdown(note)}_" for note in table.notes)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    for letter in "\\`*_|<>":
        text = text.replace(letter, f"\\{letter}")
    return "<br>".join(text.splitlines())


def metrics_csv(metrics: Iterable[Mapping[str, Any]]) -> str:
    """The metric rows; a name that a spreadsheet would run as a formula is quoted with `'`."""
    rows = list(metrics)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: harmless(value) for key, value in row.items()})
    return text.getvalue()


def harmless(value: Any) -> Any:
    """The cell with `'` before what a spreadsheet would take for the start of a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
