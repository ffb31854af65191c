"""Practice problems of our own: a committed benchmark, and training problems that never repeat it.

Every problem has a kind and operands. The benchmark holds some (kind, operands) pairs out; training
draws from the same generators and skips those, so what a trained model solves there is learned
arithmetic and not a memory.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from pathlib import Path
from typing import NamedTuple

from evalharness.errors import InputError

PRACTICE_SEED = 2024
PRACTICE_PROBLEMS_PER_KIND = 10

_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jo")
_ITEMS = ("beads", "books", "cards", "coins", "eggs", "nuts", "pens", "pins", "seeds", "shells")


class ProblemKey(NamedTuple):
    """What makes two problems the same, whatever their wording."""

    kind: str
    operands: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticeProblem:
    """One problem with its worked solution."""

    kind: str
    operands: tuple[int | str, ...]
    """The form, where a kind has several, and the numbers in the order of the text."""
    text: str
    solution: str
    r"""A short worked line that ends in `\boxed{gold}`."""
    gold: str

    @property
    def key(self) -> ProblemKey:
        """Problems that differ in the order of a sum, a product or a list are the same."""
        if self.kind in _ORDER_IS_WORDING:
            return ProblemKey(self.kind, tuple(sorted(self.operands, key=str)))
        return ProblemKey(self.kind, self.operands)


class _Draft(NamedTuple):
    """What a kind's generator makes; the kind and the box are added to it."""

    operands: tuple[int | str, ...]
    text: str
    work: str
    answer: Fraction


def latex_number(value: Fraction) -> str:
    r"""An integer, or `\frac{3}{4}` with the sign before it."""
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _ask(rng: random.Random, expression: str) -> str:
    wordings = ("What is {}?", "Compute {}.", "Work out {}.", "Find the value of {}.")
    return rng.choice(wordings).format(expression)


def _small_sum(rng: random.Random) -> _Draft:
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    return _Draft((a, b), _ask(rng, f"{a} + {b}"), f"{a} + {b} = {a + b}.", Fraction(a + b))


def _addition_steps(a: int, b: int) -> str:
    """Ones, tens, then both together."""
    ones, tens = a % 10 + b % 10, a // 10 * 10 + b // 10 * 10
    return (
        f"{a % 10} + {b % 10} = {ones}, {a // 10 * 10} + {b // 10 * 10} = {tens}, "
        f"{tens} + {ones} = {a + b}"
    )


def _subtraction_steps(a: int, b: int) -> str:
    """Tens off first, then ones; a >= b."""
    middle = a - b // 10 * 10
    return f"{a} - {b // 10 * 10} = {middle}, {middle} - {b % 10} = {a - b}"


