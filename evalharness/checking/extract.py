"""Finds the answer in a response: where the template told the model to put it, or anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evalharness.checking.places import (
    DESCRIPTIONS,
    PLACES,
    TruncatedError,
    find_answer_tag,
    find_box,
)
from evalharness.checking.spans import Span
from evalharness.definitions import suggestion
from evalharness.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The answer as it stands in the response: `response[start:end] == answer`."""

    answer: str | None
    """None where the response has no answer; then start and end are 0."""
    rule: str | None
    """The place that held it, of `ANSWER_PLACES`."""
    start: int
    end: int
    note: str
    """For a person: why there is no answer, or what was odd about it; empty otherwise."""


ANSWER_PLACES = tuple(PLACES)
"""What an answer format is made of."""

DEFAULT_ANSWER_FORMAT = ("box", "answer-tag", "sentence", "last-expression")
"""Any place, the most deliberate one first: where no template says, and the lenient reading."""

INSIDE_THINKING = "inside the thinking block"
_CUT = "the response ends inside its last \\boxed{"
_EARLIER_BOX = "its last \\boxed{ never closes: the box before it"
_MARKED = frozenset({"box", "answer-tag"})
_THINK = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def extract(response: str, answer_format: tuple[str, ...]) -> Extraction:
    r"""The strict reading: the answer of the first place in `answer_format` that has one.

    - `box`: the last `\boxed`, `\fbox` (also `\boxed 42`) that isn't empty; an empty one, or one
      that holds only dots or "your answer", is an echo of the prompt. When the last box never
      closes the response was cut inside its answer: there is no answer, neither in an earlier box
      nor in a later place of the format.
    - `answer-tag`: the last `<answer>...</answer>`, or from the last `<answer>` to the end when its
      closing tag was the stop string; a box inside, or else an answer sentence, is its content.
    - `sentence`: after the last "answer is" or "answer:", to the end of the sentence, unless it
      says what the answer is not; also GSM8K's line `#### 42`, the value of a JSON key `"answer"`,
      a Chinese sentence, and what stands alone under a heading "Final Answer".
    - `last-expression`: the last formula between dollar signs or `\(..\)` that is more than a
      single name, or the last number, whichever ends later.
    - `last-number`: the last number with its sign, power of ten, root or fraction; an exponent or
      an index is no number by itself.

    A base model goes on with a new question after its answer: `sentence` reads nothing after a line
    that opens one ("Question:", "Problem 2:", `<|im_start|>`, ...) behind an answer sentence, and
    the last two places nothing after such a line that isn't the response's first.

    An answer inside `<think>` counts, as it does for every published grader, and is noted; the
    places after the tag read what stands behind the block first, and the block itself only where
    none of them has an answer there. Time and memory are linear in the length of the response.

    Raises:
        InputError: the format is empty or names an unknown place.

    Source: sail-sg/understand-r1-zero at dfca49d, boxed_reward_fn: last box only, an unclosed last
        box scores 0; there the tag rule also demands the literal `</think> <answer>`, here not.
    """
    check_answer_format(answer_format)
    try:
        for place, start, end in _readings(response, answer_format):
            span = PLACES[place](response, start, end)
            if span is not None:
                return _extraction(response, place, span)
    except TruncatedError:
        return Extraction(answer=None, rule=None, start=0, end=0, note=_CUT)
    note = "no " + " and no ".join(DESCRIPTIONS[place] for place in answer_format)
    return Extraction(answer=None, rule=None, start=0, end=0, note=f"{note} in the response")


def extract_leniently(response: str, strict: Extraction) -> Extraction:
    r"""The strict reading where it has an answer, otherwise that of any place.

    In a response that was cut inside its last box the box before it counts here, and without one
    the places that follow.
    """
    if strict.answer is not None:
        return strict
    for place, start, end in _readings(response, DEFAULT_ANSWER_FORMAT):
        if place == "box":
            span = find_box(response, start, end, closed_only=True)
            if span is not None and strict.note == _CUT:
                span = span._replace(note=_EARLIER_BOX)
        elif place == "answer-tag":
            span = find_answer_tag(response, start, end, closed_only=True)
        else:
            span = PLACES[place](response, start, end)
        if span is not None:
            return _extraction(response, place, span)
    return strict


def _readings(response: str, answer_format: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    """Where to look in which order: boxes and tags count in a thinking block as behind it.

    Of what isn't marked, what stands behind the last block that closes comes first: in its thoughts
    a model tries many answers.
    """
    behind = None
    for place in answer_format:
        if place in _MARKED:
            yield place, 0, len(response)
            continue
        if behind is None:  # most responses have a box, and this reads all of them
            behind = max(
                (match.end() for match in _THINK.finditer(response) if match[1]), default=0
            )
        yield place, behind, len(response)
    if behind:
        yield from ((place, 0, behind) for place in answer_format if place not in _MARKED)


def check_answer_format(answer_format: tuple[str, ...]) -> None:
    """Refuse a format that `extract` doesn't know.

    Raises:
        InputError: the format is empty or names an unknown place.
    """
    if not answer_format:
        raise InputError(f"an answer format needs at least one place of {', '.join(PLACES)}")
    for place in answer_format:
        if place not in PLACES:
            raise InputError(
                f'unknown place "{place}" in an answer format{suggestion(place, PLACES)}: '
                f"it takes {', '.join(PLACES)}"
            )


def _extraction(response: str, place: str, span: Span) -> Extraction:
    notes = [span.note] if span.note else []
    if _is_inside_thinking(response, span):
        notes.append(INSIDE_THINKING)
    return Extraction(
        answer=response[span.start : span.end],
        rule=place,
        start=span.start,
        end=span.end,
        note="; ".join(notes),
    )


def _is_inside_thinking(response: str, span: Span) -> bool:
    """Whether the next thinking tag after the span closes, or the last one before it opens.

    Templates that end in `<think>` give responses that only close it.
    """
    after = _THINK.search(response, span.end)
    if after is not None:
        return after[1] == "/"
    before = None
    for before in _THINK.finditer(response, 0, span.start):  # noqa: B007 - the last one counts
        pass
    return before is not None and not before[1]
