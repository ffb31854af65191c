r"""The demonstration's problems and its way to answer: a number, words, then the box.

It makes on a CPU in minutes what the Dr. GRPO paper describes of large models: wrong responses that
grow longer under GRPO and not under Dr. GRPO. The ingredients: the model can see that it slipped
while it rambles (other words follow a wrong number than a right one), the words are most of the
length, and lengths differ several-fold within a group.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SURE_WORD = " so"
DOUBT_WORD = " hmm"
BOX = " \\boxed{"
WORDS = (SURE_WORD, DOUBT_WORD, BOX)
"""Each is one token of the demonstration's tokenizer."""

NUM_HELD_OUT = 120
_SEED = 2025
_SLIPS = (-10, -2, -1, 1, 2, 10)


class Sum(NamedTuple):
    """One problem: a number below 100 and a digit."""

    first: int
    second: int

    @property
    def text(self) -> str:
        return f"{self.first} + {self.second} ="

    @property
    def gold(self) -> str:
        return str(self.first + self.second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rambling:
    """How often it slips, and how long it rambles."""

    slip_share: float = 0.5
    stop_share: float = 0.06
    """After each word; the number of words is geometric with mean 1 / stop_share."""
    max_words: int = 80


def held_out_sums() -> tuple[Sum, ...]:
    """The problems of the benchmark `practice-sums`."""
    return tuple(_shuffled()[:NUM_HELD_OUT])


def training_sums() -> tuple[Sum, ...]:
    """All others; none is another order of the numbers of one that is held out."""
    held_out = {frozenset(each) for each in held_out_sums()}
    return tuple(each for each in _shuffled()[NUM_HELD_OUT:] if frozenset(each) not in held_out)


def rambling_solution(problem: Sum, rng: random.Random, style: Rambling) -> str:
    r"""`11 so so so \boxed{11}`, or after a slip `12 hmm hmm \boxed{12}`, on a line of its own."""
    right = problem.first + problem.second
    is_slip = rng.random() < style.slip_share
    answer = rng.choice([right + by for by in _SLIPS if right + by >= 0]) if is_slip else right
    number = 1
    while number < style.max_words and rng.random() >= style.stop_share:
        number += 1
    word = DOUBT_WORD if is_slip else SURE_WORD
    return f"{answer}{word * number}{BOX}{answer}}}"


def rambling_examples(seed: int, style: Rambling | None = None) -> Iterator[tuple[str, str]]:
    """Problem texts with solutions, without end; none of the benchmark."""
    rng, chosen, problems = random.Random(seed), style or Rambling(), training_sums()
    while True:
        problem = rng.choice(problems)
        yield problem.text, rambling_solution(problem, rng, chosen)


def write_sums(path: Path) -> None:
    """Write the benchmark's JSONL file: `problem`, `gold`, one problem a line."""
    rows = ({"problem": each.text, "gold": each.gold} for each in held_out_sums())
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def _shuffled() -> list[Sum]:
    sums = [Sum(first, second) for first in range(100) for second in range(1, 10)]
    random.Random(_SEED).shuffle(sums)
    return sums
