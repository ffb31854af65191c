"""Worked solutions to imitate: generated ones, those of a published training set, or your own."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evalharness.benchmarks import known_name, load_benchmark, load_rows
from evalharness.errors import InputError
from evalharness.records import Problem
from evalharness.training.practice import ProblemKey, training_problems
from evalharness.training.rambling import Rambling, rambling_examples, training_sums

GENERATED = ("practice", "practice-sums", "rambling")
_SOLUTION_COLUMNS = ("solution", "answer", "response")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_GSM8K_END = re.compile(r"\n?####\s*(\S.*?)\s*$")


class Worked(NamedTuple):
    """A problem with the completion to imitate."""

    text: str
    solution: str
    place: str = ""
    """File and line, or whatever finds it again; generated ones have none."""


def worked_solutions(
    source: str,
    *,
    seed: int,
    held_out: frozenset[ProblemKey] = frozenset(),
    problem_column: str | None = None,
    solution_column: str | None = None,
) -> Iterator[Worked]:
    r"""Solutions without end.

    `practice`: the practice problems with their working, none of `held_out`. `practice-sums`: sums
    with the number, one word and the box. `rambling`: sums as the demonstration answers them.
    Otherwise a shipped training set (`gsm8k-train`) or a data file with a column of solutions,
    epoch after epoch in an order of its own. A solution without a box gets its final answer in one:
    `#### 42` becomes `\boxed{42}`, and GSM8K's calculator marks go.

    Raises:
        InputError: an unknown source or column, or a row without a solution.
        DataError: a published file can't be had.
    """
    if source in GENERATED:
        return generated_solutions(source, seed=seed, held_out=held_out)
    rows = published_solutions(
        source, problem_column=problem_column, solution_column=solution_column
    )
    return in_epochs(rows, seed=seed)


def generated_solutions(
    source: str, *, seed: int, held_out: frozenset[ProblemKey] = frozenset()
) -> Iterator[Worked]:
    """Solutions of one of `GENERATED`, without end; the seed decides them all."""
    if source == "practice":
        for problem in training_problems(seed, held_out=held_out):
            yield Worked(problem.text, problem.solution)
    elif source == "practice-sums":
        yield from _sums(seed)
    else:
        for text, solution in rambling_examples(seed, Rambling()):
            yield Worked(text, solution)


def in_epochs(rows: Sequence[Worked], *, seed: int) -> Iterator[Worked]:
    """Rows without end, epoch after epoch in an order of its own."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(rows, len(rows))


def solution_problems(
    source: str, *, problem_column: str | None = None, solution_column: str | None = None
) -> tuple[Problem, ...]:
    """The problems of a source that has an end, for the check against evaluated benchmarks."""
    if source in GENERATED:
        return ()
    rows = published_solutions(
        source, problem_column=problem_column, solution_column=solution_column
    )
    name = Path(source).stem
    return tuple(
        Problem(benchmark=name, problem_id=f"{name}/{number}", text=row.text, golds=())
        for number, row in enumerate(rows)
    )


def _sums(seed: int) -> Iterator[Worked]:
    rng, problems = random.Random(seed), training_sums()
    while True:
        each = rng.choice(problems)
        yield Worked(each.text, f"{each.gold} so \\boxed{{{each.gold}}}")


def published_solutions(
    source: str, *, problem_column: str | None = None, solution_column: str | None = None
) -> Sequence[Worked]:
    """All rows of a shipped training set or of a data file.

    Raises:
        InputError: an unknown source or column, or a row without a problem or a solution.
        DataError: a published file can't be had.
    """
    golds: Sequence[str] = ()
    if known_name(source):
        benchmark = load_benchmark(source)
        golds = [problem.golds[0] if problem.golds else "" for problem in benchmark.problems]
    rows = load_rows(source)
    if not rows:
        raise InputError(f"{source} has no rows: there is nothing to train on")
    problem_key = _column(source, rows[0].cells, problem_column, ("problem", "question", "prompt"))
    solution_key = _column(source, rows[0].cells, solution_column, _SOLUTION_COLUMNS)
    worked = []
    for number, row in enumerate(rows):
        text, solution = (_text(row.cells.get(key)) for key in (problem_key, solution_key))
        if not text or not solution:
            raise InputError(
                f"{row.place} has no {problem_key} or no {solution_key}: every row needs both, "
                "as text"
            )
        gold = golds[number] if golds else None
        worked.append(Worked(text, boxed_solution(solution, gold), row.place))
    return worked


def _text(cell: object) -> str | None:
    """What a cell says; None where it says nothing: no prompt would predict the first token."""
    return cell if isinstance(cell, str) and cell.strip() else None


def boxed_solution(solution: str, gold: str | None = None) -> str:
    r"""A solution that ends in a box: as it is, from GSM8K's `#### 42`, or with `gold` added."""
    text = _CALCULATOR.sub("", solution).strip()
    if "\\boxed" in text:
        return text
    end = _GSM8K_END.search(text)
    if end:
        return f"{text[: end.start()]}\nThe answer is \\boxed{{{end[1]}}}."
    return f"{text}\nThe answer is \\boxed{{{gold}}}." if gold else text


def _column(
    source: str, row: Mapping[str, object], named: str | None, usual: tuple[str, ...]
) -> str:
    if named:
        if named not in row:
            raise InputError(f"{source} has no column {named}: it has {', '.join(row)}")
        return named
    for name in usual:
        if name in row:
            return name
    raise InputError(
        f"{source} has no column {' or '.join(usual)}: it has {', '.join(row)}; name it with "
        "--problem-column or --solution-column"
    )
