"""What stands in for sympy's parse_expr in the published rules: two expressions, read by ours."""

from __future__ import annotations

from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort
from evalharness.checking.reading import read
from evalharness.checking.structure import same_value
from evalharness.checking.tokens import UnreadableError
from evalharness.checking.values import Quantity

PLAIN = Policy(
    order="given",
    brackets="strict",
    units="compare",
    percent="strict",
    degrees="strict",
    assignment="strict",
    rename="strict",
    letter_case="compare",
)
"""Nothing but mathematics: the rewriting has made of conventions what it makes of them."""


def same_quantities(gold: str, answer: str, policy: Policy, effort: Effort) -> bool | None:
    """Whether both texts are expressions and equal; None where it takes more effort."""
    try:
        golds, answers = read(gold), read(answer)
    except UnreadableError:
        return False
    left, right = golds[0].value, answers[0].value
    if not isinstance(left, Quantity) or not isinstance(right, Quantity):
        return False
    result = same_value(left, right, policy, effort)
    return result if effort.is_cheap else bool(result)