def _multiplication_steps(a: int, b: int) -> str:
    """`a` times the tens of `b`, times its ones, then the sum."""
    tens, ones = a * (b // 10 * 10), a * (b % 10)
    return f"{a} * {b // 10 * 10} = {tens}, {a} * {b % 10} = {ones}, {tens} + {ones} = {a * b}"


def _sum(rng: random.Random) -> _Draft:
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    return _Draft((a, b), _ask(rng, f"{a} + {b}"), f"{_addition_steps(a, b)}.", Fraction(a + b))


def _difference(rng: random.Random) -> _Draft:
    a, b = rng.sample(range(10, 100), 2)
    sign_first = f"{a} < {b}, " if a < b else ""
    work = f"{sign_first}{_subtraction_steps(max(a, b), min(a, b))}."
    return _Draft((a, b), _ask(rng, f"{a} - {b}"), work, Fraction(a - b))


def _product(rng: random.Random) -> _Draft:
    a, b = rng.randint(3, 9), rng.randint(11, 39)
    work = f"{_multiplication_steps(a, b)}."
    return _Draft((a, b), _ask(rng, f"{a} * {b}"), work, Fraction(a * b))


def _maximum(rng: random.Random) -> _Draft:
    a, b, c = rng.sample(range(10, 100), 3)
    wordings = (
        "Which of {}, {} and {} is the largest?",
        "What is the greatest of the numbers {}, {} and {}?",
        "Find the maximum of {}, {} and {}.",
    )
    best = max(a, b)
    work = f"{a} {'>' if a > b else '<'} {b}, {best} {'>' if best > c else '<'} {c}."
    return _Draft((a, b, c), rng.choice(wordings).format(a, b, c), work, Fraction(max(best, c)))


def _remainder(rng: random.Random) -> _Draft:
    n, d = rng.randint(11, 99), rng.randint(3, 9)
    wordings = (
        "What is the remainder when {} is divided by {}?",
        "Find the remainder of {} divided by {}.",
        "Divide {} by {}. What remains?",
    )
    whole = n // d * d
    work = f"{d} * {n // d} = {whole}, {n} - {whole} = {n % d}."
    return _Draft((n, d), rng.choice(wordings).format(n, d), work, Fraction(n % d))


def _order(rng: random.Random) -> _Draft:
    form = rng.choice(("a+bc", "a-bc", "(a+b)c"))
    a, b, c = rng.randint(2, 20), rng.randint(2, 9), rng.randint(2, 9)
    if form == "(a+b)c":
        text, value = f"({a} + {b}) * {c}", (a + b) * c
        work = f"{a} + {b} = {a + b}, {a + b} * {c} = {value}."
    else:
        sign = form[1]
        value = a + b * c if sign == "+" else a - b * c
        text = f"{a} {sign} {b} * {c}"
        work = f"{b} * {c} = {b * c}, {a} {sign} {b * c} = {value}."
    return _Draft((form, a, b, c), _ask(rng, text), work, Fraction(value))


def _equation(rng: random.Random) -> _Draft:
    form = rng.choice(("x+a", "x-a", "mx+a"))
    wording = rng.choice(("Solve {} for x.", "Find x if {}.", "For which x is {}?"))
    x, a, m = rng.randint(-20, 30), rng.randint(2, 20), 1
    if form == "mx+a":
        x, m = rng.randint(2, 12), rng.randint(2, 9)
        b = m * x + a
        left, work = f"{m}x + {a}", f"{m}x = {b} - {a} = {b - a}, x = {b - a} / {m} = {x}."
    elif form == "x+a":
        b = x + a
        left, work = f"x + {a}", f"x = {b} - {a} = {x}."
    else:
        b = x - a
        left, work = f"x - {a}", f"x = {b} + {a} = {x}."
    return _Draft((form, m, a, b), wording.format(f"{left} = {b}"), work, Fraction(x))


def _story(rng: random.Random) -> _Draft:
    form = rng.choice(("more", "trade", "bags", "share"))
    name, items = rng.choice(_NAMES), rng.choice(_ITEMS)
    a, b, c = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 9)
    if form == "more":
        a, b = rng.randint(10, 60), rng.randint(2, 39)
        text = f"{name} has {a} {items} and finds {b} more. How many {items} is that?"
        work, value = f"{a} + {b} = {a + b}.", a + b
    elif form == "trade":
        a = rng.randint(20, 60)
        text = f"{name} had {a} {items}, lost {b} and bought {c}. How many {items} are left?"
        work, value = f"{a} - {b} = {a - b}, {a - b} + {c} = {a - b + c}.", a - b + c
    elif form == "bags":
        text = f"{name} fills {a} bags with {b} {items} each and keeps {c}. How many {items}?"
        work, value = f"{a} * {b} = {a * b}, {a * b} + {c} = {a * b + c}.", a * b + c
    else:
        a *= b
        text = f"{name} deals {a} {items} evenly to {b} friends. How many {items} each?"
        work, value = f"{a} / {b} = {a // b}.", a // b
    operands = (form, a, b, c) if form in ("trade", "bags") else (form, a, b)
    return _Draft(operands, text, work, Fraction(value))


def _part(rng: random.Random) -> _Draft:
    fraction, unit = _proper_fraction(rng), rng.randint(2, 12)
    p, q = fraction.numerator, fraction.denominator
    n = q * unit
    work = f"{n} / {q} = {unit}, {unit} * {p} = {unit * p}."
    return _Draft((p, q, n), _ask(rng, rf"\frac{{{p}}}{{{q}}} of {n}"), work, Fraction(unit * p))


