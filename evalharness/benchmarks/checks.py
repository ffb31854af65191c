"""Checks of the data: duplicates, overlaps, golds that nothing equals, contamination."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.benchmarks.defined import Benchmark
from evalharness.benchmarks.loading import load_rows
from evalharness.benchmarks.overlap import (
    Overlap,
    find_duplicates,
    find_near,
    find_shared,
)
from evalharness.benchmarks.rows import problem_texts
from evalharness.checking.audit import GoldProblem, audit_golds
from evalharness.records import Problem

_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What is wrong with some benchmarks."""

    checked: dict[str, int]
    """Benchmark -> number of problems."""
    duplicates: tuple[Overlap, ...]
    """Equal texts in one benchmark."""
    shared: tuple[Overlap, ...]
    """Equal texts in two benchmarks."""
    near: tuple[Overlap, ...]
    """Nearly equal texts in two benchmarks, with the same numbers."""
    golds: tuple[GoldProblem, ...]
    """Golds that the checker can't read or that don't equal themselves."""
    contaminated: tuple[Overlap, ...]
    """Problems that the training data hold, `first` the training row; nearly equal ones too."""
    training: str | None
    """Name of the training data; None where none were given."""

    @property
    def is_bad(self) -> bool:
        """Whether a score on these data would be wrong: overlaps of benchmarks alone aren't."""
        return bool(self.duplicates or self.golds or self.contaminated)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """For a terminal: a count each, and the first few."""
        total = sum(self.checked.values())
        lines = [f"{len(self.checked)} benchmarks, {total} problems: {', '.join(self.checked)}"]
        for title, overlaps in (
            ("twice in one benchmark", self.duplicates),
            ("in two benchmarks", self.shared),
            ("nearly equal in two benchmarks", self.near),
        ):
            lines += _shown(title, [_pair(each) for each in overlaps])
        golds = [f"{each.problem_id}: {each.gold}: {each.reason}" for each in self.golds]
        lines += _shown("golds that can't be compared", golds)
        if self.training is not None:
            held = [_pair(each) for each in self.contaminated]
            lines += _shown(f"in the training data {self.training}", held)
        return lines


class TrainingTexts(NamedTuple):
    """Problems that a model was or will be trained on; their golds aren't read."""

    name: str
    problems: tuple[Problem, ...]


def load_training(source: str, problem_column: str | None = None) -> TrainingTexts:
    """The problems of a file, a benchmark or a hub data set, whatever their golds.

    Raises:
        InputError: unknown name, or a file that is wrong.
        DataError: the data can't be had.
    """
    name = Path(source).stem or source
    return TrainingTexts(name, problem_texts(name, load_rows(source), problem_column))


def check_benchmarks(
    benchmarks: Sequence[Benchmark], training: TrainingTexts | None = None
) -> DataReport:
    """Everything that can be found without a model; about a millisecond a gold."""
    shared, near = [], []
    for one, other in itertools.combinations(benchmarks, 2):
        shared += _exact(one.problems, other.problems)
        near += find_near(one.problems, other.problems)
    contaminated: list[Overlap] = []
    if training is not None:
        for each in benchmarks:
            contaminated += _exact(training.problems, each.problems)
            contaminated += find_near(training.problems, each.problems)
    return DataReport(
        checked={each.name: len(each.problems) for each in benchmarks},
        duplicates=tuple(itertools.chain(*(find_duplicates(each.problems) for each in benchmarks))),
        shared=tuple(shared),
        near=tuple(near),
        golds=tuple(itertools.chain(*(audit_golds(each.problems) for each in benchmarks))),
        contaminated=tuple(contaminated),
        training=training.name if training else None,
    )


def _exact(first: Sequence[Problem], second: Sequence[Problem]) -> list[Overlap]:
    return [
        Overlap(first=known.problem_id, second=held.problem_id, similarity=1.0, is_exact=True)
        for held, known in find_shared(first, second)
    ]


def _pair(overlap: Overlap) -> str:
    how = "" if overlap.is_exact else f" ({100 * overlap.similarity:.0f}% of their words)"
    return f"{overlap.second} is {overlap.first}{how}"


def _shown(title: str, rows: Sequence[str]) -> list[str]:
    lines = [f"{title}: {len(rows) or 'none'}", *(f"  {row}" for row in rows[:_MOST_SHOWN])]
    if len(rows) > _MOST_SHOWN:
        lines.append(f"  and {len(rows) - _MOST_SHOWN} more: --json has all")
    return lines
