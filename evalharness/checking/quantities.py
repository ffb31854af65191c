"""Compares two quantities: parts, exact values, units and signs, values at points, algebra."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from evalharness.checking.expressions import (
    Call,
    Expression,
    Number,
    Symbol,
    exact_or_none,
    free_symbols,
    key,
    show,
    walk,
)
from evalharness.checking.policy import Policy
from evalharness.checking.residues import is_residue, same_residues
from evalharness.checking.units import parse_unit
from evalharness.checking.values import INFINITY, Quantity
from evalharness.checking.wording import are_opposite

MACHINE_DIGITS = 12
"""A decimal with at least so many significant digits is a printed float: it stands for any value
that rounds to it."""

_LAST_BIT = Fraction(1, 1 << 51)
"""Relative; what a float of 64 bits may be off with the last of 17 digits."""
_RADIANS = frozenset(["rad", "radian", "radians"])

METHODS = ("number", "symbols", "structure", "rounding", "tolerance", "numeric", "sympy")
"""Of the deciding rule, from the simplest to the deepest."""


@dataclass(slots=True)
class Effort:
    """How far a comparison may go, and how far it went."""

    is_cheap: bool
    """Only exact values and parts in order; what needs more is undecided."""
    methods: set[str] = field(default_factory=set)

    def note(self, method: str) -> None:
        """A rule was needed."""
        self.methods.add(method)

    @property
    def method(self) -> str:
        """The deepest rule that was needed."""
        return max(self.methods, key=METHODS.index) if self.methods else "structure"


def same_quantity(gold: Quantity, answer: Quantity, policy: Policy, effort: Effort) -> bool | None:
    """Whether two quantities are equal under the policy; None where it can't be decided."""
    if bool(gold.unit) != bool(answer.unit):
        gold, answer = _with_unit_letter(gold, answer.unit), _with_unit_letter(answer, gold.unit)
    left, right = gold.expression, answer.expression
    if _RADIANS & {*gold.unit.split(), *answer.unit.split()}:
        policy = replace(policy, degrees="strict")
    if are_opposite(gold.unit, answer.unit):
        return False
    if gold.unit and answer.unit:
        units = parse_unit(gold.unit), parse_unit(answer.unit)
        if units[0] is not None and units[1] is not None:
            if units[0].dimensions != units[1].dimensions:
                return False
            if units[0].factor != units[1].factor:
                left = Call("*", (left, Number(units[0].factor)))
                right = Call("*", (right, Number(units[1].factor)))
    elif policy.units == "compare" and (gold.unit or answer.unit):
        named = parse_unit(gold.unit or answer.unit)
        if named is not None:
            return False
    return same_expression(left, right, policy, effort)


def _with_unit_letter(value: Quantity, other: str) -> Quantity:
    """`5000 m` beside a length has a unit; beside anything else it is a product."""
    product = value.expression
    if value.unit or not isinstance(product, Call) or product.head != "*" or len(product.args) != 2:
        return value
    number, letter = product.args
    power = ""
    if isinstance(letter, Call) and letter.head == "^":
        letter, exponent = letter.args
        power = f"^{show(exponent)}"
    if not isinstance(number, Number) or not isinstance(letter, Symbol):
        return value
    unit = letter.name + power
    units = parse_unit(unit), parse_unit(other)
    if units[0] is None or units[1] is None or units[0].dimensions != units[1].dimensions:
        return value
    return Quantity(expression=number, unit=unit)


def same_expression(
    gold: Expression, answer: Expression, policy: Policy, effort: Effort
) -> bool | None:
    """The same for expressions, under every reading of percent and degree signs allowed."""
    undecided = False
    tried: set[str] = set()
    for left, right in _readings(gold, answer, policy):
        trial = Effort(is_cheap=effort.is_cheap)
        result = _same(left, right, policy, trial)
        if result:
            effort.methods |= trial.methods
            return True
        tried |= trial.methods
        undecided |= result is None
    effort.methods |= tried
    return None if undecided else False


def _readings(
    gold: Expression, answer: Expression, policy: Policy
) -> list[tuple[Expression, Expression]]:
    while all(isinstance(side, Call) and side.head == "degrees" for side in (gold, answer)):
        gold, answer = _without(gold, "degrees"), _without(answer, "degrees")
    pairs = [(gold, answer)]
    for head, choice in (("percent", policy.percent), ("degrees", policy.degrees)):
        has = _has(gold, head), _has(answer, head)
        if choice == "either" and has[0] != has[1]:
            pairs += [(_without(left, head), _without(right, head)) for left, right in pairs]
    if _has(gold, "logarithm") or _has(answer, "logarithm"):
        pairs += [(_to_base_ten(left), _to_base_ten(right)) for left, right in pairs]
    if policy.units == "ignore" and _has(gold, "marked:'") != _has(answer, "marked:'"):
        pairs = [(_without(left, "marked:'"), _without(right, "marked:'")) for left, right in pairs]
    if _has(gold, "based") and not _has(answer, "based") and policy.units == "ignore":
        pairs = [(_without_base(left), right) for left, right in pairs]
    return pairs


def _has(expression: Expression, head: str) -> bool:
    return any(isinstance(part, Call) and part.head == head for part in walk(expression))


def _without(expression: Expression, head: str) -> Expression:
    if not isinstance(expression, Call):
        return expression
    if expression.head == head:
        return _without(expression.args[0], head)
    return Call(expression.head, tuple(_without(part, head) for part in expression.args))


def _to_base_ten(expression: Expression) -> Expression:
    """With every logarithm that states no base as one to base ten; at first it is natural."""
    if not isinstance(expression, Call):
        return expression
    head = "log10" if expression.head == "logarithm" else expression.head
    return Call(head, tuple(map(_to_base_ten, expression.args)))


