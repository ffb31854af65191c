"""Reads an answer: cuts it at its separators, relations and brackets, and parses what remains."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Sequence as Tokens
from functools import lru_cache
from itertools import pairwise

from evalharness.checking.expressions import Call, Expression, Number, Symbol, walk
from evalharness.checking.grammar import parse, parse_prefix
from evalharness.checking.text import canonical, normalise
from evalharness.checking.tokens import Options, Token, UnreadableError, tokenise
from evalharness.checking.values import (
    INFINITY,
    Interval,
    Matrix,
    Quantity,
    Relation,
    Sequence,
    Union,
    Value,
    Words,
)

_OPENING = frozenset({"(", "[", "{", "\\{"})
_CLOSING = frozenset({")", "]", "}", "\\}"})
_RELATIONS = {
    "=": "=", "<": "<", "le": "<=", "<=": "<=", ">": ">", "ge": ">=", ">=": ">=", "ne": "!=",
    "!=": "!=", "in": "in", "equiv": "other", "notin": "other", "subset": "other",
    "subseteq": "other", "sim": "other", "parallel": "other", "perp": "other",
}  # fmt: skip
_SEPARATORS = frozenset({",", ";", "newline", "and", "or", "Rightarrow"})
_FLIPPED = {">": "<", ">=": "<="}
_CLAUSES = frozenset("for where when if with such whenever provided unless depending".split())
_FINAL_CLAUSES = frozenset("where is are which because since so".split())
_LEAD_IN = frozenset("is are be equals equal".split())
_ANNOUNCEMENTS = frozenset(
    "approximately about approx roughly exactly only just nearly around the final answer so thus "
    "hence therefore value values solution solutions result is are".split()
)
_MATRICES = re.compile(
    r"\\begin\{(?:[pbBvV]?matrix\*?|smallmatrix|array)\}(?:\{[lcr| ]*\})?(?P<body>.*?)"
    r"\\end\{(?:[pbBvV]?matrix\*?|smallmatrix|array)\}"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:align|aligned|gather|gathered|equation|split)\*?\}")
_BOX = re.compile(r"\\(?:boxed|fbox) ?\{")
_JOINT = re.compile(r"(?:[^A-Za-z0-9]|and|or|\\quad|\\text)*")
_TEMPERATURE = re.compile(
    r"\^ ?\{? ?\\circ ?\}? ?(?:\\(?:text|mathrm|rm|textrm) ?\{)? ?(?P<scale>[CF])(?![A-Za-z])\}?"
)
_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")
_MAYBE_SCIENTIFIC = re.compile(r"(?<![\d.])\d+e[-+]\d", re.IGNORECASE)
_SHORT_RUN = re.compile(r"(?<![A-Za-z\\{])[A-Za-z]{3,4}(?![A-Za-z}])")
_DECIMAL_COMMA = re.compile(r"-? ?\d+,\d+")
_INFINITE = frozenset({"infinitely many", "infinite", "infinity", "infinitely many solutions"})
_NOTHING = frozenset(
    {
        "none",
        "no solution",
        "no solutions",
        "empty set",
        "the empty set",
        "no real solutions",
        "does not exist",
        "no such",
    }
)
_WORD_MARKS = frozenset([",", ".", "-", "!", "?", "'", '"', "and", "or", ";"])
_BLACKBOARD = frozenset("RZNQC")


@lru_cache(maxsize=4096)
def read(text: str) -> tuple[Value, ...]:
    """What the text says, the likeliest reading first; several where its spelling is ambiguous.

    Every digit, letter and operator of the text is in the value, except clauses ("for all x"),
    which say where it holds.

    Raises:
        UnreadableError: the text is not mathematics that this reader knows.
    """
    plain = normalise(canonical(text))
    plain = _TEMPERATURE.sub(r"\\text{deg\g<scale>}", plain)
    plain = _ENVIRONMENT.sub(" ", plain).replace("&=", "=") if "\\begin" in plain else plain
    plain = _unboxed(plain)
    if not plain:
        raise UnreadableError("nothing is left")
    all_options = [Options()]
    if _THOUSANDS.search(plain):
        all_options.append(Options(thousands=False))
    if _MAYBE_SCIENTIFIC.search(plain):
        all_options.append(Options(scientific=False))
    if _SHORT_RUN.search(plain):
        all_options.append(Options(products=True))
    values: list[Value] = []
    failure: UnreadableError | None = None
    for options in all_options:
        try:
            value = _read_text(plain, options)
        except UnreadableError as error:
            failure = error
        else:
            if value not in values and not (options.products and has_words(value)):
                values.append(value)
    if _is_decimal_comma(plain):
        values.append(_read_text(plain.replace(",", "."), Options()))
    if not values:
        raise failure or UnreadableError("nothing is left")
    return tuple(values)


def has_words(value: Value) -> bool:
    """Whether words stand in the value, as a unit, a label or alone."""
    match value:
        case Words():
            return True
        case Quantity():
            return bool(value.unit)
        case Sequence():
            return any(map(has_words, value.items))
        case Union():
            return any(map(has_words, value.parts))
        case Relation():
            return has_words(value.left) or has_words(value.right)
        case _:
            return False


def _is_decimal_comma(text: str) -> bool:
    """`0,111` or `1000,99`: digits that can't be thousands, and more of them than in a list."""
    if not _DECIMAL_COMMA.fullmatch(text):
        return False
    whole, decimals = text.lstrip("- ").split(",")
    return whole == "0" or (len(whole) > 2 and len(decimals) == 2)


