"""Reads what may stand behind a value: powers, primes, factorials, percent and degree signs."""

from __future__ import annotations

from evalharness.checking.building import marked, primed
from evalharness.checking.cursor import Parser
from evalharness.checking.expressions import Call, Expression, Symbol
from evalharness.checking.tokens import UnreadableError


def with_suffixes(parser: Parser, value: Expression, depth: int) -> Expression:
    """The value with all signs behind it that belong to it.

    Raises:
        UnreadableError: they say nothing that is known here.
    """
    while True:
        text = parser.text
        if text == "^":
            value = _power(parser, value, depth)
        elif text == "!":
            value = Call(_factorial(parser), (value,))
        elif text == "'":
            parser.position += 1
            value = primed(value)
        elif text == "%":
            parser.position += 1
            value = Call("percent", (value,))
        elif text == "circ":
            parser.position += 1
            value = Call("degrees", (value,))
        elif text == "_" and not isinstance(value, Symbol):
            raise UnreadableError("a subscript of an expression")
        else:
            return value


def _factorial(parser: Parser) -> str:
    """One sign, or the two of a double factorial: `7!!` is 7 * 5 * 3, not the factorial of 7!.

    Raises:
        UnreadableError: there are more.
    """
    signs = ""
    while parser.take("!"):
        signs += "!"
    if len(signs) > 2:
        raise UnreadableError(f"{len(signs)} factorial signs")
    return signs


def _power(parser: Parser, base: Expression, depth: int) -> Expression:
    parser.expect("^")
    if parser.text == "circ":
        parser.position += 1
        return Call("degrees", (base,))
    if parser.text == "'":
        parser.position += 1
        return primed(base)
    if parser.text == "{":
        group = parser.group_tokens()
        if [t.text for t in group] == ["circ"]:
            return Call("degrees", (base,))
        if "".join(t.text for t in group) in ("st", "nd", "rd", "th"):
            return base  # an ordinal is its number
        if group and all(t.text == "'" for t in group):
            for _ in group:
                base = primed(base)
            return base
        if [t.text for t in group] in (["*"], ["+"], ["-"]):
            return marked(base, "^" + group[0].text)
        return Call("^", (base, parser.inside(group, depth)))
    if parser.text in ("+", "-") and isinstance(base, Symbol):
        following = parser.tokens[parser.position + 1 : parser.position + 2]
        if not following or following[0].kind == "operator":
            sign = parser.text
            parser.position += 1
            return marked(base, "^" + sign)
    exponent = parser.signed_power(depth + 1)
    return Call("^", (base, exponent))