def _without_base(expression: Expression) -> Expression:
    """Digits in a stated base as the bare digits, for an answer that leaves the base out."""
    if not isinstance(expression, Call):
        return expression
    if expression.head == "based":
        digits = expression.args[0]
        if isinstance(digits, Symbol) and digits.name.isdigit() and len(digits.name) < 1000:
            return Number(Fraction(int(digits.name)))
        return expression
    return Call(expression.head, tuple(map(_without_base, expression.args)))


def _same(left: Expression, right: Expression, policy: Policy, effort: Effort) -> bool | None:
    if is_residue(left) or is_residue(right):
        effort.note("number")
        return same_residues(left, right, lambda one, other: _same(one, other, policy, effort))
    values = exact_or_none(left), exact_or_none(right)
    if values[0] is not None and values[1] is not None:
        effort.note("number")
        return _same_numbers(left, right, values[0], values[1], policy, effort)
    if key(left) == key(right):
        effort.note("symbols")
        return True
    if any(_is_infinite(side) or _is_no_numeral(side) for side in (left, right)):
        effort.note("symbols")
        return False
    if free_symbols(left) != free_symbols(right) and _only_symbols(left) and _only_symbols(right):
        effort.note("symbols")
        return False
    return None if effort.is_cheap else _same_deeply(left, right, policy, effort)


def _only_symbols(expression: Expression) -> bool:
    return isinstance(expression, Symbol)


def _is_no_numeral(expression: Expression) -> bool:
    """Whether it is digits that its base doesn't have (`29_5`): equal to nothing but itself."""
    is_based = isinstance(expression, Call) and expression.head == "based"
    return is_based and exact_or_none(expression) is None


def _is_infinite(expression: Expression) -> bool:
    """Whether it holds what equals nothing but itself; a series up to infinity may be a number."""
    parts = list(walk(expression))
    if any(isinstance(part, Call) and part.head in ("sum", "prod", "lim") for part in parts):
        return False
    return any(part in (INFINITY, Symbol("emptyset"), Symbol("ldots")) for part in parts)


def _same_numbers(
    left: Expression,
    right: Expression,
    gold: Fraction,
    answer: Fraction,
    policy: Policy,
    effort: Effort,
) -> bool:
    if gold == answer:
        return True
    difference = abs(gold - answer)
    if policy.relative_tolerance or policy.absolute_tolerance:
        allowed = max(
            Fraction(policy.relative_tolerance) * abs(gold), Fraction(policy.absolute_tolerance)
        )
        if difference <= allowed:
            effort.note("tolerance")
            return True
    for value, other in ((left, right), (right, left)):
        step = _rounding_step(value, other, policy, is_gold=value is left)
        if step is not None and difference <= step / 2:
            effort.note("rounding")
            return True
    return False


def _rounding_step(
    value: Expression, other: Expression, policy: Policy, *, is_gold: bool
) -> Fraction | None:
    """One unit in the last place of a decimal that may stand for what rounds to it, or None.

    A gold may with two significant digits, an answer with three and only for a gold that is no
    decimal itself: a gold says how precise an answer has to be.
    """
    number, scale = _decimal(value)
    if number is None:
        return None
    step = scale * Fraction(1, 10**number.decimals)
    digits = _num_digits(number.value, number.decimals)
    if digits >= MACHINE_DIGITS and not isinstance(other, Number):
        return max(step * 4, abs(number.value) * scale * _LAST_BIT)
    if policy.rounding != "gold-digits" or step > Fraction(1, 100):
        return None
    is_precise = digits >= 2 if is_gold else digits >= 3 and _decimal(other)[0] is None
    return step if is_precise else None


def _num_digits(value: Fraction, decimals: int) -> int:
    """The significant digits of a decimal as written."""
    return len(str(abs(value.numerator * 10**decimals // value.denominator)))


def is_printed_float(number: Number) -> bool:
    """Whether it is a decimal with so many digits that it stands for what rounds to it."""
    return (
        number.decimals is not None and _num_digits(number.value, number.decimals) >= MACHINE_DIGITS
    )


class _Decimal(NamedTuple):
    value: Fraction
    decimals: int


def _decimal(value: Expression) -> tuple[_Decimal | None, Fraction]:
    """The decimal that an expression is but for sign and percent, and what 1 of it is worth."""
    scale = Fraction(1)
    while isinstance(value, Call) and value.head in ("neg", "percent"):
        scale *= Fraction(1, 100) if value.head == "percent" else 1
        value = value.args[0]
    if not isinstance(value, Number) or value.decimals is None:
        return None, scale
    return _Decimal(value.value, value.decimals), scale


def _same_deeply(
    left: Expression, right: Expression, policy: Policy, effort: Effort
) -> bool | None:
    from evalharness.checking.numeric import close, same_values, value_of

    effort.note("numeric")
    result = same_values(left, right, policy.relative_tolerance)
    if result:
        return True
    if not free_symbols(left) and not free_symbols(right):
        values = value_of(left), value_of(right)
        if values[0] is not None and values[1] is not None:
            difference = abs(values[0] - values[1])
            if policy.absolute_tolerance and difference <= policy.absolute_tolerance:
                effort.note("tolerance")
                return True
            for value, other in ((left, right), (right, left)):
                step = _rounding_step(value, other, policy, is_gold=value is left)
                if step is not None and difference * step.denominator * 2 <= step.numerator:
                    effort.note("rounding")
                    return True
            if not close(values[0], values[1]):
                return False
    if result is None and (free_symbols(left) or free_symbols(right)):
        from evalharness.checking.symbolic import same_by_algebra

        effort.note("sympy")
        return same_by_algebra(left, right)
    return result