def _unboxed(text: str) -> str:
    """What is in the boxes of the text: of all that only punctuation, "and" or "or" joins."""
    contents: list[str] = []
    position = 0
    while (box := _BOX.search(text, position)) is not None:
        depth, end = 1, box.end()
        while end < len(text) and depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        if contents and not _JOINT.fullmatch(text, position, box.start()):
            contents.clear()
        contents.append(text[box.end() : end - (depth == 0)].strip())
        position = end
    return ", ".join(contents) if contents else text


def _read_text(text: str, options: Options) -> Value:
    matrices: list[Matrix] = []

    def keep(match: re.Match[str]) -> str:
        matrices.append(_read_matrix(match["body"], options))
        return f" \\mathbb{{matrix{'x' * (len(matrices) - 1)}}} "

    if "\\begin" in text:
        text = _MATRICES.sub(keep, text)
        if "\\begin" in text:
            raise UnreadableError("an unknown environment")
    tokens = _signs(tokenise(text, options))
    if matrices:
        return _with_matrices(tokens, matrices)
    return _read_value(_trimmed(tokens), 0)


def _read_matrix(body: str, options: Options) -> Matrix:
    rows = []
    for line in body.split("\\\\"):
        if line.strip() and line.strip() != "\\hline":
            cells = line.replace("\\hline", "").split("&")
            rows.append(tuple(parse(_signs(tokenise(cell.strip(), options))) for cell in cells))
    if not rows or len({len(row) for row in rows}) != 1:
        raise UnreadableError("a matrix with rows of different lengths")
    return Matrix(rows=tuple(rows))


def _with_matrices(tokens: list[Token], matrices: list[Matrix]) -> Value:
    """A matrix alone, or behind `name =`; a product with one isn't read."""
    if len(matrices) == 1:
        texts = [token.text for token in tokens[-4:]]
        if texts == ["mathbb", "{", "matrix", "}"]:
            before = tokens[:-4]
            if before and before[-1].text in ("=", "in"):
                before = before[:-1]
                return Relation(operator="=", left=_read_value(before, 0), right=matrices[0])
            if not before:
                return matrices[0]
    raise UnreadableError("an expression of matrices")


def _signs(tokens: list[Token]) -> list[Token]:
    """Words that are signs become signs: percent, degrees, and, or."""
    result: list[Token] = []
    for token in tokens:
        new = token
        if token.kind == "word":
            word = token.text.lower()
            if word in ("percent", "pct", "percents"):
                new = Token("operator", "%", token.is_spaced)
            elif word in ("degrees", "degree", "deg") and result:
                new = Token("command", "circ", token.is_spaced)
            elif word in ("and", "or"):
                new = Token("command", word, token.is_spaced)
            elif word in ("infinity",):
                new = Token("command", "infty", token.is_spaced)
        result.append(new)
    return result


def _trimmed(tokens: list[Token]) -> list[Token]:
    """Without punctuation and separators at the ends."""
    start, end = 0, len(tokens)
    noise = {
        ",",
        ";",
        ".",
        ":",
        "?",
        '"',
        "and",
        "or",
        "newline",
        "Rightarrow",
        "&",
        "~",
        "`",
        "therefore",
    }
    while start < end and tokens[start].text in noise | {"="} and tokens[start].kind != "word":
        start += 1
    while end > start and tokens[end - 1].text in noise and tokens[end - 1].kind != "word":
        end -= 1
    return tokens[start:end]


