r"""Where an answer may stand in a response: one finder a place, each linear in the text's length.

A finder gets a text and the bounds that it may read, and gives the span of the last answer of its
place, without the marks around it, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from evalharness.checking.sentences import NEW_QUESTION, find_sentence, without_marks
from evalharness.checking.spans import Span, is_echo, trim


class TruncatedError(Exception):
    """The text ends inside its last box: what stands there is not the model's whole answer."""


UNCLOSED_TAG = "the answer tag isn't closed"

# A JSON writer that doesn't escape turns \b and \f into control characters.
_BOX = re.compile(r"(?:\\boxed|\\fbox|\x08oxed|\x0cbox)(?![A-Za-z])[ \t\n]{0,8}")
_ESCAPE_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(
    r"(?=[-+.\d\\(]|[A-Za-z](?![A-Za-z]))[^$\n]{1,200}?(?=\$|\n|\\\)|\\\]|\.(?:\s|\Z)|\Z)"
)
# Between two boxes of one list, in or out of mathematics.
_SPACE = r"(?:\s|\$|\\[()\[\],;:! ]|\\q?quad){0,12}"
_JOINED = re.compile(
    rf"{_SPACE}(?:[,;]|(?:\\text\{{\s{{0,4}})?(?:,\s?)?\b(?:and|or)\b(?:\s{{0,4}}\}})?){_SPACE}"
)
# A double root may be written twice; more of the same is a loop.
_MOST_REPEATED = 2
_TAG = re.compile(r"<(/?)answer[ ]?>", re.IGNORECASE)
_HALF_A_TAG = re.compile(r"</a?n?s?w?e?r?\Z", re.IGNORECASE)
# A fraction, a root, a time or a number with its power is one number; an exponent or an index alone
# is none, and is only matched so that it isn't taken for one.
_BRACES = r"\{[^{}\n]{1,60}\}"
_WITH_DIGIT = r"\{[^{}\n]{0,59}\d"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.)])\.\d+"
_POWER = rf"(?:[\^_](?:{_BRACES}|[-−]?\d+)|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]{{1,9}})"
_WINDOW = 2_000
_NUMBER = re.compile(
    rf"(?P<number>(?:(?<![\w)\]}}])[-−])?"
    rf"(?:\\[dt]?frac(?={_WITH_DIGIT}|{_BRACES}{_WITH_DIGIT}){_BRACES}{_BRACES}"
    rf"|(?:\d{{1,9}}[ ]?)?[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]"
    rf"|\d{{1,9}}[ ]\d{{1,9}}/\d{{1,9}}"
    rf"|(?:\d{{1,20}}[ ]?)?(?:√\d+|\\sqrt(?:\[\d\])?{_BRACES})"
    rf"|(?:{_DIGITS})(?:/\d+|(?::\d{{1,9}}){{1,3}}(?:[ ]?[ap]\.?m\b)?|[eE][-+]?\d{{1,9}}(?!\w))?)"
    rf"{_POWER}?(?:[ ]?(?:×|x|\*|·|\\times|\\cdot)[ ]?10{_POWER})?(?:[ ]?(?:π|\\pi\b))?(?:\\?%)?)"
    rf"|[\^_](?:{_BRACES}|[-−]?\d+)"
)
# A dollar sign opens mathematics before a non-space and closes it after one, not before a digit:
# "$5 and $18" are two prices.
_MATH = re.compile(
    r"(?<![\\$])\$(?![\s$])(?P<dollar>[^$\n]{1,500})(?<![\s\\])\$(?!\d)"
    r"|\$\$(?P<dollars>[^$]{1,2000})\$\$"
    r"|(?<!\\)\\\((?P<round>(?:[^\n$\\]|\\[^()\n]){1,500}+)\\\)"
    r"|(?<!\\)\\\[(?P<square>(?:[^$\\]|\\[^\[\]]){1,1000}+)\\\]"
)
# A single name, or the power of a unit: cm$^2$.
_NO_FORMULA = re.compile(r"\s*(?:[A-Za-z]|\\[A-Za-z]+|\^(?:\{[-\d]+\}|\d))\s*")


def find_box(text: str, start: int, end: int, *, closed_only: bool = False) -> Span | None:
    r"""The content of the last `\boxed` or `\fbox` that isn't an echo of the prompt.

    Args:
        text: a response.
        start: where to begin.
        end: where to stop.
        closed_only: pass over boxes that never close.

    Raises:
        TruncatedError: the last box never closes and `closed_only` is off.
    """
    boxes = list(_BOX.finditer(text, start, end))
    if not boxes:
        return None
    closing = _closing_braces(text, boxes[0].end(), end)
    for index in range(len(boxes) - 1, -1, -1):
        opening = boxes[index].end()
        if opening < end and text[opening] == "{":
            if opening not in closing:
                if closed_only:
                    continue
                raise TruncatedError
            inner = trim(text, opening + 1, closing[opening])
        else:
            bare = _BARE_BOX.match(text, opening, end)
            if bare is None:
                continue
            inner = trim(text, bare.start(), bare.end())
        if not is_echo(text, inner):
            return _with_joined_boxes(text, boxes[: index + 1], closing, inner)
    return None


