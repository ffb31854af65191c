"""The rows that a supervised run trains on: none of a benchmark, in an order that repeats."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from evalharness.benchmarks import load_benchmark
from evalharness.training.batches import Example, draw_rows, make_example
from evalharness.training.practice import PracticeProblem, practice_problems
from evalharness.training.problems import check_contamination
from evalharness.training.sft_config import SFTConfig
from evalharness.training.solutions import (
    GENERATED,
    Worked,
    generated_solutions,
    in_epochs,
    published_solutions,
    solution_problems,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VALIDATION_SEED = 7
"""Draws the problems that training is watched on; it neither practises nor is scored on them."""


class TrainingRows:
    """What a run takes, the same however often it is begun.

    Raises:
        InputError: the solutions can't be read.
        DataError: a published file can't be had.
    """

    def __init__(self, config: SFTConfig) -> None:
        self._config = config
        self._published: Sequence[Worked] | None = None
        if config.problems not in GENERATED:
            self._published = published_solutions(
                config.problems,
                problem_column=config.problem_column,
                solution_column=config.solution_column,
            )
        digest = hashlib.sha256()
        for each in self._different():
            digest.update(f"{each.text}\x1f{each.solution}\x1e".encode())
        self.fingerprint = digest.hexdigest()
        """Over problems and solutions, in order."""

    def examples(self, tokenizer: PreTrainedTokenizerBase, *, first: int = 0) -> Iterator[Example]:
        """The rows in the order in which the run takes them, from the `first` (0-based) on."""
        for template, worked in islice(self._draws(), first, None):
            yield make_example(tokenizer, template, worked)

    def _different(self) -> Iterator[Worked]:
        """All rows of a file, in its order; of generated ones those that the run takes."""
        if self._published is not None:
            yield from self._published
        else:
            num_rows = self._config.num_steps * self._config.rows_per_step
            yield from (worked for _, worked in islice(self._draws(), num_rows))

    def _draws(self) -> Iterator[tuple[str, Worked]]:
        config = self._config
        rng = random.Random(config.seed)
        seed = rng.getrandbits(32)
        if self._published is not None:
            solutions = in_epochs(self._published, seed=seed)
        else:
            validation = validation_problems(config.num_validation_per_kind)
            held_out = frozenset(problem.key for problem in (*practice_problems(), *validation))
            solutions = generated_solutions(config.problems, seed=seed, held_out=held_out)
        return draw_rows(
            templates=config.templates, shares=config.shares, rng=rng, solutions=solutions
        )


def validation_problems(num_per_kind: int) -> tuple[PracticeProblem, ...]:
    """Problems that are in neither the benchmark nor any training run."""
    benchmark = {problem.key for problem in practice_problems()}
    return practice_problems(VALIDATION_SEED, num_per_kind=num_per_kind, excluded=benchmark)


def refuse_contamination(config: SFTConfig, note: Callable[[str], None]) -> None:
    """Refuse solutions of problems that are in a benchmark of `evaluate_on`, or note what is.

    Raises:
        InputError: names the first.
    """
    evaluated = [each for name in config.evaluate_on for each in load_benchmark(name).problems]
    if not evaluated:
        return
    training = solution_problems(
        config.problems,
        problem_column=config.problem_column,
        solution_column=config.solution_column,
    )
    for line in check_contamination(training, evaluated, allowed=config.allow_contamination):
        note(f"contamination: {line}")
