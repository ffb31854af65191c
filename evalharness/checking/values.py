"""What an answer is: a quantity, a list, an interval, a relation, a matrix or words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalharness.checking.expressions import Expression, Symbol, show

UNNAMED = "it"
"""The name of what a bare bound is about: the left side of `>= 5`."""

Brackets = Literal["bare", "round", "square", "braces", "ratio"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """An expression, with the unit or the words that stood behind it."""

    expression: Expression
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Values side by side: `1, 2` bare, `(1, 2)` round, `[1, 2]` square, `{1, 2}` in braces."""

    brackets: Brackets
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The reals between two ends; an infinite end is the symbol `infty` or its negative."""

    low: Expression
    high: Expression
    is_low_closed: bool
    is_high_closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Union:
    """Sets put together; in order of writing."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """`left operator right`: one of `= < <= != in notin equiv subset sim parallel perp`."""

    operator: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Rows of expressions, all of one length."""

    rows: tuple[tuple[Expression, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Text: lower-case words without punctuation."""

    text: str
    subject: str = ""
    """The name that a sentence about one name begins with ("Petya wins"); otherwise empty."""


Value = Quantity | Sequence | Interval | Union | Relation | Matrix | Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A value, and the clause that says where it holds ("for all x"); empty without one."""

    value: Value
    clause: str = ""


INFINITY = Symbol("infty")


def describe(value: Value) -> str:
    """The value on one line, for people."""
    match value:
        case Quantity():
            return show(value.expression) + (f" [{value.unit}]" if value.unit else "")
        case Sequence():
            opening, closing = {
                "bare": ("", ""), "round": ("(", ")"), "square": ("[", "]"), "braces": ("{", "}"),
                "ratio": ("", ""),
            }[value.brackets]  # fmt: skip
            separator = " : " if value.brackets == "ratio" else ", "
            return opening + separator.join(map(describe, value.items)) + closing
        case Interval():
            opening, closing = "(["[value.is_low_closed], ")]"[value.is_high_closed]
            return f"{opening}{show(value.low)}, {show(value.high)}{closing}"
        case Union():
            return " or ".join(map(describe, value.parts))
        case Relation():
            return f"{describe(value.left)} {value.operator} {describe(value.right)}"
        case Matrix():
            rows = ("[" + ", ".join(map(show, row)) + "]" for row in value.rows)
            return "[" + ", ".join(rows) + "]"
        case Words():
            return f'"{value.text}"'
