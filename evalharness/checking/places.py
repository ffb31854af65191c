r"""Where an answer may stand in a response: one finder a place, each linear in the text's length.

A finder gets a text and the bounds that it may read, and gives the span of the last answer of its
place, without the marks around it, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """`text[start:end]`, with what was odd about it."""

    start: int
    end: int
    note: str = ""


class TruncatedError(Exception):
    """The text ends inside its last box: what stands there is not the model's whole answer."""


UNCLOSED_TAG = "the answer tag isn't closed"

# A JSON writer that doesn't escape turns \b and \f into control characters.
_BOX = re.compile(r"(?:\\boxed|\\fbox|\x08oxed|\x0cbox)(?![A-Za-z])[ \t\n]{0,8}")
_ESCAPE_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(
    r"(?=[-+.\d\\(]|[A-Za-z](?![A-Za-z]))[^$\n]{1,200}?(?=\$|\n|\\\)|\\\]|\.(?:\s|\Z)|\Z)"
)
_ECHO = re.compile(
    r"(?:[\s~.?_…]|\\[,;:! ]|\\(?:quad|qquad|ldots|cdots|dots)(?![A-Za-z]))*"
    r"|(?:\\text\{)?(?:your |the )?(?:final )?answer(?: here)?\}?",
    re.IGNORECASE,
)
_LONGEST_ECHO = 60
# Between two boxes of one list, in or out of mathematics.
_SPACE = r"(?:\s|\$|\\[()\[\],;:! ]|\\q?quad){0,12}"
_JOINED = re.compile(
    rf"{_SPACE}(?:[,;]|(?:\\text\{{\s{{0,4}})?(?:,\s?)?\b(?:and|or)\b(?:\s{{0,4}}\}})?){_SPACE}"
)
# A double root may be written twice; more of the same is a loop.
_MOST_REPEATED = 2
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_SENTENCE = re.compile(
    r"\banswer\b\*{0,2}(?:[ ]to[ ](?:the|this)[ ](?:question|problem))?\s{0,4}"
    r"(?::|is\b|=)\s{0,4}\*{0,2}:?\s{0,4}"
    r"|^####(?=[ ]{0,2}[-$]{0,2}\d[\d,./]{0,40}%?[ ]{0,2}$)",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.!](?=\s|\*|\"|\Z)|\n|\s*I hope it is correct|。")
_DISPLAY = re.compile(
    r"\s{0,4}(?:\$\$(?P<dollars>[^$]{1,2000})\$\$|\\\[(?P<bracket>.{1,2000}?)\\\])"
)
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?:\\?%)?"
)
# A dollar sign opens mathematics before a non-space and closes it after one, not before a digit:
# "$5 and $18" are two prices.
_MATH = re.compile(
    r"(?<![\\$])\$(?![\s$])(?P<dollar>[^$\n]{1,500})(?<![\s\\])\$(?!\d)"
    r"|\$\$(?P<dollars>[^$]{1,2000})\$\$"
    r"|(?<!\\)\\\((?P<round>(?:[^\n$\\]|\\[^()\n]){1,500}+)\\\)"
    r"|(?<!\\)\\\[(?P<square>(?:[^$\\]|\\[^\[\]]){1,1000}+)\\\]"
)
_NAME_ONLY = re.compile(r"\s*(?:[A-Za-z]|\\[A-Za-z]+)\s*")
_NEW_QUESTION = re.compile(
    r"^[ \t]{0,4}\*{0,2}(?:question|problem|exercise|q|human|user|instruction)"
    r"(?:[ ]\d{1,4})?\*{0,2}:|^#{1,4}[ ](?:question|problem|instruction)\b"
    r"|<\|(?:im_start|im_end|endoftext|eot_id|start_header_id)\|>",
    re.IGNORECASE | re.MULTILINE,
)


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
            inner = _trim(text, opening + 1, closing[opening])
        else:
            bare = _BARE_BOX.match(text, opening, end)
            if bare is None:
                continue
            inner = _trim(text, bare.start(), bare.end())
        if not _is_echo(text, inner):
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
        inner = _trim(text, boxes[first - 1].end() + 1, before)
        if _is_echo(text, inner):
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
        inner = _trim(text, tag.end(), end if is_last else tags[index + 1].start())
        if _is_echo(text, inner):
            continue
        nested = find_box(text, inner.start, inner.end, closed_only=closed_only)
        found = nested or find_sentence(text, inner.start, inner.end) or inner
        return found._replace(note=UNCLOSED_TAG if is_last else "")
    return None


