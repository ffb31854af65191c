"""Tables and texts for a terminal."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from evalharness.report.tables import Table

_UNUSUAL = re.compile(r"[^\n -~]")
_PIPE_WIDTH = 10_000
"""Nothing wraps that a program or a file will read."""


def as_terminal(tables: Iterable[Table]) -> str:
    """The tables as text, as wide as the terminal; through a pipe wide enough to cut nothing."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    width = max(shutil.get_terminal_size().columns, 60) if is_terminal else _PIPE_WIDTH
    out = io.StringIO()
    # In a notebook rich would show the page itself and write nothing.
    console = Console(
        file=out,
        width=width,
        highlight=False,
        force_terminal=is_terminal,
        force_jupyter=False,
    )
    for table in tables:
        grid = RichTable(box=SIMPLE_HEAD)
        for index, column in enumerate(table.columns):
            is_label = index < table.num_labels
            grid.add_column(
                Text(visible(column)), justify="left" if is_label else "right", overflow="fold"
            )
        for number, row in enumerate(table.rows):
            grid.add_row(
                *(
                    Text(visible(cell), style="bold" if (number, at) in table.best else "")
                    for at, cell in enumerate(row)
                )
            )
        console.print(Text(visible(table.title), style="bold"))
        console.print(grid)
        for note in table.notes:
            console.print(Text(visible(note), style="dim"))
        console.print()
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def as_json(value: Any) -> str:
    """A document, readable, in which every character that could drive a terminal is escaped.

    JSON itself leaves the second block of control characters and those that turn the direction of
    writing as they are.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return _UNUSUAL.sub(
        lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text
    )


def visible(text: str) -> str:
    """A text without the characters that drive a terminal or turn the direction of writing."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )
