"""What would have made a verdict `correct`, for a person who looks at one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import get_args, get_type_hints

from evalharness.checking.extract import DEFAULT_ANSWER_FORMAT
from evalharness.checking.places import DESCRIPTIONS
from evalharness.checking.policy import Policy
from evalharness.checking.workers import CheckerPool
from evalharness.records import Judgement

_TOLERANCES = (1e-4, 1e-2)


def advice(
    found: Judgement,
    golds: Sequence[str],
    answer_format: Sequence[str],
    policy: Policy,
    pool: CheckerPool,
) -> str:
    """One sentence on what would have made it correct; empty where it is.

    For a wrong answer every setting of the policy is tried the other way: an answer that another
    convention accepts is told from one that is wrong.

    Raises:
        CheckerError: no worker process can start.
    """
    if found.status == "correct":
        return ""
    wanted = " or ".join(golds) or "nothing: the problem has no accepted answer"
    if found.status == "no_answer":
        return _about_the_place(found, answer_format, wanted)
    if found.status in ("timeout", "error") or found.extracted is None:
        return "the checker could not decide this one: compare by hand"
    if found.status == "unparsed" and found.answer_read is not None:
        return f"an answer that can be compared with {wanted}; this one is for a person to judge"
    if found.status == "unparsed":
        return f"an answer that can be read as mathematics, equal to {wanted}"
    for other in _other_policies(policy):
        outcome = pool.compare(tuple(golds), found.extracted, other).result()
        if outcome.status == "correct":
            difference = {
                key: value
                for key, value in other.to_table().items()
                if value != policy.to_table()[key]
            }
            setting = ", ".join(f"{key}={value}" for key, value in difference.items())
            return f"a policy with {setting} accepts this answer; otherwise {wanted}"
    return f"an answer equal to {wanted}; no setting of the policy accepts this one"


def _about_the_place(found: Judgement, answer_format: Sequence[str], wanted: str) -> str:
    places = " or ".join(DESCRIPTIONS[place] for place in answer_format)
    if found.lenient_extracted is not None and found.lenient_status == "correct":
        return f"the same answer, {found.lenient_extracted}, as {places}"
    if "never closes" in found.note or "ends inside" in found.note:
        return f"more tokens to close the box, with {wanted} in it"
    if tuple(answer_format) == DEFAULT_ANSWER_FORMAT:
        return f"an answer: {wanted} in \\boxed{{}}"
    return f"{wanted} as {places}"


def _other_policies(policy: Policy) -> Iterator[Policy]:
    """The policy with one setting the other way, each setting once."""
    hints = get_type_hints(Policy)
    for field in dataclasses.fields(Policy):
        for choice in get_args(hints[field.name]):
            if choice != getattr(policy, field.name):
                yield dataclasses.replace(policy, **{field.name: choice})
    for tolerance in _TOLERANCES:
        if tolerance > policy.relative_tolerance:
            yield dataclasses.replace(policy, relative_tolerance=tolerance)
