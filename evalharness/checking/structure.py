"""Compares what two answers say, element by element."""

from __future__ import annotations

from collections.abc import Sequence as Items

from evalharness.checking.expressions import (
    Call,
    Expression,
    Number,
    Symbol,
    free_symbols,
    substitute,
)
from evalharness.checking.forms import as_set
from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort, same_expression, same_quantity
from evalharness.checking.renaming import bound_arguments, renamed
from evalharness.checking.sets import all_true, same_sets
from evalharness.checking.values import (
    Interval,
    Matrix,
    Quantity,
    Relation,
    Sequence,
    Union,
    Value,
    Words,
)

MAX_ITEMS = 200


def same_value(gold: Value, answer: Value, policy: Policy, effort: Effort) -> bool | None:
    """Whether two values are the same under the policy; None where it can't be decided."""
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _with_relation(gold, answer, policy, effort)
    if isinstance(gold, Words) or isinstance(answer, Words):
        return _words(gold, answer, policy)
    if isinstance(gold, Quantity) and isinstance(answer, Quantity):
        result = same_quantity(gold, answer, policy, effort)
        if result is False and policy.rename == "either":
            other = renamed(gold.expression, answer.expression)
            if other is not None:
                return same_expression(gold.expression, other, policy, effort)
        return result
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _matrices(gold, answer, policy, effort)
    if _is_set(gold) or _is_set(answer):
        return same_sets(gold, answer, policy, effort)
    effort.note("structure")
    if isinstance(gold, Sequence) and isinstance(answer, Sequence):
        return _sequences(gold, answer, policy, effort)
    if isinstance(gold, Sequence):
        return _sequence_and_one(gold, answer, policy, effort, is_gold=True)
    if isinstance(answer, Sequence):
        return _sequence_and_one(answer, gold, policy, effort, is_gold=False)
    return False


def _is_set(value: Value) -> bool:
    """Whether only its points count: an interval, a union, or several conditions at once."""
    if isinstance(value, Sequence) and value.brackets == "bare":
        return all(isinstance(item, Relation) and as_set(item) for item in value.items)
    return isinstance(value, Interval | Union)


def _sequence_and_one(
    sequence: Sequence, other: Value, policy: Policy, effort: Effort, *, is_gold: bool
) -> bool | None:
    """A set or a list of one thing is that thing; `3:2` is a quotient."""
    one = sequence.items[0]
    if sequence.brackets == "ratio" and len(sequence.items) == 2 and isinstance(other, Quantity):
        numerator, denominator = sequence.items
        if isinstance(numerator, Quantity) and isinstance(denominator, Quantity):
            if _is_zero(denominator.expression):
                return False
            one = Quantity(expression=Call("/", (numerator.expression, denominator.expression)))
    elif len(sequence.items) != 1 or policy.brackets == "strict":
        return False
    return (
        same_value(one, other, policy, effort)
        if is_gold
        else same_value(other, one, policy, effort)
    )


def _sequences(gold: Sequence, answer: Sequence, policy: Policy, effort: Effort) -> bool | None:
    kinds = {gold.brackets, answer.brackets}
    if "ratio" in kinds:
        return _ratios(gold, answer, policy, effort)
    is_single = min(len(gold.items), len(answer.items)) <= 1
    if gold.brackets != answer.brackets and not (
        is_single and len(gold.items) == len(answer.items)
    ):
        is_pair_of_ends = kinds == {"round", "square"} and len(gold.items) == 2
        is_strict = policy.brackets == "strict"
        if is_strict or is_pair_of_ends or kinds in ({"round", "braces"}, {"square", "braces"}):
            return _unwrapped(gold, answer, policy, effort)
    is_ordered = policy.tuple_order == "given" if kinds & {"round", "square"} else False
    if kinds == {"bare"}:
        is_ordered = policy.order == "given"
    if kinds == {"round"} or kinds == {"square"}:
        is_ordered = policy.tuple_order == "given"
    if len(gold.items) != len(answer.items):
        return _unwrapped(gold, answer, policy, effort)
    if len(gold.items) > MAX_ITEMS:
        return None
    if is_ordered:
        return all_true(
            same_value(left, right, policy, effort)
            for left, right in zip(gold.items, answer.items, strict=True)
        )
    labels = _labels(gold.items), _labels(answer.items)
    if labels[0] and set(labels[0]) == set(labels[1]):
        return all_true(same_value(labels[0][k], labels[1][k], policy, effort) for k in labels[0])
    return _matched(gold.items, answer.items, policy, effort)


