"""Expressions as plain data: built by our own parser, compared without computer algebra."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MAX_BITS = 200_000
"""Of an exact number; anything larger is not computed."""
MAX_FACTORIAL = 5_000


class TooLargeError(ValueError):
    """An exact value would be too large to compute."""


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number as it was written."""

    value: Fraction
    decimals: int | None = None
    """Digits after its point; None for an integer or a number with an exponent."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable or a named constant (`pi`, `e`, `i`, `infty`); a subscript is part of its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operation or a function over its arguments.

    Heads: `+ * / ^ neg ! !! root(n, x) abs floor ceil binom percent degrees based(digits, base)`,
    `bmod(a, m)` for a remainder, `mod(a, m)` for a residue class, the functions of
    `tokens.FUNCTIONS`, `log(base, x)`, `logarithm(x)` without a stated base,
    `sum/prod/lim`, `marked:'` for primes, and `apply:f` for an unknown function f.
    """

    head: str
    args: tuple[Expression, ...]


Expression = Number | Symbol | Call

CONSTANTS = frozenset({"pi", "e", "i", "infty", "emptyset"})


def integer(value: int) -> Number:
    """The number."""
    return Number(Fraction(value))


def walk(expression: Expression) -> Iterator[Expression]:
    """Every part of the expression, itself first."""
    stack = [expression]
    while stack:
        part = stack.pop()
        yield part
        if isinstance(part, Call):
            stack.extend(part.args)


def free_symbols(expression: Expression) -> frozenset[str]:
    """The names that aren't constants and aren't bound by a sum, a product or an integral."""
    if isinstance(expression, Number):
        return frozenset()
    if isinstance(expression, Symbol):
        return frozenset() if expression.name in CONSTANTS else frozenset({expression.name})
    if expression.head == "based":  # its digits are no name
        return free_symbols(expression.args[1])
    inner = frozenset[str]().union(*map(free_symbols, expression.args))
    if expression.head in ("sum", "prod", "int") and isinstance(expression.args[0], Symbol):
        inner -= {expression.args[0].name}
    return inner


def substitute(expression: Expression, names: dict[str, Expression]) -> Expression:
    """The expression with symbols replaced by name, all at once."""
    if isinstance(expression, Symbol):
        return names.get(expression.name, expression)
    if isinstance(expression, Call):
        return Call(expression.head, tuple(substitute(part, names) for part in expression.args))
    return expression


def exact(expression: Expression) -> Fraction | None:
    """The rational value, or None where it has none that is cheap: no floats are used.

    Raises:
        TooLargeError: the value would be too large to compute.
        ZeroDivisionError: it divides by zero.
    """
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Symbol):
        return None
    if expression.head == "based":
        return _exact_based(*expression.args)
    if expression.head == "^" and _is_one(expression.args[0]) and _is_whole(expression.args[1]):
        return Fraction(1)
    values = []
    for argument in expression.args:
        value = exact(argument)
        if value is None:
            return None
        values.append(value)
    return _exact_call(expression.head, values)


def exact_or_none(expression: Expression) -> Fraction | None:
    """The rational value where it is cheap and defined."""
    try:
        return exact(expression)
    except (TooLargeError, ZeroDivisionError):
        return None


def _is_one(expression: Expression) -> bool:
    return isinstance(expression, Number) and expression.value == 1


def _is_whole(expression: Expression) -> bool:
    """Whether it is a positive whole number, told without its value: `2^{2^{10^9}}` is one."""
    if isinstance(expression, Number):
        return expression.value > 0 and expression.value.denominator == 1
    if isinstance(expression, Symbol) or expression.head not in ("+", "*", "^", "!", "!!"):
        return False
    return all(map(_is_whole, expression.args))


def _exact_based(digits: Expression, base: Expression) -> Fraction | None:
    if not isinstance(digits, Symbol) or not isinstance(base, Number) or len(digits.name) > 1000:
        return None
    if base.value.denominator != 1 or not 2 <= base.value <= 36:
        return None
    if not digits.name.isalnum() or any(int(c, 36) >= base.value for c in digits.name):
        return None
    return Fraction(int(digits.name, int(base.value)))


def _exact_call(head: str, values: list[Fraction]) -> Fraction | None:
    if head == "+":
        return _bounded(sum(values, Fraction(0)))
    if head == "*":
        return _bounded(math.prod(values, start=Fraction(1)))
    if head == "/":
        return _bounded(values[0] / values[1])
    if head == "^":
        return _exact_power(*values)
    if head == "root":
        return _exact_root(int(values[0]), values[1]) if values[0].denominator == 1 else None
    simple: dict[str, Callable[[Fraction], Fraction]] = {
        "neg": lambda x: -x, "abs": abs, "percent": lambda x: x / 100,
        "floor": lambda x: Fraction(math.floor(x)), "ceil": lambda x: Fraction(math.ceil(x)),
    }  # fmt: skip
    if head in simple:
        return simple[head](values[0])
    if head in ("max", "min") and values:
        return max(values) if head == "max" else min(values)
    if all(value.denominator == 1 for value in values):
        return _exact_integers(head, [int(value) for value in values])
    return None