def _depths(tokens: Tokens[Token]) -> list[int]:
    """How many brackets are open at each token; an opening one counts from the next token on."""
    depths, depth = [], 0
    for token in tokens:
        is_bracket = token.kind == "operator"
        if is_bracket and token.text in _CLOSING:
            depth -= 1
        depths.append(depth)
        if is_bracket and token.text in _OPENING:
            depth += 1
        if depth < 0:
            raise UnreadableError("a bracket that never opened")
    if depth:
        raise UnreadableError("a bracket that never closes")
    return depths


def _split(tokens: Tokens[Token], is_cut: Callable[[Token], bool]) -> list[list[Token]]:
    """The tokens between those at the outermost level for which `is_cut` holds."""
    parts: list[list[Token]] = [[]]
    for token, depth in zip(tokens, _depths(tokens), strict=True):
        if depth == 0 and token.kind != "word" and is_cut(token):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


MAX_NESTING = 12


def _read_value(tokens: list[Token], level: int) -> Value:
    if level > MAX_NESTING:
        raise UnreadableError("lists nested too deeply")
    tokens = _trimmed(tokens)
    if not tokens:
        raise UnreadableError("nothing is left")
    if all(token.kind == "word" or token.text in _WORD_MARKS for token in tokens):
        return _words(tokens)
    tokens = _without_lead_in(tokens)
    outer = [token.text for token in tokens]
    if ";" in outer or "or" in outer or "newline" in outer:
        groups = _split(tokens, lambda token: token.text in (";", "or", "newline"))
        groups = [group for group in map(_trimmed, groups) if group]
        if len(groups) > 1:
            return _joined(groups, level, is_alternative="or" in outer)
    parts = _split(tokens, lambda token: token.text in (",", "and", "Rightarrow"))
    parts = _without_clauses([part for part in map(_trimmed, parts) if part])
    if not parts:
        raise UnreadableError("nothing but a condition")
    if len(parts) > 1:
        return _list([_read_value(part, level + 1) for part in parts])
    return _read_single(parts[0], level)


def _joined(groups: list[list[Token]], level: int, *, is_alternative: bool) -> Value:
    """Groups between `;`, `or` and line ends: each keeps its own commas."""
    groups = _without_clauses(groups)
    values = [_read_value(group, level + 1) for group in groups]
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
        if isinstance(value, Sequence) and value.brackets == "bare" and _from_signs(value):
            items.extend(value.items)
        else:
            items.append(value)
    return items[0] if len(items) == 1 else Sequence(brackets="bare", items=tuple(items))


def _from_signs(value: Sequence) -> bool:
    return len(value.items) == 2 and all(isinstance(item, Quantity) for item in value.items)


def _without_lead_in(tokens: list[Token]) -> list[Token]:
    """Without words that only announce: `The answer is 42`, `approximately 42`."""
    start = 0
    while start < len(tokens) and tokens[start].kind == "word":
        start += 1
    leading = {token.text.lower() for token in tokens[:start]}
    if not leading or start == len(tokens):
        return tokens
    if tokens[start].text in (":", "=") and "answer" in leading:
        return tokens[start + 1 :]
    if leading <= _ANNOUNCEMENTS:
        return tokens[start:]
    verbs = [
        index
        for index, (token, depth) in enumerate(zip(tokens, _depths(tokens), strict=True))
        if depth == 0 and token.kind == "word" and token.text.lower() in _LEAD_IN
    ]
    return tokens[verbs[-1] + 1 :] if verbs and verbs[-1] + 1 < len(tokens) else tokens


def _without_clauses(parts: list[list[Token]]) -> list[list[Token]]:
    """Without "for all x", "where k is an integer" and "k in Z", which say where a value holds."""
    kept: list[list[Token]] = []
    for part in parts:
        words = [i for i, t in enumerate(part) if t.kind == "word" or t.text in ("forall", "quad")]
        cut = next(
            (i for i in words if part[i].text.lower() in _CLAUSES | _FINAL_CLAUSES | {"forall"}),
            None,
        )
        if cut is None:
            if kept and _is_membership(part):
                continue
            kept.append(_without_membership(part))
            continue
        is_final = part[cut].text.lower() in _FINAL_CLAUSES
        if any(depth for depth in _depths(part)[cut : cut + 1]):
            kept.append(part)
            continue
        if cut:
            kept.append(_trimmed(part[:cut]))
        if is_final:
            break
    return kept


