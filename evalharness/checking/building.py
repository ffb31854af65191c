"""Makes expressions of parts, with the small simplifications that keep what was written."""

from __future__ import annotations

from evalharness.checking.expressions import Call, Expression, Number, Symbol
from evalharness.checking.tokens import Token, exact_number


def number_of(token: Token) -> Number:
    """The number that a token spells."""
    value, decimals = exact_number(token.text)
    return Number(value, decimals)


def negated(value: Expression) -> Expression:
    """Its negative; of a number the negative number."""
    if isinstance(value, Number):
        return Number(-value.value, value.decimals)
    return Call("neg", (value,))


def times(left: Expression, right: Expression) -> Expression:
    """The product, one more factor of the left one where that is a product."""
    if isinstance(left, Call) and left.head == "*":
        return Call("*", (*left.args, right))
    return Call("*", (left, right))


def ends_in_number(value: Expression) -> bool:
    """Whether its last factor is a number."""
    if isinstance(value, Call) and value.head == "*":
        return ends_in_number(value.args[-1])
    return isinstance(value, Number)


def primed(value: Expression) -> Expression:
    """With a prime: another name, or another function."""
    if isinstance(value, Call) and value.head != "degrees" and value.head.startswith("apply:"):
        return Call(value.head + "'", value.args)
    return marked(value, "'")


def marked(value: Expression, mark: str) -> Expression:
    """The name with a mark behind it, or what is marked."""
    if isinstance(value, Symbol):
        return Symbol(value.name + mark)
    return Call("marked:" + mark, (value,))


def is_proper(fraction: Expression) -> bool:
    """Whether it is a fraction of whole numbers below one."""
    if not isinstance(fraction, Call) or fraction.head != "/":
        return False
    numerator, denominator = fraction.args
    return (
        isinstance(numerator, Number)
        and isinstance(denominator, Number)
        and numerator.value.denominator == denominator.value.denominator == 1
        and 0 < numerator.value < denominator.value
    )
