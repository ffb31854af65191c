"""Parses tokens of LaTeX or plain notation into an expression; nothing is dropped or evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from evalharness.checking.expressions import Call, Expression, Number, Symbol, integer
from evalharness.checking.tokens import FUNCTIONS, Token, UnreadableError, exact_number

MAX_DEPTH = 60

_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "|": "|"}
_CONSTANT_COMMANDS = {"pi": "pi", "infty": "infty", "emptyset": "emptyset", "ldots": "ldots"}
_DECORATIONS = frozenset(
    "vec hat bar overline tilde dot ddot widehat widetilde overrightarrow mathbb mathcal mathfrak "
    "mathscr acute breve check underline overarc wideparen overset".split()
)
_BINARY = frozenset({"cdot", "times", "div", "mod", "pm", "mp"})
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


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.num_open_bars = 0

    @property
    def text(self) -> str:
        """Of the token at hand; empty at the end and for words."""
        if self.position >= len(self.tokens):
            return ""
        token = self.tokens[self.position]
        return token.text if token.kind not in ("word", "number") else ""

    @property
    def token(self) -> Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self, text: str) -> bool:
        if self.text == text:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise UnreadableError(f"{text!r} is missing before {self.text!r}")

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
                term = _negated(term)
            elif sign in ("pm", "mp"):
                term = Call(sign, (term,))
            terms.append(term)
        if len(terms) == 1:
            return terms[0]
        return Call("+", tuple(terms))

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
                value = _times(value, self.signed_factor(depth))
            elif text in ("/", "div", ":"):
                self.position += 1
                value = Call("/", (value, self.signed_factor(depth)))
            elif text == "mod":
                self.position += 1
                value = Call("mod", (value, self.signed_factor(depth)))
            elif self.starts_factor():
                if (
                    self.token is not None
                    and self.token.kind == "number"
                    and _ends_in_number(value)
                ):
                    raise UnreadableError("two numbers side by side")
                value = _times(value, self.factor(depth))
            else:
                return value

    def signed_factor(self, depth: int) -> Expression:
        if self.take("-"):
            return _negated(self.signed_factor(depth + 1))
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
            or token.text in _CONSTANT_COMMANDS
            or token.text in _DECORATIONS
            or token.text
            in ("frac", "sqrt", "cbrt", "binom", "lfloor", "lceil", "abs", "floor", "ceil", "sum",
                "prod", "int", "lim", "angle", "triangle", "Vert", "mathbb")
        )  # fmt: skip

    def factor(self, depth: int) -> Expression:
        """An atom with its powers, factorials, percent and degree signs."""
        if depth > MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep")
        start = self.position
        value = self.atom(depth + 1)
        while True:
            text = self.text
            if text == "^":
                value = self._power(value, depth)
            elif text == "!":
                self.position += 1
                value = Call("!", (value,))
            elif text == "'":
                self.position += 1
                value = _primed(value)
            elif text == "%":
                self.position += 1
                value = Call("percent", (value,))
            elif text == "circ":
                self.position += 1
                value = Call("degrees", (value,))
            elif text == "_" and not isinstance(value, Symbol):
                value = self._subscripted(value)
            else:
                break
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
            fraction = Call("/", (_number(following[0]), _number(following[2])))
        else:
            return value
        if _is_proper(fraction):
            return Call("+", (value, fraction))
        self.position = here
        return value

    def _power(self, base: Expression, depth: int) -> Expression:
        self.expect("^")
        if self.text == "circ":
            self.position += 1
            return Call("degrees", (base,))
        if self.text == "'":
            self.position += 1
            return _primed(base)
        if self.text == "{":
            group = self._group_tokens()
            if [t.text for t in group] == ["circ"]:
                return Call("degrees", (base,))
            if "".join(t.text for t in group) in ("st", "nd", "rd", "th"):
                return base  # an ordinal is its number
            if group and all(t.text == "'" for t in group):
                for _ in group:
                    base = _primed(base)
                return base
            if [t.text for t in group] in (["*"], ["+"], ["-"]):
                return _renamed(base, "^" + group[0].text)
            return Call("^", (base, self._inside(group, depth)))
        if self.text in ("+", "-") and isinstance(base, Symbol):
            following = self.tokens[self.position + 1 : self.position + 2]
            if not following or following[0].kind == "operator":
                sign = self.text
                self.position += 1
                return _renamed(base, "^" + sign)
        exponent = self.signed_power(depth + 1)
        return Call("^", (base, exponent))

    def signed_power(self, depth: int) -> Expression:
        """An exponent without braces: a sign, an atom, and a power of it (2^3^4 is 2^(3^4))."""
        if depth > MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep")
        if self.take("-"):
            return _negated(self.signed_power(depth + 1))
        value = self.atom(depth + 1)
        if self.text == "^":
            self.position += 1
            return Call("^", (value, self.signed_power(depth + 1)))
        return value

    def _group_tokens(self) -> list[Token]:
        """The tokens between the braces at hand, which are passed."""
        self.expect("{")
        start, level = self.position, 1
        while self.position < len(self.tokens):
            text = self.text
            level += (text == "{") - (text == "}")
            self.position += 1
            if level == 0:
                return list(self.tokens[start : self.position - 1])
        raise UnreadableError("a brace that never closes")

    def _inside(self, tokens: Sequence[Token], depth: int) -> Expression:
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
            return _number(token)
        if token.kind == "symbol":
            self.position += 1
            return self._symbol(token.text, depth)
        if token.kind == "operator" and token.text in _CLOSING:
            return self._bracketed(token.text, depth)
        if token.kind == "command":
            self.position += 1
            return self._command(token.text, depth)
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
        base = self._argument(depth)
        return Call("based", (Symbol(number.text), base))

    def _symbol(self, name: str, depth: int) -> Expression:
        if self.text == "_":
            self.position += 1
            name += "_" + self._subscript()
        primes = ""
        while self.text == "'":
            self.position += 1
            primes += "'"
        name += primes
        if self.text == "(" and (name[0] in _APPLIED or self._holds_a_number()):
            return Call(f"apply:{name}", self._arguments(depth))
        return Symbol(name)

    def _holds_a_number(self) -> bool:
        """Whether a bracket with nothing but a number follows: `I(0)` is a value of I."""
        following = self.tokens[self.position + 1 : self.position + 3]
        return [token.kind for token in following] == ["number", "operator"] and (
            following[1].text == ")"
        )

    def _subscript(self) -> str:
        if self.text == "{":
            group = self._group_tokens()
            return "".join(token.text for token in group)
        token = self.token
        if token is None or token.kind == "operator":
            raise UnreadableError("a subscript is missing")
        self.position += 1
        return token.text

    def _subscripted(self, value: Expression) -> Expression:
        self.expect("_")
        if isinstance(value, Call) and value.head.startswith("decorated:"):
            return Call(f"{value.head}_{self._subscript()}", value.args)
        raise UnreadableError("a subscript of an expression")

    def _arguments(self, depth: int) -> tuple[Expression, ...]:
        """What stands in the round brackets at hand, cut at its commas."""
        self.expect("(")
        outer, self.num_open_bars = self.num_open_bars, 0
        values = [self.sum(depth + 1)]
        while self.take(","):
            values.append(self.sum(depth + 1))
        self.expect(")")
        self.num_open_bars = outer
        return tuple(values)

    def _argument(self, depth: int) -> Expression:
        """The argument of a LaTeX command: a group, or one digit, letter or command."""
        if self.text == "{":
            return self._inside(self._group_tokens(), depth)
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
            return _number(token) if token.kind == "number" else _constant(token.text)
        return self.atom(depth + 1)

    def _command(self, name: str, depth: int) -> Expression:
        if name == "frac":
            return Call("/", (self._argument(depth), self._argument(depth)))
        if name == "binom":
            return Call("binom", (self._argument(depth), self._argument(depth)))
        if name == "sqrt":
            return self._root(depth)
        if name == "cbrt":
            return Call("root", (integer(3), self._argument(depth)))
        if name in _CONSTANT_COMMANDS:
            return Symbol(_CONSTANT_COMMANDS[name])
        if name in ("abs", "floor", "ceil"):
            return Call(name, (self._argument(depth),))
        if name in ("lfloor", "lceil", "Vert"):
            closing = {"lfloor": "rfloor", "lceil": "rceil", "Vert": "Vert"}[name]
            value = self.sum(depth + 1)
            self.expect(closing)
            return Call({"lfloor": "floor", "lceil": "ceil", "Vert": "norm"}[name], (value,))
        if name in _DECORATIONS:
            inner = self._group_tokens() if self.text == "{" else [self._one()]
            return self._symbol(f"{name}:" + "".join(token.text for token in inner), depth)
        if name in ("angle", "triangle"):
            letters = ""
            while self.token is not None and self.token.kind == "symbol":
                letters += str(self._symbol_name(depth))
            return Symbol(f"{name}:{letters}")
        if name in FUNCTIONS:
            return self._function(name, depth)
        if name in ("sum", "prod", "int", "lim"):
            return self._big(name, depth)
        raise UnreadableError(f"the command \\{name}")

    def _symbol_name(self, depth: int) -> str:
        token = self._one()
        value = self._symbol(token.text, depth)
        return value.name if isinstance(value, Symbol) else "?"

    def _one(self) -> Token:
        token = self.token
        if token is None:
            raise UnreadableError("an argument is missing")
        self.position += 1
        return token

    def _root(self, depth: int) -> Expression:
        degree: Expression = integer(2)
        if self.take("["):
            degree = self.sum(depth + 1)
            self.expect("]")
        return Call("root", (degree, self._argument(depth)))

    def _function(self, name: str, depth: int) -> Expression:
        base: Expression | None = None
        power: Expression | None = None
        for _ in range(2):
            if self.text == "_" and base is None:
                self.position += 1
                base = self._argument(depth)
            elif self.text == "^" and power is None:
                self.position += 1
                power = (
                    self._inside(self._group_tokens(), depth)
                    if self.text == "{"
                    else self._argument(depth)
                )
        if self.text == "(":
            args = self._arguments(depth)
            if self.text == "^" and power is None and name != "exp":
                self.position += 1
                power = self._argument(depth) if self.text == "{" else self.signed_power(depth + 1)
        else:
            args = (self._function_argument(depth),)
        return _applied(name, args, base, power)

    def _function_argument(self, depth: int) -> Expression:
        """Without brackets: factors side by side up to the next sign, function or bracket."""
        value = self.signed_factor(depth + 1)
        while (
            self.starts_factor()
            and self.text not in FUNCTIONS
            and self.text not in ("(", "[", "sum", "prod", "int", "lim")
        ):
            value = _times(value, self.factor(depth + 1))
        if self.text == "/" and self.position + 1 < len(self.tokens):
            following = self.tokens[self.position + 1]
            if isinstance(value, Symbol | Number) and following.kind == "number":
                self.position += 1
                value = Call("/", (value, self.factor(depth + 1)))
        return value

    def _big(self, name: str, depth: int) -> Expression:
        """A sum, product, integral or limit with its bounds: (variable, low, high, body)."""
        low: list[Token] = []
        high: list[Token] = []
        for _ in range(2):
            if self.text in ("_", "^"):
                mark = self.text
                self.position += 1
                group = self._group_tokens() if self.text == "{" else [self._one()]
                if mark == "_":
                    low = group
                else:
                    high = group
        if name == "int":
            raise UnreadableError("an integral")
        body = self.product(depth + 1)
        separators = [i for i, t in enumerate(low) if t.text in ("=", "to")]
        if len(separators) != 1 or (name != "lim" and not high):
            raise UnreadableError(f"a {name} without bounds")
        cut = separators[0]
        variable = self._inside(low[:cut], depth)
        start = self._inside(low[cut + 1 :], depth)
        if name == "lim":
            return Call("lim", (variable, start, body))
        return Call(name, (variable, start, self._inside(high, depth), body))


def _applied(
    name: str, args: tuple[Expression, ...], base: Expression | None, power: Expression | None
) -> Expression:
    if power == Call("neg", (integer(1),)) or power == Number(integer(-1).value):
        inverse = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot"}
        if name in inverse:
            return _applied(inverse[name], args, base, None)
    value: Expression
    if name in ("log", "lg", "ln"):
        if len(args) != 1:
            raise UnreadableError(f"{name} of {len(args)} values")
        if base is not None:
            value = Call("log", (base, args[0]))
        else:
            value = Call({"lg": "log10", "log": "logarithm"}.get(name, name), args)
    elif name == "exp":
        value = Call("^", (Symbol("e"), args[0]))
    else:
        if base is not None:
            name = f"apply:{name}_base"
            args = (base, *args)
        value = Call(name, args)
    return value if power is None else Call("^", (value, power))


def _number(token: Token) -> Number:
    value, decimals = exact_number(token.text)
    return Number(value, decimals)


def _constant(name: str) -> Symbol:
    return Symbol(name)


def _negated(value: Expression) -> Expression:
    if isinstance(value, Number):
        return Number(-value.value, value.decimals)
    return Call("neg", (value,))


def _times(left: Expression, right: Expression) -> Expression:
    if isinstance(left, Call) and left.head == "*":
        return Call("*", (*left.args, right))
    return Call("*", (left, right))


def _ends_in_number(value: Expression) -> bool:
    if isinstance(value, Call) and value.head == "*":
        return _ends_in_number(value.args[-1])
    return isinstance(value, Number)


def _primed(value: Expression) -> Expression:
    if isinstance(value, Call) and value.head != "degrees" and value.head.startswith("apply:"):
        return Call(value.head + "'", value.args)
    return _renamed(value, "'")


def _renamed(value: Expression, mark: str) -> Expression:
    if isinstance(value, Symbol):
        return Symbol(value.name + mark)
    return Call("marked:" + mark, (value,))


def _is_proper(fraction: Expression) -> bool:
    if not isinstance(fraction, Call) or fraction.head != "/":
        return False
    numerator, denominator = fraction.args
    return (
        isinstance(numerator, Number)
        and isinstance(denominator, Number)
        and numerator.value.denominator == denominator.value.denominator == 1
        and 0 < numerator.value < denominator.value
    )
