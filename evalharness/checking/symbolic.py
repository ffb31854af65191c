"""Decides by sympy what values at points can't; expressions come from our own parser only."""

from __future__ import annotations

from typing import Any

from evalharness.checking.expressions import Expression, Number, Symbol, free_symbols, walk
from evalharness.checking.numeric import value_of

MAX_PARTS = 120
MAX_EXPONENT = 1000


def same_by_algebra(left: Expression, right: Expression) -> bool | None:
    """Whether the difference simplifies to zero; None where sympy can't tell.

    No text reaches sympy: only numbers, names and the heads that are listed here.
    """
    if sum(1 for _ in walk(left)) + sum(1 for _ in walk(right)) > MAX_PARTS:
        return None
    import sympy

    try:
        difference = sympy.simplify(to_sympy(left) - to_sympy(right))
    except (NotImplementedError, TypeError, ValueError, ZeroDivisionError, AttributeError):
        return None
    if difference.is_zero:
        return True
    return False if difference.is_zero is False else None


def to_sympy(expression: Expression) -> Any:
    """The expression as sympy's.

    Raises:
        NotImplementedError: it has a head that isn't listed here.
    """
    import sympy

    if isinstance(expression, Number):
        return sympy.Rational(expression.value.numerator, expression.value.denominator)
    if isinstance(expression, Symbol):
        constants = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}
        return constants.get(expression.name) or sympy.Symbol(expression.name)
    if expression.head == "^":
        _check_power(expression.args[1])
    args = [to_sympy(argument) for argument in expression.args]
    head = expression.head
    functions = {
        "+": sympy.Add, "*": sympy.Mul, "/": lambda a, b: a / b, "neg": lambda x: -x,
        "abs": sympy.Abs, "floor": sympy.floor, "ceil": sympy.ceiling, "ln": sympy.log,
        "logarithm": sympy.log,
        "log": lambda base, x: sympy.log(x) / sympy.log(base), "percent": lambda x: x / 100,
        "log10": lambda x: sympy.log(x) / sympy.log(10), "sin": sympy.sin, "cos": sympy.cos,
        "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
        "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "max": sympy.Max,
        "min": sympy.Min, "degrees": lambda x: x * sympy.pi / 180,
        "root": lambda n, x: sympy.Pow(x, 1 / n),
    }  # fmt: skip
    if head == "^":
        return sympy.Pow(*args)
    if head in functions:
        return functions[head](*args)
    if head.startswith("apply:"):
        return sympy.Function(head.removeprefix("apply:"))(*args)
    raise NotImplementedError(f"sympy isn't asked about {head}")


def _check_power(exponent: Expression) -> None:
    """Refuse what sympy would compute although it is large.

    Raises:
        NotImplementedError: the exponent is a number far from zero, or one of unknown size.
    """
    if free_symbols(exponent):
        return
    value = value_of(exponent)
    if value is None or abs(value) > MAX_EXPONENT:
        raise NotImplementedError("a power out of range")
