"""Compares what two answers say, element by element."""

from __future__ import annotations

from collections.abc import Sequence as Items

from evalharness.checking.expressions import (
    Call,
    Expression,
    Number,
    Symbol,
    free_symbols,
)
from evalharness.checking.forms import as_set
from evalharness.checking.matrices import same_matrices
from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort, same_expression, same_quantity
from evalharness.checking.relations import right_side, same_with_relation
from evalharness.checking.renaming import renamed
from evalharness.checking.sets import all_true, same_sets
from evalharness.checking.values import (
    Matrix,
    Quantity,
    Relation,
    Sequence,
    Value,
    Words,
)
from evalharness.checking.wording import are_opposite

MAX_ITEMS = 200


def same_value(gold: Value, answer: Value, policy: Policy, effort: Effort) -> bool | None:
    """Whether two values are the same under the policy; None where it can't be decided."""
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return same_with_relation(
            gold, answer, policy, effort, lambda one, other: same_value(one, other, policy, effort)
        )
    if isinstance(gold, Words) or isinstance(answer, Words):
        return _words(gold, answer, policy)
    if isinstance(gold, Quantity) and isinstance(answer, Quantity):
        if policy.letter_case == "ignore" and _are_one_option(gold, answer):
            effort.note("symbols")
            return True
        result = same_quantity(gold, answer, policy, effort)
        if result is False and policy.rename == "either":
            other = renamed(gold.expression, answer.expression)
            if other is not None:
                return same_expression(gold.expression, other, policy, effort)
        return result
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return same_matrices(gold, answer, policy, effort)
    if is_set(gold) or is_set(answer):
        return same_sets(gold, answer, policy, effort)
    effort.note("structure")
    if isinstance(gold, Sequence) and isinstance(answer, Sequence):
        return _sequences(gold, answer, policy, effort)
    if isinstance(gold, Sequence):
        return _sequence_and_one(gold, answer, policy, effort, is_gold=True)
    if isinstance(answer, Sequence):
        return _sequence_and_one(answer, gold, policy, effort, is_gold=False)
    return False


def _are_one_option(gold: Quantity, answer: Quantity) -> bool:
    """Whether both are the letter of one option, in whichever case: `B` and `b`."""
    names = [
        side.expression.name if isinstance(side.expression, Symbol) and not side.unit else ""
        for side in (gold, answer)
    ]
    return names[0].upper() == names[1].upper() and names[0].upper() in tuple("ABCDEFGHIJ")


def is_set(value: Value) -> bool:
    """Whether only its points count: an interval, a union, or several conditions at once."""
    if isinstance(value, Sequence) and value.brackets == "bare":
        return all(isinstance(item, Relation) and as_set(item) for item in value.items)
    return as_set(value) is not None


def _sequence_and_one(
    sequence: Sequence, other: Value, policy: Policy, effort: Effort, *, is_gold: bool
) -> bool | None:
    """A set or a list of one thing is that thing; `3:2` is a quotient."""
    one = sequence.items[0]
    if sequence.brackets == "bare" and _are_spellings(sequence.items):
        return all_true(same_value(other, item, policy, effort) for item in sequence.items)
    if sequence.brackets == "ratio" and len(sequence.items) == 2 and isinstance(other, Quantity):
        numerator, denominator = sequence.items
        if isinstance(numerator, Quantity) and isinstance(denominator, Quantity):
            if _is_zero(denominator.expression):
                return False
            one = Quantity(expression=Call("/", (numerator.expression, denominator.expression)))
    elif len(sequence.items) != 1 or policy.brackets == "strict" or _is_of_sets(sequence):
        return False
    return (
        same_value(one, other, policy, effort)
        if is_gold
        else same_value(other, one, policy, effort)
    )


def _is_of_sets(value: Sequence) -> bool:
    """Whether it is a set in which sets are: `{{1, 2}}` has one element and isn't `{1, 2}`."""
    return value.brackets == "braces" and any(
        (isinstance(item, Sequence) and item.brackets == "braces")
        or item == Quantity(expression=Symbol("emptyset"))
        for item in value.items
    )


