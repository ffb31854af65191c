"""Whether the golds of a benchmark can be compared with anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evalharness.checking.equivalence import read_gold
from evalharness.checking.policy import Policy
from evalharness.records import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldProblem:
    """A gold that no answer, or the wrong answer, would equal."""

    problem_id: str
    gold: str
    read_as: str | None
    """What was read in it; None where nothing could be."""
    reason: str


def audit_golds(problems: Iterable[Problem]) -> list[GoldProblem]:
    """The golds, published and corrected, that aren't read without loss or don't equal themselves.

    Each is read under its problem's own policy. Takes about a millisecond a gold.
    """
    found = []
    for problem in problems:
        policy = Policy.from_table(problem.policy or {})
        for gold in dict.fromkeys((*problem.golds, *(problem.corrected_golds or ()))):
            reading = read_gold(gold, policy)
            if not reading.is_readable or not reading.is_equal_to_itself:
                found.append(
                    GoldProblem(
                        problem_id=problem.problem_id,
                        gold=gold,
                        read_as=reading.read_as,
                        reason=reading.reason,
                    )
                )
    return found
