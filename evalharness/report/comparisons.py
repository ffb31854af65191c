"""What the runs of a report say about each other: the best of a column, and a baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalharness.analysis.aligning import Answers
from evalharness.analysis.comparison import Comparison, compare_possible
from evalharness.report.answers import AnswersByCell, answers_by_cell
from evalharness.report.compare import find_baseline
from evalharness.report.gather import Cell, Gathered
from evalharness.report.tables import AVERAGES, Table, run_tables
from evalharness.store import read_problems

SIGNIFICANCE = 0.05
ALIKE = "≈"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The best of one column of the main table."""

    best: frozenset[Cell]
    """Several where they tie."""
    alike: frozenset[Cell]
    """Not distinguishable from the best on the same problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRows:
    """Comparisons with one or more baselines, and what could not be compared."""

    rows: tuple[Comparison, ...]
    troubles: tuple[str, ...]


class Compared:
    """The answers of a report, for any comparison among them."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.answers: AnswersByCell = {cell: {} for cell in gathered.cells}
        for number, run in enumerate(gathered.runs):
            frame = gathered.frame[gathered.frame["run"] == number]
            found = answers_by_cell(frame, run.spec, read_problems(run.folder), run.verdicts)
            for cell, answers in found.items():
                self.answers[cell] |= answers

    def leaders(self) -> dict[str, Leader]:
        """Column -> its best, where there are several that differ, of the same benchmarks.

        Without a column some of which can't be compared with its best: a missing mark would say
        that they can be told apart.
        """
        found = {}
        for column in self.gathered.columns:
            values = {
                (row["model"], row["template"]): row["value"]
                for row in self.gathered.metrics
                if row["benchmark"] == column and row["metric"] == "accuracy"
            }
            if len(values) < 2 or not self.gathered.is_comparable(column):
                continue
            best = max(values, key=lambda cell: values[cell])
            ties = frozenset(cell for cell in values if values[cell] == values[best])
            others = [cell for cell in values if cell not in ties]
            if not others:
                continue
            rows = self._against(best, others, column)
            if rows is None:
                continue
            alike = {(row.model, row.template) for row in rows if row.p_holm >= SIGNIFICANCE}
            found[column] = Leader(best=ties, alike=frozenset(alike))
        return found

    def _against(self, best: Cell, others: Sequence[Cell], column: str) -> list[Comparison] | None:
        """Rows of one column; None where one of them can't be compared."""
        names = self.gathered.benchmarks if column in AVERAGES else [column]
        pairs = [pair for cell in others if (pair := self._pair(best, cell, names))]
        rows, troubles = compare_possible(pairs, True, self.gathered.clusters)
        if troubles or len(pairs) < len(others):
            return None
        return [row for row in rows if row.benchmark == column]

    def _pair(
        self, base: Cell, cell: Cell, names: Sequence[str]
    ) -> tuple[list[Answers], list[Answers]] | None:
        """What both answered; None where that is nothing."""
        if base == cell or base not in self.answers:
            return None
        sides = self.answers[base], self.answers[cell]
        shared = [name for name in names if all(name in side for side in sides)]
        if not shared:
            return None
        return [sides[0][name] for name in shared], [sides[1][name] for name in shared]

    def with_baseline(self, named: str | None) -> BaselineRows:
        """Every model and template against the named baseline.

        Without a name the first model is the baseline, under each template by itself; of a single
        model its first template. What shares no benchmark with it is compared among itself in the
        same way.

        Raises:
            InputError: the named baseline isn't in these runs.
        """
        rows: list[Comparison] = []
        troubles: list[str] = []
        waiting = list(self.answers)
        while waiting:
            bases = self._named_bases(named, waiting) if named else self._first_bases(waiting)
            pairs = {
                cell: self._pair(base, cell, self.gathered.benchmarks)
                for cell, base in bases.items()
            }
            found = {cell: pair for cell, pair in pairs.items() if pair}
            some, why_not = compare_possible(list(found.values()), True, self.gathered.clusters)
            rows += some
            troubles += why_not
            if named:
                alone = [cell for cell in bases if cell not in found and bases[cell] != cell]
                troubles += [f"{':'.join(cell)}: nothing in common with {named}" for cell in alone]
                break
            done = {*found, *(bases[cell] for cell in found), waiting[0]}
            waiting = [cell for cell in waiting if cell not in done]
        return BaselineRows(rows=tuple(rows), troubles=tuple(troubles))

    def _named_bases(self, named: str, cells: Sequence[Cell]) -> dict[Cell, Cell]:
        model, template = find_baseline(named, self.answers)
        return {cell: (model, template or cell[1]) for cell in cells}

    def _first_bases(self, cells: Sequence[Cell]) -> dict[Cell, Cell]:
        """Cell -> the cell of the first model to compare it with."""
        first = cells[0]
        others = [cell for cell in cells if cell[0] != first[0]]
        same = {cell for cell in cells if cell[0] == first[0]}
        if not others:
            return dict.fromkeys(cells[1:], first)
        return {
            cell: (first[0], cell[1]) if (first[0], cell[1]) in same else first for cell in others
        }


def main_tables(gathered: Gathered, leaders: Mapping[str, Leader]) -> list[Table]:
    """Accuracy, with the best of each column in bold and what is like it marked; then lengths."""
    accuracy, *others = run_tables(gathered.metrics, gathered.titles, gathered.notes)
    if not leaders:
        return [accuracy, *others]
    best = set()
    rows = []
    for line, (cell, row) in enumerate(zip(gathered.cells, accuracy.rows, strict=True)):
        texts = list(row)
        for number, column in enumerate(gathered.columns, start=accuracy.num_labels):
            if column not in leaders:
                continue
            if cell in leaders[column].best:
                best.add((line, number))
            elif cell in leaders[column].alike:
                value, space, interval = texts[number].partition(" ")
                texts[number] = f"{value}{ALIKE}{space}{interval}"
        rows.append(tuple(texts))
    note = (
        f"Bold: the best of its column. {ALIKE} not distinguishable from it on the same problems "
        "(paired sign-flip test, Holm over the column, 5%): do not rank these."
    )
    marked = dataclasses.replace(
        accuracy, rows=tuple(rows), best=frozenset(best), notes=(*accuracy.notes, note)
    )
    return [marked, *others]
