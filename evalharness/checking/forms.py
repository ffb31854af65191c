"""Other forms of the same value: a relation as an interval, a plus-minus sign as two values."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from evalharness.checking.expressions import (
    Call,
    Expression,
    Number,
    Symbol,
    exact_or_none,
    integer,
    walk,
)
from evalharness.checking.tokens import UnreadableError
from evalharness.checking.values import (
    INFINITY,
    Interval,
    Quantity,
    Relation,
    Sequence,
    Union,
    Value,
    Words,
)

_MOST_INTEGERS = 200
REALS = Symbol("mathbb:R")
THE_LINE = Interval(
    low=Call("neg", (INFINITY,)), high=INFINITY, is_low_closed=False, is_high_closed=False
)
_POSITIVE = Interval(
    low=Number(Fraction(0)), high=INFINITY, is_low_closed=False, is_high_closed=False
)
_NEGATIVE = Interval(
    low=Call("neg", (INFINITY,)),
    high=Number(Fraction(0)),
    is_low_closed=False,
    is_high_closed=False,
)
REAL_SETS: dict[Expression, Interval] = {
    REALS: THE_LINE,
    Symbol("mathbb:R^+"): _POSITIVE,
    Symbol("mathbb:R_>0"): _POSITIVE,
    Symbol("mathbb:R_ge0"): replace(_POSITIVE, is_low_closed=True),
    Symbol("mathbb:R^-"): _NEGATIVE,
    Symbol("mathbb:R_<0"): _NEGATIVE,
    Symbol("mathbb:R_le0"): replace(_NEGATIVE, is_high_closed=True),
}


def as_set(value: Value) -> Value | None:
    """The interval, or the union of two, that a name or a relation of one variable describes."""
    if isinstance(value, Interval | Union):
        return value
    if isinstance(value, Quantity):
        return REAL_SETS.get(value.expression)
    if isinstance(value, Relation) and value.operator == "in":
        is_named = isinstance(value.left, Quantity) and _is_name(value.left.expression)
        return as_set(value.right) if is_named and not isinstance(value.right, Relation) else None
    if not isinstance(value, Relation) or not (
        isinstance(value.left, Quantity) and isinstance(value.right, Quantity)
    ):
        return None
    left, right = value.left.expression, value.right.expression
    minus = Call("neg", (INFINITY,))
    if value.operator in ("<", "<="):
        is_closed = value.operator == "<="
        if _is_name(left) and not _is_name(right):
            return Interval(low=minus, high=right, is_low_closed=False, is_high_closed=is_closed)
        if _is_name(right) and not _is_name(left):
            return Interval(low=left, high=INFINITY, is_low_closed=is_closed, is_high_closed=False)
    if value.operator == "!=" and _is_name(left):
        below = Interval(low=minus, high=right, is_low_closed=False, is_high_closed=False)
        above = Interval(low=right, high=INFINITY, is_low_closed=False, is_high_closed=False)
        return Union(parts=(below, above))
    return None


def as_integers(domain: Value, value: Value) -> Value | None:
    """The whole numbers of a bounded interval, one by one; None where there are many or others."""
    is_natural = domain == Quantity(expression=Symbol("mathbb:N"))
    if not is_natural and domain != Quantity(expression=Symbol("mathbb:Z")):
        return None
    if not isinstance(value, Interval):
        return None
    low, high = (exact_or_none(end) for end in (value.low, value.high))
    if low is None or high is None or (is_natural and low < 0):
        return None
    first = math.ceil(low) + (low.denominator == 1 and not value.is_low_closed)
    last = math.floor(high) - (high.denominator == 1 and not value.is_high_closed)
    if (is_natural and first < 1) or not 0 <= last - first < _MOST_INTEGERS:
        return None  # whether 0 is natural is a convention
    numbers = (Quantity(expression=integer(number)) for number in range(first, last + 1))
    return Sequence(brackets="braces", items=tuple(numbers))


def with_ends(value: Value) -> Value:
    """Two values in brackets as an interval, where it is known that they are its ends."""
    if isinstance(value, Sequence) and value.brackets in ("round", "square"):
        ends = [item.expression for item in value.items if isinstance(item, Quantity)]
        if len(ends) == len(value.items) == 2:
            is_closed = value.brackets == "square"
            low, high = ends
            return Interval(low=low, high=high, is_low_closed=is_closed, is_high_closed=is_closed)
    return value


def _is_name(expression: Expression) -> bool:
    if isinstance(expression, Call):
        return expression.head.startswith("apply:")
    return isinstance(expression, Symbol) and expression != INFINITY and expression.name != "pi"


def expanded_signs(value: Value) -> Value:
    r"""The value with `a \pm b` as the two values that it stands for."""
    match value:
        case Quantity():
            signs = [
                p for p in walk(value.expression) if isinstance(p, Call) and p.head in ("pm", "mp")
            ]
            if not signs:
                return value
            both = tuple(
                Quantity(expression=_signed(value.expression, is_upper), unit=value.unit)
                for is_upper in (True, False)
            )
            return Sequence(brackets="bare", items=both)
        case Sequence():
            return _expanded_sequence(value)
        case Relation():
            return Relation(
                operator=value.operator, left=value.left, right=expanded_signs(value.right)
            )
        case _:
            return value


def signed_tuple(items: list[Value]) -> Value:
    """A tuple; with plus-minus signs in it, the bare list of the tuples that they stand for."""
    choices: list[list[Value]] = [[]]
    for item in items:
        is_double = isinstance(item, Sequence) and item.brackets == "bare"
        options = list(item.items) if isinstance(item, Sequence) and is_double else [item]
        choices = [[*chosen, option] for chosen in choices for option in options]
        if len(choices) > 64:
            raise UnreadableError("too many signs")
    tuples = [Sequence(brackets="round", items=tuple(chosen)) for chosen in choices]
    return tuples[0] if len(tuples) == 1 else Sequence(brackets="bare", items=tuple(tuples))


def _expanded_sequence(value: Sequence) -> Value:
    items = [expanded_signs(item) for item in value.items]
    if value.brackets == "round":
        return signed_tuple(items)
    flat: list[Value] = []
    for old, new in zip(value.items, items, strict=True):
        if new is not old and isinstance(new, Sequence) and not isinstance(old, Sequence):
            flat.extend(new.items)
        else:
            flat.append(new)
    return Sequence(brackets=value.brackets, items=tuple(flat))


def _signed(expression: Expression, is_upper: bool) -> Expression:
    if not isinstance(expression, Call):
        return expression
    args = tuple(_signed(argument, is_upper) for argument in expression.args)
    if expression.head in ("pm", "mp"):
        is_plus = (expression.head == "pm") == is_upper
        inner = args[0]
        if is_plus:
            return inner
        return (
            Number(-inner.value, inner.decimals) if isinstance(inner, Number) else Call("neg", args)
        )
    return Call(expression.head, args)


def has_words(value: Value) -> bool:
    """Whether words stand in the value, as a unit, a label or alone."""
    match value:
        case Words():
            return True
        case Quantity():
            return bool(value.unit)
        case Sequence():
            return any(map(has_words, value.items))
        case Union():
            return any(map(has_words, value.parts))
        case Relation():
            return has_words(value.left) or has_words(value.right)
        case _:
            return False
