r"""Spans of a response, and what at their ends or in them is no part of an answer."""

from __future__ import annotations

import re
from typing import NamedTuple


class Span(NamedTuple):
    """`text[start:end]`, with what was odd about it."""

    start: int
    end: int
    note: str = ""


_ECHO = re.compile(
    r"(?:[\s~.?_…]|\\[,;:! ]|\\(?:quad|qquad|ldots|cdots|dots)(?![A-Za-z]))*"
    r"|(?:\\text\{)?(?:your |the )?(?:final )?answer(?: here)?\}?",
    re.IGNORECASE,
)
_LONGEST_ECHO = 60


def trim(text: str, start: int, end: int, characters: str = "") -> Span:
    """The span without white space, and without `characters`, at its ends."""
    while start < end and (text[start].isspace() or text[start] in characters):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in characters):
        end -= 1
    return Span(start, end)


def is_echo(text: str, span: Span) -> bool:
    r"""Whether nothing stands there, or only what prompts put in a box: `...`, `your answer`."""
    if span.end - span.start > _LONGEST_ECHO:
        return False
    return _ECHO.fullmatch(text, span.start, span.end) is not None
