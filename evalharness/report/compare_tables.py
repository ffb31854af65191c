"""The tables of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalharness.analysis.comparison import Comparison
from evalharness.analysis.decomposition import KITAGAWA_WARNING, Transition
from evalharness.analysis.inflation import Ratio
from evalharness.report.tables import Table, short_names


def comparison_tables(
    rows: Sequence[Comparison],
    titles: Mapping[str, str],
    notes: Sequence[str] = (),
    against: str | None = None,
) -> list[Table]:
    """Accuracy differences, length inflation, and the wrong length taken apart.

    Args:
        rows: from `compare_all`.
        titles: benchmark -> its title for people.
        notes: what a reader must know, under the first table.
        against: the name of the baseline; as the rows have it where None.
    """
    names = short_names(row.model for row in rows)
    baselines = list(dict.fromkeys(row.baseline for row in rows))
    labels = [
        (names[row.model], row.template, titles.get(row.benchmark, row.benchmark)) for row in rows
    ]
    if against is None:
        same = "the baseline under the same template"
        against = baselines[0] if len(baselines) == 1 else same
    return [
        _difference_table(rows, labels, against, notes),
        _inflation_table(rows, labels),
        _change_table(rows, labels),
        _transition_table(rows, labels),
    ]


_LABELS = ("model", "template", "benchmark")
Labels = Sequence[tuple[str, str, str]]


def _difference_table(
    rows: Sequence[Comparison], labels: Labels, against: str, notes: Sequence[str]
) -> Table:
    grid = []
    remarks: dict[str, list[str]] = {}
    told = [at for at in range(3) if len({label[at] for label in labels}) > 1]
    for label, row in zip(labels, rows, strict=True):
        each = row.difference
        grid.append(
            (
                *label,
                str(each.n),
                f"{100 * row.accuracy_a:.1f}",
                f"{100 * row.accuracy_b:.1f}",
                f"{100 * each.value:+.1f}{_points(each.low, each.high)}",
                probability(each.p_value),
                probability(row.p_holm),
                probability(each.p_t),
                probability(each.p_mid),
                "–" if each.detectable is None else f"{100 * each.detectable:.1f}",
                str(len(row.fixed)),
                str(len(row.broken)),
            )
        )
        for note in row.notes:
            remarks.setdefault(note, []).append(" ".join(label[at] for at in told))
    return Table(
        title=f"Accuracy against {against}: difference in points, with its 95% interval",
        columns=(
            *_LABELS,
            "n",
            "baseline",
            "this",
            "difference",
            "p",
            "p (Holm)",
            "p (t)",
            "mid-p",
            "detectable",
            "fixed",
            "broken",
        ),
        rows=tuple(grid),
        num_labels=3,
        notes=(
            *notes,
            *(_remark(note, where, len(rows)) for note, where in remarks.items()),
            "Paired by problem. p: sign-flip test, with one sample McNemar's exact; Holm over the "
            "benchmark rows, and over the averages among themselves. Detectable: the smallest true "
            "difference found in 4 of 5 repetitions, in points. Fixed, broken: problems that only "
            "this one, only the baseline solves.",
        ),
    )


def _remark(note: str, where: Sequence[str], num_rows: int) -> str:
    """A note with the rows that it is about, unless it is about all of them."""
    if len(where) == num_rows:
        return f"{note[0].upper()}{note[1:]}."
    return f"{', '.join(where)}: {note}."


def _inflation_table(rows: Sequence[Comparison], labels: Labels) -> Table:
    grid = tuple(
        (
            *label,
            ratio(row.inflation.overall),
            ratio(row.inflation.correct),
            ratio(row.inflation.wrong),
            ratio(row.inflation.excess_wrong),
        )
        for label, row in zip(labels, rows, strict=True)
    )
    return Table(
        title="Length inflation on the same problems: times longer, with its 95% interval",
        columns=(*_LABELS, "all", "correct", "wrong", "wrong / correct"),
        rows=grid,
        num_labels=3,
        notes=(
            "Geometric mean over problems of the ratio of lengths, with the number of problems; "
            "correct and wrong: over problems with such a response of both. Wrong is everything "
            "not correct. Lengths are in each model's own tokens: between tokenizers the ratio "
            "also measures the tokenizer.",
        ),
    )


def _change_table(rows: Sequence[Comparison], labels: Labels) -> Table:
    grid = []
    for label, row in zip(labels, rows, strict=True):
        change, parts = row.change, row.kitagawa
        if change is None and parts is None:
            continue
        left = (
            ("–",) * 4
            if change is None
            else tuple(
                f"{each:+,.1f}"
                for each in (change.naive, change.matched, change.newly_wrong, change.newly_right)
            )
        )
        right = (
            ("–",) * 4
            if parts is None
            else tuple(
                f"{each:+,.1f}"
                for each in (
                    parts.change,
                    parts.within_correct,
                    parts.within_wrong,
                    parts.composition,
                )
            )
        )
        grid.append((*label, *left, *right))
    return Table(
        title="Where the change of the mean length comes from, in tokens",
        columns=(
            *_LABELS,
            "wrong: naive",
            "= matched",
            "+ newly wrong",
            "+ newly right",
            "all: change",
            "= within correct",
            "+ within wrong",
            "+ composition",
        ),
        rows=tuple(grid),
        num_labels=3,
        notes=(
            "Naive: mean over this one's wrong responses minus mean over the baseline's; only the "
            "matched part is a change on the same problems.",
            f"All: {KITAGAWA_WARNING}",
        ),
    )


def _transition_table(rows: Sequence[Comparison], labels: Labels) -> Table:
    return Table(
        title="Transitions: problems, and mean tokens of the baseline → this one",
        columns=(
            *_LABELS,
            "correct → correct",
            "correct → wrong",
            "wrong → correct",
            "wrong → wrong",
        ),
        rows=tuple(
            (*label, *map(_transition, row.transitions))
            for label, row in zip(labels, rows, strict=True)
            if row.transitions
        ),
        num_labels=3,
        notes=(
            "Only correct → correct and wrong → wrong read as inflation. With several samples, "
            "expected numbers when one of each is drawn.",
        ),
    )


def _transition(cell: Transition) -> str:
    tokens = ["–" if each is None else f"{each:,.0f}" for each in (cell.tokens_a, cell.tokens_b)]
    return f"{cell.count:.4g}: {tokens[0]} → {tokens[1]}"


def ratio(value: Ratio | None) -> str:
    """`1.25 [1.10, 1.42] (57)`, or a dash."""
    if value is None:
        return "–"
    interval = "" if value.low is None else f" [{value.low:.2f}, {value.high:.2f}]"
    return f"{value.value:.2f}{interval} ({value.n})"


def probability(value: float | None) -> str:
    """`0.034`, `<0.001`, or a dash."""
    if value is None:
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _points(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f" [{100 * low:+.1f}, {100 * high:+.1f}]"
