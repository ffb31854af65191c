"""Better, or only longer? One line for each model, template and benchmark, and it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalharness.analysis.comparison import Comparison
from evalharness.analysis.inflation import Ratio
from evalharness.report.gather import Cell
from evalharness.report.parts import baseline_name
from evalharness.report.tables import Table, short_names

MOST_ROWS = 24
"""Where there would be more lines, only the averages over benchmarks are shown."""
SIGNIFICANCE = 0.05


def glance_table(
    rows: Sequence[Comparison], titles: Mapping[str, str], cells: Sequence[Cell]
) -> Table | None:
    """What `compare` finds, in one line each; None where there is nothing to compare.

    Args:
        rows: from `compare_all`.
        titles: benchmark -> its title for people.
        cells: every model and template of the report.
    """
    shown = [row for row in rows if row.benchmark != "micro"]
    notes = []
    if len(shown) > MOST_ROWS and any(row.benchmark == "macro" for row in shown):
        shown = [row for row in shown if row.benchmark == "macro"]
        notes.append("Averages only; `evalharness compare` has every benchmark.")
    if not shown:
        return None
    names = short_names(model for model, _ in cells)
    against = [baseline_name(row.baseline, row.template, cells) for row in shown]
    one = against[0] if len(set(against)) == 1 else None
    return Table(
        title="Better, or only longer? The same problems" + (f", against {one}" if one else ""),
        columns=(
            *("model", "template", "benchmark", *(() if one else ("against",))),
            *("points", "length", "correct ones", "wrong ones", "in words"),
        ),
        rows=tuple(
            (
                *(names[row.model], row.template, titles.get(row.benchmark, row.benchmark)),
                *(() if one else (base,)),
                points(row),
                *map(times, (row.inflation.overall, row.inflation.correct, row.inflation.wrong)),
                in_words(row),
            )
            for row, base in zip(shown, against, strict=True)
        ),
        num_labels=3 if one else 4,
        notes=(
            *notes,
            "Points of accuracy, and how many times as long, with 95% intervals; correct and wrong "
            "ones: where both have such a response to a problem. In words: accuracy where Holm's p "
            "is below 5%; length where the interval of correct or of wrong ones leaves out 1.",
        ),
    )


def in_words(row: Comparison) -> str:
    """`better; wrong ones longer`: only what the data show.

    Length is read where both have a correct, or both a wrong response: overall it also falls
    because more of them are correct. Without any such problem it is read overall.
    """
    accuracy = ""
    if row.p_holm < SIGNIFICANCE:
        accuracy = "better" if row.difference.value > 0 else "worse"
    correct, wrong = (_length(each) for each in (row.inflation.correct, row.inflation.wrong))
    if row.inflation.correct is None and row.inflation.wrong is None:
        length = _length(row.inflation.overall)
    elif correct == wrong:
        length = correct
        excess = _length(row.inflation.excess_wrong)
        if length and excess:
            length += ", wrong ones more so" if excess == length else ", correct ones more so"
    else:
        named = (("correct", correct), ("wrong", wrong))
        length = ", ".join(f"{name} ones {word}" for name, word in named if word)
    if not accuracy and not length:
        return "no difference shown"
    return f"{accuracy or 'accuracy unresolved'}; {length or 'length unresolved'}"


def _length(ratio: Ratio | None) -> str:
    """A word where the interval lies on one side of 1."""
    if ratio is None or ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high:
        return ""
    return "longer" if ratio.value > 1 else "shorter"


def points(row: Comparison) -> str:
    """`+3.1 [-0.4, +6.6]`."""
    value, low, high = (
        None if each is None else 100 * each
        for each in (row.difference.value, row.difference.low, row.difference.high)
    )
    interval = "" if low is None or high is None else f" [{low:+.1f}, {high:+.1f}]"
    return f"{value:+.1f}{interval}"


def times(ratio: Ratio | None) -> str:
    """`1.25x [1.10, 1.42]`, or a dash."""
    if ratio is None:
        return "–"
    interval = "" if ratio.low is None else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    return f"{ratio.value:.2f}×{interval}"
