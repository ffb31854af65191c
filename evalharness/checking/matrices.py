"""Compares matrices cell by cell; a matrix may be written as a list of its rows."""

from __future__ import annotations

from collections.abc import Sequence as Sequences

from evalharness.checking.building import negated, times
from evalharness.checking.expressions import Call, Expression
from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort, same_expression
from evalharness.checking.sets import all_true
from evalharness.checking.tokens import UnreadableError
from evalharness.checking.values import Matrix, Quantity, Sequence, Value

_LARGEST_DETERMINANT = 4


def determinant(matrix: Matrix) -> Quantity:
    """What a matrix between bars stands for.

    Raises:
        UnreadableError: it isn't square, or too large to write out.
    """
    size = len(matrix.rows)
    if any(len(row) != size for row in matrix.rows) or size > _LARGEST_DETERMINANT:
        raise UnreadableError("a determinant of many cells, or of no square")
    return Quantity(expression=_expanded(matrix.rows))


def _expanded(rows: Sequences[tuple[Expression, ...]]) -> Expression:
    """By the first row (Laplace)."""
    if len(rows) == 1:
        return rows[0][0]
    terms: list[Expression] = []
    for column, cell in enumerate(rows[0]):
        minor = _expanded([row[:column] + row[column + 1 :] for row in rows[1:]])
        term = times(cell, minor)
        terms.append(negated(term) if column % 2 else term)
    return Call("+", tuple(terms))


def same_matrices(gold: Value, answer: Value, policy: Policy, effort: Effort) -> bool | None:
    """Cell by cell; a single row or column is a tuple."""
    sides = []
    for side in (gold, answer):
        if isinstance(side, Matrix):
            sides.append(side.rows)
        elif isinstance(side, Sequence) and side.brackets in ("round", "square", "bare"):
            rows: list[tuple[Expression, ...]] = []
            for item in side.items:
                if isinstance(item, Quantity):
                    rows.append((item.expression,))
                elif isinstance(item, Sequence) and all(
                    isinstance(i, Quantity) for i in item.items
                ):
                    rows.append(tuple(i.expression for i in item.items if isinstance(i, Quantity)))
                else:
                    return False
            sides.append(tuple(rows))
        elif isinstance(side, Quantity):
            sides.append(((side.expression,),))
        else:
            return False
    effort.note("structure")
    shapes = [(len(side), len(side[0])) for side in sides]
    is_mixed = isinstance(gold, Matrix) != isinstance(answer, Matrix)
    if shapes[0] != shapes[1] and is_mixed and all(1 in shape for shape in shapes):
        sides = [tuple((cell,) for row in side for cell in row) for side in sides]
    if [len(row) for row in sides[0]] != [len(row) for row in sides[1]]:
        return False
    return all_true(
        same_expression(a, b, policy, effort)
        for left, right in zip(sides[0], sides[1], strict=True)
        for a, b in zip(left, right, strict=True)
    )
