"""Tests of "nothing differs": sign flips, McNemar, and Holm's correction for many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXACT_CELLS = 30_000_000
"""Up to this many steps the sign-flip law is computed whole, beyond it is drawn."""
NUM_FLIPS = 100_000
"""Draws where the law isn't computed whole; the seed is fixed, so a report repeats."""


def mcnemar(num_fixed: int, num_broken: int) -> tuple[float, float]:
    """McNemar's exact two-sided p and its mid-p, from the problems that changed."""
    from scipy import stats

    changed, less = num_fixed + num_broken, min(num_fixed, num_broken)
    if changed == 0:
        return 1.0, 1.0
    exact = float(stats.binomtest(less, changed, 0.5).pvalue)
    if num_fixed == num_broken:
        return exact, 1.0
    return exact, exact - float(stats.binom.pmf(less, changed, 0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipLaw:
    """How the sum of differences would fall if every sign were a coin."""

    observed: float
    sums: NDArray[np.float64]
    """Possible sums, or draws of them."""
    weights: NDArray[np.float64]
    """Their probabilities."""
    scale: float
    """Turns a sum into a mean difference."""
    is_exact: bool

    def p_value(self) -> float:
        """The probability of a sum at least as far from 0 as the observed one."""
        reached = np.abs(self.sums) >= abs(self.observed) - 1e-9
        p = float(self.weights[reached].sum())
        count = len(self.sums)
        return min(p, 1.0) if self.is_exact else (p * count + 1) / (count + 1)


def sign_flip_law(weights: tuple[NDArray[np.int64], float]) -> FlipLaw:
    """The law of the sign-flip test over whole numbers: exact by convolution, else drawn.

    Args:
        weights: the difference of each problem (or cluster) in units of 1/L, and the factor that
            turns a sum of them into a mean difference.
    """
    w_Q, scale = weights
    sizes_Q = np.abs(w_Q[w_Q != 0])
    unit = int(np.gcd.reduce(sizes_Q)) if sizes_Q.size else 1
    sizes_Q = np.sort(sizes_Q // unit)
    reach, observed = int(sizes_Q.sum()), float(w_Q.sum() // unit)
    if reach * sizes_Q.size <= EXACT_CELLS:
        law = np.zeros(2 * reach + 1)
        law[reach] = 1.0
        so_far = 0
        for size in sizes_Q.tolist():
            left = law[reach - so_far : reach + so_far + 1] / 2
            so_far += size
            law[reach - so_far : reach + so_far + 1] = 0.0
            law[reach - so_far : reach - so_far + left.size] += left
            law[reach + so_far + 1 - left.size : reach + so_far + 1] += left
        sums = np.arange(-reach, reach + 1, dtype=float)
        return FlipLaw(observed=observed, sums=sums, weights=law, scale=scale * unit, is_exact=True)
    rng = np.random.default_rng(0)
    sums = np.zeros(NUM_FLIPS)
    for size in sizes_Q.tolist():
        sums += size * (2.0 * rng.integers(0, 2, NUM_FLIPS) - 1.0)
    return FlipLaw(
        observed=observed,
        sums=sums,
        weights=np.full(NUM_FLIPS, 1 / NUM_FLIPS),
        scale=scale * unit,
        is_exact=False,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the i-th smallest times (m-i+1), never falling, at most 1.

    Source: Holm 1979.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda at: p_values[at])
    adjusted, largest = [0.0] * count, 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min((count - rank) * p_values[at], 1.0))
        adjusted[at] = largest
    return adjusted
