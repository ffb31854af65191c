"""Compares expressions by their values at seeded points, with 60 digits and bounded effort.

Two expressions that differ as functions differ almost everywhere, so a few points decide: one
point where they differ is a proof, agreement at all of them to 40 digits is as good as one.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from evalharness.checking.evaluation import (
    UndefinedError,
    Value,
    evaluate,
    is_real,
    magnitude,
)
from evalharness.checking.expressions import Call, Expression, Number, Symbol, free_symbols, walk

BITS = 200
"""Of precision, 60 decimal digits."""
AGREEMENT = 2.0**-130
"""The relative difference that rounding may leave, 1e-39."""
MAX_BITS = 20_000
"""Of precision, to tell large numbers apart."""
NUM_POINTS = 6
MAX_ATTEMPTS = 40
SEED = 20_240_229


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
    size = max(magnitude(value) for value in values)
    if size < BITS - 80 or tolerance:
        return True
    if size > MAX_BITS:
        return None
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
    plan = _plan(left, right, names)
    generator = random.Random(SEED)
    num_real = num_zero = num_complex = num_complex_different = num_mixed = 0
    for attempt in range(plan.num_attempts):
        point = _point(generator, plan, attempt)
        try:
            values = evaluate(left, point), evaluate(right, point)
        except UndefinedError:
            continue
        agrees = close(*values, tolerance)
        if all(is_real(value) for value in values):
            if not agrees:
                return False
            num_real += 1
            num_zero += not values[0]
        elif agrees:
            num_complex += 1
        elif not any(is_real(value) for value in values):
            num_complex_different += 1
        elif not (_has_branch(left) or _has_branch(right)):
            return False
        else:
            num_mixed += 1
        if num_real - (num_zero if num_mixed else 0) >= plan.num_points:
            return True
        if not num_real and num_complex >= plan.num_points and not num_complex_different:
            return True
    # Zero has no imaginary part that could tell: 0 and 0 i.
    if num_real - (num_zero if num_mixed else 0) >= 3:
        return True
    is_never_equal = not num_real and not num_complex and num_mixed >= plan.num_points
    return False if num_complex_different or is_never_equal else None


_BRANCHING = frozenset(
    "root ln log logarithm log10 arcsin arccos arcsec arccsc arccot arcosh artanh arg".split()
)


def _has_branch(expression: Expression) -> bool:
    """Whether it may be complex at a real point only because a root or a logarithm had to choose.

    Without such a choice an imaginary part on one side is a difference, even where other points
    are too far out to show it: `1 - i e^{-t}`.
    """
    for part in walk(expression):
        if not isinstance(part, Call) or not free_symbols(part):
            continue
        if part.head in _BRANCHING:
            return True
        if part.head == "^":
            base, exponent = part.args
            is_positive = base.value > 0 if isinstance(base, Number) else base == Symbol("e")
            is_whole = isinstance(exponent, Number) and exponent.value.denominator == 1
            if not is_positive and not is_whole:
                return True
    return False


class _Plan(NamedTuple):
    """Where to compare two functions."""

    names: list[str]
    whole: frozenset[str]
    """Names that stand for whole numbers here."""
    largest: int
    """Of the whole numbers."""
    num_points: int
    num_attempts: int


_WHOLE_NAMES = frozenset("nmkNMKijpqrlt")
"""By convention whole numbers where a floor, a factorial, a sum or (-1)^n says so."""
_STEPS = frozenset(["floor", "ceil", "bmod"])
_COUNTS = frozenset(["!", "!!", "binom", "sum", "prod"])


def _plan(left: Expression, right: Expression, names: list[str]) -> _Plan:
    """Whole names at whole numbers only; many of them where steps may hide a difference."""
    whole: frozenset[str] = frozenset()
    heads = set()
    for part in (*walk(left), *walk(right)):
        if not isinstance(part, Call):
            continue
        heads.add(part.head)
        is_sign = part.head == "^" and isinstance(part.args[0], Number) and part.args[0].value < 0
        if part.head in _STEPS | _COUNTS or is_sign:
            whole |= free_symbols(part) & _WHOLE_NAMES
    has_steps = bool(heads & _STEPS)
    return _Plan(
        names=names,
        whole=whole,
        largest=60 if has_steps else 12,
        num_points=40 if has_steps else NUM_POINTS,
        num_attempts=160 if has_steps else MAX_ATTEMPTS,
    )


def _point(generator: random.Random, plan: _Plan, attempt: int) -> dict[str, Value]:
    """Positive, mixed, small and whole values in turn."""
    import mpmath

    kinds = ("positive", "mixed", "unit", "whole", "mixed", "large")
    kind = kinds[attempt % len(kinds)]
    point = {}
    for name in plan.names:
        if kind == "whole" or name in plan.whole:
            value = mpmath.mpf(generator.randint(1, plan.largest))
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


def constant_ratio(left: Expression, right: Expression) -> float | None:
    """The constant that `left / right` is at every point; 0 where it isn't constant.

    None where too few points could be compared.
    """
    import mpmath

    plan = _plan(left, right, sorted(free_symbols(left) | free_symbols(right)))
    generator = random.Random(SEED)
    first: Value | None = None
    num_points = 0
    with mpmath.workprec(BITS):
        for attempt in range(MAX_ATTEMPTS):
            point = _point(generator, plan, attempt)
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
        if first is None or num_points < 3 or not is_real(first):
            return None
        return float(first.real)
