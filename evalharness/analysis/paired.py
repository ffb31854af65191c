"""The difference between two models or templates on the same problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.accuracy import CONFIDENCE, POWER_FACTOR, ROUNDING, clustered_error
from evalharness.analysis.draws import Draws, number_of_problems
from evalharness.analysis.significance import NUM_FLIPS, FlipLaw, mcnemar, sign_flip_law
from evalharness.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """B minus A in accuracy over common problems, and what is known of it."""

    value: float
    low: float | None
    """Lower end of the 95% interval; None where the data can't carry one."""
    high: float | None
    stderr: float | None
    n: int
    """Common problems."""
    p_value: float
    """Sign-flip permutation test, exact where feasible; with one sample it is McNemar's."""
    p_t: float | None
    """Paired t test."""
    p_mcnemar: float | None
    """Exact; None with several samples, or where problems are clustered."""
    p_mid: float | None
    """McNemar's mid-p, less conservative than the exact one."""
    detectable: float | None
    """The smallest true difference that data of this spread finds in 4 of 5 repetitions."""
    fixed: tuple[int, ...]
    """Problems solved by B in more than half of the samples and by A in no more than half."""
    broken: tuple[int, ...]
    """The other way round."""
    notes: tuple[str, ...] = ()


def paired_difference(
    a: Draws,
    b: Draws,
    cluster_P: NDArray[np.int64] | None = None,
    law: FlipLaw | None = None,
) -> Difference:
    """B minus A: mean over samples, then over problems, with an interval and tests by problem.

    The interval: with one sample each, Bonett and Price's (add one problem that only A and one that
    only B solves, then Wald), which holds at n = 30 and when nothing differs; with several, t with
    n-1 degrees of freedom over d_q = p_Bq - p_Aq. With clusters of related problems its width grows
    by the ratio of the cluster-robust to the plain standard error, if that is above 1, and whole
    clusters are flipped in the test.

    Args:
        a: the baseline.
        b: what is compared with it, over the same problems.
        cluster_P: the cluster of each problem; None where they are independent.
        law: of `flip_law`, where it is known already.

    Raises:
        InputError: there are no problems, or they aren't the same.

    Source: Miller, arXiv 2411.00640, section 4 (paired differences); Bonett and Price 2012
    (adjusted Wald interval for paired proportions); Fisher 1935 (sign-flip test); McNemar 1947;
    Lancaster 1961 (mid-p).
    """
    n = number_of_problems(a, b)
    shares_a_P, shares_b_P = a.shares(), b.shares()
    d_P = shares_b_P - shares_a_P
    value = float(d_P.mean())
    is_single = a.problem_N.size == n and b.problem_N.size == n
    stderr, low, high, notes = _interval(d_P, cluster_P, is_single)
    solved_a_P, solved_b_P = shares_a_P > 0.5, shares_b_P > 0.5
    fixed, broken = (
        np.flatnonzero(~solved_a_P & solved_b_P),
        np.flatnonzero(solved_a_P & ~solved_b_P),
    )
    robust, num_clusters = clustered_error(d_P - value, cluster_P)
    p_mcnemar = p_mid = None
    if is_single and num_clusters == n:
        p_mcnemar, p_mid = mcnemar(len(fixed), len(broken))
    detectable = None if stderr is None else POWER_FACTOR * stderr
    if detectable is not None and low is not None and high is not None and low <= 0 <= high:
        notes = (*notes, cannot_resolve(n, detectable))
    return Difference(
        value=value,
        low=low,
        high=high,
        stderr=stderr,
        n=n,
        p_value=(law or flip_law(a, b, cluster_P)).p_value(),
        p_t=_p_of_t(value, robust, num_clusters - 1),
        p_mcnemar=p_mcnemar,
        p_mid=p_mid,
        detectable=detectable,
        fixed=tuple(fixed.tolist()),
        broken=tuple(broken.tolist()),
        notes=notes,
    )


def cannot_resolve(n: int, detectable: float) -> str:
    """The sentence under a difference that could be nothing."""
    return f"these {n} problems cannot resolve less than {100 * detectable:.0f} points"


