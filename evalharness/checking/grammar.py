"""Parses tokens of LaTeX or plain notation into an expression; nothing is dropped or evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from evalharness.checking.building import (
    ends_in_number,
    is_proper,
    negated,
    number_of,
    times,
)
from evalharness.checking.cursor import MAX_DEPTH, Parser
from evalharness.checking.expressions import Call, Expression, Number, Symbol, integer
from evalharness.checking.latex import CONSTANT_COMMANDS, DECORATIONS, read_command
from evalharness.checking.suffixes import with_suffixes
from evalharness.checking.tokens import FUNCTIONS, Token, UnreadableError

_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "|": "|"}
_BASE_NAMES = {
    name: base
    for base, name in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen".split(),
        start=2,
    )
}
_APPLIED = frozenset("fghFGHPQTNSuyδ")
"""Letters that stand for functions before a bracket; after other letters it is a product."""


def parse(tokens: Sequence[Token]) -> Expression:
    """The expression that the tokens spell, all of them.

    Raises:
        UnreadableError: they spell none, or are nested too deeply.
    """
    parser = _Parser(tokens)
    expression = parser.sum(0)
    if parser.position < len(tokens):
        raise UnreadableError(f"unexpected {parser.text!r}")
    return expression


def parse_prefix(tokens: Sequence[Token]) -> tuple[Expression, int]:
    """The longest expression that the tokens begin with, and how many of them it takes.

    Raises:
        UnreadableError: they begin with none.
    """
    parser = _Parser(tokens)
    expression = parser.sum(0)
    return expression, parser.position


class _Parser(Parser):
    """Arithmetic, names and brackets."""

    def sum(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep")
        terms: list[Expression] = []
        while True:
            sign = self._sign(is_first=not terms)
            if sign is None:
                break
            term = self.product(depth + 1)
            if sign == "-":
                term = negated(term)
            elif sign in ("pm", "mp"):
                term = Call(sign, (term,))
            terms.append(term)
        value = terms[0] if len(terms) == 1 else Call("+", tuple(terms))
        if self.take("mod"):  # binds less than all signs before it
            return Call("mod", (value, self.signed_factor(depth)))
        return value

    def _sign(self, *, is_first: bool) -> str | None:
        """The sign before the next term; None where the sum ends."""
        sign = None
        while self.text in ("+", "-", "pm", "mp"):
            new = self.text
            if sign in ("pm", "mp") and new in ("pm", "mp"):
                raise UnreadableError("two signs")
            self.position += 1
            if sign is None or sign == "+":
                sign = new
            elif new == "-":
                sign = {"-": "+", "pm": "mp", "mp": "pm"}[sign]
            elif new in ("pm", "mp"):
                sign = "mp" if new == "pm" else "pm"
        return "+" if sign is None and is_first else sign

    def product(self, depth: int) -> Expression:
        value = self.factor(depth)
        while True:
            text = self.text
            if text in ("*", "cdot", "times"):
                self.position += 1
                value = times(value, self.signed_factor(depth))
            elif text in ("/", "div", ":"):
                self.position += 1
                value = Call("/", (value, self.signed_factor(depth)))
            elif text == "bmod":
                self.position += 1
                value = Call("bmod", (value, self.signed_factor(depth)))
            elif self.starts_factor():
                if self.token is not None and self.token.kind == "number" and ends_in_number(value):
                    raise UnreadableError("two numbers side by side")
                value = times(value, self.factor(depth))
            else:
                return value

    def signed_factor(self, depth: int) -> Expression:
        if self.take("-"):
            return negated(self.signed_factor(depth + 1))
        if self.take("+"):
            return self.signed_factor(depth + 1)
        return self.factor(depth)

    def starts_factor(self) -> bool:
        """Whether a factor can begin at the token at hand, by mere juxtaposition."""
        token = self.token
        if token is None or token.kind == "word":
            return False
        if token.kind in ("number", "symbol"):
            return True
        if token.kind == "operator":
            if token.text == "|":
                return self.num_open_bars == 0
            return token.text in ("(", "[", "{", "\\{")
        return (
            token.text in FUNCTIONS
            or token.text in CONSTANT_COMMANDS
            or token.text in DECORATIONS
            or token.text
            in ("frac", "sqrt", "cbrt", "binom", "lfloor", "lceil", "abs", "floor", "ceil", "sum",
                "prod", "int", "lim", "angle", "triangle", "Vert", "mathbb")
        )  # fmt: skip

    def factor(self, depth: int) -> Expression:
        """An atom with its powers, factorials, percent and degree signs."""
        if depth > MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep")
        start = self.position
        value = with_suffixes(self, self.atom(depth + 1), depth)
        return self._mixed(value, start, depth)

    def _mixed(self, value: Expression, start: int, depth: int) -> Expression:
        """The mixed number, where a whole number stands right before a fraction of two of them."""
        is_whole = (
            self.position == start + 1 and isinstance(value, Number) and value.decimals is None
        )
        if not is_whole or value.value.denominator != 1:  # type: ignore[union-attr]
            return value
        if start and self.tokens[start - 1].text in ("^", "_", "/"):
            return value
        here, following = self.position, self.tokens[self.position : self.position + 4]
        if self.text == "frac":
            fraction = self.factor(depth)
        elif (
            len(following) >= 3
            and [token.kind for token in following[:3]] == ["number", "operator", "number"]
            and following[1].text == "/"
            and following[0].is_spaced
        ):
            self.position += 3
            fraction = Call("/", (number_of(following[0]), number_of(following[2])))
        else:
            return value
        if is_proper(fraction):
            return Call("+", (value, fraction))
        self.position = here
        return value

    def signed_power(self, depth: int) -> Expression:
        """An exponent without braces: a sign, an atom, and a power of it (2^3^4 is 2^(3^4))."""
        if depth > MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep")
        if self.take("-"):
            return negated(self.signed_power(depth + 1))
        value = self.atom(depth + 1)
        if self.text == "^":
            self.position += 1
            return Call("^", (value, self.signed_power(depth + 1)))
        return value

    def inside(self, tokens: Sequence[Token], depth: int) -> Expression:
        parser = _Parser(tokens)
        expression = parser.sum(depth + 1)
        if parser.position < len(tokens):
            raise UnreadableError(f"unexpected {parser.text!r}")
        return expression

    def atom(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep")
        token = self.token
        if token is None:
            raise UnreadableError("the expression ends early")
        if token.kind == "number":
            self.position += 1
            if self.text == "_":
                return self._based(token, depth)
            return number_of(token)
        if token.kind == "symbol":
            self.position += 1
            return self.symbol(token.text, depth)
        if token.kind == "operator" and token.text in _CLOSING:
            return self._bracketed(token.text, depth)
        if token.kind == "command":
            self.position += 1
            return read_command(self, token.text, depth)
        raise UnreadableError(f"unexpected {token.text!r}")

    def _bracketed(self, opening: str, depth: int) -> Expression:
        self.position += 1
        if opening == "|":
            self.num_open_bars += 1
        else:
            outer, self.num_open_bars = self.num_open_bars, 0
        value = self.sum(depth + 1)
        self.expect(_CLOSING[opening])
        if opening == "|":
            self.num_open_bars -= 1
            return Call("abs", (value,))
        self.num_open_bars = outer
        return value

    def _based(self, number: Token, depth: int) -> Expression:
        """Digits in another base than ten: `52_8` is a name, 5*8 + 2 is its value."""
        self.expect("_")
        name = "".join(t.text for t in self.tokens[self.position : self.position + 3]).strip("{}")
        if name in _BASE_NAMES:
            self.position += 3 if self.text == "{" else 1
            return Call("based", (Symbol(number.text), integer(_BASE_NAMES[name])))
        base = self.argument(depth)
        return Call("based", (Symbol(number.text), base))

    def symbol(self, name: str, depth: int) -> Expression:
        if self.text == "_":
            self.position += 1
            name += "_" + self._subscript()
        primes = ""
        while self.text == "'":
            self.position += 1
            primes += "'"
        name += primes
        if self.text == "(" and (name[0] in _APPLIED or self._holds_a_number()):
            return Call(f"apply:{name}", self.arguments(depth))
        return Symbol(name)

    def _holds_a_number(self) -> bool:
        """Whether a bracket with nothing but a number follows: `I(0)` is a value of I."""
        following = self.tokens[self.position + 1 : self.position + 3]
        return [token.kind for token in following] == ["number", "operator"] and (
            following[1].text == ")"
        )

    def _subscript(self) -> str:
        if self.text == "{":
            group = self.group_tokens()
            return "".join(token.text for token in group)
        token = self.token
        if token is None or token.kind == "operator":
            raise UnreadableError("a subscript is missing")
        self.position += 1
        return token.text

    def arguments(
        self, depth: int, opening: str = "(", closing: str = ")"
    ) -> tuple[Expression, ...]:
        """What stands in the brackets at hand, cut at its commas."""
        self.expect(opening)
        outer, self.num_open_bars = self.num_open_bars, 0
        values = [self.sum(depth + 1)]
        while self.take(","):
            values.append(self.sum(depth + 1))
        self.expect(closing)
        self.num_open_bars = outer
        return tuple(values)

    def argument(self, depth: int) -> Expression:
        """The argument of a LaTeX command: a group, or one digit, letter or command."""
        if self.text == "{":
            return self.inside(self.group_tokens(), depth)
        token = self.token
        if token is None:
            raise UnreadableError("an argument is missing")
        if token.kind == "number" and len(token.text) > 1:
            first, rest = token.text[0], token.text[1:]
            self.tokens = [
                *self.tokens[: self.position],
                Token("number", first, token.is_spaced),
                Token("number", rest, is_spaced=False),
                *self.tokens[self.position + 1 :],
            ]
            token = self.tokens[self.position]
        if token.kind in ("number", "symbol"):
            self.position += 1
            return number_of(token) if token.kind == "number" else Symbol(token.text)
        return self.atom(depth + 1)
