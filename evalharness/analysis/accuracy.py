"""Accuracy with an interval that holds at 30 problems."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import InputError

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with what is known of its error."""

    value: float
    low: float | None
    """Lower end of the 95% interval; None where the data can't carry one."""
    high: float | None
    stderr: float | None
    """Over problems: would it hold on other problems of the same kind."""
    n: int
    """Problems."""
    k: float
    """Samples a problem, on the average."""
    notes: str = ""


def proportion(hits_N: NDArray[np.bool_], problem_N: NDArray[np.int64]) -> Estimate:
    """A share, such as the accuracy: mean over samples, then over problems, with a 95% interval.

    One sample a problem: Wilson's interval. Several: Wilson's with the effective number of
    observations p(1-p)/SE^2, at least n and at most nk, and the t quantile with n-1 degrees of
    freedom, where SE = sd(p_q)/sqrt(n); the naive interval over nk responses is far too narrow
    because the samples of one problem resemble each other.

    Args:
        hits_N: whether each response counts, for accuracy whether it is correct.
        problem_N: which problem each response answers, any integers.

    Raises:
        InputError: there are no responses.

    Source: Wilson 1927 (Wilson score interval); Miller, arXiv 2411.00640, section 2 (standard
    errors over questions); Korn and Graubard 1998 (effective sample size in a score interval).
    """
    from scipy import stats

    if hits_N.size == 0:
        raise InputError("a share of no responses does not exist")
    _, index_N, counts_P = np.unique(problem_N, return_inverse=True, return_counts=True)
    means_P = np.bincount(index_N, weights=hits_N.astype(float)) / counts_P
    n, k = len(counts_P), hits_N.size / len(counts_P)
    value = float(means_P.mean())
    if n == 1:
        note = "one problem carries no interval"
        return Estimate(value=value, low=None, high=None, stderr=None, n=n, k=k, notes=note)
    stderr = float(means_P.std(ddof=1) / math.sqrt(n))
    if k == 1:
        low, high = wilson(value, n, float(stats.norm.ppf(0.5 + CONFIDENCE / 2)))
    else:
        spread = value * (1 - value)
        observations = min(max(spread / stderr**2, n), n * k) if stderr > 0 else n
        low, high = wilson(value, observations, float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)))
    return Estimate(value=value, low=low, high=high, stderr=stderr, n=n, k=k)


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share p seen in n observations, at z standard normal units."""
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def macro_average(estimates: list[Estimate]) -> Estimate:
    """The unweighted mean over benchmarks, as the paper's tables print it.

    The benchmarks are independent sets of problems, so the variances add:
    SE = sqrt(sum SE_b^2)/B. The interval is recovered from those of the benchmarks, which keeps it
    honest where an accuracy is 0 or 1 and SE vanishes:
    low = value - sqrt(sum (p_b - low_b)^2)/B, high likewise.

    Source: Zou and Donner 2008 (method of variance estimates recovery), for a mean of B shares.
    """
    count = len(estimates)
    value = sum(estimate.value for estimate in estimates) / count
    n = sum(estimate.n for estimate in estimates)
    k = sum(estimate.k * estimate.n for estimate in estimates) / n
    below = above = variance = 0.0
    for each in estimates:
        if each.low is None or each.high is None or each.stderr is None:
            note = "a benchmark with one problem carries no interval"
            return Estimate(value=value, low=None, high=None, stderr=None, n=n, k=k, notes=note)
        below += (each.value - each.low) ** 2
        above += (each.high - each.value) ** 2
        variance += each.stderr**2
    return Estimate(
        value=value,
        low=max(value - math.sqrt(below) / count, 0.0),
        high=min(value + math.sqrt(above) / count, 1.0),
        stderr=math.sqrt(variance) / count,
        n=n,
        k=k,
    )


def clustered_mean(values_N: NDArray[np.float64], problem_N: NDArray[np.int64]) -> Estimate:
    """The mean over responses, with an error that knows that samples of one problem resemble.

    SE^2 = n/(n-1) * sum_q (sum_i (x_qi - mean))^2 / N^2 over the n problems (the cluster-robust
    variance of a mean, Liang and Zeger 1986); the interval uses t with n-1 degrees of freedom.

    Raises:
        InputError: there are no values.
    """
    from scipy import stats

    if values_N.size == 0:
        raise InputError("a mean over no responses does not exist")
    problems_P, index_N = np.unique(problem_N, return_inverse=True)
    n, k = len(problems_P), values_N.size / len(problems_P)
    value = float(values_N.mean())
    if n == 1:
        note = "one problem carries no interval"
        return Estimate(value=value, low=None, high=None, stderr=None, n=n, k=k, notes=note)
    sums_P = np.bincount(index_N, weights=values_N - value)
    stderr = math.sqrt(n / (n - 1) * float((sums_P**2).sum())) / values_N.size
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * stderr
    return Estimate(value=value, low=value - half, high=value + half, stderr=stderr, n=n, k=k)
