"""The value of an expression at a point, by mpmath, with every operation bounded."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from evalharness.checking.expressions import Expression, Number, Symbol, exact

MAX_EXPONENT = 100_000_000
"""Of two: larger values aren't computed."""
MAX_REDUCTION = 20_000
"""Bits of the value of a power whose exponent isn't whole: it takes as many of a logarithm."""
MAX_TERMS = 5_000
"""Of a sum or a product."""

Value = Any
"""An mpmath real or complex number."""


class UndefinedError(ValueError):
    """The expression has no value at this point, or none that is cheap to compute."""


def is_real(value: Value) -> bool:
    """Whether its imaginary part is nothing but rounding."""
    import mpmath

    if isinstance(value, mpmath.mpc):
        return bool(abs(value.imag) <= mpmath.ldexp(abs(value), -120))
    return True


def magnitude(value: Value) -> int:
    """The exponent of two, roughly."""
    import mpmath

    size = mpmath.mag(value)
    return int(size) if mpmath.isfinite(size) else -MAX_EXPONENT


def evaluate(expression: Expression, point: Mapping[str, Value]) -> Value:
    """The value at a point, in the working precision of mpmath.

    Raises:
        UndefinedError: there is none, or it would be costly.
    """
    try:
        value = _evaluate(expression, point)
    except (ZeroDivisionError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, UndefinedError):
            raise
        raise UndefinedError(str(error)) from error
    except NotImplementedError as error:
        raise UndefinedError(str(error)) from error
    return value


def _checked(value: Value) -> Value:
    import mpmath

    if not mpmath.isfinite(value):
        raise UndefinedError("an infinite value")
    if value and abs(magnitude(value)) > MAX_EXPONENT:
        raise UndefinedError("a value out of range")
    return value


