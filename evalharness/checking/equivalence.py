"""Decides whether an answer equals a gold: the first stage that can decide does, and is named.

The stages: the same text, exact numbers, structure (lists, sets, intervals, relations, matrices)
element by element, values at seeded points, and sympy at last. What a model wrote is parsed by a
grammar of our own and never evaluated as code. The first three stages are bounded; the last two
can take long on hostile text, so `workers` calls them in a process that can be killed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

from evalharness.checking.expressions import Number
from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort, is_printed_float
from evalharness.checking.reading import read
from evalharness.checking.renaming import bound_names, with_bound_names_of
from evalharness.checking.structure import is_set, same_value
from evalharness.checking.text import canonical, shorten
from evalharness.checking.tokens import UnreadableError
from evalharness.checking.values import Quantity, Reading, describe

__all__ = [
    "Equivalence",
    "GoldReading",
    "Identity",
    "best_of",
    "canonical",
    "cheap_judgement",
    "equal",
    "equal_text",
    "identify_answer",
    "identify_text",
    "judge_answer",
    "read_gold",
    "same_answer",
    "shorten",
]

DEFAULT_POLICY = Policy()

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Whether an answer is right, and how that was decided."""

    status: Literal["correct", "incorrect", "unparsed", "error"]
    method: str | None
    """The rule that decided: `exact` for the same text, or one of `quantities.METHODS`; None
    where none could."""
    reason: str
    gold: str | None
    """The gold that matched; otherwise the first."""
    gold_read: str | None = None
    """What was read in that gold, on one line; None where it wasn't or couldn't be read."""
    answer_read: str | None = None
    """The same for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldReading:
    """What an audit asks of a gold."""

    is_readable: bool
    """Whether all of it was read as mathematics, or as words."""
    is_equal_to_itself: bool
    """Whether its reading, not only its text, equals itself."""
    read_as: str | None
    """The likeliest reading on one line."""
    reason: str
    """For a person: why it can't be read or isn't equal to itself; empty otherwise."""


class Identity(NamedTuple):
    """What is known of an answer without comparing it: equal keys are the same answer."""

    kind: Literal["number", "unreadable", "other"]
    """Two numbers with different keys differ, and an answer that can't be read equals nothing
    but its own text; of others only a comparison tells."""
    key: tuple[str, str | Fraction]


def identify_text(answer: str, policy: Policy) -> Identity:  # noqa: ARG001 - knows none
    """The identity of an answer of which nothing but the text is known."""
    return Identity("other", ("text", canonical(answer)))


def identify_answer(answer: str, policy: Policy = DEFAULT_POLICY) -> Identity:
    """The identity of an answer: its value where it is one plain number and numbers are exact."""
    readings = _read(answer)
    text = ("text", canonical(answer))
    if isinstance(readings, str):
        return Identity("unreadable", text)
    is_exact = policy.rounding == "none" and not (
        policy.relative_tolerance or policy.absolute_tolerance
    )
    value = readings[0].value
    if len(readings) == 1 and is_exact and isinstance(value, Quantity) and not value.unit:
        number = value.expression
        if isinstance(number, Number) and not is_printed_float(number):
            return Identity("number", ("number", number.value))
    return Identity("other", text)


def equal_text(golds: tuple[str, ...], answer: str) -> Equivalence | None:
    """The verdict that needs no mathematics: correct where the texts agree, otherwise None."""
    wanted = canonical(answer)
    for gold in golds:
        if wanted and canonical(gold) == wanted:
            reason = f"the answer is the gold {shorten(gold)}"
            return Equivalence(status="correct", method="exact", reason=reason, gold=gold)
    return None


def equal(gold: str, answer: str, policy: Policy = DEFAULT_POLICY) -> Equivalence:
    """Compare one gold with one answer, in this process and without a time limit.

    Statuses: `correct`, `incorrect`, `unparsed` (the answer can't be read, or the two can't be
    compared), `error` (the gold can't be read, or memory or the stack ran out).
    """
    same = equal_text((gold,), answer)
    if same is not None:
        return same
    try:
        return _compare(gold, answer, policy, Effort(is_cheap=False))
    except (MemoryError, RecursionError) as error:
        what = "memory" if isinstance(error, MemoryError) else "the stack"
        reason = f"{what} ran out while comparing gold {shorten(gold)} and answer {shorten(answer)}"
        return Equivalence(status="error", method=None, reason=reason, gold=gold)


def judge_answer(
    golds: tuple[str, ...], answer: str, policy: Policy = DEFAULT_POLICY
) -> Equivalence:
    """Compare an answer with every accepted gold: any match is correct.

    Without a match the answer is `incorrect` where at least one gold could be compared, otherwise
    `unparsed` or `error`, whichever the first gold gave.
    """
    if not golds:
        reason = "the problem has no accepted answer"
        return Equivalence(status="error", method=None, reason=reason, gold=None)
    same = equal_text(golds, answer)
    if same is not None:
        return same
    results = []
    for gold in golds:
        result = equal(gold, answer, policy)
        if result.status == "correct":
            return result
        results.append(result)
    return best_of(golds, results)


def cheap_judgement(
    golds: tuple[str, ...], answer: str, policy: Policy = DEFAULT_POLICY
) -> Equivalence | None:
    """The verdict where text, exact numbers and structure decide; None where they don't.

    Bounded in time and memory and without sympy, so it is safe in the parent process. A verdict
    that it gives is the one that `judge_answer` gives.
    """
    if not golds:
        return judge_answer(golds, answer, policy)
    same = equal_text(golds, answer)
    if same is not None:
        return same
    results = []
    for gold in golds:
        result = _compare(gold, answer, policy, Effort(is_cheap=True))
        if result.status == "correct":
            return result
        results.append(result)
    if all(result.status == "incorrect" for result in results):
        return best_of(golds, results)
    return None


def same_answer(first: str, second: str, policy: Policy = DEFAULT_POLICY) -> bool:
    """Whether two answers say the same, by the rules that compare an answer with a gold."""
    return equal(first, second, policy).status == "correct"


def read_gold(gold: str, policy: Policy = DEFAULT_POLICY) -> GoldReading:
    """Read one gold for an audit: without loss, and equal to itself by its reading."""
    readings = _read(gold)
    if isinstance(readings, str):
        return GoldReading(
            is_readable=False, is_equal_to_itself=False, read_as=None, reason=readings
        )
    value = readings[0].value
    shown = shorten(describe(value), 200)
    is_equal = same_value(value, value, policy, Effort(is_cheap=False)) is True
    reason = "" if is_equal else "what was read in it can't be compared with itself"
    return GoldReading(is_readable=True, is_equal_to_itself=is_equal, read_as=shown, reason=reason)


def best_of(golds: tuple[str, ...], results: list[Equivalence]) -> Equivalence:
    """The verdict over several golds, none of which matched."""
    chosen = next((result for result in results if result.status == "incorrect"), results[0])
    reason = chosen.reason
    if chosen.status == "incorrect" and len(golds) > 1:
        reason = f"{reason} (as from the other {len(golds) - 1} golds)"
        unread = sum(result.status != "incorrect" for result in results)
        if unread:
            reason = f"{chosen.reason} ({unread} of {len(golds)} golds could not be compared)"
    return Equivalence(
        status=chosen.status,
        method=chosen.method,
        reason=reason,
        gold=golds[0],
        gold_read=chosen.gold_read,
        answer_read=chosen.answer_read,
    )


@lru_cache(maxsize=8192)
def _read(text: str) -> tuple[Reading, ...] | str:
    """The readings of the text, or why there is none."""
    try:
        return read(text)
    except UnreadableError as error:
        return str(error)


def _compare(gold: str, answer: str, policy: Policy, effort: Effort) -> Equivalence:
    golds = _read(gold)
    if isinstance(golds, str):
        reason = f"the gold {shorten(gold)} can't be read: {golds}"
        return Equivalence(status="error", method=None, reason=reason, gold=gold)
    answers = _read(answer)
    if isinstance(answers, str):
        reason = f"the answer {shorten(answer)} can't be read: {answers}"
        return Equivalence(
            status="unparsed",
            method=None,
            reason=reason,
            gold=gold,
            gold_read=shorten(describe(golds[0].value)),
        )
    results = []
    reason = ""
    for left in golds:
        for right in answers:
            result = same_value(left.value, right.value, policy, effort)
            if result is False and policy.rename == "either":
                result = _same_but_for_names(left, right, policy, effort)
            if result and not _may_agree(left, right):
                result = None
                reason = f"are equal, but not under the same conditions: {_conditions(left, right)}"
            if result:
                return _verdict(True, gold, answer, left, right, effort)
            results.append(result)
    decided = None if None in results else False
    return _verdict(decided, gold, answer, golds[0], answers[0], effort, reason)


def _same_but_for_names(
    gold: Reading, answer: Reading, policy: Policy, effort: Effort
) -> bool | None:
    """Whether they agree under other names for what both bind: `2k, k in Z` and `2n, n in Z`."""
    is_undecided = False
    for value in with_bound_names_of(gold, answer):
        result = same_value(gold.value, value, policy, effort)
        if result:
            return True
        is_undecided |= result is None
    return None if is_undecided else False


def _may_agree(gold: Reading, answer: Reading) -> bool:
    """Whether what two equal values hold for may be the same.

    Not where both conditions name numbers, and different ones, nor for a set of whole numbers
    beside one of reals: `x > 2` with `x in Z` and without.
    """
    numbers = sorted(_DIGITS.findall(gold.clause)), sorted(_DIGITS.findall(answer.clause))
    if numbers[0] and numbers[1] and numbers[0] != numbers[1]:
        return False
    if not (is_set(gold.value) or is_set(answer.value)):
        return True
    kinds = [set(bound_names(each.clause).values()) - {"real"} for each in (gold, answer)]
    return bool(kinds[0]) == bool(kinds[1])


def _conditions(gold: Reading, answer: Reading) -> str:
    return " and ".join(shorten(each.clause) or "none" for each in (gold, answer))


def _verdict(
    result: bool | None,
    gold: str,
    answer: str,
    left: Reading,
    right: Reading,
    effort: Effort,
    reason: str = "",
) -> Equivalence:
    """The verdict on two texts and their likeliest readings; `reason` is why none was found."""
    shown = f"gold {shorten(gold)} and answer {shorten(answer)}"
    status: Literal["correct", "incorrect", "unparsed"]
    if result is None:
        status, reason = "unparsed", f"{shown} {reason or 'could not be compared'}"
    elif result:
        status, reason = "correct", f"{shown} are equal"
    else:
        status, reason = "incorrect", f"{shown} differ"
    return Equivalence(
        status=status,
        method=None if result is None else effort.method,
        reason=reason,
        gold=gold,
        gold_read=shorten(describe(left.value)),
        answer_read=shorten(describe(right.value)),
    )
