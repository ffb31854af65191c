"""The responses of a model under a template to the problems that it shares with another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """N responses to P problems, the problems numbered 0 to P-1, each with at least one."""

    problem_N: NDArray[np.int64]
    correct_N: NDArray[np.bool_]
    tokens_N: NDArray[np.float64]
    """NaN where the length isn't known."""
    is_cut_N: NDArray[np.bool_] | None = None
    """Which ended at the token limit; None where the responses don't say how they ended."""

    def counts(self) -> NDArray[np.int64]:
        """Samples of each problem."""
        return np.bincount(self.problem_N)

    def truncated_share(self) -> float | None:
        """Of the responses; None where it isn't known."""
        return None if self.is_cut_N is None else float(self.is_cut_N.mean())

    def shares(self) -> NDArray[np.float64]:
        """The share of correct samples of each problem."""
        return np.bincount(self.problem_N, weights=self.correct_N) / self.counts()

    def with_length(self, is_correct: bool | None = None) -> NDArray[np.bool_]:
        """Which responses have a known length, and this verdict unless it is None."""
        known_N = ~np.isnan(self.tokens_N)
        return known_N if is_correct is None else known_N & (self.correct_N == is_correct)

    def means(
        self, values_N: NDArray[np.float64], chosen_N: NDArray[np.bool_], num_problems: int
    ) -> NDArray[np.float64]:
        """The mean of each problem over the chosen responses; NaN where none is chosen."""
        problem = self.problem_N[chosen_N]
        counts_P = np.bincount(problem, minlength=num_problems)
        sums_P = np.bincount(problem, weights=values_N[chosen_N], minlength=num_problems)
        return np.where(counts_P > 0, sums_P / np.maximum(counts_P, 1), np.nan)


def number_of_problems(a: Draws, b: Draws) -> int:
    """P of two sets of draws over the same problems.

    Raises:
        InputError: there is none, or one of the two leaves a problem out.
    """
    problems_a, problems_b = np.unique(a.problem_N), np.unique(b.problem_N)
    if problems_a.size == 0 or problems_b.size == 0:
        raise InputError("a comparison over no problems does not exist")
    if not np.array_equal(problems_a, problems_b) or problems_a[-1] != problems_a.size - 1:
        raise InputError("a comparison is paired: both models must have answered every problem")
    return int(problems_a.size)