def _is_membership(part: Tokens[Token]) -> bool:
    r"""`k \in \mathbb{Z}`."""
    return (
        len(part) >= 3
        and part[0].kind == "symbol"
        and part[1].text == "in"
        and any(token.text == "mathbb" or token.text in _BLACKBOARD for token in part[2:4])
    )


def _without_membership(part: list[Token]) -> list[Token]:
    r"""Without a final `(k \in \mathbb{Z})`."""
    if len(part) > 5 and part[-1].text == ")":
        depths = _depths(part)
        start = max(i for i, depth in enumerate(depths[:-1]) if depth == 0)
        if start and part[start].text == "(" and _is_membership(part[start + 1 : -1]):
            return part[:start]
    return part


def _read_single(tokens: list[Token], level: int) -> Value:
    """One value without separators at its outermost level."""
    if any(token.text in _RELATIONS or token.text == "approx" for token in tokens):
        relation = _read_relation(tokens, level)
        if relation is not None:
            return relation
    pieces = _split(tokens, lambda token: token.text == "cup") if len(tokens) > 2 else []
    if len(pieces) < 2:
        pieces = _split_letter_union(tokens)
    if len(pieces) > 1:
        return Union(parts=tuple(_read_value(piece, level + 1) for piece in pieces))
    inside = _bracketed(tokens, level)
    if inside is not None:
        return inside
    labelled = _read_labelled(tokens, level)
    return labelled if labelled is not None else _read_quantity(tokens)


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


def _read_relation(tokens: list[Token], level: int) -> Value | None:
    """A relation or a chain of them; None where they stand inside brackets."""
    depths = _depths(tokens)
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
        return _read_value(kept, level + 1)
    bounds = [-1, *cuts, len(tokens)]
    sides = [tokens[low + 1 : high] for low, high in pairwise(bounds)]
    operators = [_RELATIONS.get(tokens[cut].text, "=") for cut in cuts]
    if len(cuts) == 2 and (set(operators) <= {"<", "<="} or set(operators) <= {">", ">="}):
        return _between(sides, operators)
    if not sides[-1]:
        raise UnreadableError("a relation without a right side")
    if len(cuts) > 1 and set(operators) == {"="}:
        sides = [sides[0], sides[-1]]
        operators = ["="]
    if len(operators) != 1:
        raise UnreadableError("a chain of relations")
    operator = operators[0]
    right = _read_value(sides[1], level + 1)
    if not _trimmed(sides[0]):
        return right
    try:
        left = _read_value(sides[0], level + 1)
    except UnreadableError:
        if operator != "=":
            raise
        left = Words(text=" ".join(token.text for token in sides[0]))
    if operator in _FLIPPED:
        return Relation(operator=_FLIPPED[operator], left=right, right=left)
    return Relation(operator=operator, left=left, right=right)


def _between(sides: list[list[Token]], operators: list[str]) -> Value:
    """`a < x <= b` as the interval of x."""
    low, _, high = (_read_quantity(side) for side in sides)
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


def _bracketed(tokens: list[Token], level: int) -> Value | None:
    """The list, set or interval that one pair of brackets around everything holds."""
    first, last = tokens[0], tokens[-1]
    if (
        len(tokens) > 3
        and first.kind == "symbol"
        and (tokens[1].text, last.text) in (("(", "]"), ("[", ")"))
    ):
        first, tokens = tokens[1], tokens[1:]  # `t(0,4]` lacks its "in"
    if first.kind != "operator" or first.text not in _OPENING or len(tokens) < 2:
        return None
    depths = _depths(tokens)
    if last.text not in _CLOSING or any(depth == 0 for depth in depths[1:-1]):
        return None
    inner = tokens[1:-1]
    if first.text in ("{", "\\{"):
        return _read_set(inner, level)
    parts = _split(inner, lambda token: token.text in (",", ";"))
    if first.text == "(" and last.text == ")" and len(parts) == 1:
        return None if _is_expression(inner) else _read_value(inner, level + 1)
    if len(parts) == 1 and first.text == "[" and last.text == "]":
        return Sequence(brackets="square", items=(_read_value(inner, level + 1),))
    items = [_read_value(part, level + 1) for part in parts]
    if first.text == "(" and last.text == ")":
        return _signed_tuple(items)
    if first.text == "[" and last.text == "]":
        return Sequence(brackets="square", items=tuple(items))
    if len(items) == 2 and all(isinstance(item, Quantity) for item in items):
        low, high = (item.expression for item in items if isinstance(item, Quantity))
        return Interval(
            low=low, high=high, is_low_closed=first.text == "[", is_high_closed=last.text == "]"
        )
    raise UnreadableError("brackets that don't match")


