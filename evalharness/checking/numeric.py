"""Compares expressions by their values at seeded points, with 60 digits and bounded effort.

Two expressions that differ as functions differ almost everywhere, so a few points decide: one
point where they differ is a proof, agreement at all of them to 40 digits is as good as one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from evalharness.checking.expressions import (
    Call,
    Expression,
    Number,
    Symbol,
    free_symbols,
    walk,
)

BITS = 200
"""Of precision, 60 decimal digits."""
AGREEMENT = 2.0**-130
"""The relative difference that rounding may leave, 1e-39."""
MAX_EXPONENT = 20_000
"""Of two: larger values aren't computed."""
NUM_POINTS = 6
MAX_ATTEMPTS = 40
MAX_TERMS = 500
SEED = 20_240_229

Value = Any
"""An mpmath real or complex number."""


class UndefinedError(ValueError):
    """The expression has no value at this point, or none that is cheap to compute."""


def same_values(
    left: Expression, right: Expression, relative_tolerance: float = 0.0
) -> bool | None:
    """Whether two expressions have the same value wherever both are defined.

    Real points count where both sides are real there (so that `ln x^2` isn't told from `2 ln x` by
    a branch); complex values count where no real ones are found. None where too few points could
    be compared.
    """
    import mpmath

    names = sorted(free_symbols(left) | free_symbols(right))
    with mpmath.workprec(BITS):
        if not names:
            return _same_constants(left, right, relative_tolerance)
        return _same_functions(left, right, names, relative_tolerance)


def value_of(expression: Expression) -> Value | None:
    """The value of an expression without free symbols, or None where it has none."""
    import mpmath

    with mpmath.workprec(BITS):
        try:
            return evaluate(expression, {})
        except UndefinedError:
            return None


def _same_constants(left: Expression, right: Expression, tolerance: float) -> bool | None:
    import mpmath

    try:
        values = evaluate(left, {}), evaluate(right, {})
    except UndefinedError:
        return None
    if not close(*values, tolerance):
        return False
    # Integers far above 2^BITS agree in their leading digits without being equal.
    size = max(_magnitude(value) for value in values)
    if size < BITS - 80 or tolerance:
        return True
    with mpmath.workprec(size + 100):
        try:
            values = evaluate(left, {}), evaluate(right, {})
        except UndefinedError:
            return None
        difference = abs(values[0] - values[1])
        return bool(difference <= mpmath.ldexp(abs(values[0]), -size - 60))


def _same_functions(
    left: Expression, right: Expression, names: list[str], tolerance: float
) -> bool | None:
    generator = random.Random(SEED)
    num_real = num_complex = num_positive = 0
    for attempt in range(MAX_ATTEMPTS):
        point = _point(generator, names, attempt)
        try:
            values = evaluate(left, point), evaluate(right, point)
        except UndefinedError:
            continue
        is_real = all(_is_real(value) for value in values)
        agrees = close(*values, tolerance)
        if is_real:
            if not agrees:
                return False
            num_real += 1
            num_positive += attempt % 2 == 0
        elif agrees:
            num_complex += 1
        elif all(not _is_real(value) for value in values):
            num_complex = -MAX_ATTEMPTS * 2 if not num_real else num_complex
        if num_real >= NUM_POINTS or (not num_real and num_complex >= NUM_POINTS):
            return True
    if num_real >= 3:
        return True
    if num_complex < 0:
        return False
    return None


def _point(generator: random.Random, names: list[str], attempt: int) -> dict[str, Value]:
    """Positive, mixed, small and whole values in turn."""
    import mpmath

    kinds = ("positive", "mixed", "unit", "whole", "mixed", "large")
    kind = kinds[attempt % len(kinds)]
    point = {}
    for name in names:
        if kind == "whole" or (name in _WHOLE_NAMES and attempt % 2 == 0):
            value = mpmath.mpf(generator.randint(1, 12))
        elif kind == "unit":
            value = mpmath.mpf(generator.random())
        elif kind == "large":
            value = mpmath.mpf(generator.uniform(5, 40))
        else:
            value = mpmath.mpf(generator.uniform(0.2, 4))
            if kind == "mixed" and generator.random() < 0.6:
                value = -value
        point[name] = value
    return point


_WHOLE_NAMES = frozenset("nmkN")
"""By convention whole numbers, so that sums and factorials have values."""


