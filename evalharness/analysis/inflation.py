"""Did responses get longer on the same problems, or did other problems get wrong?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.accuracy import CONFIDENCE
from evalharness.analysis.draws import Draws, number_of_problems

_ROUNDING = 1e-12
"""Of a mean of logarithms that are all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times longer B is than A."""

    value: float
    low: float | None
    """Lower end of the 95% interval; None where one problem, or a few with exactly the same ratio,
    carry none."""
    high: float | None
    n: int
    """Problems that enter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """Matched length ratios of B over A; None where no problem enters."""

    overall: Ratio | None
    correct: Ratio | None
    """Over problems with a correct response of both, and correct responses only."""
    wrong: Ratio | None
    """Over problems with a response of both that is not correct, and such responses only."""
    excess_wrong: Ratio | None
    """wrong / correct."""


def length_inflation(a: Draws, b: Draws, cluster_P: NDArray[np.int64] | None = None) -> Inflation:
    """exp(mean_q[mean ln L_Bq - mean ln L_Aq]), over all, correct and not correct responses.

    Because a problem enters only with responses of the same verdict from both, a model that solves
    more easy problems doesn't seem to write longer wrong answers. The interval is t over problems
    on the logarithm with n-1 degrees of freedom (clusters, where given, in the place of problems).
    The excess R = P_wrong/P_correct has the variance of the difference of the two means, with
    problems that enter both counted as dependent, and the degrees of freedom of Satterthwaite.
    A length of 0 counts as 1.

    Args:
        a: the baseline.
        b: what is compared with it, over the same problems.
        cluster_P: the cluster of each problem; None where they are independent.

    Raises:
        InputError: there are no problems, or they aren't the same.
    """
    num_problems = number_of_problems(a, b)
    if cluster_P is None:
        groups_P = np.arange(num_problems)
    else:
        _, groups_P = np.unique(cluster_P, return_inverse=True)
    overall = _log_mean(_log_ratios(a, b, None), groups_P)
    correct = _log_mean(_log_ratios(a, b, True), groups_P)
    wrong = _log_mean(_log_ratios(a, b, False), groups_P)
    return Inflation(
        overall=_ratio(overall) if overall else None,
        correct=_ratio(correct) if correct else None,
        wrong=_ratio(wrong) if wrong else None,
        excess_wrong=_excess(wrong, correct) if wrong and correct else None,
    )


class _LogMean(NamedTuple):
    """A mean over problems of log ratios, with what each group of problems adds to its error."""

    mean: float
    num_problems: int
    num_groups: int
    effects_G: NDArray[np.float64]
    """The squares sum to the variance: sqrt(g/(g-1)) sum of the group's residuals / n."""
    enters_P: NDArray[np.bool_]

    def variance(self) -> float:
        return float((self.effects_G**2).sum())


def _log_mean(logs_P: NDArray[np.float64], groups_P: NDArray[np.int64]) -> _LogMean | None:
    enters_P = ~np.isnan(logs_P)
    n = int(enters_P.sum())
    if n == 0:
        return None
    mean = float(logs_P[enters_P].mean())
    residuals_P = np.where(enters_P, logs_P - mean, 0.0) / n
    count = len(np.unique(groups_P[enters_P]))
    sums_G = np.bincount(groups_P, weights=residuals_P)
    factor = math.sqrt(count / (count - 1)) if count > 1 else 0.0
    return _LogMean(
        mean=mean,
        num_problems=n,
        num_groups=count,
        effects_G=np.asarray(factor * sums_G, dtype=float),
        enters_P=enters_P,
    )


def _log_ratios(a: Draws, b: Draws, is_correct: bool | None) -> NDArray[np.float64]:
    """B's geometric mean length over A's, its logarithm by problem; NaN where one has none."""
    n = number_of_problems(a, b)
    logs = [
        draws.means(np.log(np.maximum(draws.tokens_N, 1.0)), draws.with_length(is_correct), n)
        for draws in (a, b)
    ]
    return np.asarray(logs[1] - logs[0])


def _ratio(part: _LogMean) -> Ratio:
    return _with_interval(part.mean, part.variance(), part.num_groups - 1, part.num_problems)


def _excess(wrong: _LogMean, correct: _LogMean) -> Ratio:
    """The quotient; a problem that enters both ties their errors together."""
    variance = float(((wrong.effects_G - correct.effects_G) ** 2).sum())
    freedom = 0.0
    if min(wrong.num_groups, correct.num_groups) > 1:
        apart = wrong.variance() + correct.variance()
        spread = sum(part.variance() ** 2 / (part.num_groups - 1) for part in (wrong, correct))
        freedom = apart**2 / spread if spread > 0 else 1.0
    n = int((wrong.enters_P | correct.enters_P).sum())
    return _with_interval(wrong.mean - correct.mean, variance, freedom, n)


def _with_interval(log_value: float, variance: float, freedom: float, n: int) -> Ratio:
    from scipy import stats

    value = math.exp(log_value)
    # Ratios without any spread say nothing of how far the next one would be from them.
    is_flat = variance < _ROUNDING**2 and abs(log_value) > _ROUNDING
    if freedom <= 0 or is_flat:
        return Ratio(value=value, low=None, high=None, n=n)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(variance)
    return Ratio(value=value, low=math.exp(log_value - half), high=math.exp(log_value + half), n=n)


def mean_inflation(parts: Sequence[Ratio]) -> Ratio:
    """The geometric mean of the benchmarks' ratios, its interval from theirs (Zou and Donner)."""
    count = len(parts)
    log_value = sum(math.log(part.value) for part in parts) / count
    n = sum(part.n for part in parts)
    below = above = 0.0
    for part in parts:
        if part.low is None or part.high is None:
            return Ratio(value=math.exp(log_value), low=None, high=None, n=n)
        below += math.log(part.value / part.low) ** 2
        above += math.log(part.high / part.value) ** 2
    return Ratio(
        value=math.exp(log_value),
        low=math.exp(log_value - math.sqrt(below) / count),
        high=math.exp(log_value + math.sqrt(above) / count),
        n=n,
    )