def _are_spellings(items: Items[Value]) -> bool:
    """Whether they may be one number in several spellings: `1/2 or 0.5`, but not `2, 2`."""
    return len(set(items)) == len(items) > 1 and all(
        isinstance(item, Quantity) and not free_symbols(item.expression) for item in items
    )


def _sequences(gold: Sequence, answer: Sequence, policy: Policy, effort: Effort) -> bool | None:
    kinds = {gold.brackets, answer.brackets}
    if "ratio" in kinds:
        return _ratios(gold, answer, policy, effort)
    if kinds == {"braces"} and _is_of_sets(gold) != _is_of_sets(answer):
        return False
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
    is_numbered = len({label.partition("_")[0] for label in labels[0]}) == 1  # x_1 and x_2
    is_bare = not any(isinstance(item, Relation) for item in answer.items)
    if labels[0] and is_bare and not is_numbered:
        return all_true(  # 2, 1 doesn't say that a = 1 and b = 2
            same_value(left, right, policy, effort)
            for left, right in zip(labels[0].values(), answer.items, strict=True)
        )
    return _matched(gold.items, answer.items, policy, effort)


def _unwrapped(gold: Sequence, answer: Sequence, policy: Policy, effort: Effort) -> bool | None:
    """`{(1, 2)}` and `(1, 2)`: a set or a list of one thing is that thing."""
    for outer, other, is_gold in ((gold, answer, True), (answer, gold, False)):
        is_one = len(outer.items) == 1 and len(other.items) != 1 and not _is_of_sets(outer)
        if is_one and outer.brackets in ("bare", "braces"):
            inner = outer.items[0]
            pair = (inner, other) if is_gold else (other, inner)
            return same_value(pair[0], pair[1], policy, effort)
    flat = _flattened(gold), _flattened(answer)
    if len(flat[0].items) != len(gold.items) or len(flat[1].items) != len(answer.items):
        return _sequences(flat[0], flat[1], policy, effort)
    return False


def _flattened(value: Sequence) -> Sequence:
    """A bare list or a set without bare lists inside."""
    if value.brackets not in ("bare", "braces") or _is_of_sets(value):
        return value
    items: list[Value] = []
    for item in value.items:
        stripped = right_side(item)
        if isinstance(stripped, Sequence) and stripped.brackets in ("bare", "braces"):
            items.extend(stripped.items)
        else:
            items.append(item)
    return Sequence(brackets=value.brackets, items=tuple(items))


def _matched(
    gold: Items[Value], answer: Items[Value], policy: Policy, effort: Effort
) -> bool | None:
    """Whether the items pair up, in any order; False where one of either side can't have a pair."""
    remaining = list(answer)
    unmatched = []
    for item in gold:
        results = []
        for index, other in enumerate(remaining):
            results.append(same_value(item, other, policy, effort))
            if results[-1]:
                del remaining[index]
                break
        else:
            if None not in results:
                return False
            unmatched.append(item)
    if not unmatched:
        return True
    table = [[same_value(item, other, policy, effort) for other in remaining] for item in unmatched]
    lines = (*table, *zip(*table, strict=True))
    return False if any(set(line) == {False} for line in lines) else None


def _labels(items: Items[Value]) -> dict[str, Relation]:
    """What names a value, by the name (`a = 1`, `f(x) = x`); empty unless all have their own."""
    labels: dict[str, Relation] = {}
    for item in items:
        if not isinstance(item, Relation) or item.operator != "=":
            return {}
        left = item.left
        if isinstance(left, Words):
            labels[left.text] = item
        elif isinstance(left, Quantity) and isinstance(left.expression, Symbol):
            labels[left.expression.name] = item
        elif isinstance(left, Quantity) and isinstance(left.expression, Call):
            if not left.expression.head.startswith("apply:"):
                return {}
            labels[left.expression.head] = item
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
    units = [
        item.unit if isinstance(item, Quantity) else ""
        for item in (gold.items[-1], answer.items[-1])
    ]
    if len(left) != len(right) or are_opposite(*units):
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
