"""Reads tokens as a value: lists, relations, sets, intervals, labels and quantities."""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from itertools import pairwise

from evalharness.checking.cutting import (
    CLOSING,
    OPENING,
    depths_of,
    is_statement,
    split,
    trimmed,
    without_clauses,
    without_lead_in,
)
from evalharness.checking.expressions import Symbol
from evalharness.checking.forms import THE_LINE, as_integers, as_set, signed_tuple, with_ends
from evalharness.checking.grammar import parse
from evalharness.checking.measures import read_quantity, read_words
from evalharness.checking.renaming import bound_arguments
from evalharness.checking.tokens import Token, UnreadableError
from evalharness.checking.values import (
    UNNAMED,
    Interval,
    Quantity,
    Relation,
    Sequence,
    Union,
    Value,
    Words,
)

_RELATIONS = {
    "=": "=", "<": "<", "le": "<=", "<=": "<=", ">": ">", "ge": ">=", ">=": ">=", "ne": "!=",
    "!=": "!=", "in": "in", "equiv": "equiv", "notin": "notin", "subset": "subset",
    "subseteq": "subset", "sim": "sim", "parallel": "parallel", "perp": "perp",
}  # fmt: skip
_FLIPPED = {">": "<", ">=": "<="}
_BOUNDS = frozenset(["<", "<=", ">", ">=", "!="])
_WORD_MARKS = frozenset([",", ".", "-", "!", "?", "'", '"', "and", "or", ";"])
MAX_NESTING = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How deep the reader is, and the clauses that it has taken off so far."""

    level: int = 0
    clauses: list[str] = field(default_factory=list)

    def deeper(self) -> State:
        """One level down, with the same clauses."""
        return State(level=self.level + 1, clauses=self.clauses)


def read_value(tokens: list[Token], state: State) -> Value:
    """What the tokens say.

    Raises:
        UnreadableError: they say nothing that is known here.
    """
    if state.level > MAX_NESTING:
        raise UnreadableError("lists nested too deeply")
    tokens = trimmed(tokens)
    if not tokens:
        raise UnreadableError("nothing is left")
    if all(token.kind == "word" or token.text in _WORD_MARKS for token in tokens):
        if tokens[0].text == "-":
            raise UnreadableError("a sign before words")
        return read_words(tokens)
    tokens = without_lead_in(tokens)
    outer = [token.text for token in tokens]
    if ";" in outer or "or" in outer or "newline" in outer:
        groups = split(tokens, lambda token: token.text in (";", "or", "newline"))
        groups = [group for group in map(trimmed, groups) if group]
        if len(groups) > 1:
            return _joined(groups, state, is_alternative="or" in outer)
    parts = split(tokens, lambda token: token.text in (",", "and", "Rightarrow"))
    parts = without_clauses([part for part in map(trimmed, parts) if part], state.clauses)
    if not parts:
        raise UnreadableError("nothing but a condition")
    if len(parts) > 1:
        values = [read_value(part, state.deeper()) for part in parts]
        if len(values) == 2 and _is_domain(values[1], values[0]):
            state.clauses.append(" ".join(token.text for token in parts[1]))
            return values[0]
        return _list(values)
    return _read_single(parts[0], state)


def _is_domain(condition: Value, value: Value) -> bool:
    r"""Whether it says where `a_n = ...` or `f(x) = ...` holds: `n \ge 1`, `x > 0`."""
    if not isinstance(condition, Relation) or condition.operator not in ("<", "<=", "!="):
        return False
    if not isinstance(value, Relation) or value.operator != "=":
        return False
    sides = (condition.left, condition.right)
    names = [
        side.expression.name
        for side in sides
        if isinstance(side, Quantity) and isinstance(side.expression, Symbol)
    ]
    if len(names) != 1 or not isinstance(value.left, Quantity):
        return False
    left = value.left.expression
    is_index = isinstance(left, Symbol) and left.name.endswith("_" + names[0])
    return is_index or names[0] in bound_arguments(value.left)


def _joined(groups: list[list[Token]], state: State, *, is_alternative: bool) -> Value:
    """Groups between `;`, `or` and line ends: each keeps its own commas."""
    groups = without_clauses(groups, state.clauses)
    values = [read_value(group, state.deeper()) for group in groups]
    if len(values) == 1:
        return values[0]
    sets = [as_set(value) for value in values]
    if is_alternative and all(
        isinstance(v, Relation) and s for v, s in zip(values, sets, strict=True)
    ):
        return Union(parts=tuple(part for part in sets if part is not None))
    return _list(values)


def _list(values: list[Value]) -> Value:
    """A bare list; what plus-minus signs stand for are items of their own."""
    items: list[Value] = []
    for value in values:
        before = items[-1] if items else None
        if (
            isinstance(before, Relation)
            and before.operator == "!="
            and isinstance(before.left, Quantity)
            and isinstance(value, Quantity)
        ):  # `x \ne 0, 1`: not either of them
            items.append(Relation(operator="!=", left=before.left, right=value))
        elif isinstance(value, Sequence) and value.brackets == "bare" and _from_signs(value):
            items.extend(value.items)
        else:
            items.append(value)
    return items[0] if len(items) == 1 else Sequence(brackets="bare", items=tuple(items))


def _from_signs(value: Sequence) -> bool:
    return len(value.items) == 2 and all(isinstance(item, Quantity) for item in value.items)


def _read_single(tokens: list[Token], state: State) -> Value:
    """One value without separators at its outermost level."""
    if any(token.text in _RELATIONS or token.text == "approx" for token in tokens):
        relation = _read_relation(tokens, state)
        if relation is not None:
            return relation
    without = split(tokens, lambda token: token.text == "setminus") if len(tokens) > 3 else []
    if [token.text for token in tokens[:6]] == ["mathbb", "{", "R", "}", "-", "\\{"]:
        without = [tokens[:4], tokens[5:]]
    if len(without) == 2 and all(without):
        return _difference(without, state)
    pieces = split(tokens, lambda token: token.text == "cup") if len(tokens) > 2 else []
    if len(pieces) < 2:
        pieces = _split_letter_union(tokens)
    if len(pieces) > 1:
        return Union(parts=tuple(read_value(piece, state.deeper()) for piece in pieces))
    inside = _bracketed(tokens, state)
    if inside is not None:
        return inside
    if is_statement(tokens):
        return Words(text=" ".join(token.text for token in tokens).lower())
    labelled = _read_labelled(tokens, state)
    return labelled if labelled is not None else read_quantity(tokens)


def _difference(sides: list[list[Token]], state: State) -> Value:
    r"""`R \setminus {0}` as the bare list of its conditions.

    Raises:
        UnreadableError: more than a few points are taken away, or not points.
    """
    name = Quantity(expression=Symbol("x"))
    domain = with_ends(read_value(sides[0], state.deeper()))
    whole = Relation(operator="in", left=name, right=domain)
    points = read_value(sides[1], state.deeper())
    if not isinstance(points, Sequence) or points.brackets != "braces" or len(points.items) > 8:
        raise UnreadableError("a difference of sets")
    others = (Relation(operator="!=", left=name, right=point) for point in points.items)
    return Sequence(brackets="bare", items=(whole, *others))


def _split_letter_union(tokens: Tokens[Token]) -> list[list[Token]]:
    """`(1,2) U (3,4)`: a letter U between a closing and an opening bracket."""
    for index in range(1, len(tokens) - 1):
        if (
            tokens[index].text == "U"
            and tokens[index - 1].text in (")", "]")
            and tokens[index + 1].text in ("(", "[")
        ):
            return [list(tokens[:index]), list(tokens[index + 1 :])]
    return []


def _read_relation(tokens: list[Token], state: State) -> Value | None:
    """A relation or a chain of them; None where they stand inside brackets."""
    depths = depths_of(tokens)
    cuts = [
        index
        for index, (token, depth) in enumerate(zip(tokens, depths, strict=True))
        if depth == 0
        and token.kind != "word"
        and (token.text in _RELATIONS or token.text == "approx")
    ]
    if not cuts:
        return None
    if tokens[cuts[-1]].text == "approx":
        kept = tokens[: cuts[-1]] or tokens[cuts[-1] + 1 :]
        return read_value(kept, state.deeper())
    bounds = [-1, *cuts, len(tokens)]
    sides = [tokens[low + 1 : high] for low, high in pairwise(bounds)]
    operators = [_RELATIONS.get(tokens[cut].text, "=") for cut in cuts]
    if "equiv" in [tokens[cut].text for cut in cuts] and "mod" not in [t.text for t in tokens]:
        operators = ["=" if each == "equiv" else each for each in operators]  # identically equal
    if len(cuts) == 2 and (set(operators) <= {"<", "<="} or set(operators) <= {">", ">="}):
        return _between(sides, operators)
    if not sides[-1]:
        raise UnreadableError("a relation without a right side")
    if len(cuts) > 1 and set(operators) == {"="}:
        if any(token.kind == "number" or token.text in "+-" for token in sides[0]):
            return read_value(sides[-1], state.deeper())  # a calculation up to its result
        sides = [sides[0], sides[-1]]
        operators = ["="]
    if len(operators) != 1:
        raise UnreadableError("a chain of relations")
    operator = operators[0]
    right = read_value(sides[1], state.deeper())
    if not trimmed(sides[0]):
        if operator not in _BOUNDS:
            return right
        sides[0] = [Token("symbol", UNNAMED, False)]
    try:
        left = read_value(sides[0], state.deeper())
    except UnreadableError:
        if operator != "=":
            raise
        left = Words(text=" ".join(token.text for token in sides[0]))
    if operator in _FLIPPED:
        return Relation(operator=_FLIPPED[operator], left=right, right=left)
    return Relation(operator=operator, left=left, right=right)


def _between(sides: list[list[Token]], operators: list[str]) -> Value:
    """`a < x <= b` as the interval of x."""
    low, _, high = (read_quantity(side) for side in sides)
    if operators[0] in _FLIPPED:
        low, high = high, low
        operators = operators[::-1]
    if low.unit != high.unit and low.unit:
        raise UnreadableError("an interval between two units")
    return Interval(
        low=low.expression,
        high=high.expression,
        is_low_closed=operators[0].endswith("="),
        is_high_closed=operators[1].endswith("="),
    )


def _bracketed(tokens: list[Token], state: State) -> Value | None:
    """The list, set or interval that one pair of brackets around everything holds."""
    first, last = tokens[0], tokens[-1]
    if (
        len(tokens) > 3
        and first.kind == "symbol"
        and (tokens[1].text, last.text) in (("(", "]"), ("[", ")"))
    ):
        first, tokens = tokens[1], tokens[1:]  # `t(0,4]` lacks its "in"
    if first.kind != "operator" or first.text not in OPENING or len(tokens) < 2:
        return None
    depths = depths_of(tokens)
    if last.text not in CLOSING or any(depth == 0 for depth in depths[1:-1]):
        return None
    inner = tokens[1:-1]
    if first.text == "{" and _is_enclosed(inner):  # a group of LaTeX
        return read_value(inner, state.deeper())
    if first.text in ("{", "\\{"):
        return _read_set(inner, state)
    parts = split(inner, lambda token: token.text in (",", ";"))
    if first.text == "(" and last.text == ")" and len(parts) == 1:
        return None if _is_expression(inner) else read_value(inner, state.deeper())
    if len(parts) == 1 and first.text == "[" and last.text == "]":
        return Sequence(brackets="square", items=(read_value(inner, state.deeper()),))
    items = [read_value(part, state.deeper()) for part in parts]
    if first.text == "(" and last.text == ")":
        return signed_tuple(items)
    if first.text == "[" and last.text == "]":
        return Sequence(brackets="square", items=tuple(items))
    if len(items) == 2 and all(isinstance(item, Quantity) for item in items):
        low, high = (item.expression for item in items if isinstance(item, Quantity))
        return Interval(
            low=low, high=high, is_low_closed=first.text == "[", is_high_closed=last.text == "]"
        )
    raise UnreadableError("brackets that don't match")


def _is_enclosed(tokens: list[Token]) -> bool:
    """Whether one pair of set braces is around all of them."""
    texts = [token.text for token in tokens]
    return texts[:1] == ["\\{"] and texts[-1] == "\\}" and 0 not in depths_of(tokens)[1:-1]


def _is_expression(tokens: Tokens[Token]) -> bool:
    try:
        parse(tokens)
    except UnreadableError:
        return False
    return True


def _read_set(inner: list[Token], state: State) -> Value:
    """The set of its items, or the condition of `{x | ...}`."""
    if not inner:
        return Quantity(expression=Symbol("emptyset"))
    bars = [
        index
        for index, (token, depth) in enumerate(zip(inner, depths_of(inner), strict=True))
        if depth == 0 and token.text in ("|", ":")
    ]
    if len(bars) == 1 and bars[0] > 1 and inner[1].text != "in":
        state.clauses.append(" ".join(token.text for token in inner[bars[0] + 1 :]))
        return read_value(inner[: bars[0]], state.deeper())  # a family: {2k | k in Z}
    if len(bars) == 1 and bars[0] > 0 and inner[0].kind == "symbol":
        condition = read_value(inner[bars[0] + 1 :], state.deeper())
        if bars[0] < 3 or inner[1].text != "in":
            return as_set(condition) or condition
        return _chosen(inner[: bars[0]], condition, state)
    value = read_value(inner, state.deeper())
    if isinstance(value, Sequence) and value.brackets == "bare":
        return Sequence(brackets="braces", items=value.items)
    if isinstance(value, Quantity | Sequence | Relation):
        return Sequence(brackets="braces", items=(value,))
    return value


def _chosen(member: list[Token], condition: Value, state: State) -> Value:
    """Those of a set (`x in Z`) that meet a condition."""
    domain = with_ends(read_value(member[2:], state.deeper()))
    points = as_set(condition) or condition
    if as_set(domain) == THE_LINE:
        return points
    if as_set(domain) is not None and isinstance(condition, Relation):
        name = Quantity(expression=Symbol(member[0].text))
        chosen = Relation(operator="in", left=name, right=domain)
        return Sequence(brackets="bare", items=(chosen, condition))
    whole = as_integers(domain, points)
    if whole is None:
        state.clauses.append(" ".join(token.text for token in member))
    return whole or points


def _read_labelled(tokens: list[Token], state: State) -> Value | None:
    """`Minimum: 1` as a labelled value, `3:4` as a ratio; None for anything else."""
    parts = split(tokens, lambda token: token.text == ":")
    if len(parts) < 2 or not all(parts):
        return None
    if len(parts) == 2 and any(token.kind == "word" for token in parts[0]):
        return Relation(
            operator="=", left=read_words(parts[0]), right=read_value(parts[1], state.deeper())
        )
    if any(len(part) > 12 or "div" in (t.text for t in part) for part in parts):
        return None
    items = [read_quantity(part) for part in parts]
    return Sequence(brackets="ratio", items=tuple(items))
