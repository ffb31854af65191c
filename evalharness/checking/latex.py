"""Reads what a LaTeX command stands for: fractions, roots, functions, sums, decorated names."""

from __future__ import annotations

import re

from evalharness.checking.building import times
from evalharness.checking.cursor import Parser
from evalharness.checking.expressions import Call, Expression, Number, Symbol, integer
from evalharness.checking.tokens import FUNCTIONS, Token, UnreadableError

CONSTANT_COMMANDS = {"pi": "pi", "infty": "infty", "emptyset": "emptyset", "ldots": "ldots"}
_DIFFERENTIAL = re.compile(
    r"(?P<sign>d|partial)(?: \^ (?:\d|n|\{ (?:\d|n) \}))?(?P<of>(?: (?!partial)[A-Za-z]+"
    r"(?: \^ (?:\d|n|\{ (?:\d|n) \}))?)?)"
)
DECORATIONS = frozenset(
    "vec hat bar overline tilde dot ddot widehat widetilde overrightarrow mathbb mathcal mathfrak "
    "mathscr acute breve check underline overarc wideparen overset".split()
)


def read_command(parser: Parser, name: str, depth: int) -> Expression:
    """The expression that begins with the command of that name, which is passed already."""
    if name == "frac":
        return _fraction(parser, depth)
    if name == "binom":
        return Call("binom", (parser.argument(depth), parser.argument(depth)))
    if name == "sqrt":
        return _root(parser, depth)
    if name == "cbrt":
        return Call("root", (integer(3), parser.argument(depth)))
    if name in CONSTANT_COMMANDS:
        return Symbol(CONSTANT_COMMANDS[name])
    if name in ("abs", "floor", "ceil"):
        return Call(name, (parser.argument(depth),))
    if name in ("lfloor", "lceil", "Vert"):
        closing = {"lfloor": "rfloor", "lceil": "rceil", "Vert": "Vert"}[name]
        value = parser.sum(depth + 1)
        parser.expect(closing)
        return Call({"lfloor": "floor", "lceil": "ceil", "Vert": "norm"}[name], (value,))
    if name in DECORATIONS:
        inner = parser.group_tokens() if parser.text == "{" else [parser.one()]
        return parser.symbol(f"{name}:" + "".join(token.text for token in inner), depth)
    if name in ("angle", "triangle"):
        letters = ""
        while parser.token is not None and parser.token.kind == "symbol":
            letters += str(_symbol_name(parser, depth))
        return Symbol(f"{name}:{letters}")
    if name in FUNCTIONS:
        return _function(parser, name, depth)
    if name in ("sum", "prod", "int", "lim"):
        return _big(parser, name, depth)
    raise UnreadableError(f"the command \\{name}")


def _symbol_name(parser: Parser, depth: int) -> str:
    token = parser.one()
    value = parser.symbol(token.text, depth)
    return value.name if isinstance(value, Symbol) else "?"


def _fraction(parser: Parser, depth: int) -> Expression:
    r"""A quotient; the derivative `\frac{dy}{dx}` is a name.

    Raises:
        UnreadableError: a derivative of what stands behind it, or no fraction at all.
    """
    start = parser.position
    sides = [parser.group_tokens() if parser.text == "{" else [] for _ in range(2)]
    over, under = (_DIFFERENTIAL.fullmatch(" ".join(t.text for t in side)) for side in sides)
    if over and under and under["of"] and over["sign"] == under["sign"]:
        if not over["of"]:
            raise UnreadableError("a derivative")
        return Symbol(f"{over[0]}/{under[0]}".replace(" ", ""))
    parser.position = start
    return Call("/", (parser.argument(depth), parser.argument(depth)))


def _root(parser: Parser, depth: int) -> Expression:
    degree: Expression = integer(2)
    if parser.take("["):
        degree = parser.sum(depth + 1)
        parser.expect("]")
    return Call("root", (degree, parser.argument(depth)))


def _function(parser: Parser, name: str, depth: int) -> Expression:
    base: Expression | None = None
    power: Expression | None = None
    for _ in range(2):
        if parser.text == "_" and base is None:
            parser.position += 1
            base = parser.argument(depth)
        elif parser.text == "^" and power is None:
            parser.position += 1
            power = (
                parser.inside(parser.group_tokens(), depth)
                if parser.text == "{"
                else parser.argument(depth)
            )
    if parser.text == "(":
        args = parser.arguments(depth)
        if parser.text == "^" and power is None and name != "exp":
            parser.position += 1
            power = parser.argument(depth) if parser.text == "{" else parser.signed_power(depth + 1)
    elif parser.text == "\\{" and name in ("max", "min", "gcd", "lcm"):
        args = parser.arguments(depth, "\\{", "\\}")
    else:
        args = (_function_argument(parser, depth),)
    return _applied(name, args, base, power)


def _function_argument(parser: Parser, depth: int) -> Expression:
    """Without brackets: factors side by side up to the next sign, function or bracket."""
    value = parser.signed_factor(depth + 1)
    while (
        parser.starts_factor()
        and parser.text not in FUNCTIONS
        and parser.text not in ("(", "[", "sum", "prod", "int", "lim")
    ):
        value = times(value, parser.factor(depth + 1))
    if parser.text == "/" and parser.position + 1 < len(parser.tokens):
        following = parser.tokens[parser.position + 1]
        if isinstance(value, Symbol | Number) and following.kind == "number":
            parser.position += 1
            value = Call("/", (value, parser.factor(depth + 1)))
    return value


def _big(parser: Parser, name: str, depth: int) -> Expression:
    """A sum, product, integral or limit with its bounds: (variable, low, high, body)."""
    low: list[Token] = []
    high: list[Token] = []
    for _ in range(2):
        if parser.text in ("_", "^"):
            mark = parser.text
            parser.position += 1
            group = parser.group_tokens() if parser.text == "{" else [parser.one()]
            if mark == "_":
                low = group
            else:
                high = group
    if name == "int":
        raise UnreadableError("an integral")
    body = parser.product(depth + 1)
    separators = [i for i, t in enumerate(low) if t.text in ("=", "to")]
    if len(separators) != 1 or (name != "lim" and not high):
        raise UnreadableError(f"a {name} without bounds")
    cut = separators[0]
    variable = parser.inside(low[:cut], depth)
    start = parser.inside(low[cut + 1 :], depth)
    if name == "lim":
        return Call("lim", (variable, start, body))
    return Call(name, (variable, start, parser.inside(high, depth), body))


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