def _signed_tuple(items: list[Value]) -> Value:
    """A tuple; with plus-minus signs in it, the bare list of the tuples that they stand for."""
    choices: list[list[Value]] = [[]]
    for item in items:
        is_double = isinstance(item, Sequence) and item.brackets == "bare"
        options = list(item.items) if isinstance(item, Sequence) and is_double else [item]
        choices = [[*chosen, option] for chosen in choices for option in options]
        if len(choices) > 64:
            raise UnreadableError("too many signs")
    tuples = [Sequence(brackets="round", items=tuple(chosen)) for chosen in choices]
    return tuples[0] if len(tuples) == 1 else Sequence(brackets="bare", items=tuple(tuples))


def _is_expression(tokens: Tokens[Token]) -> bool:
    try:
        parse(tokens)
    except UnreadableError:
        return False
    return True


def _read_set(inner: list[Token], level: int) -> Value:
    """The set of its items, or the condition of `{x | ...}`."""
    if not inner:
        return Quantity(expression=Symbol("emptyset"))
    bars = [
        index
        for index, (token, depth) in enumerate(zip(inner, _depths(inner), strict=True))
        if depth == 0 and token.text in ("|", ":")
    ]
    if len(bars) == 1 and bars[0] > 0 and inner[0].kind == "symbol":
        condition = _read_value(inner[bars[0] + 1 :], level + 1)
        return as_set(condition) or condition
    value = _read_value(inner, level + 1)
    if isinstance(value, Sequence) and value.brackets == "bare":
        return Sequence(brackets="braces", items=value.items)
    if isinstance(value, Quantity | Sequence | Relation):
        return Sequence(brackets="braces", items=(value,))
    return value


def _read_labelled(tokens: list[Token], level: int) -> Value | None:
    """`Minimum: 1` as a labelled value, `3:4` as a ratio; None for anything else."""
    parts = _split(tokens, lambda token: token.text == ":")
    if len(parts) < 2 or not all(parts):
        return None
    if len(parts) == 2 and any(token.kind == "word" for token in parts[0]):
        return Relation(operator="=", left=_words(parts[0]), right=_read_value(parts[1], level + 1))
    if any(len(part) > 12 or "div" in (t.text for t in part) for part in parts):
        return None
    items = [_read_quantity(part) for part in parts]
    return Sequence(brackets="ratio", items=tuple(items))


def _read_quantity(tokens: list[Token]) -> Quantity:
    """An expression with the unit or the words behind it.

    Raises:
        UnreadableError: the tokens are something else.
    """
    if not tokens:
        raise UnreadableError("a value is missing")
    if tokens[-1].text == "%" and len(tokens) > 1:
        inner = _read_quantity(tokens[:-1])
        if not inner.unit:
            return Quantity(expression=Call("percent", (inner.expression,)))
    if tokens[0].kind == "word":
        raise UnreadableError(f"unexpected {tokens[0].text!r}")
    expression, taken = parse_prefix(tokens)
    unit = _unit(tokens[taken:])
    return (
        _upright_unit(tokens, expression)
        if not unit
        else Quantity(expression=expression, unit=unit)
    )


def _upright_unit(tokens: list[Token], expression: Expression) -> Quantity:
    r"""`5\mathrm{m}`: upright letters behind a number are its unit."""
    end = len(tokens)
    while end > 1 and (
        tokens[end - 1].is_upright
        or (tokens[end - 1].text in ("/", "cdot") and tokens[end - 2].is_upright)
        or (end > 2 and tokens[end - 1].kind == "number" and tokens[end - 2].text == "^")
        or (tokens[end - 1].text == "^" and tokens[end - 2].is_upright)
    ):
        end -= 1
    if end < len(tokens) and tokens[end].is_upright and tokens[end - 1].text not in "+-*/=(":
        try:
            return Quantity(expression=parse(tokens[:end]), unit=_unit(tokens[end:]))
        except UnreadableError:
            pass
    return Quantity(expression=expression)