def _evaluate(expression: Expression, point: Mapping[str, Value]) -> Value:
    import mpmath

    if isinstance(expression, Number):
        number = expression.value
        return mpmath.mpf(number.numerator) / number.denominator
    if isinstance(expression, Symbol):
        if expression.name in point:
            return point[expression.name]
        constants = {"pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j}
        if expression.name in constants:
            return +constants[expression.name]
        raise UndefinedError(f"{expression.name} has no value")
    head, args = expression.head, expression.args
    if head in ("sum", "prod"):
        return _series(head, args, point)
    if head == "based":
        digits = exact(expression)
        if digits is None:
            raise UndefinedError("digits that their base doesn't have")
        return mpmath.mpf(digits.numerator)
    values = [_evaluate(argument, point) for argument in args]
    function = _functions().get(head)
    if function is not None:
        return _checked(function(*values))
    if head.startswith("apply:"):
        return _unknown(head, values)
    raise UndefinedError(f"{head} has no value")


def _series(head: str, args: tuple[Expression, ...], point: Mapping[str, Value]) -> Value:
    import mpmath

    variable, low, high, body = args
    if not isinstance(variable, Symbol):
        raise UndefinedError("a sum over an expression")
    bounds = [_evaluate(bound, point) for bound in (low, high)]
    if not all(is_real(bound) and bound == mpmath.floor(bound.real) for bound in bounds):
        raise UndefinedError("bounds that aren't integers")
    start, stop = (int(bound.real) for bound in bounds)
    if stop - start > MAX_TERMS:
        raise UndefinedError("too many terms")
    value = mpmath.mpf(head == "prod")
    for index in range(start, stop + 1):
        term = _evaluate(body, {**point, variable.name: mpmath.mpf(index)})
        value = value + term if head == "sum" else value * term
    return _checked(value)


def _unknown(head: str, values: list[Value]) -> Value:
    """An unknown function: a value of its own for every argument, the same for equal ones."""
    import mpmath

    parts = [mpmath.nstr(value, 25) for value in values]
    return mpmath.mpf(random.Random(f"{head}({','.join(parts)})").uniform(0.5, 3))


@lru_cache(maxsize=1)
def _functions() -> dict[str, Callable[..., Value]]:
    import mpmath

    def inverse(function: Callable[..., Value]) -> Callable[..., Value]:
        return lambda x: function(1 / x)

    direct = {
        "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "cot": mpmath.cot,
        "sec": mpmath.sec, "csc": mpmath.csc, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
        "tanh": mpmath.tanh, "coth": mpmath.coth, "arcsin": mpmath.asin, "arccos": mpmath.acos,
        "arctan": mpmath.atan, "arccot": mpmath.acot, "arcsec": mpmath.asec, "arccsc": mpmath.acsc,
        "arsinh": mpmath.asinh, "arcosh": mpmath.acosh, "artanh": mpmath.atanh, "erf": mpmath.erf,
    }  # fmt: skip
    return {head: _limited(function) for head, function in direct.items()} | {
        "+": lambda *values: sum(values[1:], values[0]),
        "*": lambda *values: math.prod(values[1:], start=values[0]),
        "/": lambda a, b: a / b,
        "^": _power,
        "neg": lambda x: -x,
        "abs": abs,
        "norm": abs,
        "root": _root,
        "percent": lambda x: x / 100,
        "degrees": lambda x: x * mpmath.pi / 180,
        "log": lambda base, x: mpmath.log(x) / mpmath.log(base),
        "ln": mpmath.log,
        "logarithm": mpmath.log,
        "log10": lambda x: mpmath.log(x) / mpmath.log(10),
        "floor": lambda x: mpmath.floor(_real(x)),
        "ceil": lambda x: mpmath.ceil(_real(x)),
        "max": lambda *values: max(map(_real, values)),
        "min": lambda *values: min(map(_real, values)),
        "!": _factorial,
        "!!": _double_factorial,
        "bmod": lambda a, m: a - m * mpmath.floor(_real(a / m)),
        "binom": lambda n, k: _factorial(n) / _factorial(k) / _factorial(n - k),
        "sgn": mpmath.sign,
        "Re": mpmath.re,
        "Im": mpmath.im,
        "arg": mpmath.arg,
    }


def _limited(function: Callable[..., Value]) -> Callable[..., Value]:
    """Refuse arguments whose reduction by 2 pi costs more than it is worth."""

    def call(x: Value) -> Value:
        if x and magnitude(x) > 1000:
            raise UndefinedError("too large an argument")
        return function(x)

    return call


def _real(value: Value) -> Value:
    import mpmath

    if not is_real(value):
        raise UndefinedError("not a real value")
    return value.real if isinstance(value, mpmath.mpc) else value


def _power(base: Value, exponent: Value) -> Value:
    import mpmath

    if base == 0:
        if not is_real(exponent) or exponent.real <= 0:
            raise UndefinedError("a power of zero")
        return base * 0
    if abs(magnitude(base)) * _bound(exponent) > MAX_EXPONENT * 4 or _bound(exponent) > 10**9:
        raise UndefinedError("a power out of range")
    is_whole = is_real(exponent) and exponent.real == mpmath.floor(exponent.real)
    if not is_whole and abs(magnitude(base)) * _bound(exponent) > MAX_REDUCTION:
        raise UndefinedError("a power that takes many digits of a logarithm")
    return base**exponent


def _bound(value: Value) -> float:
    return math.inf if value and magnitude(value) > 60 else float(abs(value))


def _root(degree: Value, value: Value) -> Value:
    import mpmath

    whole = _real(degree)
    if whole == 0:
        raise UndefinedError("a root of degree zero")
    if whole == mpmath.floor(whole) and int(whole) % 2 and is_real(value) and value.real < 0:
        return -_power(-value, 1 / degree)
    return _power(value, 1 / degree) if whole != 2 else mpmath.sqrt(value)


def _factorial(value: Value) -> Value:
    import mpmath

    if _bound(value) > 3000:
        raise UndefinedError("too large a factorial")
    if is_real(value) and value.real < 0 and value.real == mpmath.floor(value.real):
        raise UndefinedError("the factorial of a negative integer")
    return mpmath.factorial(value)


def _double_factorial(value: Value) -> Value:
    import mpmath

    if not is_real(value) or value.real != mpmath.floor(value.real) or not 0 <= value.real <= 3000:
        raise UndefinedError("the double factorial of no small natural number")
    return mpmath.fac2(value.real)