def _unwrapped(gold: Sequence, answer: Sequence, policy: Policy, effort: Effort) -> bool | None:
    """`{(1, 2)}` and `(1, 2)`: a set or a list of one thing is that thing."""
    for outer, other, is_gold in ((gold, answer, True), (answer, gold, False)):
        if len(outer.items) == 1 and len(other.items) != 1 and outer.brackets in ("bare", "braces"):
            inner = outer.items[0]
            pair = (inner, other) if is_gold else (other, inner)
            return same_value(pair[0], pair[1], policy, effort)
    flat = _flattened(gold), _flattened(answer)
    if len(flat[0].items) != len(gold.items) or len(flat[1].items) != len(answer.items):
        return _sequences(flat[0], flat[1], policy, effort)
    return False


def _flattened(value: Sequence) -> Sequence:
    """A bare list or a set without bare lists inside."""
    if value.brackets not in ("bare", "braces"):
        return value
    items: list[Value] = []
    for item in value.items:
        stripped = _right_side(item)
        if isinstance(stripped, Sequence) and stripped.brackets in ("bare", "braces"):
            items.extend(stripped.items)
        else:
            items.append(item)
    return Sequence(brackets=value.brackets, items=tuple(items))


def _matched(
    gold: Items[Value], answer: Items[Value], policy: Policy, effort: Effort
) -> bool | None:
    """Whether the items pair up, in any order."""
    remaining = list(answer)
    is_undecided = False
    for item in gold:
        found = None
        for index, other in enumerate(remaining):
            result = same_value(item, other, policy, effort)
            if result:
                found = index
                break
            is_undecided |= result is None
        if found is None:
            return None if is_undecided else False
        del remaining[found]
    return True


def _labels(items: Items[Value]) -> dict[str, Value]:
    """The labelled values by label; empty unless all have one of their own."""
    labels: dict[str, Value] = {}
    for item in items:
        if not isinstance(item, Relation) or item.operator != "=":
            return {}
        left = item.left
        if isinstance(left, Words):
            labels[left.text] = item.right
        elif isinstance(left, Quantity) and isinstance(left.expression, Symbol):
            labels[left.expression.name] = item.right
    return labels if len(labels) == len(items) else {}


def _ratios(gold: Sequence, answer: Sequence, policy: Policy, effort: Effort) -> bool | None:
    """`2:4` is `1:2` and one half."""
    sides = []
    for side in (gold, answer):
        expressions = [item.expression for item in side.items if isinstance(item, Quantity)]
        if len(expressions) != len(side.items):
            return False
        sides.append(expressions)
    left, right = sides
    if len(left) != len(right):
        return False
    same = all_true(same_expression(a, b, policy, effort) for a, b in zip(left, right, strict=True))
    if same:
        return True
    if any(_is_zero(part) for part in (*left, *right)) or Symbol("ldots") in (*left, *right):
        return same
    return all_true(
        same_expression(Call("/", (a, left[-1])), Call("/", (b, right[-1])), policy, effort)
        for a, b in zip(left[:-1], right[:-1], strict=True)
    )


def _is_zero(expression: Expression) -> bool:
    return isinstance(expression, Number) and expression.value == 0


def _words(gold: Value, answer: Value, policy: Policy) -> bool | None:
    """The same words; different single words differ, sentences can't be compared."""
    if isinstance(gold, Words) and isinstance(answer, Words):
        if gold.text == answer.text or gold.text == answer.subject or gold.subject == answer.text:
            return True
        return False if max(gold.text.count(" "), answer.text.count(" ")) == 0 else None
    if isinstance(gold, Words):
        return _word_and_value(gold, answer, policy)
    return _word_and_value(answer, gold, policy) if isinstance(answer, Words) else None


