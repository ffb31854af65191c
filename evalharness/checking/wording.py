"""Words that say mathematics become signs: bounds, powers of ten, percent, opposites."""

from __future__ import annotations

from collections.abc import Sequence as Tokens

from evalharness.checking.tokens import Token, UnreadableError, exact_number
from evalharness.checking.units import parse_unit

_SIGNS = {
    "percent": Token("operator", "%", True),
    "percents": Token("operator", "%", True),
    "pct": Token("operator", "%", True),
    "and": Token("command", "and", True),
    "or": Token("command", "or", True),
    "infinity": Token("command", "infty", True),
    "mod": Token("command", "mod", True),
    "modulo": Token("command", "mod", True),
}
_DEGREES = frozenset(["degrees", "degree", "deg"])

_BOUNDS = {
    tuple(words.split()): sign
    for sign, phrases in {
        "ge": ["at least", "no less than", "not less than", "no fewer than", "not fewer than",
               "greater than or equal to", "more than or equal to"],
        "le": ["at most", "no more than", "not more than", "up to", "less than or equal to",
               "fewer than or equal to"],
        ">": ["more than", "greater than", "larger than", "bigger than"],
        "<": ["less than", "fewer than", "smaller than"],
        "ne": ["not", "not equal to", "unequal to", "different from"],
    }.items()
    for words in phrases
}  # fmt: skip
"""Before mathematics, and not behind a number: `5 less than x` is a difference."""
_LONGEST_BOUND = max(map(len, _BOUNDS))

_INFIX = {"plus": "+", "minus": "-", "negative": "-", "times": "*"}

_POSTFIX = {
    "squared": [Token("operator", "^", False), Token("number", "2", False)],
    "cubed": [Token("operator", "^", False), Token("number", "3", False)],
    "factorial": [Token("operator", "!", False)],
}
"""Behind a value; behind a unit they belong to it."""

_MULTIPLES = {
    "dozen": 12, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9,
    "trillion": 10**12,
}  # fmt: skip
"""Behind a number: `2.5 million`."""

_NUMERALS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
}
"""As the whole answer."""

_OPENS_ARGUMENT = frozenset(["(", "{", "\\{", "[", "_", "|"])
_BINDING = frozenset(["/", "^", "_", "{"])

_OPPOSITES = (
    ("am", "pm"), ("ad", "bc"), ("above", "below"), ("over", "under"), ("north", "south"),
    ("east", "west"), ("left", "right"), ("gain", "loss"), ("profit", "loss"),
    ("increase", "decrease"), ("more", "less"), ("more", "fewer"), ("older", "younger"),
    ("clockwise", "counterclockwise"), ("forward", "backward"), ("deposit", "withdrawal"),
)  # fmt: skip


def with_signs(tokens: Tokens[Token]) -> list[Token]:
    """The tokens with a sign for each word that is one."""
    if len(tokens) == 1 and tokens[0].text.lower() in _NUMERALS:
        return [Token("number", str(_NUMERALS[tokens[0].text.lower()]), False)]
    result: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if token.kind != "word":
            result.append(_minutes(tokens, index) or token)
            index += 1
            continue
        sign, taken = _bound(tokens, index, result[-1] if result else None)
        word = token.text.lower()
        if sign is not None:
            result.append(sign)
        elif word in _DEGREES and result:
            result.append(Token("command", "circ", token.is_spaced))
        elif word in _MULTIPLES and result and result[-1].kind != "word":
            result[-1] = _multiplied(result, _MULTIPLES[word])
        elif (
            word in _POSTFIX and result and not (result[-1].kind == "word" or result[-1].is_upright)
        ):
            result += _postfix(word, result[-1])
        elif word in _INFIX and tokens[index + 1 :] and tokens[index + 1].kind != "word":
            result.append(Token("operator", _INFIX[word], token.is_spaced))
        elif word in ("is", "equals") and _names_value(tokens, index):
            result.append(Token("operator", "=", True))
        elif word == "and" and _joins_measures(tokens, index):
            pass
        elif word == "below" and [t.text.lower() for t in tokens[index + 1 :]] == ["zero"]:
            raise UnreadableError("below zero")
        elif _is_out_of(tokens, index):
            result.append(Token("operator", "/", True))
            taken = 2
        else:
            result.append(_SIGNS.get(word, token)._replace(is_spaced=token.is_spaced))
        index += taken
    return result


