"""Compares relations: equations, inequalities, named values; also one with what it says."""

from __future__ import annotations

from collections.abc import Callable

from evalharness.checking.cutting import NEGATIONS
from evalharness.checking.expressions import (
    Call,
    Expression,
    Number,
    Symbol,
    free_symbols,
    substitute,
    walk,
)
from evalharness.checking.forms import as_set
from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort
from evalharness.checking.renaming import bound_arguments
from evalharness.checking.residues import is_residue
from evalharness.checking.sets import all_true, same_sets
from evalharness.checking.values import (
    UNNAMED,
    Quantity,
    Relation,
    Sequence,
    Value,
    Words,
)

_ALGEBRAIC = frozenset(["=", "<", "<=", "!="])
_SYMMETRIC = frozenset(["sim", "parallel", "perp"])

Same = Callable[[Value, Value], bool | None]
"""Compares two values of any kind: a gold and an answer."""


def same_with_relation(
    gold: Value, answer: Value, policy: Policy, effort: Effort, same: Same
) -> bool | None:
    """Whether two values agree of which at least one is a relation; `same` compares its sides."""
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return _relations(gold, answer, policy, effort, same)
    if isinstance(gold, Relation):
        return _relation_and_value(gold, answer, policy, effort, same, is_gold=True)
    if isinstance(answer, Relation):
        return _relation_and_value(answer, gold, policy, effort, same, is_gold=False)
    return None


def _relation_and_value(
    relation: Relation, other: Value, policy: Policy, effort: Effort, same: Same, *, is_gold: bool
) -> bool | None:
    """`x = 5` beside 5, `x < 5` beside an interval, `y - x = 1` beside `x + 1`."""
    if isinstance(other, Sequence) or as_set(other) is not None:
        found = as_set(relation)
        if found is not None:
            return same_sets(found, other, policy, effort)
    if _is_congruence(relation):
        return same(relation.right, other)
    if relation.operator not in ("=", "in"):
        return False if not isinstance(other, Words) else None
    if policy.assignment == "strict":
        return False
    value = right_side(relation)
    if value is relation:
        is_identity = same(relation.left, relation.right)
        if not is_identity:
            solved = _solved(relation, other, effort)
            return None if solved is False and is_identity is None else solved
        value = relation.right  # an identity: either side is what it is equal to
    pair = (value, other) if is_gold else (other, value)
    return same(pair[0], pair[1])


def _is_congruence(relation: Relation) -> bool:
    """Whether it says of which class a name is: `n` of 3 modulo 7."""
    right = relation.right.expression if isinstance(relation.right, Quantity) else None
    is_equal = relation.operator in ("equiv", "=")
    return is_equal and _is_name(relation.left) and right is not None and is_residue(right)


def right_side(value: Value) -> Value:
    """What a name is said to be: 5 of `x = 5`; the relation itself where neither side is a name."""
    if isinstance(value, Relation) and _is_congruence(value):
        return value.right
    if not isinstance(value, Relation) or value.operator not in ("=", "in"):
        return value
    if _is_name(value.left):
        return value.right
    return value.left if _is_name(value.right) else value


def _is_name(value: Value) -> bool:
    """Whether it only names something: `x`, `f(n)`, `(x, y)`, `NO/BO`, `Maximum`."""
    if isinstance(value, Words):
        return not NEGATIONS & set(value.text.split())
    if isinstance(value, Sequence):
        return all(_is_name(item) for item in value.items)
    if not isinstance(value, Quantity):
        return False
    return _names_only(value.expression)


def _names_only(expression: Expression) -> bool:
    if isinstance(expression, Symbol):
        return expression.name not in ("pi", "e", "i", "infty", "emptyset")
    if isinstance(expression, Number):
        return False
    if expression.head.startswith("apply:"):
        return True
    if expression.head == "^":  # a superscript that isn't a number is part of a name
        return all(isinstance(part, Symbol) for part in expression.args)
    return expression.head in ("*", "/", "abs") and all(map(_names_only, expression.args))


def _relations(
    gold: Relation, answer: Relation, policy: Policy, effort: Effort, same: Same
) -> bool | None:
    if _is_congruence(gold) != _is_congruence(answer):
        return same(right_side(gold), right_side(answer))
    if gold.operator != answer.operator:
        return _set_and_bound(gold, answer, policy, effort)
    names = _is_name(gold.left), _is_name(answer.left)
    if gold.operator in ("=", "in") and all(names):
        result = _assignments(gold, answer, policy, same)
        if result is not False:
            return result
    sets = as_set(gold), as_set(answer)
    if sets[0] is not None and sets[1] is not None and _are_of_one(gold, answer):
        result = same_sets(sets[0], sets[1], policy, effort)
        if result:
            return True
    differences = _difference(gold), _difference(answer)
    if differences[0] is None or differences[1] is None or gold.operator not in _ALGEBRAIC:
        return _side_by_side(gold, answer, same)
    if free_symbols(differences[0]) != free_symbols(differences[1]):
        return False
    return _proportional(differences[0], differences[1], gold.operator, effort)


