"""What counts as the same answer where mathematics alone doesn't say: stated, never hidden."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The conventions of one benchmark; the defaults are those of competition mathematics.

    Every field is a key of the `[policy]` table of a benchmark's TOML. A policy is hashable, so it
    can be part of a cache key.
    """

    order: Literal["any", "given"] = "any"
    """Of a bare list (`1, 2`): `any` compares it as a multiset, `given` place by place."""

    tuple_order: Literal["given", "any"] = "given"
    """Of a list in round brackets (`(1, 2)`); sets in braces never have an order."""

    brackets: Literal["either", "strict"] = "either"
    """`either`: `(1, 2)` and `1, 2` are the same list; `strict`: only with the same brackets."""

    units: Literal["ignore", "compare"] = "ignore"
    """Where only one side has a unit. Two units are always compared: 5 cm is never 5 m."""

    percent: Literal["either", "strict"] = "either"
    """`either`: beside `50\\%` both `50` and `0.5` are right; `strict`: only `0.5`."""

    degrees: Literal["either", "strict"] = "either"
    r"""`either`: beside `30^\circ` also `30` and `\pi/6` are right; `strict`: only `\pi/6`."""

    assignment: Literal["either", "strict"] = "either"
    """`either`: `x = 5` is the value 5; `strict`: the left-hand sides must agree too."""

    rename: Literal["either", "strict"] = "either"
    """`either`: bound names (`f(x) = x`, an integer `k`) may be others; `strict`: only the same."""

    letter_case: Literal["ignore", "compare"] = "ignore"
    """Of words (`yes`, `Monday`) and of a lone option (`(b)`); variables always keep their case."""

    rounding: Literal["none", "gold-digits"] = "none"
    """`gold-digits`: a value that rounds to the gold is right too, where the gold is a decimal with
    at least two digits after its point and two significant ones; so is an answer with three
    significant digits that an exact gold rounds to."""

    relative_tolerance: float = 0.0
    """Two numbers are equal when they differ by at most this part of the gold; 0 is exact."""

    absolute_tolerance: float = 0.0
    """Two numbers are equal when they differ by at most this (OlympiadBench states one)."""

    def __post_init__(self) -> None:
        for name, choices in _choices():
            _check(name, getattr(self, name), choices)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """The policy of a TOML table; keys that are absent keep their defaults.

        Raises:
            ValueError: a key is unknown or has a value it can't have; the message names the key.
        """
        known = [field.name for field in fields(cls)]
        for key in table:
            if key not in known:
                raise ValueError(f'unknown key "{key}": a policy has {", ".join(known)}')
        return cls(**table)

    def to_table(self) -> dict[str, Any]:
        """Every key with its value: `Policy.from_table(policy.to_table()) == policy`."""
        return asdict(self)

    def changes(self) -> dict[str, Any]:
        """The keys that differ from the default policy; `from_table` makes the policy of them."""
        usual = type(self)().to_table()
        return {key: value for key, value in self.to_table().items() if value != usual[key]}

    def __str__(self) -> str:
        changes = self.changes()
        return ", ".join(f"{key}={value}" for key, value in changes.items())


@functools.cache
def _choices() -> list[tuple[str, tuple[str, ...]]]:
    """Every field with the values that it may have; without any for a number."""
    hints = get_type_hints(Policy)
    return [(field.name, get_args(hints[field.name])) for field in fields(Policy)]


def _check(key: str, value: object, choices: tuple[str, ...]) -> None:
    if choices:
        if value not in choices:
            allowed = " or ".join(f'"{choice}"' for choice in choices)
            raise ValueError(f"{key} is {allowed}, not {value!r}")
    elif (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value < 0
    ):
        raise ValueError(f"{key} is a finite number of at least 0, not {value!r}")
