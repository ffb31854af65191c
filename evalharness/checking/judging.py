"""From a response to the record of its verdict, around the comparison that decides."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

from evalharness.checking.equivalence import Equivalence
from evalharness.checking.extract import Extraction
from evalharness.checking.policy import Policy
from evalharness.records import Judgement, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one comparison."""

    status: Status
    gold: str | None
    method: str | None
    reason: str
    num_milliseconds: float
    gold_read: str | None = None
    answer_read: str | None = None


class Readings(NamedTuple):
    """Both readings of one response; they differ only where the strict one has no answer."""

    strict: Extraction
    lenient: Extraction
    policy: Policy

    @property
    def answer(self) -> str:
        """What is compared; empty where there is no answer."""
        return self.lenient.answer or ""


def without_comparison(found: Readings, golds: tuple[str, ...]) -> Judgement | None:
    """The verdict where there is nothing to compare: no answer, or no gold."""
    if not golds:
        return judgement(found, failure("error", golds, "the problem has no accepted answer"))
    if found.lenient.answer is None:
        return judgement(found, failure("no_answer", golds, found.strict.note))
    return None


def outcome_of(result: Equivalence, seconds: float = 0.0) -> Outcome:
    """The outcome of a comparison that came to an end; one that took no worker took no time."""
    return Outcome(
        status=result.status,
        gold=result.gold,
        method=result.method,
        reason=result.reason,
        num_milliseconds=1000 * seconds,
        gold_read=result.gold_read,
        answer_read=result.answer_read,
    )


def failure(status: Status, golds: tuple[str, ...], reason: str, seconds: float = 0.0) -> Outcome:
    """The outcome where nothing was decided by mathematics."""
    return Outcome(
        status=status,
        gold=golds[0] if golds else None,
        method=None,
        reason=reason,
        num_milliseconds=1000 * seconds,
    )


def judgement(found: Readings, outcome: Outcome) -> Judgement:
    """The verdict on both readings; `outcome` is of the lenient one, which has the only answer."""
    strict, lenient, policy = found
    status, method, reason = outcome.status, outcome.method, outcome.reason
    if strict.answer is None and lenient.answer is not None:
        status, method, reason = "no_answer", None, strict.note
    elif strict.note and strict.answer is not None:
        reason = f"{reason} ({strict.note})"
    return Judgement(
        status=status,
        extracted=strict.answer,
        extraction=strict.rule,
        gold=outcome.gold,
        method=method,
        reason=reason,
        num_milliseconds=outcome.num_milliseconds,
        note=strict.note,
        start=None if strict.answer is None else strict.start,
        end=None if strict.answer is None else strict.end,
        gold_read=outcome.gold_read,
        answer_read=outcome.answer_read,
        policy=_described(policy),
        lenient_status=outcome.status,
        lenient_extracted=lenient.answer,
        lenient_extraction=lenient.rule,
    )


_described = functools.lru_cache(maxsize=1024)(str)
