"""Names that an answer may choose freely: bound ones, by what the answer itself says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations

from evalharness.checking.expressions import (
    Call,
    Expression,
    Symbol,
    free_symbols,
    substitute,
    walk,
)
from evalharness.checking.values import (
    Interval,
    Matrix,
    Quantity,
    Reading,
    Relation,
    Sequence,
    Union,
    Value,
    Words,
)

COUNTERS = frozenset("knmlj")
"""Names of whole numbers that a solution may run through."""
_INDICES = frozenset("ijklmn")
_MOST_BOUND = 3
_NAMES = r"(?P<names>[a-zA-Z](?:(?: , | and |; | )[a-zA-Z]\b)*)"
_MEMBERS = re.compile(rf"\b{_NAMES} in (?:mathbb (?:\{{ )?)?(?P<kind>[ZNRQC])\b(?! (?:\}} )?[_^])")
_CALLED = re.compile(
    rf"\b{_NAMES} (?:is|are|be|being|denotes?) (?:an? |any |some |arbitrary )*"
    r"(?P<kind>(?:positive |negative |non-?negative |natural |real |complex )?)"
    r"(?P<noun>integers?|numbers?|constants?)\b",
    re.IGNORECASE,
)
_EVERY = re.compile(
    r"\b(?P<kind>(?:positive |negative |non-?negative )?)integers? "
    r"(?P<names>[a-zA-Z](?: , [a-zA-Z]\b)*)(?= |$)",
    re.IGNORECASE,
)


def with_names(value: Value, names: dict[str, Expression]) -> Value:
    """The value with names replaced everywhere in it."""
    match value:
        case Quantity():
            return Quantity(expression=substitute(value.expression, names), unit=value.unit)
        case Sequence():
            items = tuple(with_names(item, names) for item in value.items)
            return Sequence(brackets=value.brackets, items=items)
        case Union():
            return Union(parts=tuple(with_names(part, names) for part in value.parts))
        case Relation():
            return Relation(
                operator=value.operator,
                left=with_names(value.left, names),
                right=with_names(value.right, names),
            )
        case Interval():
            return Interval(
                low=substitute(value.low, names),
                high=substitute(value.high, names),
                is_low_closed=value.is_low_closed,
                is_high_closed=value.is_high_closed,
            )
        case Matrix():
            rows = tuple(tuple(substitute(cell, names) for cell in row) for row in value.rows)
            return Matrix(rows=rows)
        case Words():
            return value


def bound_names(clause: str) -> dict[str, str]:
    """The names that a clause binds to numbers of a kind, each with the kind.

    `k in Z` and "where k is an integer" bind k to the same ones.
    """
    bound = {}
    for pattern in (_MEMBERS, _CALLED, _EVERY):
        for match in pattern.finditer(clause):
            kind = match["kind"].strip().lower()
            kind = {"z": "", "n": "natural", "r": "real", "c": "complex"}.get(kind, kind)
            if pattern is _CALLED and match["noun"].lower().startswith("constant"):
                kind += " constant"
            elif pattern is _CALLED and not kind and match["noun"].lower().startswith("number"):
                continue  # "k is a number" says nothing
            for name in re.findall(r"\b[a-zA-Z]\b", match["names"]):
                bound[name] = kind
    return bound


def with_bound_names_of(gold: Reading, answer: Reading) -> Iterator[Value]:
    """The answer with its bound names as the gold's: every way to pair them.

    None where one side binds no name, where they bind different kinds of numbers or different
    numbers of names, or where they bind the same.
    """
    names = bound_names(gold.clause), bound_names(answer.clause)
    wanted = sorted(names[0].keys() - names[1].keys())
    given = sorted(names[1].keys() - names[0].keys())
    if not wanted or len(wanted) != len(given) or len(given) > _MOST_BOUND:
        return
    for order in permutations(wanted):
        pairs = list(zip(given, order, strict=True))
        if all(names[1][old] == names[0][new] for old, new in pairs):
            # Swapped, so that a name that the answer has for something else stays another one.
            swapped = [(new, old) for old, new in pairs] + pairs
            yield with_names(answer.value, {old: Symbol(new) for old, new in swapped})


def renamed(gold: Expression, answer: Expression) -> Expression | None:
    r"""The answer with its one unmatched name as the gold's; None where there is no such pair.

    Names that may differ are those of the whole parameter of a periodic solution (`k` in `k\pi`)
    and that of an arbitrary constant (`C` and `c`). The `n` of `n - 1` is given by the problem and
    is no other name; nor is `r` another name of `R`.
    """
    names = free_symbols(gold), free_symbols(answer)
    only_gold, only_answer = sorted(names[0] - names[1]), sorted(names[1] - names[0])
    if len(only_gold) != 1 or len(only_answer) != 1:
        return None
    old, new = only_answer[0], only_gold[0]
    is_periodic = any(part == Symbol("pi") for part in walk(gold))
    is_counter = is_periodic and old in COUNTERS and new in COUNTERS
    if not is_counter and {old, new} != {"c", "C"}:
        return None
    return substitute(answer, {old: Symbol(new)})


def bound_arguments(value: Value) -> list[str]:
    """X and y of `f(x, y)`, n of `a_n`; none of anything else."""
    if isinstance(value, Quantity) and isinstance(value.expression, Symbol):
        name, _, index = value.expression.name.rpartition("_")
        return [index] if name and index in _INDICES else []
    if not isinstance(value, Quantity) or not isinstance(value.expression, Call):
        return []
    call = value.expression
    if call.head == "*" and len(call.args) == 2:
        args: tuple[Expression, ...] = call.args[1:]
    elif call.head.startswith("apply:"):
        args = call.args
    else:
        return []
    return [part.name for part in args if isinstance(part, Symbol)]