def find_sentence(text: str, start: int, end: int) -> Span | None:
    """What follows the last "answer is", "answer:" or GSM8K's `####`, to the sentence's end."""
    sentences = list(_SENTENCE.finditer(text, start, end))
    if not sentences:
        return None
    # A base model, having answered, asks itself the next question.
    cut = _NEW_QUESTION.search(text, sentences[0].end(), end)
    end = cut.start() if cut else end
    for match in reversed(sentences):
        if match.end() > end:
            continue
        display = _DISPLAY.match(text, match.end(), end)
        if display is not None:
            group = "dollars" if display["dollars"] is not None else "bracket"
            inner = _trim(text, *display.span(group), ".,")
        else:
            limit = min(end, match.end() + 1000)
            stop = _SENTENCE_END.search(text, match.end(), limit)
            inner = _trim(text, match.end(), stop.start() if stop else limit, '.,*:"')
            inner = _without_dollars(text, inner)
        if not _is_echo(text, inner):
            return inner
    return None


def find_last_expression(text: str, start: int, end: int) -> Span | None:
    """The last formula that is more than a name, or the last number, whichever ends later."""
    end = _own_end(text, start, end)
    formula = None
    for match in _MATH.finditer(text, start, end):
        if match.lastgroup and not _NAME_ONLY.fullmatch(text, *match.span(match.lastgroup)):
            formula = match
    number = _last(_NUMBER, text, start if formula is None else formula.end(), end)
    if number is not None:
        return Span(*number.span())
    if formula is None or formula.lastgroup is None:
        return None
    inner = _trim(text, *formula.span(formula.lastgroup), ".,")
    return None if _is_echo(text, inner) else inner


def find_last_number(text: str, start: int, end: int) -> Span | None:
    """The last number."""
    number = _last(_NUMBER, text, start, _own_end(text, start, end))
    return Span(*number.span()) if number else None


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


def _last(pattern: re.Pattern[str], text: str, start: int, end: int) -> re.Match[str] | None:
    last = None
    for last in pattern.finditer(text, start, end):  # noqa: B007 - only the last one counts
        pass
    return last


def _is_echo(text: str, span: Span) -> bool:
    r"""Whether nothing stands there, or only what prompts put in a box: `...`, `your answer`."""
    if span.end - span.start > _LONGEST_ECHO:
        return False
    return _ECHO.fullmatch(text, span.start, span.end) is not None


def _own_end(text: str, start: int, end: int) -> int:
    """Where the text turns to a new question; one that it opens with is a copy of its own."""
    while start < end and text[start].isspace():
        start += 1
    for match in _NEW_QUESTION.finditer(text, start, end):
        if match.start() > start:
            return match.start()
    return end


def _trim(text: str, start: int, end: int, characters: str = "") -> Span:
    """The span without white space, and without `characters`, at its ends."""
    while start < end and (text[start].isspace() or text[start] in characters):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in characters):
        end -= 1
    return Span(start, end)


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


def _without_dollars(text: str, span: Span) -> Span:
    r"""Without the `$...$` or `\(...\)` around the whole span, or a currency sign before it."""
    start, end = span.start, span.end
    content = text[start:end]
    if content.startswith("\\(") and content.endswith("\\)") and content.count("\\(") == 1:
        return _trim(text, start + 2, end - 2, ".,")
    if content.count("$") == 2 and content[0] == content[-1] == "$" and len(content) > 2:
        return _trim(text, start + 1, end - 1, ".,")
    if content.count("$") == 1 and content[0] == "$":
        return _trim(text, start + 1, end)
    return span