def _side_by_side(gold: Relation, answer: Relation, same: Same) -> bool | None:
    """Whether both sides agree; of a congruence and its like in either order."""
    result = all_true((same(gold.left, answer.left), same(gold.right, answer.right)))
    if result is False and gold.operator in _SYMMETRIC:
        return all_true((same(gold.left, answer.right), same(gold.right, answer.left)))
    return result


def _set_and_bound(gold: Relation, answer: Relation, policy: Policy, effort: Effort) -> bool | None:
    r"""`x \in (3, \infty)` and `x > 3`: the same name in the same set."""
    for member, bound in ((gold, answer), (answer, gold)):
        found = as_set(bound) if member.operator == "in" else None
        name = member.left.expression if isinstance(member.left, Quantity) else None
        if found is not None and isinstance(name, Symbol) and _variables(bound) == {name.name}:
            pair = (member.right, found) if member is gold else (found, member.right)
            return same_sets(pair[0], pair[1], policy, effort)
    return False


def _are_of_one(gold: Relation, answer: Relation) -> bool:
    """Whether two bounds are of the same variables; one without a name may be of any."""
    variables = _variables(gold), _variables(answer)
    return variables[0] == variables[1] or any(UNNAMED in each for each in variables)


def _variables(relation: Relation) -> frozenset[str]:
    difference = _difference(relation)
    return frozenset() if difference is None else free_symbols(difference)


def _assignments(gold: Relation, answer: Relation, policy: Policy, same: Same) -> bool | None:
    """Two named values: by value, with the argument of `f(x)` as a bound name."""
    if policy.assignment == "strict" and not same(gold.left, answer.left):
        return False
    if gold.left != answer.left and (_is_about_itself(gold) or _is_about_itself(answer)):
        return False
    right = answer.right
    wanted, given = bound_arguments(gold.left), bound_arguments(answer.left)
    is_renamed = wanted and len(wanted) == len(given) and wanted != given
    if policy.rename == "either" and is_renamed and isinstance(right, Quantity):
        # Swapped, so that n is another name in `f(q) = n`.
        pairs = list(zip(given, wanted, strict=True))
        names = {old: Symbol(new) for old, new in [(new, old) for old, new in pairs] + pairs}
        expression = substitute(right.expression, dict[str, Expression](names))
        right = Quantity(expression=expression, unit=right.unit)
    return same(gold.right, right)


def _is_about_itself(relation: Relation) -> bool:
    """Whether the name is made of what stands on the right: `xy = 2x` doesn't name `2x`."""
    if not isinstance(relation.left, Quantity) or not isinstance(relation.right, Quantity):
        return False
    left = relation.left.expression
    is_applied = any(
        isinstance(part, Call) and part.head.startswith("apply:") for part in walk(left)
    )
    return not is_applied and bool(free_symbols(left) & free_symbols(relation.right.expression))


def _difference(relation: Relation) -> Expression | None:
    if not isinstance(relation.left, Quantity) or not isinstance(relation.right, Quantity):
        return None
    return Call("+", (relation.left.expression, Call("neg", (relation.right.expression,))))


def _proportional(
    left: Expression, right: Expression, operator: str, effort: Effort
) -> bool | None:
    """Whether two differences vanish together: their quotient is a constant (positive for <)."""
    if effort.is_cheap:
        return None
    from evalharness.checking.numeric import constant_ratio

    effort.note("numeric")
    ratio = constant_ratio(left, right)
    if ratio is None:
        return None
    return ratio != 0 and (operator in ("=", "!=") or ratio > 0)


def _solved(relation: Relation, other: Value, effort: Effort) -> bool | None:
    """`y + 1 = 2x` and `2x - 1`: the equation solved for the one name that the other lacks."""
    difference = _difference(relation)
    if difference is None or not isinstance(other, Quantity):
        return False
    missing = free_symbols(difference) - free_symbols(other.expression)
    if len(missing) != 1 or not free_symbols(other.expression) or relation.operator != "=":
        return False
    solved = Call("+", (Symbol(next(iter(missing))), Call("neg", (other.expression,))))
    return _proportional(difference, solved, "=", effort)
