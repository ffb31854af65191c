"""The problems that a model is trained on, and the check that it isn't evaluated on them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalharness.benchmarks import load_benchmark
from evalharness.benchmarks.overlap import find_shared
from evalharness.errors import InputError
from evalharness.records import Problem
from evalharness.training.practice import KINDS, PracticeProblem, ProblemKey, training_problems
from evalharness.training.practice import practice_problems as shipped_practice
from evalharness.training.rambling import training_sums

if TYPE_CHECKING:
    from evalharness.training.config import RLConfig

PRACTICE = "practice"
PRACTICE_SUMS = "practice-sums"
_NUM_PRACTICE = 4000
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSet:
    """What a run trains on."""

    name: str
    problems: tuple[Problem, ...]
    fingerprint: str
    """Over texts and golds, in order."""

    def draw(self, number: int, *, seed: int, step: int) -> list[int]:
        """Row numbers of the problems of a step.

        Epoch after epoch in an order that `seed` and the epoch give, so that a step's problems
        don't depend on how many steps were taken in this process. `step` counts from 0.
        """
        size = len(self.problems)
        wanted = range(step * number, (step + 1) * number)
        orders = {
            epoch: random.Random(f"{seed}/{epoch}").sample(range(size), size)
            for epoch in {place // size for place in wanted}
        }
        return [orders[place // size][place % size] for place in wanted]


def load_problems(
    source: str,
    *,
    kinds: Sequence[str] = (),
    problem_column: str | None = None,
    gold_column: str | None = None,
    seed: int = 0,
) -> ProblemSet:
    """Training problems: `practice`, `practice-sums`, or whatever `--benchmark` takes.

    These two mean other problems than those of the benchmarks of that name, from the same
    generators; `kinds` restricts the first.

    Raises:
        InputError: an unknown source, or `kinds` with a source that has none.
        DataError: the data can't be had or isn't what its definition says.
    """
    if source == PRACTICE:
        problems = _practice(kinds, seed)
    elif source == PRACTICE_SUMS and not kinds:
        problems = _sums()
    elif kinds:
        raise InputError(f"kinds are for the practice problems: {source} has none")
    else:
        loaded = load_benchmark(source, problem_column=problem_column, gold_column=gold_column)
        problems = tuple(problem for problem in loaded.problems if problem.golds)
        if not problems:
            raise InputError(f"{source} has no problem with a gold: nothing can be rewarded")
    return ProblemSet(name=source, problems=problems, fingerprint=_fingerprint(problems))


def open_problems(config: RLConfig, note: Callable[[str], None]) -> ProblemSet:
    """The problems of a run, none of which is in a benchmark that it is evaluated on.

    Raises:
        InputError: as `load_problems` and `check_contamination`.
        DataError: a benchmark can't be had.
    """
    found = load_problems(
        config.problems,
        kinds=config.kinds,
        problem_column=config.problem_column,
        gold_column=config.gold_column,
        seed=config.seed,
    )
    evaluated = [each for name in config.evaluate_on for each in load_benchmark(name).problems]
    for line in check_contamination(found.problems, evaluated, allowed=config.allow_contamination):
        note(f"contamination: {line}")
    return found


def check_contamination(
    training: Iterable[Problem], evaluated: Iterable[Problem], *, allowed: bool = False
) -> list[str]:
    """Refuse to train on a problem that an evaluated benchmark holds.

    Texts are compared without case, white space, dollar signs and the full stop at the end.
    Returns one line a match where `allowed`.

    Raises:
        InputError: there are matches and they aren't allowed; names the first.
    """
    matches = find_shared(training, evaluated)
    lines = [f"{held.problem_id} is {trained.problem_id}" for held, trained in matches]
    if lines and not allowed:
        more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise InputError(
            f"{len(lines)} training problems are in an evaluated benchmark: "
            f"{'; '.join(lines[:_SHOWN])}{more}. Train on others, evaluate on others, or say "
            "--allow-contamination and don't quote the score"
        )
    return lines


def practice_held_out() -> set[ProblemKey]:
    """The problems of the practice benchmark."""
    return {problem.key for problem in shipped_practice()}


def _practice(kinds: Sequence[str], seed: int) -> tuple[Problem, ...]:
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(
                f'no kind of practice problem "{kind}": choose from {", ".join(KINDS)}'
            )
    found: dict[str, PracticeProblem] = {}
    stream = training_problems(seed, held_out=practice_held_out(), kinds=tuple(kinds) or KINDS)
    # Few kinds have few problems: a stream of them repeats itself.
    for problem, _ in zip(stream, range(4 * _NUM_PRACTICE), strict=False):
        found.setdefault(problem.text, problem)
        if len(found) == _NUM_PRACTICE:
            break
    return tuple(
        Problem(
            benchmark="practice-training",
            problem_id=f"practice-training/{number}",
            text=problem.text,
            golds=(problem.gold,),
        )
        for number, problem in enumerate(found.values())
    )


def _sums() -> tuple[Problem, ...]:
    return tuple(
        Problem(
            benchmark="practice-sums-training",
            problem_id=f"practice-sums-training/{number}",
            text=each.text,
            golds=(each.gold,),
        )
        for number, each in enumerate(training_sums())
    )


def _fingerprint(problems: Sequence[Problem]) -> str:
    digest = hashlib.sha256()
    for problem in problems:
        digest.update("\x1f".join((problem.text, *problem.golds)).encode() + b"\x1e")
    return digest.hexdigest()
