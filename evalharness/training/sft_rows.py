"""The rows that a supervised run trains on: none of a benchmark, in an order that repeats."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from evalharness.benchmarks import load_benchmark
from evalharness.errors import InputError
from evalharness.training.batches import Example, draw_rows, make_example, row_texts
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


_ROWS_AT_ONCE = 1024


class TrainingRows:
    """What a run takes, the same however often it is begun; every row fits the model's context.

    A row is prompt, solution and EOS. One of a file counts as too long if it is under any of the
    run's templates. None is ever cut: without its end a solution teaches not to come to one.

    Raises:
        InputError: the solutions can't be read, or some are too long and `overlong` is `refuse`;
            with the first and the count.
        DataError: a published file can't be had.
    """

    def __init__(
        self,
        config: SFTConfig,
        tokenizer: PreTrainedTokenizerBase,
        *,
        context: int,
        note: Callable[[str], None],
    ) -> None:
        self._config, self._tokenizer, self._context = config, tokenizer, context
        self._published: Sequence[Worked] | None = None
        if config.problems in GENERATED:
            self._check_generated()
        else:
            self._published = self._fitting(
                published_solutions(
                    config.problems,
                    problem_column=config.problem_column,
                    solution_column=config.solution_column,
                ),
                note,
            )
        digest = hashlib.sha256()
        for each in self._different():
            digest.update(f"{each.text}\x1f{each.solution}\x1e".encode())
        self.fingerprint = digest.hexdigest()
        """Over problems and solutions, in order."""

    def examples(self, *, first: int = 0) -> Iterator[Example]:
        """The rows in the order in which the run takes them, from the `first` (0-based) on."""
        for template, worked in islice(self._draws(), first, None):
            yield make_example(self._tokenizer, template, worked)

    def _fitting(self, rows: Sequence[Worked], note: Callable[[str], None]) -> Sequence[Worked]:
        """The rows of a file that fit."""
        config = self._config
        tokens = [0] * len(rows)
        for name in config.shares:
            for number, found in self._overlong((config.templates[name], row) for row in rows):
                tokens[number] = max(tokens[number], found)
        too_long = [number for number, found in enumerate(tokens) if found]
        if not too_long:
            return rows
        first = too_long[0]
        text = (
            f"{len(too_long)} of the {len(rows)} rows of {config.problems} don't fit the model's "
            f"context of {self._context} tokens; the first is {rows[first].place} with "
            f"{tokens[first]} (prompt, solution and EOS)"
        )
        if config.overlong == "refuse":
            raise InputError(
                f"{text}. Shorten them, take a model with a longer context, or leave them out with "
                "--overlong drop"
            )
        if len(too_long) == len(rows):
            raise InputError(f"{text}. Nothing is left to train on")
        note(f"{text}. They are left out")
        return [row for row, found in zip(rows, tokens, strict=True) if not found]

    def _check_generated(self) -> None:
        """Refuse a run that would come to a row that doesn't fit."""
        too_long = list(self._overlong(islice(self._draws(), self._num_rows)))
        if too_long:
            number, tokens = too_long[0]
            raise InputError(
                f"{len(too_long)} of the {self._num_rows} rows that {self._config.problems} makes "
                f"for this run don't fit the model's context of {self._context} tokens; the first "
                f"is row {number + 1} with {tokens} (prompt, solution and EOS). Take a model with "
                "a longer context, or other problems"
            )

    def _overlong(self, rows: Iterable[tuple[str, Worked]]) -> Iterator[tuple[int, int]]:
        """Number (0-based) and tokens of each row of template and solution that doesn't fit."""
        texts = ((number, row, *row_texts(*row)) for number, row in enumerate(rows))
        remaining = (each for each in texts if self._may_be_overlong(each[2] + each[3]))
        while part := list(islice(remaining, _ROWS_AT_ONCE)):
            # Many at once is faster, and counts nothing but a doubled BOS too much.
            lengths = zip(
                self._tokenizer([each[2] for each in part])["input_ids"],
                self._tokenizer([each[3] for each in part], add_special_tokens=False)["input_ids"],
                strict=True,
            )
            for (number, row, *_), (prompt, completion) in zip(part, lengths, strict=True):
                if len(prompt) + len(completion) + 1 > self._context:
                    tokens = make_example(self._tokenizer, *row).num_tokens
                    if tokens > self._context:
                        yield number, tokens

    def _may_be_overlong(self, text: str) -> bool:
        """No tokenizer makes four tokens a letter of ASCII: short rows needn't be tokenized."""
        return not text.isascii() or 4 * len(text) > self._context - 16

    @property
    def _num_rows(self) -> int:
        return self._config.num_steps * self._config.rows_per_step

    def _different(self) -> Iterator[Worked]:
        """All rows of a file, in its order; of generated ones those that the run takes."""
        if self._published is not None:
            yield from self._published
        else:
            yield from (worked for _, worked in islice(self._draws(), self._num_rows))

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
