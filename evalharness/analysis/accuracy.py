"""Accuracy with an interval that holds at 30 problems."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import InputError

CONFIDENCE = 0.95
ROUNDING = 1e-12
"""A standard error of shares below this is none: what binary fractions leave of equal ones."""
POWER_FACTOR = 1.959964 + 0.841621
"""Standard errors that a true difference must measure to be found at 5%, power 80%."""


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
    stderr_sampling: float | None = None
    """Over the samples of these problems: would it repeat on them; None with one sample each."""


def proportion(
    hits_N: NDArray[np.bool_],
    problem_N: NDArray[np.int64],
    cluster_N: NDArray[np.int64] | None = None,
) -> Estimate:
    """A share, such as the accuracy: mean over samples, then over problems, with a 95% interval.

    Args:
        hits_N: whether each response counts, for accuracy whether it is correct.
        problem_N: which problem each response answers, any integers.
        cluster_N: which cluster of related problems that problem is in, any integers; None where
            the problems are independent.

    Raises:
        InputError: there are no responses.

    Source: Miller, arXiv 2411.00640, section 2 (both standard errors); the interval is that of
    `share_of_means`.
    """
    if hits_N.size == 0:
        raise InputError("a share of no responses does not exist")
    _, first_P, index_N, counts_P = np.unique(
        problem_N, return_index=True, return_inverse=True, return_counts=True
    )
    means_P = np.bincount(index_N, weights=hits_N.astype(float)) / counts_P
    cluster_P = None if cluster_N is None else cluster_N[first_P]
    estimate = share_of_means(means_P, hits_N.size / len(counts_P), cluster_P)
    return replace(estimate, stderr_sampling=sampling_error(means_P, counts_P))


def sampling_error(means_P: NDArray[np.float64], counts_P: NDArray[np.int64]) -> float | None:
    """The standard error over the samples of these very problems: would the share repeat on them?

    sqrt(sum_q s_q^2/k_q)/n with s_q^2 = p_q(1-p_q) k_q/(k_q-1). None where a problem has only one
    sample.

    Source: Miller, arXiv 2411.00640, section 3 (the part of the variance that resampling cuts).
    """
    if counts_P.min() < 2:
        return None
    return float(np.sqrt((means_P * (1 - means_P) / (counts_P - 1)).sum()) / len(means_P))


def share_of_means(
    means_P: NDArray[np.float64], k: float, cluster_P: NDArray[np.int64] | None = None
) -> Estimate:
    """The mean over problems of shares between 0 and 1, with a 95% interval.

    One sample a problem: Wilson's interval. Several: Wilson's with the effective number of
    observations p(1-p)/SE^2, at least n and at most nk, and the t quantile with n-1 degrees of
    freedom, where SE = sd(p_q)/sqrt(n); the naive interval over nk responses is far too narrow
    because the samples of one problem resemble each other. With G clusters of problems SE is the
    cluster-robust one, sqrt(G/(G-1) sum_g (sum_{q in g} (p_q - p))^2)/n, with G-1 degrees of
    freedom and no least number of observations, because a few large clusters can weigh more than
    all others; where all shares are 0 or all 1 the number is n^2/sum_g n_g^2 (Kish).

    Args:
        means_P: one share a problem.
        k: samples a problem, on the average.
        cluster_P: the cluster of each problem; None where they are independent.

    Raises:
        InputError: there are no problems.

    Source: Wilson 1927 (Wilson score interval); Korn and Graubard 1998 (effective sample size in a
    score interval); Liang and Zeger 1986 (clusters); Kish 1965 (effective number of clusters).
    """
    from scipy import stats

    if means_P.size == 0:
        raise InputError("a share over no problems does not exist")
    n, value = len(means_P), float(means_P.mean())
    stderr, num_clusters = clustered_error(means_P - value, cluster_P)
    if stderr is None:
        note = "one problem carries no interval" if n == 1 else "all problems are in one cluster"
        return Estimate(value=value, low=None, high=None, stderr=None, n=n, k=k, notes=note)
    if k == 1 and num_clusters == n:
        low, high = wilson(value, n, float(stats.norm.ppf(0.5 + CONFIDENCE / 2)))
        return Estimate(value=value, low=low, high=high, stderr=stderr, n=n, k=k)
    observations = _effective_observations(value, stderr, n, k, cluster_P)
    low, high = wilson(
        value, observations, float(stats.t.ppf(0.5 + CONFIDENCE / 2, num_clusters - 1))
    )
    note = f"error over {num_clusters} clusters of related problems" if num_clusters < n else ""
    return Estimate(value=value, low=low, high=high, stderr=stderr, n=n, k=k, notes=note)


def _effective_observations(
    value: float, stderr: float, n: int, k: float, cluster_P: NDArray[np.int64] | None
) -> float:
    """How many independent responses would have this error; see `share_of_means`."""
    _, sizes_G = np.unique(np.arange(n) if cluster_P is None else cluster_P, return_counts=True)
    spread = value * (1 - value)
    if spread < ROUNDING:
        return float(n**2 / (sizes_G**2).sum())
    found = spread / max(stderr, ROUNDING) ** 2
    return min(found if len(sizes_G) < n else max(found, n), n * k)


def clustered_error(
    residuals_P: NDArray[np.float64], cluster_P: NDArray[np.int64] | None
) -> tuple[float | None, int]:
    """The standard error of a mean whose residuals these are, and the number of clusters.

    None where there is only one cluster. Without clusters it is sd/sqrt(n).

    Source: Liang and Zeger 1986, with the factor G/(G-1).
    """
    n = len(residuals_P)
    sums_G = np.asarray(residuals_P, dtype=float)
    if cluster_P is not None:
        _, index_P = np.unique(cluster_P, return_inverse=True)
        sums_G = np.bincount(index_P, weights=residuals_P).astype(float)
    num_clusters = len(sums_G)
    if num_clusters < 2:
        return None, num_clusters
    variance = num_clusters / (num_clusters - 1) * float((sums_G**2).sum()) / n**2
    return math.sqrt(variance), num_clusters


def detectable_difference(
    *, n: int, sampling_a: float, sampling_b: float, k_a: float, k_b: float, between: float
) -> float:
    """The smallest true difference that a paired comparison finds in 4 of 5 repetitions.

    2.80 sqrt((w^2 + s_a^2/k_a + s_b^2/k_b)/n): two-sided at 5%, power 80%, 2.80 = 1.960 + 0.842.

    Args:
        n: common problems.
        sampling_a: s_a, the standard deviation of one sample of a problem, root mean square.
        sampling_b: the same of the other model.
        k_a: samples a problem.
        k_b: the same of the other model.
        between: w, the standard deviation over problems of the true difference.

    Source: Miller, arXiv 2411.00640, section 5 (power of a paired comparison).
    """
    return POWER_FACTOR * math.sqrt((between**2 + sampling_a**2 / k_a + sampling_b**2 / k_b) / n)


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
    sampling = [each.stderr_sampling for each in estimates if each.stderr_sampling is not None]
    return Estimate(
        value=value,
        low=max(value - math.sqrt(below) / count, 0.0),
        high=min(value + math.sqrt(above) / count, 1.0),
        stderr=math.sqrt(variance) / count,
        n=n,
        k=k,
        stderr_sampling=math.hypot(*sampling) / count if len(sampling) == count else None,
    )


def clustered_mean(
    values_N: NDArray[np.float64],
    problem_N: NDArray[np.int64],
    cluster_N: NDArray[np.int64] | None = None,
) -> Estimate:
    """The mean length over responses, with an error that knows that samples of a problem resemble.

    SE^2 = n/(n-1) * sum_q (sum_i (x_qi - mean))^2 / N^2 over the n problems (the cluster-robust
    variance of a mean, Liang and Zeger 1986); the interval uses t with n-1 degrees of freedom and
    ends at 0. With clusters of related problems, those take the place of the problems.

    Args:
        values_N: lengths, none below 0.
        problem_N: which problem each response answers, any integers.
        cluster_N: as in `proportion`.

    Raises:
        InputError: there are no values.
    """
    from scipy import stats

    if values_N.size == 0:
        raise InputError("a mean over no responses does not exist")
    n = len(np.unique(problem_N))
    k = values_N.size / n
    value = float(values_N.mean())
    stderr, num_clusters = clustered_error(
        values_N - value, problem_N if cluster_N is None else cluster_N
    )
    if stderr is None:
        note = "one problem carries no interval" if n == 1 else "all problems are in one cluster"
        return Estimate(value=value, low=None, high=None, stderr=None, n=n, k=k, notes=note)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, num_clusters - 1)) * stderr
    low, high = max(value - half, 0.0), value + half
    return Estimate(value=value, low=low, high=high, stderr=stderr, n=n, k=k)
