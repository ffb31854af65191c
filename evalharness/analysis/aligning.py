"""Lay two sets of answers side by side, or say why they can't be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.draws import Draws
from evalharness.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The columns of a frame that a comparison needs, N responses to P problems."""

    problem_ids: tuple[str, ...]
    """In the order of the frame."""
    problem_N: NDArray[np.int64]
    """Places in `problem_ids`."""
    correct_N: NDArray[np.bool_]
    tokens_N: NDArray[np.float64]
    """NaN where the length isn't known."""
    limit_N: NDArray[np.float64]
    """Infinite where it isn't known."""
    is_cut_N: NDArray[np.bool_] | None
    """None where the responses don't say how they ended."""

    def numbers(self, numbers: Mapping[str, int]) -> NDArray[np.int64]:
        """The number of each response's problem, -1 for a problem without a number."""
        number_P = np.array([numbers.get(each, -1) for each in self.problem_ids], dtype=np.int64)
        return number_P[self.problem_N]


def _columns(frame: pd.DataFrame) -> _Columns:
    import pandas as pd

    problem_N, ids = pd.factorize(frame["problem_id"])
    finish = frame["finish_reason"]
    return _Columns(
        problem_ids=tuple(ids),
        problem_N=problem_N.astype(np.int64),
        correct_N=(frame["status"] == "correct").to_numpy(bool),
        tokens_N=frame["num_tokens"].to_numpy(float, na_value=np.nan),
        limit_N=frame["token_limit"].to_numpy(float, na_value=np.inf),
        is_cut_N=(finish == "length").to_numpy(bool) if finish.notna().all() else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one model under one template answered to one benchmark, judged."""

    model: str
    template: str
    benchmark: str
    frame: pd.DataFrame
    """A row a response: problem_id, status, num_tokens, token_limit, finish_reason."""
    texts: Mapping[str, str]
    """Problem id -> its text."""
    golds: Mapping[str, tuple[str, ...]]
    """Problem id -> the answers that counted as right."""
    checker: str
    """Name and version."""
    max_tokens: float | None = None
    """The token limit that was asked for; None where it isn't known."""
    columns: _Columns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", _columns(self.frame))

    @property
    def name(self) -> str:
        return f"{self.model}:{self.template}"

    def cap(self) -> float | None:
        """What was asked for, else the largest limit of a response; None where neither is known."""
        limit_N = self.columns.limit_N
        known_N = np.isfinite(limit_N)
        return self.max_tokens or (float(limit_N[known_N].max()) if known_N.any() else None)

    def limits(self, numbers: Mapping[str, int]) -> NDArray[np.float64]:
        """The token limit of each problem, as the context left it; infinite where unknown."""
        number_N = self.columns.numbers(numbers)
        limits_P = np.full(len(numbers), np.inf)
        limits_P[number_N[number_N >= 0]] = self.columns.limit_N[number_N >= 0]
        return limits_P


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """Two models' draws over the same problems, which carry the numbers 0 to P-1."""

    a: Draws
    b: Draws
    problem_ids: tuple[str, ...]
    notes: tuple[str, ...]


def align(a: Answers, b: Answers, common: bool) -> Aligned:
    """The draws of baseline `a` and of `b` over the problems that they share.

    Args:
        a: the baseline.
        b: what is compared with it.
        common: keep only problems with the same text and golds, and cut both at the smaller cap,
            where a longer response is no longer correct; otherwise any such difference is refused.
            Limits that differ only because one prompt leaves less context are no difference where
            no response reaches them.

    Raises:
        InputError: they differ in problems, texts, golds, caps or checkers.
    """
    if a.checker != b.checker:
        raise InputError(
            f"{b.name} was checked by {b.checker} and the baseline {a.name} by {a.checker}: "
            "run `evalharness score` on both runs, or name one table with --verdicts"
        )
    ids_a, ids_b = a.columns.problem_ids, b.columns.problem_ids
    known = set(ids_b)
    shared = [each for each in ids_a if each in known]
    same_text = [each for each in shared if a.texts[each] == b.texts[each]]
    same = [each for each in same_text if set(a.golds[each]) == set(b.golds[each])]
    reasons = []
    if only := len(ids_a) - len(shared):
        reasons.append(f"{only} problems only the baseline answered")
    if only := len(ids_b) - len(shared):
        reasons.append(f"{only} problems the baseline did not answer")
    if other := len(shared) - len(same_text):
        reasons.append(f"{other} problems with another text")
    if other := len(same_text) - len(same):
        reasons.append(f"{other} problems with other golds")
    numbers = {problem_id: at for at, problem_id in enumerate(same)}
    limits = (a.limits(numbers), b.limits(numbers))
    lower_P = np.minimum(*limits)
    caps = (a.cap(), b.cap())
    if None not in caps and caps[0] != caps[1]:
        reasons.append(f"token limits of {caps[0]:g} and {caps[1]:g}")
    elif reached := sum(_num_at(each, numbers, lower_P, limits[0] != limits[1]) for each in (a, b)):
        reasons.append(
            f"the context leaves them unequal token limits, and {reached} responses reach the lower"
        )
    where = f"{b.benchmark}: {b.name} against {a.name}"
    if reasons and not common:
        raise InputError(
            f"{where}: {', '.join(reasons)}; give --common to compare only what they share"
        )
    if not same:
        raise InputError(f"{where}: they have no problem in common")
    notes = [f"only what both share: {', '.join(reasons)}"] if reasons else []
    if None in caps and any(caps):
        notes.append("the token limit of one of the two isn't known")
    return Aligned(
        a=_draws(a, numbers, lower_P),
        b=_draws(b, numbers, lower_P),
        problem_ids=tuple(same),
        notes=tuple(notes),
    )


def _num_at(
    answers: Answers,
    numbers: Mapping[str, int],
    lower_P: NDArray[np.float64],
    differs_P: NDArray[np.bool_],
) -> int:
    """How many responses to problems with unequal limits reach the lower limit."""
    number_N = answers.columns.numbers(numbers)
    tokens_N, number_N = answers.columns.tokens_N[number_N >= 0], number_N[number_N >= 0]
    return int((differs_P[number_N] & (tokens_N >= lower_P[number_N])).sum())


def _draws(answers: Answers, numbers: Mapping[str, int], limits_P: NDArray[np.float64]) -> Draws:
    """The draws, cut at the limits: a longer response is no longer correct."""
    number_N = answers.columns.numbers(numbers)
    chosen_N = number_N >= 0
    problem_N, tokens_N = number_N[chosen_N], answers.columns.tokens_N[chosen_N]
    limit_N = limits_P[problem_N]
    is_longer_N = tokens_N > limit_N
    ended_N = answers.columns.is_cut_N
    return Draws(
        problem_N=problem_N,
        correct_N=answers.columns.correct_N[chosen_N] & ~is_longer_N,
        tokens_N=np.minimum(tokens_N, limit_N),
        is_cut_N=None if ended_N is None else ended_N[chosen_N] | is_longer_N,
    )
