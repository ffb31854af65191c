"""The tables for a paper, in booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from evalharness.report.tables import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "—": "---",
    "≈": r"$\approx$",
    "→": r"$\to$",
    "−": "$-$",
    "×": r"$\times$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "·": r"$\cdot$",
    "…": r"\dots{}",
}
_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"
"""As it is, or shrunk to the line."""
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


def as_latex(tables: Iterable[Table]) -> str:
    r"""One `table` environment each, no wider than the line; needs booktabs and graphicx."""
    return "% \\usepackage{booktabs,graphicx}\n" + "\n".join(map(_table, tables))


def latex_text(text: str) -> str:
    """The text as LaTeX prints it; what would be a command in it is shown."""
    return _PATTERN.sub(lambda found: _SPECIAL[found.group()], " ".join(text.split()))


def _table(table: Table) -> str:
    spec = "l" * table.num_labels + "r" * (len(table.columns) - table.num_labels)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(table.title)}}}",
        _FIT + rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        *_heads(table),
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        lines.append(" & ".join(_cell(table, number, at) for at in range(len(row))) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [rf"\par\smallskip\footnotesize {latex_text(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _heads(table: Table) -> list[str]:
    """One line of heads for each line of text in them."""
    parts = [column.splitlines() or [""] for column in table.columns]
    height = max(map(len, parts))
    return [
        " & ".join(latex_text(part[line]) if line < len(part) else "" for part in parts) + r" \\"
        for line in range(height)
    ]


def _cell(table: Table, row: int, column: int) -> str:
    text = table.rows[row][column]
    value, space, interval = text.partition(" [")
    is_stacked = bool(space) and interval.endswith("]") and column >= table.num_labels
    shown = latex_text(value if is_stacked else text)
    if (row, column) in table.best:
        shown = rf"\textbf{{{shown}}}"
    if not is_stacked:
        return shown
    below = rf"\scriptsize [{latex_text(interval)}"
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{shown}\\[-2pt]{below}\end{{tabular}}"
