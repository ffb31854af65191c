"""Reads quantities: an expression with its unit, or words."""

from __future__ import annotations

from collections.abc import Sequence as Tokens

from evalharness.checking.cutting import NEGATIONS
from evalharness.checking.expressions import Call, Expression, Number, Symbol
from evalharness.checking.forms import REALS
from evalharness.checking.grammar import parse, parse_prefix
from evalharness.checking.tokens import Token, UnreadableError
from evalharness.checking.units import UNITS, parse_unit
from evalharness.checking.values import INFINITY, Quantity, Value, Words

_OPERATIONS = frozenset(
    "half third quarter twice thrice double triple square cube root inverse reciprocal opposite "
    "multiple power factorial logarithm between".split()
)
"""Before a number they make another of it: `half of 6`."""
_INFINITE = frozenset(["infinitely many", "infinite", "infinity", "infinitely many solutions"])
_REALS = frozenset(
    ["all real numbers", "all reals", "any real number", "all real values", "the real numbers"]
)
_UNDEFINED = frozenset(["undefined", "not defined", "does not exist", "doesn't exist", "dne"])
_NOTHING = frozenset(
    ["none", "no solution", "no solutions", "empty set", "the empty set", "no real solutions"]
)


def read_quantity(tokens: list[Token]) -> Quantity:
    """An expression with the unit or the words behind it.

    Raises:
        UnreadableError: the tokens are something else.
    """
    if not tokens:
        raise UnreadableError("a value is missing")
    if tokens[-1].text == "%" and len(tokens) > 1:
        inner = read_quantity(tokens[:-1])
        if not inner.unit:
            return Quantity(expression=Call("percent", (inner.expression,)))
    if tokens[0].kind == "word":
        return _number_among_words(tokens)
    compound = _compound(tokens)
    if compound is not None:
        return compound
    expression, taken = parse_prefix(tokens)
    unit = _unit(tokens[taken:])
    return (
        _upright_unit(tokens, expression)
        if not unit
        else Quantity(expression=expression, unit=unit)
    )


def _compound(tokens: Tokens[Token]) -> Quantity | None:
    """`1 hour 30 minutes`, in its first unit; None for anything else."""
    if (
        len(tokens) < 4
        or len(tokens) % 2
        or any(token.kind != "number" for token in tokens[::2])
        or any(token.kind != "word" and not token.is_upright for token in tokens[1::2])
    ):
        return None
    units = [parse_unit(token.text) for token in tokens[1::2]]
    first = units[0]
    if first is None or any(u is None or u.dimensions != first.dimensions for u in units):
        return None
    terms = [
        Call("*", (parse([number]), Number(unit.factor / first.factor)))
        for number, unit in zip(tokens[::2], units, strict=True)
        if unit is not None
    ]
    return Quantity(expression=Call("+", tuple(terms)), unit=tokens[1].text)


def _number_among_words(tokens: Tokens[Token]) -> Quantity:
    """`Jane started 3 hours ago`: the only number in a sentence.

    Raises:
        UnreadableError: there is none, or more, or other mathematics.
    """
    numbers = [token for token in tokens if token.kind == "number"]
    others = [token for token in tokens if token.kind != "number"]
    if len(numbers) == 1 and all(token.kind == "word" for token in others):
        before = {token.text.lower() for token in tokens[: tokens.index(numbers[0])]}
        words = {token.text.lower() for token in others}
        is_another = bool(before & _OPERATIONS or words & NEGATIONS)
    else:
        is_another = True
    if is_another:
        raise UnreadableError(f"unexpected {tokens[0].text!r}")
    return Quantity(expression=parse(numbers), unit=" ".join(token.text for token in others))


def _upright_unit(tokens: list[Token], expression: Expression) -> Quantity:
    r"""`5\mathrm{m}`: upright letters behind a number are its unit."""
    end = len(tokens)
    while (before := _before_unit(tokens, end)) < end:
        end = before
    names = [token.text for token in tokens[end:]]
    if names in (["i"], ["e"]):
        return Quantity(expression=expression)  # set upright as constants are
    if end < len(tokens) and tokens[end].is_upright and tokens[end - 1].text not in "+-*/=(":
        try:
            return Quantity(expression=parse(tokens[:end]), unit=_unit(tokens[end:]))
        except UnreadableError:
            pass
    return Quantity(expression=expression)


def _before_unit(tokens: Tokens[Token], end: int) -> int:
    """Where the last part of a unit before `end` begins: a letter, its power, a sign between."""
    start = end
    if start and tokens[start - 1].text == "}":
        start -= 1
    if start and tokens[start - 1].kind == "number":
        start -= 1
        if start and tokens[start - 1].text == "-":
            start -= 1
        if start and tokens[start - 1].text == "{":
            start -= 1
        if not start or tokens[start - 1].text != "^":
            return end
        start -= 1
    if start > 1 and tokens[start - 1].is_upright:
        return start - 1
    is_joint = start == end and start > 2 and tokens[start - 1].text in ("/", "cdot")
    return start - 1 if is_joint and tokens[start - 2].is_upright else end


def _unit(tokens: Tokens[Token]) -> str:
    """The text of a unit or of words; empty where nothing is left.

    Raises:
        UnreadableError: the tokens are neither.
    """
    pieces: list[str] = []
    is_sure = True
    for index, token in enumerate(tokens):
        is_power = token.kind == "number" and index > 0
        if is_power:
            is_sure &= token.text.isdigit() and _is_exponent(tokens[:index])
        elif index + 1 == len(tokens) and token.kind != "word" and token.text in _JOINTS:
            raise UnreadableError(f"nothing behind {token.text!r}")
        elif token.kind == "symbol" and not token.is_upright:
            is_sure &= tokens[index - 1].text == "/" and token.text in UNITS
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
    text = "".join(pieces).strip()
    if not is_sure and parse_unit(text) is None:
        raise UnreadableError(f"mathematics behind {tokens[0].text!r}")
    return text


_JOINTS = frozenset(["^", "/", "cdot", "times", "*", "-", "("])


def _is_exponent(before: Tokens[Token]) -> bool:
    """Whether a whole number behind these tokens is a power: `^2`, `^{2`, `^{-2`, `^-2`."""
    texts = [token.text for token in before[-3:]]
    if texts and texts[-1] == "-":
        texts.pop()
    if texts and texts[-1] == "{":
        texts.pop()
    return bool(texts) and texts[-1] == "^"


def read_words(tokens: Tokens[Token]) -> Value:
    """The words; those for infinity and for nothing are the symbols that they name."""
    text = " ".join(token.text for token in tokens if token.text[0].isalnum()).lower()
    article, _, noun = text.partition(" ")
    text = noun if article in ("a", "an") and noun else text
    if text in _UNDEFINED:
        return Words(text="undefined")
    if text in _INFINITE:
        return Quantity(expression=INFINITY)
    if text in _NOTHING:
        return Quantity(expression=Symbol("emptyset"))
    if text in _REALS:
        return Quantity(expression=REALS)
    is_name = len(tokens) > 2 and tokens[0].text[0].isupper()
    others = [token.text for token in tokens[1:] if token.text[0].isupper()]
    is_statement = is_name and not others and not NEGATIONS & set(text.split())
    return Words(text=text, subject=tokens[0].text.lower() if is_statement else "")