def close(left: Value, right: Value, relative_tolerance: float = 0.0) -> bool:
    """Whether two values agree to `AGREEMENT`, or to a looser relative tolerance."""
    import mpmath

    difference = abs(left - right)
    scale = max(abs(left), abs(right))
    if scale == 0:
        return True
    if scale < mpmath.ldexp(1, -150):
        # Both are nothing but the rounding of a difference that cancels, or truly tiny numbers.
        return bool(difference <= scale * mpmath.mpf(2) ** -60) or bool(difference == 0)
    return bool(difference <= scale * max(AGREEMENT, relative_tolerance)) or bool(
        difference < mpmath.ldexp(1, -150)
    )


def _is_real(value: Value) -> bool:
    import mpmath

    if isinstance(value, mpmath.mpc):
        return bool(abs(value.imag) <= mpmath.ldexp(abs(value), -120))
    return True


def _magnitude(value: Value) -> int:
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
    if value and abs(_magnitude(value)) > MAX_EXPONENT:
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
    if not all(_is_real(bound) and bound == mpmath.floor(bound.real) for bound in bounds):
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
        "log10": lambda x: mpmath.log(x) / mpmath.log(10),
        "floor": lambda x: mpmath.floor(_real(x)),
        "ceil": lambda x: mpmath.ceil(_real(x)),
        "max": lambda *values: max(map(_real, values)),
        "min": lambda *values: min(map(_real, values)),
        "!": _factorial,
        "binom": lambda n, k: _factorial(n) / _factorial(k) / _factorial(n - k),
        "sgn": mpmath.sign,
        "Re": mpmath.re,
        "Im": mpmath.im,
        "arg": mpmath.arg,
        "mod": lambda a, b: _real(a) - _real(b) * mpmath.floor(_real(a) / _real(b)),
    }


def _limited(function: Callable[..., Value]) -> Callable[..., Value]:
    """Refuse arguments whose reduction by 2 pi costs more than it is worth."""

    def call(x: Value) -> Value:
        if x and _magnitude(x) > 1000:
            raise UndefinedError("too large an argument")
        return function(x)

    return call


def _real(value: Value) -> Value:
    import mpmath

    if not _is_real(value):
        raise UndefinedError("not a real value")
    return value.real if isinstance(value, mpmath.mpc) else value


def _power(base: Value, exponent: Value) -> Value:
    if base == 0:
        if not _is_real(exponent) or exponent.real <= 0:
            raise UndefinedError("a power of zero")
        return base * 0
    if abs(_magnitude(base)) * _bound(exponent) > MAX_EXPONENT * 4 or _bound(exponent) > 10**7:
        raise UndefinedError("a power out of range")
    return base**exponent


def _bound(value: Value) -> float:
    return math.inf if value and _magnitude(value) > 60 else float(abs(value))


def _root(degree: Value, value: Value) -> Value:
    import mpmath

    whole = _real(degree)
    if whole == 0:
        raise UndefinedError("a root of degree zero")
    if whole == mpmath.floor(whole) and int(whole) % 2 and _is_real(value) and value.real < 0:
        return -_power(-value, 1 / degree)
    return _power(value, 1 / degree) if whole != 2 else mpmath.sqrt(value)


def _factorial(value: Value) -> Value:
    import mpmath

    if _bound(value) > 3000:
        raise UndefinedError("too large a factorial")
    if _is_real(value) and value.real < 0 and value.real == mpmath.floor(value.real):
        raise UndefinedError("the factorial of a negative integer")
    return mpmath.factorial(value)


def has_unknown(expression: Expression) -> bool:
    """Whether it holds a part that has no value, such as a limit."""
    return any(isinstance(part, Call) and part.head in ("lim", "int") for part in walk(expression))


def constant_ratio(left: Expression, right: Expression) -> float | None:
    """The constant that `left / right` is at every point; 0 where it isn't constant.

    None where too few points could be compared.
    """
    import mpmath

    names = sorted(free_symbols(left) | free_symbols(right))
    generator = random.Random(SEED)
    first: Value | None = None
    num_points = 0
    with mpmath.workprec(BITS):
        for attempt in range(MAX_ATTEMPTS):
            point = _point(generator, names, attempt)
            try:
                ratio = evaluate(Call("/", (left, right)), point)
            except UndefinedError:
                continue
            if first is None:
                first = ratio
            elif not close(first, ratio):
                return 0.0
            num_points += 1
            if num_points >= NUM_POINTS:
                break
        if first is None or num_points < 3 or not _is_real(first):
            return None
        return float(first.real)