def _interval(
    d_P: NDArray[np.float64], cluster_P: NDArray[np.int64] | None, is_single: bool
) -> tuple[float | None, float | None, float | None, tuple[str, ...]]:
    """Standard error, both ends, and why there is none."""
    from scipy import stats

    n, value = len(d_P), float(d_P.mean())
    if n == 1:
        return None, None, None, ("one problem carries no interval",)
    plain, _ = clustered_error(d_P - value, None)
    robust, num_clusters = clustered_error(d_P - value, cluster_P)
    if plain is None or robust is None:
        return None, None, None, ("all problems are in one cluster",)
    notes: tuple[str, ...] = ()
    if num_clusters < n:
        notes = (f"error over {num_clusters} clusters of related problems",)
    is_flat = plain < ROUNDING
    factor = 1.0 if is_flat else max(robust / plain, 1.0)
    if is_single:
        only_a, only_b = int((d_P < 0).sum()) + 1, int((d_P > 0).sum()) + 1
        centre = (only_b - only_a) / (n + 2)
        stderr = math.sqrt(((only_a + only_b) / (n + 2) - centre**2) / (n + 2)) * factor
        half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * stderr
    elif is_flat:
        return None, None, None, ("every problem differs by the same: no interval",)
    else:
        centre, stderr = value, plain * factor
        half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, num_clusters - 1)) * stderr
    return stderr, max(centre - half, -1.0), min(centre + half, 1.0), notes


def _p_of_t(value: float, stderr: float | None, freedom: int) -> float | None:
    from scipy import stats

    if stderr is None or stderr < ROUNDING:
        return None
    return float(2 * stats.t.sf(abs(value) / stderr, freedom))


def _flip_weights(
    a: Draws, b: Draws, cluster_P: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], float]:
    """Differences as whole numbers of 1/L, L the least common multiple of the sample counts."""
    counts_a_P, counts_b_P = a.counts(), b.counts()
    shared = math.lcm(*{*counts_a_P.tolist(), *counts_b_P.tolist()})
    if shared > 10**9:
        shared = 10**9  # odd counts: rounded to a billionth
    w_P = np.rint(b.shares() * shared).astype(np.int64) - np.rint(a.shares() * shared).astype(
        np.int64
    )
    if cluster_P is not None:
        _, index_P = np.unique(cluster_P, return_inverse=True)
        sums = np.zeros(int(index_P.max()) + 1, dtype=np.int64)
        np.add.at(sums, index_P, w_P)
        return sums, 1 / (shared * len(w_P))
    return w_P, 1 / (shared * len(w_P))


def flip_law(a: Draws, b: Draws, cluster_P: NDArray[np.int64] | None = None) -> FlipLaw:
    """The law of the sum of differences if nothing differed, by problem or cluster."""
    return sign_flip_law(_flip_weights(a, b, cluster_P))


def macro_difference(parts: Sequence[Difference], laws: Sequence[FlipLaw]) -> Difference:
    """The unweighted mean of the benchmarks' differences.

    SE and interval as in `accuracy.macro_average`; p from 100,000 draws of the benchmarks' own
    sign-flip laws (seed 0), so that it can't be below 1/100,001; the t test uses the normal law.

    Raises:
        InputError: there are no benchmarks.
    """
    from scipy import stats

    if not parts:
        raise InputError("a mean over no benchmarks does not exist")
    count = len(parts)
    value = sum(part.value for part in parts) / count
    rng = np.random.default_rng(0)
    sums = np.zeros(NUM_FLIPS)
    observed = 0.0
    for law in laws:
        places = np.searchsorted(np.cumsum(law.weights), rng.random(NUM_FLIPS) * (1 - 1e-12))
        sums += law.sums[np.minimum(places, len(law.sums) - 1)] * law.scale / count
        observed += law.observed * law.scale / count
    p_value = (int((np.abs(sums) >= abs(observed) - 1e-12).sum()) + 1) / (NUM_FLIPS + 1)
    low = high = stderr = detectable = p_t = None
    notes: tuple[str, ...] = ()
    n = sum(part.n for part in parts)
    ends = [part for part in parts if part.low is not None]
    if len(ends) == count:
        below = sum((part.value - (part.low or 0.0)) ** 2 for part in parts)
        above = sum(((part.high or 0.0) - part.value) ** 2 for part in parts)
        low = max(value - math.sqrt(below) / count, -1.0)
        high = min(value + math.sqrt(above) / count, 1.0)
        stderr = math.hypot(*(part.stderr or 0.0 for part in parts)) / count
        detectable = POWER_FACTOR * stderr
        p_t = float(2 * stats.norm.sf(abs(value) / stderr))
        if low <= 0 <= high:
            notes = (cannot_resolve(n, detectable),)
    else:
        notes = ("a benchmark carries no interval, so the mean carries none",)
    return Difference(
        value=value,
        low=low,
        high=high,
        stderr=stderr,
        n=n,
        p_value=p_value,
        p_t=p_t,
        p_mcnemar=None,
        p_mid=None,
        detectable=detectable,
        fixed=(),
        broken=(),
        notes=notes,
    )