def _minutes(tokens: Tokens[Token], index: int) -> Token | None:
    """The unit that shares its name with the function: `30 min`, but not `3 min(1, 2)`."""
    if tokens[index].text != "min" or not index or tokens[index - 1].kind != "number":
        return None
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    return None if after in _OPENS_ARGUMENT else Token("word", "min", True, is_upright=True)


def _bound(tokens: Tokens[Token], index: int, before: Token | None) -> tuple[Token | None, int]:
    """The sign of the phrase that begins here, and how many words it has."""
    if before is not None and (before.kind == "number" or before.text in (")", "}", "%")):
        return None, 1
    for length in range(_LONGEST_BOUND, 0, -1):
        words = tokens[index : index + length]
        sign = _BOUNDS.get(tuple(token.text.lower() for token in words))
        if sign is None or any(token.kind != "word" for token in words):
            continue
        after = tokens[index + length : index + length + 1]
        if after and after[0].kind != "word":
            return Token("command" if sign.isalpha() else "operator", sign, True), length
    return None, 1


def _postfix(word: str, value: Token) -> list[Token]:
    """The signs of `squared` behind the last token of a value.

    Raises:
        UnreadableError: it doesn't say of how much.
    """
    if value.kind in ("number", "symbol") or value.text == ")":
        return _POSTFIX[word]
    raise UnreadableError(f"{value.text} {word}")


def _multiplied(tokens: Tokens[Token], factor: int) -> Token:
    """The last number of the tokens, so many times.

    Raises:
        UnreadableError: it is no whole number, or not what is multiplied, as in `1/2 million`.
    """
    number = tokens[-1]
    if number.kind == "number" and (len(tokens) < 2 or tokens[-2].text not in _BINDING):
        value = exact_number(number.text)[0] * factor
        if value.denominator == 1:
            return number._replace(text=str(value.numerator))
    raise UnreadableError(f"a multiple of {factor:,}")


def _is_out_of(tokens: Tokens[Token], index: int) -> bool:
    """`2 out of 3`, which is a quotient."""
    around = tokens[index - 1 : index + 4] if index else []
    return (
        len(around) >= 4
        and [token.text.lower() for token in around[1:3]] == ["out", "of"]
        and around[0].kind == around[3].kind == "number"
    )


def _names_value(tokens: Tokens[Token], index: int) -> bool:
    """`x is 5`, which is `x = 5`."""
    after = tokens[index + 1 : index + 2]
    return index == 1 and tokens[0].kind == "symbol" and bool(after) and after[0].kind != "word"


def _joins_measures(tokens: Tokens[Token], index: int) -> bool:
    """`5 hours and 30 minutes`, which is one time and no list."""
    around = tokens[max(index - 2, 0) : index + 3]
    if [token.kind == "number" for token in around] != [True, False, False, True, False]:
        return False
    larger, smaller = parse_unit(around[1].text), parse_unit(around[4].text)
    return (
        larger is not None
        and smaller is not None
        and larger.dimensions == smaller.dimensions
        and larger.factor > smaller.factor
    )


def are_opposite(one: str, other: str) -> bool:
    """Whether the words behind two numbers say opposite things: `2 pm` and `2 am`."""
    words = set(one.lower().split()), set(other.lower().split())
    return any(
        (first in words[0] and second in words[1] and first not in words[1])
        or (second in words[0] and first in words[1] and second not in words[1])
        for first, second in _OPPOSITES
    )
