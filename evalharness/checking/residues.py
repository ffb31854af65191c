r"""Classes of whole numbers: `3 \pmod 7`, which is what `10 \pmod 7` and `7k + 3` are too."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from evalharness.checking.expressions import (
    Call,
    Expression,
    exact_or_none,
    free_symbols,
    integer,
    substitute,
)
from evalharness.checking.renaming import COUNTERS

Same = Callable[[Expression, Expression], bool | None]


def is_residue(expression: Expression) -> bool:
    """Whether it is a class: 3 modulo 7."""
    return isinstance(expression, Call) and expression.head == "mod"


def same_residues(gold: Expression, answer: Expression, same: Same) -> bool | None:
    """Whether two values are one class, of which at least one is a class; None where it is unclear.

    A number of the class may or may not be meant as all of it. `same` compares two expressions.
    """
    if not isinstance(gold, Call) or not is_residue(gold):
        return None if not is_residue(answer) else same_residues(answer, gold, same)
    start, modulus = (exact_or_none(part) for part in gold.args)
    if isinstance(answer, Call) and is_residue(answer):
        other_start, other_modulus = (exact_or_none(part) for part in answer.args)
        if modulus and other_modulus:
            if abs(modulus) != abs(other_modulus):
                return False
            if start is not None and other_start is not None:
                return ((start - other_start) / modulus).denominator == 1
        results = [same(*pair) for pair in zip(gold.args, answer.args, strict=True)]
        return None if None in results else all(results)
    names = free_symbols(answer)
    if start is None or not modulus or len(names) > 1 or not names <= COUNTERS:
        return None
    numbers = []
    for counter in range(4):
        number = exact_or_none(substitute(answer, dict.fromkeys(names, integer(counter))))
        if number is None:
            return None
        numbers.append(number)
    if ((numbers[0] - start) / modulus).denominator != 1:
        return False
    steps = {abs(after - before) for before, after in pairwise(numbers)}
    return steps == {abs(modulus)} if names else None