def _word_and_value(words: Words, other: Value, policy: Policy) -> bool | None:
    if isinstance(other, Quantity):
        expression = other.expression
        if isinstance(expression, Symbol) and expression.name.lower() == words.text:
            return policy.letter_case == "ignore" or expression.name == words.text
    return False if words.text.count(" ") < 4 else None


def _matrices(gold: Value, answer: Value, policy: Policy, effort: Effort) -> bool | None:
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


def _with_relation(gold: Value, answer: Value, policy: Policy, effort: Effort) -> bool | None:
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return _relations(gold, answer, policy, effort)
    if isinstance(gold, Relation):
        return _relation_and_value(gold, answer, policy, effort, is_gold=True)
    if isinstance(answer, Relation):
        return _relation_and_value(answer, gold, policy, effort, is_gold=False)
    return None


def _relation_and_value(
    relation: Relation, other: Value, policy: Policy, effort: Effort, *, is_gold: bool
) -> bool | None:
    """`x = 5` beside 5, `x < 5` beside an interval, `y - x = 1` beside `x + 1`."""
    if isinstance(other, Interval | Union | Sequence):
        found = as_set(relation)
        if found is not None:
            return same_sets(found, other, policy, effort)
    if relation.operator not in ("=", "in"):
        return False if not isinstance(other, Words) else None
    if policy.assignment == "strict":
        return False
    value = _right_side(relation)
    if value is relation:
        is_identity = same_value(relation.left, relation.right, policy, effort)
        if not is_identity:
            solved = _solved(relation, other, effort)
            return None if solved is False and is_identity is None else solved
        value = relation.right  # an identity: either side is what it is equal to
    pair = (value, other) if is_gold else (other, value)
    return same_value(pair[0], pair[1], policy, effort)


def _right_side(value: Value) -> Value:
    """What a name is said to be: 5 of `x = 5`; the relation itself where neither side is a name."""
    if not isinstance(value, Relation) or value.operator not in ("=", "in"):
        return value
    if is_name(value.left):
        return value.right
    return value.left if is_name(value.right) else value


def is_name(value: Value) -> bool:
    """Whether it only names something: `x`, `f(n)`, `(x, y)`, `NO/BO`, `Maximum`."""
    if isinstance(value, Words):
        return True
    if isinstance(value, Sequence):
        return all(is_name(item) for item in value.items)
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


def _relations(gold: Relation, answer: Relation, policy: Policy, effort: Effort) -> bool | None:
    if gold.operator != answer.operator:
        return False
    names = is_name(gold.left), is_name(answer.left)
    if gold.operator in ("=", "in") and all(names):
        result = _assignments(gold, answer, policy, effort)
        if result is not False:
            return result
    sets = as_set(gold), as_set(answer)
    if sets[0] is not None and sets[1] is not None and _variables(gold) == _variables(answer):
        result = same_sets(sets[0], sets[1], policy, effort)
        if result:
            return True
    differences = _difference(gold), _difference(answer)
    if differences[0] is None or differences[1] is None or gold.operator == "other":
        sides = same_value(gold.left, answer.left, policy, effort)
        return all_true((sides, same_value(gold.right, answer.right, policy, effort)))
    if free_symbols(differences[0]) != free_symbols(differences[1]):
        return False
    return _proportional(differences[0], differences[1], gold.operator, effort)


def _variables(relation: Relation) -> frozenset[str]:
    difference = _difference(relation)
    return frozenset() if difference is None else free_symbols(difference)


def _assignments(gold: Relation, answer: Relation, policy: Policy, effort: Effort) -> bool | None:
    """Two named values: by value, with the argument of `f(x)` as a bound name."""
    if policy.assignment == "strict" and not same_value(gold.left, answer.left, policy, effort):
        return False
    right = answer.right
    wanted, given = bound_arguments(gold.left), bound_arguments(answer.left)
    is_renamed = wanted and len(wanted) == len(given) and wanted != given
    if policy.rename == "either" and is_renamed and isinstance(right, Quantity):
        names = {old: Symbol(new) for old, new in zip(given, wanted, strict=True)}
        expression = substitute(right.expression, dict[str, Expression](names))
        right = Quantity(expression=expression, unit=right.unit)
    return same_value(gold.right, right, policy, effort)


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
