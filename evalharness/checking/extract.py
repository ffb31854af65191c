"""Finds the answer in a response: where the template told the model to put it, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from evalharness.definitions import suggestion
from evalharness.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The answer as it stands in the response: `response[start:end] == answer`."""

    answer: str | None
    """None where the response has no answer; then start and end are 0."""
    rule: str | None
    """The place that held it: `box`, `answer-tag`, `sentence` or `last-number`."""
    start: int
    end: int
    note: str
    """For a person: why there is no answer, or what was odd about it; empty otherwise."""


DEFAULT_ANSWER_FORMAT = ("box", "answer-tag", "sentence", "last-number")

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])[ \t\n]{0,8}")
_ESCAPE_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(
    r"(?=[-+.\d\\(]|[A-Za-z](?![A-Za-z]))[^$\n]{1,200}?(?=\$|\n|\\\)|\\\]|\.(?:\s|\Z)|\Z)"
)
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_SENTENCE = re.compile(
    r"\banswer\b\*{0,2}(?:[ ]to[ ](?:the|this)[ ](?:question|problem))?\s{0,4}"
    r"(?::|is\b|=)\s{0,4}\*{0,2}:?\s{0,4}",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!](?=\s|\*|\"|\Z)|\n|\s*I hope it is correct|。")
_DISPLAY = re.compile(
    r"\s{0,4}(?:\$\$(?P<dollars>[^$]{1,2000})\$\$|\\\[(?P<bracket>.{1,2000}?)\\\])"
)
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?:\\?%)?"
)


class _TruncatedError(Exception):
    """The response ends inside its last box: what stands there is not the model's answer."""


def extract(response: str, answer_format: tuple[str, ...]) -> Extraction:
    r"""The answer of the first place in `answer_format` that has one.

    - `box`: the last `\boxed`, `\fbox` (also `\boxed 42`) that isn't empty; an empty one is an echo
      of the prompt. When the last box never closes the response was cut inside its answer: there
      is no answer, neither in an earlier box nor in a later place of the format.
    - `answer-tag`: the last `<answer>...</answer>`, or from the last `<answer>` to the end when its
      closing tag was the stop string; a box inside, or else an answer sentence, is its content.
    - `sentence`: after the last "answer is" or "answer:", to the end of the sentence.
    - `last-number`: the last number.

    A box inside `<think>` counts, as it does for every published grader. Time and memory are linear
    in the length of the response.

    Raises:
        InputError: the format is empty or names an unknown place.

    Source: sail-sg/understand-r1-zero at dfca49d, boxed_reward_fn: last box only, an unclosed last
        box scores 0; there the tag rule also demands the literal `</think> <answer>`, here not.
    """
    check_answer_format(answer_format)
    try:
        for place in answer_format:
            found = _PLACES[place](response, 0, len(response))
            if found is not None:
                start, end, note = found
                return Extraction(
                    answer=response[start:end], rule=place, start=start, end=end, note=note
                )
    except _TruncatedError:
        note = "the response ends inside its last \\boxed{"
        return Extraction(answer=None, rule=None, start=0, end=0, note=note)
    note = "no " + " and no ".join(_DESCRIPTIONS[place] for place in answer_format)
    return Extraction(answer=None, rule=None, start=0, end=0, note=f"{note} in the response")


def check_answer_format(answer_format: tuple[str, ...]) -> None:
    """Refuse a format that `extract` doesn't know.

    Raises:
        InputError: the format is empty or names an unknown place.
    """
    if not answer_format:
        raise InputError(f"an answer format needs at least one place of {', '.join(_PLACES)}")
    for place in answer_format:
        if place not in _PLACES:
            raise InputError(
                f'unknown place "{place}" in an answer format{suggestion(place, _PLACES)}: '
                f"it takes {', '.join(_PLACES)}"
            )


_Span = tuple[int, int, str]


def _trim(text: str, start: int, end: int, characters: str = "") -> tuple[int, int]:
    """The span without white space, and without `characters`, at its ends."""
    while start < end and (text[start].isspace() or text[start] in characters):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in characters):
        end -= 1
    return start, end


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


def _find_box(text: str, start: int, end: int) -> _Span | None:
    boxes = [match.end() for match in _BOX.finditer(text, start, end)]
    if not boxes:
        return None
    closing = _closing_braces(text, boxes[0], end)
    for opening in reversed(boxes):
        if opening < end and text[opening] == "{":
            if opening not in closing:
                raise _TruncatedError
            inner = _trim(text, opening + 1, closing[opening])
        else:
            bare = _BARE_BOX.match(text, opening, end)
            if bare is None:
                continue
            inner = _trim(text, bare.start(), bare.end())
        if inner[0] < inner[1]:
            return (*inner, "")
    return None


def _find_answer_tag(text: str, start: int, end: int) -> _Span | None:
    tags = list(_TAG.finditer(text, start, end))
    for index in range(len(tags) - 1, -1, -1):
        tag = tags[index]
        if tag[1]:
            continue
        is_last = index + 1 == len(tags)
        if not is_last and not tags[index + 1][1]:
            continue
        inner = _trim(text, tag.end(), end if is_last else tags[index + 1].start())
        if inner[0] == inner[1]:
            continue
        note = "the answer tag isn't closed" if is_last else ""
        nested = _find_box(text, *inner) or _find_sentence(text, *inner)
        return (*nested[:2], note) if nested else (*inner, note)
    return None


def _find_sentence(text: str, start: int, end: int) -> _Span | None:
    for match in reversed(list(_SENTENCE.finditer(text, start, end))):
        display = _DISPLAY.match(text, match.end(), end)
        if display is not None:
            group = "dollars" if display["dollars"] is not None else "bracket"
            inner = _trim(text, *display.span(group), ".,")
        else:
            limit = min(end, match.end() + 1000)
            stop = _SENTENCE_END.search(text, match.end(), limit)
            inner = _trim(text, match.end(), stop.start() if stop else limit, '.,*:"')
            inner = _without_dollars(text, *inner)
        if inner[0] < inner[1]:
            return (*inner, "")
    return None


def _without_dollars(text: str, start: int, end: int) -> tuple[int, int]:
    r"""Without the `$...$` or `\(...\)` around the whole span, or a currency sign before it."""
    content = text[start:end]
    if content.startswith("\\(") and content.endswith("\\)") and content.count("\\(") == 1:
        return _trim(text, start + 2, end - 2, ".,")
    if content.count("$") == 2 and content[0] == content[-1] == "$" and len(content) > 2:
        return _trim(text, start + 1, end - 1, ".,")
    if content.count("$") == 1 and content[0] == "$":
        return _trim(text, start + 1, end)
    return start, end


def _find_last_number(text: str, start: int, end: int) -> _Span | None:
    last = None
    for last in _NUMBER.finditer(text, start, end):  # noqa: B007 - only the last one counts
        pass
    return (*last.span(), "") if last else None


_PLACES: dict[str, Callable[[str, int, int], _Span | None]] = {
    "box": _find_box,
    "answer-tag": _find_answer_tag,
    "sentence": _find_sentence,
    "last-number": _find_last_number,
}
_DESCRIPTIONS = {
    "box": "\\boxed{}",
    "answer-tag": "<answer>",
    "sentence": '"answer is"',
    "last-number": "number",
}