def _exact_integers(head: str, values: list[int]) -> Fraction | None:
    if head in ("!", "!!") and values[0] >= 0:
        if values[0] > MAX_FACTORIAL:
            raise TooLargeError(f"the factorial of {values[0]}")
        if head == "!":
            return Fraction(math.factorial(values[0]))
        return Fraction(math.prod(range(values[0], 0, -2)))
    if head == "bmod" and values[1] > 0:
        return Fraction(values[0] % values[1])
    if head == "binom" and values[0] >= 0 and values[1] >= 0:
        if values[0] > MAX_FACTORIAL:
            raise TooLargeError(f"a binomial coefficient of {values[0]}")
        return Fraction(math.comb(*values))
    if head == "gcd":
        return Fraction(math.gcd(*values))
    if head == "lcm":
        return Fraction(_bounded(Fraction(math.lcm(*values))))
    return None


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _bounded(value: Fraction) -> Fraction:
    if _bits(value) > MAX_BITS:
        raise TooLargeError("a number with too many digits")
    return value


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator == 1:
        power = int(exponent)
        if abs(base) != 1 and base and _bits(base) * abs(power) > MAX_BITS:
            raise TooLargeError("a power with too many digits")
        if abs(base) == 1:
            power %= 2
        return base**power
    if abs(exponent) > 64 or exponent.denominator > 64 or base < 0:
        return None
    root = _exact_root(exponent.denominator, base)
    return None if root is None else _exact_power(root, Fraction(exponent.numerator))


def _exact_root(degree: int, value: Fraction) -> Fraction | None:
    """The rational root, if there is one; of a negative number only an odd one."""
    if not 1 <= degree <= 64:
        return None
    if value < 0:
        root = _exact_root(degree, -value) if degree % 2 else None
        return None if root is None else -root
    numerator = _integer_root(degree, value.numerator)
    denominator = _integer_root(degree, value.denominator)
    return None if numerator is None or denominator is None else Fraction(numerator, denominator)


def _integer_root(degree: int, value: int) -> int | None:
    if degree == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    if value.bit_length() > 2000:
        return None
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**degree < value:
            low = middle + 1
        else:
            high = middle
    return low if low**degree == value else None


def key(expression: Expression) -> Any:
    """A value that is equal for expressions with the same parts in another order.

    Sums and products are flattened and sorted, quotients and roots become powers.
    """
    if isinstance(expression, Number):
        return ("n", str(expression.value))
    if isinstance(expression, Symbol):
        return ("s", expression.name)
    head, args = expression.head, expression.args
    if head in ("+", "*"):
        parts = [part for argument in args for part in _flat(key(argument), head)]
        return (head, tuple(sorted(parts, key=repr)))
    if head == "/":
        inverse = ("^", (key(args[1]), ("n", "-1")))
        return ("*", tuple(sorted([*_flat(key(args[0]), "*"), inverse], key=repr)))
    if head == "neg":
        inner = key(args[0])
        if inner[0] == "n":
            return ("n", str(-Fraction(inner[1])))
        return ("*", tuple(sorted([("n", "-1"), *_flat(inner, "*")], key=repr)))
    if head == "root":
        return ("^", (key(args[1]), key(Call("/", (integer(1), args[0])))))
    if head in ("max", "min", "gcd", "lcm"):
        return (head, tuple(sorted(map(key, args), key=repr)))
    return (head, tuple(map(key, args)))


def _flat(part: Any, head: str) -> tuple[Any, ...]:
    return part[1] if part[0] == head else (part,)


def show(expression: Expression) -> str:
    """The expression on one line, for people: `2*x^3 + sin(y)`."""
    if isinstance(expression, Number):
        return str(expression.value)
    if isinstance(expression, Symbol):
        return expression.name
    head, args = expression.head, [show(argument) for argument in expression.args]
    wrapped = [
        f"({text})"
        if isinstance(argument, Call) and argument.head in ("+", "*", "/", "neg")
        else text
        for argument, text in zip(expression.args, args, strict=True)
    ]
    if head == "+":
        return " + ".join(args).replace("+ -", "- ")
    if head in ("*", "/", "^"):
        return head.join(wrapped)
    postfix = {"!": "!", "!!": "!!", "percent": "%", "degrees": "°"}
    if head == "neg":
        return f"-{wrapped[0]}"
    if head in postfix:
        return wrapped[0] + postfix[head]
    if head in ("mod", "bmod"):
        return f"{wrapped[0]} {head} {wrapped[1]}"
    if head == "root":
        return f"sqrt({args[1]})" if args[0] == "2" else f"root({', '.join(args)})"
    return f"{head.removeprefix('apply:')}({', '.join(args)})"
