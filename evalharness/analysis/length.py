"""How long responses are, by verdict, and what accuracy a budget of tokens buys."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.accuracy import (
    CONFIDENCE,
    ROUNDING,
    Estimate,
    clustered_error,
    clustered_mean,
    proportion,
)
from evalharness.errors import InputError

VERDICTS = ("all", "correct", "wrong answer", "no answer", "truncated", "undecided")
"""The classes of `length_by_verdict`; the ones after the first divide the responses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """The responses of a cell, N of them."""

    problem_N: NDArray[np.int64]
    """Any integers."""
    status_N: NDArray[np.str_]
    tokens_N: NDArray[np.float64]
    """NaN where the length isn't known."""
    truncated_N: NDArray[np.bool_] | None
    """Which ended at the token limit; None where the responses don't say how they ended."""
    cluster_N: NDArray[np.int64] | None = None
    """The cluster of each response's problem, any integers; None where problems are independent."""

    def clusters_of(self, chosen_N: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Of some of the responses."""
        return None if self.cluster_N is None else self.cluster_N[chosen_N]

    def is_cut(self) -> NDArray[np.bool_]:
        """As `truncated_N`, none where it isn't known."""
        return np.zeros(self.problem_N.size, bool) if self.truncated_N is None else self.truncated_N


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictLength:
    """The lengths of the responses with one verdict."""

    verdict: str
    num_responses: int
    share: Estimate
    """Of all responses."""
    mean: Estimate | None
    """Restricted to the token limit; None where there is no such response of known length."""
    median: float | None
    p90: float | None
    truncated_share: float | None
    """Of these responses; None where it isn't known."""
    notes: tuple[str, ...] = ()


def length_by_verdict(lengths: Lengths) -> list[VerdictLength]:
    """Share, mean and quantiles for each of `VERDICTS`, in that order.

    `truncated` are the truncated responses that are not correct; a correct one that was cut after
    its answer stays with `correct`, whose truncated share tells how many. `no answer` and
    `wrong answer` ended by themselves; `undecided` are those that the checker could not read or
    decide, and those that the engine could not give.

    A quantile that a truncated response would change is None, with a note.

    Raises:
        InputError: there are no responses.
    """
    status_N, is_cut_N = lengths.status_N, lengths.is_cut()
    correct_N = status_N == "correct"
    chosen = {
        "all": np.ones(status_N.size, bool),
        "correct": correct_N,
        "wrong answer": (status_N == "incorrect") & ~is_cut_N,
        "no answer": (status_N == "no_answer") & ~is_cut_N,
        "truncated": is_cut_N & ~correct_N,
        "undecided": ~is_cut_N & ~np.isin(status_N, ["correct", "incorrect", "no_answer"]),
    }
    return [_verdict_length(name, chosen[name], lengths) for name in VERDICTS]


def _verdict_length(verdict: str, chosen_N: NDArray[np.bool_], lengths: Lengths) -> VerdictLength:
    count = int(chosen_N.sum())
    share = proportion(chosen_N, lengths.problem_N, lengths.cluster_N)
    known_N = chosen_N & ~np.isnan(lengths.tokens_N)
    notes: list[str] = []
    truncated_share = None
    if lengths.truncated_N is None:
        notes.append("the responses don't say how they ended: lengths may be cut")
    elif count:
        truncated_share = float(lengths.truncated_N[chosen_N].mean())
    if not known_N.any():
        return VerdictLength(
            verdict=verdict,
            num_responses=count,
            share=share,
            mean=None,
            median=None,
            p90=None,
            truncated_share=truncated_share,
            notes=("there is no such response with a known length",),
        )
    tokens = lengths.tokens_N[known_N]
    quantiles: list[float | None] = []
    for name, level in (("median", 0.5), ("p90", 0.9)):
        value = quantile(tokens, lengths.is_cut()[known_N], level)
        quantiles.append(value)
        if value is None:
            notes.append(f"the {name} lies among truncated responses")
    return VerdictLength(
        verdict=verdict,
        num_responses=count,
        share=share,
        mean=clustered_mean(tokens, lengths.problem_N[known_N], lengths.clusters_of(known_N)),
        median=quantiles[0],
        p90=quantiles[1],
        truncated_share=truncated_share,
        notes=tuple(notes),
    )


def quantile(
    tokens_N: NDArray[np.float64], is_cut_N: NDArray[np.bool_], level: float
) -> float | None:
    """A quantile of the lengths, or None where it depends on how a truncated response would end.

    It lies between two neighbours of the sorted lengths. Both are known where they ended by
    themselves, no later than where the first truncated response was cut.
    """
    if is_cut_N.any():
        num_known = (tokens_N[~is_cut_N] <= tokens_N[is_cut_N].min()).sum()
        if math.ceil(level * (tokens_N.size - 1) - ROUNDING) >= num_known:
            return None
    return float(np.quantile(tokens_N, level))


def tokens_per_correct(
    tokens_N: NDArray[np.float64],
    correct_N: NDArray[np.bool_],
    problem_N: NDArray[np.int64],
    cluster_N: NDArray[np.int64] | None = None,
) -> Estimate | None:
    """All tokens that were generated over the number of correct responses; None without one.

    A ratio of totals r; its error SE is that of sum_i (tokens_i - r correct_i) over problems
    divided by the number of correct responses (delta method, clustered by problem). The interval is
    t over problems on the logarithm, r exp(-+t SE/r): few correct responses make r very uncertain
    upwards, and no number of tokens is below 0. With clusters of related problems, those take the
    place of the problems.

    Raises:
        InputError: there are no responses of known length.
    """
    from scipy import stats

    known_N = ~np.isnan(tokens_N)
    tokens, correct = tokens_N[known_N], correct_N[known_N].astype(float)
    if tokens.size == 0:
        raise InputError("tokens per correct answer need responses of known length")
    if correct.sum() == 0:
        return None
    value = float(tokens.sum() / correct.sum())
    n = len(np.unique(problem_N[known_N]))
    k = tokens.size / n
    error, num_groups = clustered_error(
        tokens - value * correct, (problem_N if cluster_N is None else cluster_N)[known_N]
    )
    if error is None:
        note = "one problem carries no interval" if n == 1 else "all problems are in one cluster"
        return Estimate(value=value, low=None, high=None, stderr=None, n=n, k=k, notes=note)
    stderr = error * tokens.size / float(correct.sum())
    quantile_t = float(stats.t.ppf(0.5 + CONFIDENCE / 2, num_groups - 1))
    half = quantile_t * stderr / value if value > 0 else 0.0
    low, high = value * math.exp(-half), value * math.exp(half)
    return Estimate(value=value, low=low, high=high, stderr=stderr, n=n, k=k)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetCurve:
    """Accuracy if every response had been stopped after so many tokens."""

    budgets: NDArray[np.float64]
    """Rising; the accuracy changes nowhere else where `is_whole`."""
    accuracies: NDArray[np.float64]
    is_whole: bool
    """Whether every step of the curve is there, or only some of them for drawing."""


def budget_curve(lengths: Lengths, most_points: int | None = None) -> BudgetCurve:
    """mean(correct and stopped by itself and length <= b) for every budget b.

    Over samples, then over problems. A response that was cut at the limit counts for no budget,
    also when an answer stands in it, since it never came to its end. Responses of unknown length
    count as not correct at any budget.

    Args:
        lengths: the responses.
        most_points: thin the curve to so many of its steps, the last among them; None for all.

    Raises:
        InputError: there are no responses.
    """
    if lengths.problem_N.size == 0:
        raise InputError("an accuracy over no responses does not exist")
    _, index_N, counts_P = np.unique(lengths.problem_N, return_inverse=True, return_counts=True)
    counts_N = (lengths.status_N == "correct") & ~lengths.is_cut() & ~np.isnan(lengths.tokens_N)
    weights = (1 / counts_P[index_N] / len(counts_P))[counts_N]
    tokens = lengths.tokens_N[counts_N]
    budgets, place = np.unique(tokens, return_inverse=True)
    steps = np.cumsum(np.bincount(place, weights=weights, minlength=len(budgets)))
    budgets = np.concatenate([[0.0], budgets])
    accuracies = np.concatenate([[0.0], steps.astype(float)])
    if most_points is None or len(budgets) <= most_points:
        return BudgetCurve(budgets=budgets, accuracies=accuracies, is_whole=True)
    chosen = np.unique(np.linspace(0, len(budgets) - 1, most_points).round().astype(int))
    return BudgetCurve(budgets=budgets[chosen], accuracies=accuracies[chosen], is_whole=False)


def accuracy_within(lengths: Lengths, budget: float) -> Estimate:
    """One point of the budget curve with its interval.

    Raises:
        InputError: there are no responses.
    """
    hits_N = (lengths.status_N == "correct") & ~lengths.is_cut() & (lengths.tokens_N <= budget)
    return proportion(hits_N, lengths.problem_N, lengths.cluster_N)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """The law of lengths where responses were cut at different limits."""

    tokens: NDArray[np.float64]
    """Rising."""
    still_going: NDArray[np.float64]
    """The share of responses longer than that."""
    horizon: float
    """The largest length that was observed, cut or not: nothing is known beyond."""

    def restricted_mean(self, horizon: float) -> float:
        """The mean of min(length, horizon): the area under the curve up to there.

        Raises:
            InputError: the horizon lies beyond what was observed.
        """
        if horizon > self.horizon and self.still_going[-1] > 0:
            raise InputError(
                f"a mean up to {horizon:g} tokens isn't known: no response was allowed more than "
                f"{self.horizon:g}"
            )
        inside = self.tokens < horizon
        edges = np.concatenate([[0.0], self.tokens[inside], [horizon]])
        heights = np.concatenate([[1.0], self.still_going[inside]])
        return float((np.diff(edges) * heights).sum())

    def quantile(self, level: float) -> float | None:
        """The smallest length that a share `level` doesn't exceed; None beyond the horizon."""
        reached = self.still_going <= 1 - level + 1e-12
        return float(self.tokens[reached.argmax()]) if reached.any() else None


def kaplan_meier(tokens_N: NDArray[np.float64], is_cut_N: NDArray[np.bool_]) -> Survival:
    """The product-limit estimate of the law of lengths, for mixed token limits.

    Raises:
        InputError: there are no responses.

    Source: Kaplan and Meier 1958, as `scipy.stats.ecdf` has it.
    """
    from scipy import stats

    if tokens_N.size == 0:
        raise InputError("a law of lengths over no responses does not exist")
    data = stats.CensoredData.right_censored(tokens_N, is_cut_N)
    survival = stats.ecdf(data).sf
    return Survival(
        tokens=np.asarray(survival.quantiles, dtype=float),
        still_going=np.asarray(survival.probabilities, dtype=float),
        horizon=float(tokens_N.max()),
    )
