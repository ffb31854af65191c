"""Compares sets of reals: intervals by their ends, unions by their parts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from evalharness.checking.expressions import Call, Expression, exact_or_none, walk
from evalharness.checking.forms import as_set, with_ends
from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort, same_expression
from evalharness.checking.values import (
    INFINITY,
    Interval,
    Quantity,
    Relation,
    Sequence,
    Union,
    Value,
)

MAX_PARTS = 50


def all_true(results: Iterable[bool | None]) -> bool | None:
    """True where all are, False where one is, otherwise None."""
    is_undecided = False
    for result in results:
        if result is False:
            return False
        is_undecided |= result is None
    return None if is_undecided else True


def same_sets(gold: Value, answer: Value, policy: Policy, effort: Effort) -> bool | None:
    """Intervals by their ends, unions by their parts."""
    effort.note("structure")
    sides = []
    for side in (gold, answer):
        parts = interval_parts(side)
        if parts is None:
            return False
        sides.append(_joined(parts))
    if len(sides[0]) != len(sides[1]):
        return False
    remaining = list(sides[1])
    is_undecided = False
    for part in sides[0]:
        results = [_same_interval(part, other, policy, effort) for other in remaining]
        if True in results:
            del remaining[results.index(True)]
        else:
            is_undecided |= None in results
            if not is_undecided:
                return False
            return None
    return True


def _joined(parts: list[Interval]) -> list[Interval]:
    """The same points in as few parts as can be, where the ends can be put in order."""
    if len(parts) < 2 or len(parts) > MAX_PARTS:
        return parts
    placed = []
    for part in parts:
        low, high = _position(part.low), _position(part.high)
        if low is None or high is None or low > high:
            return parts
        placed.append((low, not part.is_low_closed, high, part))
    placed.sort(key=lambda each: each[:2])
    joined: list[Interval] = []
    reach = -math.inf
    for low, is_open, high, part in placed:
        last = joined[-1] if joined else None
        is_touching = low == reach and last is not None and (last.is_high_closed or not is_open)
        if last is None or not (low < reach or is_touching):
            joined.append(part)
            reach = high
        elif high > reach or (high == reach and part.is_high_closed):
            joined[-1] = replace(last, high=part.high, is_high_closed=part.is_high_closed)
            reach = high
    return joined


def interval_parts(value: Value) -> list[Interval] | None:
    """The intervals that the value consists of; a point is one with equal ends."""
    value = with_ends(value)
    if isinstance(value, Interval):
        return [value]
    if isinstance(value, Union):
        parts = []
        for part in value.parts:
            inner = interval_parts(part)
            if inner is None:
                return None
            parts.extend(inner)
        return parts
    if isinstance(value, Relation | Quantity):
        found = as_set(value)
        return None if found is None else interval_parts(found)
    if isinstance(value, Sequence):
        ends = [item.expression for item in value.items if isinstance(item, Quantity)]
        if value.brackets == "bare":
            return _conditions(value)
        if value.brackets == "braces":
            if len(ends) == len(value.items):
                return [
                    Interval(low=end, high=end, is_low_closed=True, is_high_closed=True)
                    for end in ends
                ]
            inner_parts = [interval_parts(item) for item in value.items]
            if all(part is not None for part in inner_parts):
                return [piece for part in inner_parts for piece in part or []]
    return None


def _conditions(value: Sequence) -> list[Interval] | None:
    """The points that meet every condition of a bare list; of sets, those of any."""
    inner_parts = [interval_parts(item) for item in value.items]
    if any(part is None for part in inner_parts):
        return None
    if not all(isinstance(item, Relation) for item in value.items):
        return [piece for part in inner_parts for piece in part or []]
    points = inner_parts[0]
    for part in inner_parts[1:]:
        if points is None or part is None:
            return None
        points = _intersection(points, part)
    return points


def _same_interval(gold: Interval, answer: Interval, policy: Policy, effort: Effort) -> bool | None:
    for left, right, ends in (
        (gold.is_low_closed, answer.is_low_closed, (gold.low, answer.low)),
        (gold.is_high_closed, answer.is_high_closed, (gold.high, answer.high)),
    ):
        is_infinite = any(INFINITY in tuple(walk(end)) for end in ends)
        if left != right and not is_infinite:
            return False
    return all_true(
        same_expression(left, right, policy, effort)
        for left, right in ((gold.low, answer.low), (gold.high, answer.high))
    )


def _intersection(first: list[Interval], second: list[Interval]) -> list[Interval] | None:
    """The points of both; None where their ends can't be put in order."""
    found = []
    for a in first:
        for b in second:
            orders = _order(a.low, b.low), _order(a.high, b.high)
            if orders[0] is None or orders[1] is None:
                return None
            low = a if orders[0] > 0 or (orders[0] == 0 and not a.is_low_closed) else b
            high = a if orders[1] < 0 or (orders[1] == 0 and not a.is_high_closed) else b
            span = _order(low.low, high.high)
            if span is None:
                return None
            if span < 0 or (span == 0 and low.is_low_closed and high.is_high_closed):
                found.append(
                    Interval(
                        low=low.low,
                        high=high.high,
                        is_low_closed=low.is_low_closed,
                        is_high_closed=high.is_high_closed,
                    )
                )
    return found if len(found) <= MAX_PARTS else None


def _order(left: Expression, right: Expression) -> float | None:
    """Below zero where left is the smaller end; None where they can't be compared."""
    positions = [_position(end) for end in (left, right)]
    if positions[0] is None or positions[1] is None:
        return None
    if positions[0] == positions[1]:
        return 0.0
    return -1.0 if positions[0] < positions[1] else 1.0


def _position(end: Expression) -> float | None:
    if INFINITY in tuple(walk(end)):
        return float("inf") if end == INFINITY else float("-inf")
    value = exact_or_none(end)
    if value is not None:
        return float(value) if abs(value.numerator) < 10**300 else None
    if any(isinstance(part, Call) and part.head in ("sum", "prod") for part in walk(end)):
        return None
    from evalharness.checking.evaluation import is_real
    from evalharness.checking.numeric import value_of

    number = value_of(end)
    return float(number.real) if number is not None and is_real(number) else None