def _with_joined_boxes(
    text: str, boxes: Sequence[re.Match[str]], closing: dict[int, int], last: Span
) -> Span:
    r"""The last box, with those before it that only a comma or an `and` parts from the next one.

    A model that answers `\boxed{1} and \boxed{2}` gave a list of two, not a 2; one that repeats a
    box over and over gave that one.
    """
    first, end = len(boxes) - 1, closing.get(boxes[-1].end())
    if end is None:
        return last
    contents = {text[last.start : last.end]}
    while first > 0:
        before = closing.get(boxes[first - 1].end())
        if before is None or not _JOINED.fullmatch(text, before + 1, boxes[first].start()):
            break
        inner = trim(text, boxes[first - 1].end() + 1, before)
        if is_echo(text, inner):
            break
        contents.add(text[inner.start : inner.end])
        first -= 1
    num_boxes = len(boxes) - first
    if num_boxes == 1 or (len(contents) == 1 and num_boxes > _MOST_REPEATED):
        return last
    return Span(boxes[first].start(), end + 1, "several boxes, read as one list")


def find_answer_tag(text: str, start: int, end: int, *, closed_only: bool = False) -> Span | None:
    """The content of the last `<answer>...</answer>`; a box or a sentence in it is its content."""
    tags = list(_TAG.finditer(text, start, end))
    for index in range(len(tags) - 1, -1, -1):
        tag = tags[index]
        if tag[1]:
            continue
        is_last = index + 1 == len(tags)
        if not is_last and not tags[index + 1][1]:
            continue
        inner = trim(text, tag.end(), end if is_last else tags[index + 1].start())
        inner = without_marks(text, _without_half_a_tag(text, inner) if is_last else inner)
        if is_echo(text, inner):
            continue
        nested = find_box(text, inner.start, inner.end, closed_only=closed_only)
        found = nested or find_sentence(text, inner.start, inner.end) or inner
        return found._replace(note=UNCLOSED_TAG if is_last else "")
    return None


def _without_half_a_tag(text: str, span: Span) -> Span:
    half = _HALF_A_TAG.search(text, max(span.start, span.end - len("</answer")), span.end)
    return trim(text, span.start, half.start()) if half else span


def find_last_expression(text: str, start: int, end: int) -> Span | None:
    """The last formula that is more than a name, or the last number, whichever ends later."""
    end = _own_end(text, start, end)
    formula = None
    for match in _MATH.finditer(text, start, end):
        if match.lastgroup and not _NO_FORMULA.fullmatch(text, *match.span(match.lastgroup)):
            formula = match
    number = _last_number(text, start if formula is None else formula.end(), end)
    if number is not None:
        return number
    if formula is None or formula.lastgroup is None:
        return None
    inner = trim(text, *formula.span(formula.lastgroup), ".,")
    return None if is_echo(text, inner) else inner


def find_last_number(text: str, start: int, end: int) -> Span | None:
    """The last number."""
    return _last_number(text, start, _own_end(text, start, end))


Finder = Callable[[str, int, int], Span | None]
PLACES: dict[str, Finder] = {
    "box": find_box,
    "answer-tag": find_answer_tag,
    "sentence": find_sentence,
    "last-expression": find_last_expression,
    "last-number": find_last_number,
}
"""By the name that a template's `answer_format` uses."""

DESCRIPTIONS = {
    "box": "\\boxed{}",
    "answer-tag": "<answer>",
    "sentence": '"answer is"',
    "last-expression": "formula or number",
    "last-number": "number",
}


def _last_number(text: str, start: int, end: int) -> Span | None:
    """Read from the end, in windows that begin with a line: a number never stands on two."""
    size = _WINDOW
    while True:
        window = text.rfind("\n", start, max(end - size, start)) if end - size > start else -1
        last = None
        for match in _NUMBER.finditer(text, max(window, start), end):
            if match["number"] is not None:
                last = match
        if last is not None or window < 0:
            return Span(*last.span()) if last else None
        size *= 8


def _own_end(text: str, start: int, end: int) -> int:
    """Where the text turns to a new question; one that it opens with is a copy of its own."""
    while start < end and text[start].isspace():
        start += 1
    for match in NEW_QUESTION.finditer(text, start, end):
        if match.start() > start:
            return match.start()
    return end


def _closing_braces(text: str, start: int, end: int) -> dict[int, int]:
    """Where each open brace of text[start:end] closes; one pass, escaped braces don't count."""
    closing: dict[int, int] = {}
    stack: list[int] = []
    for token in _ESCAPE_OR_BRACE.finditer(text, start, end):
        if token[0] == "{":
            stack.append(token.start())
        elif token[0] == "}" and stack:
            closing[stack.pop()] = token.start()
    return closing
