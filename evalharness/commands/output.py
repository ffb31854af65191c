"""What the commands share: opening a benchmark, printing a result."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.errors import InputError

if TYPE_CHECKING:
    from evalharness.benchmarks import Benchmark

_MOST_SHOWN = 10


def open_benchmark(name: str, options: argparse.Namespace) -> Benchmark:
    """The benchmark of a flag, with the columns of the other flags."""
    from evalharness.benchmarks import load_benchmark

    return load_benchmark(
        name, problem_column=options.problem_column, gold_column=options.gold_column
    )


def audit_lines(benchmark: Benchmark) -> list[str]:
    """What is wrong with a benchmark's golds, for a person; empty where nothing is."""
    from evalharness.checking.audit import audit_golds

    found = audit_golds(benchmark.problems)
    lines = [f"  {each.problem_id}: {each.gold}: {each.reason}" for each in found[:_MOST_SHOWN]]
    if found:
        what = f"{len(found)} golds of {benchmark.name} can't be compared with an answer:"
        lines.insert(0, what)
    if len(found) > _MOST_SHOWN:
        lines.append(f"  and {len(found) - _MOST_SHOWN} more: evalharness benchmarks NAME --json")
    return lines


def print_run(folder: Path, verdicts: str, form: str) -> None:
    """The table on stdout, and the page beside the run where the extra for it is installed.

    Where the run was imported with the source's own verdicts, ours stand beside them.
    """
    from evalharness.report.runs import ReportOptions, render_runs, try_write_page
    from evalharness.report.source_labels import compare_labels
    from evalharness.report.terminal import as_terminal

    sys.stdout.write(render_runs([folder], form, ReportOptions(verdicts=verdicts)))
    labels = compare_labels(folder, verdicts)
    if labels is not None:
        # The form for programs is the metrics alone; the comparison goes where people look.
        stream = sys.stdout if form == "terminal" else sys.stderr
        stream.write(as_terminal([labels.table()]))
    print_note(try_write_page(folder))


def print_line(text: str) -> None:
    """One line of the result; whatever it quotes, it doesn't drive a terminal."""
    from evalharness.report.terminal import visible

    sys.stdout.write(visible(text) + "\n")


def print_path(path: Path) -> None:
    """A place for another program: as it is."""
    sys.stdout.write(f"{path}\n")


def print_note(text: str) -> None:
    """One line beside the result."""
    from evalharness.report.terminal import visible

    print(visible(text), file=sys.stderr)


def print_json(value: Any) -> None:
    """The result as one document."""
    from evalharness.report.terminal import as_json

    sys.stdout.write(as_json(value) + "\n")


def pairs(values: list[str], flag: str, form: str) -> dict[str, str]:
    """`NAME=VALUE` flags as a table.

    Raises:
        InputError: one has no `=`, or a name has two values; says what form is right.
    """
    pairs: dict[str, str] = {}
    for value in values:
        name, sign, other = value.partition("=")
        if not sign or not name:
            raise InputError(f"{flag} {value}: write {form}")
        if pairs.setdefault(name, other) != other:
            raise InputError(f"{flag} {value}: {name} is {pairs[name]} already")
    return pairs