def _proper_fraction(rng: random.Random) -> Fraction:
    """Between 0 and 1, in lowest terms, with a denominator from 2 to 9."""
    denominator = rng.randint(2, 9)
    numerators = [n for n in range(1, denominator) if gcd(n, denominator) == 1]
    return Fraction(rng.choice(numerators), denominator)


def _fraction(rng: random.Random) -> _Draft:
    first, second, sign = _proper_fraction(rng), _proper_fraction(rng), rng.choice("+-")
    value = first + second if sign == "+" else first - second
    (a, b), (c, d) = first.as_integer_ratio(), second.as_integer_ratio()
    left, right = a * d, c * b
    total = left + right if sign == "+" else left - right
    text = rf"\frac{{{a}}}{{{b}}} {sign} \frac{{{c}}}{{{d}}}"
    work = (
        f"{a} * {d} = {left}, {c} * {b} = {right}, {left} {sign} {right} = {total}, over {b * d}."
    )
    return _Draft((sign, a, b, c, d), _ask(rng, text), work, value)


def _long_product(rng: random.Random) -> _Draft:
    a, b = rng.randint(11, 49), rng.randint(11, 49)
    work = f"{_multiplication_steps(a, b)}."
    return _Draft((a, b), _ask(rng, f"{a} * {b}"), work, Fraction(a * b))


_GENERATORS: dict[str, Callable[[random.Random], _Draft]] = {
    "small-sum": _small_sum,
    "maximum": _maximum,
    "sum": _sum,
    "difference": _difference,
    "story": _story,
    "equation": _equation,
    "remainder": _remainder,
    "part": _part,
    "order": _order,
    "product": _product,
    "fraction": _fraction,
    "long-product": _long_product,
}
_ORDER_IS_WORDING = frozenset({"small-sum", "sum", "product", "maximum", "long-product"})

KINDS = tuple(_GENERATORS)


def make_problem(kind: str, rng: random.Random) -> PracticeProblem:
    """One random problem of a kind.

    Raises:
        InputError: no such kind.
    """
    if kind not in _GENERATORS:
        raise InputError(f'no kind of practice problem "{kind}": choose from {", ".join(KINDS)}')
    draft = _GENERATORS[kind](rng)
    gold = latex_number(draft.answer)
    return PracticeProblem(
        kind=kind,
        operands=draft.operands,
        text=draft.text,
        solution=rf"{draft.work} \boxed{{{gold}}}",
        gold=gold,
    )


def practice_problems(
    seed: int = PRACTICE_SEED,
    *,
    num_per_kind: int = PRACTICE_PROBLEMS_PER_KIND,
    excluded: Container[ProblemKey] = frozenset(),
) -> tuple[PracticeProblem, ...]:
    """Distinct problems, kind by kind; the defaults are the shipped benchmark.

    Raises:
        InputError: a kind has fewer problems than asked for.
    """
    rng = random.Random(seed)
    problems: dict[ProblemKey, PracticeProblem] = {}
    for kind in KINDS:
        wanted = len(problems) + num_per_kind
        for _ in range(1000 * num_per_kind):
            if len(problems) == wanted:
                break
            problem = make_problem(kind, rng)
            if problem.key not in excluded:
                problems.setdefault(problem.key, problem)
        if len(problems) < wanted:
            raise InputError(
                f'the kind "{kind}" doesn\'t have {num_per_kind} different problems: ask for fewer'
            )
    return tuple(problems.values())


def training_problems(
    seed: int, *, held_out: Container[ProblemKey], kinds: Sequence[str] = KINDS
) -> Iterator[PracticeProblem]:
    """Problems without end, kinds in equal shares, none whose key is held out."""
    rng = random.Random(seed)
    while True:
        problem = make_problem(rng.choice(kinds), rng)
        if problem.key not in held_out:
            yield problem


def write_practice(path: Path, seed: int = PRACTICE_SEED) -> None:
    """Write the benchmark's JSONL file: `problem`, `gold`, `kind`, one problem a line."""
    rows = (
        {"problem": problem.text, "gold": problem.gold, "kind": problem.kind}
        for problem in practice_problems(seed)
    )
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")