def _unit(tokens: Tokens[Token]) -> str:
    """The text of a unit or of words; empty where nothing is left.

    Raises:
        UnreadableError: the tokens are neither.
    """
    pieces: list[str] = []
    for index, token in enumerate(tokens):
        is_power = token.kind == "number" and index > 0
        if (
            token.kind == "word"
            or token.is_upright
            or is_power
            or (token.kind == "symbol" and index)
        ):
            pieces.append(("" if is_power else " ") + token.text)
        elif token.text in (
            "^",
            "/",
            "cdot",
            "{",
            "}",
            "-",
            ".",
            "(",
            ")",
            "'",
            "*",
            "times",
            "circ",
        ):
            pieces.append(
                {"cdot": " ", "{": "", "}": "", "times": " ", "*": " "}.get(token.text, token.text)
            )
        else:
            raise UnreadableError(f"unexpected {token.text!r}")
    if pieces and not (tokens[0].kind == "word" or tokens[0].is_upright):
        raise UnreadableError(f"unexpected {tokens[0].text!r}")
    return "".join(pieces).strip()


def _words(tokens: Tokens[Token]) -> Value:
    text = " ".join(token.text for token in tokens if token.text[0].isalnum()).lower()
    if text in _INFINITE:
        return Quantity(expression=INFINITY)
    if text in _NOTHING:
        return Quantity(expression=Symbol("emptyset"))
    return Words(text=text)


def as_set(value: Value) -> Value | None:
    """The interval, or the union of two, that a relation of one variable describes."""
    if isinstance(value, Interval | Union):
        return value
    if not isinstance(value, Relation) or not (
        isinstance(value.left, Quantity) and isinstance(value.right, Quantity)
    ):
        return None
    left, right = value.left.expression, value.right.expression
    minus = Call("neg", (INFINITY,))
    if value.operator in ("<", "<="):
        is_closed = value.operator == "<="
        if _is_name(left) and not _is_name(right):
            return Interval(low=minus, high=right, is_low_closed=False, is_high_closed=is_closed)
        if _is_name(right) and not _is_name(left):
            return Interval(low=left, high=INFINITY, is_low_closed=is_closed, is_high_closed=False)
    if value.operator == "!=" and _is_name(left):
        below = Interval(low=minus, high=right, is_low_closed=False, is_high_closed=False)
        above = Interval(low=right, high=INFINITY, is_low_closed=False, is_high_closed=False)
        return Union(parts=(below, above))
    return None


def _is_name(expression: Expression) -> bool:
    if isinstance(expression, Call):
        return expression.head.startswith("apply:")
    return isinstance(expression, Symbol) and expression != INFINITY and expression.name != "pi"


def expanded_signs(value: Value) -> Value:
    r"""The value with `a \pm b` as the two values that it stands for."""
    match value:
        case Quantity():
            signs = [
                p for p in walk(value.expression) if isinstance(p, Call) and p.head in ("pm", "mp")
            ]
            if not signs:
                return value
            both = tuple(
                Quantity(expression=_signed(value.expression, is_upper), unit=value.unit)
                for is_upper in (True, False)
            )
            return Sequence(brackets="bare", items=both)
        case Sequence():
            return _expanded_sequence(value)
        case Relation():
            return Relation(
                operator=value.operator, left=value.left, right=expanded_signs(value.right)
            )
        case _:
            return value


def _expanded_sequence(value: Sequence) -> Value:
    items = [expanded_signs(item) for item in value.items]
    if value.brackets == "round":
        return _signed_tuple(items)
    flat: list[Value] = []
    for old, new in zip(value.items, items, strict=True):
        if new is not old and isinstance(new, Sequence) and not isinstance(old, Sequence):
            flat.extend(new.items)
        else:
            flat.append(new)
    return Sequence(brackets=value.brackets, items=tuple(flat))


def _signed(expression: Expression, is_upper: bool) -> Expression:
    if not isinstance(expression, Call):
        return expression
    args = tuple(_signed(argument, is_upper) for argument in expression.args)
    if expression.head in ("pm", "mp"):
        is_plus = (expression.head == "pm") == is_upper
        inner = args[0]
        if is_plus:
            return inner
        return (
            Number(-inner.value, inner.decimals) if isinstance(inner, Number) else Call("neg", args)
        )
    return Call(expression.head, args)
