"""Draws with a planted truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.draws import Draws


def draws(correct: list[bool] | NDArray[np.bool_], tokens: list[float] | None = None) -> Draws:
    """One sample a problem."""
    count = len(correct)
    lengths = np.full(count, 100.0) if tokens is None else np.array(tokens, dtype=float)
    return Draws(
        problem_N=np.arange(count), correct_N=np.array(correct, dtype=bool), tokens_N=lengths
    )


def planted_pair(
    rng: np.random.Generator, *, n: int, k: int, inflation: float, gain: float
) -> tuple[Draws, Draws]:
    """A baseline and a model that is better by `gain` logits and longer by a factor.

    Harder problems are wrong more often and are answered at more length, and wrong responses are
    longer than correct ones: so a better model's wrong responses are long without any inflation.
    """
    hardness_P = rng.standard_normal(n)
    pair = []
    for logit, factor in ((0.0, 1.0), (gain, inflation)):
        problem_N = np.repeat(np.arange(n), k)
        hardness_N = hardness_P[problem_N]
        correct_N = rng.random(n * k) < 1 / (1 + np.exp(1.5 * hardness_N - logit))
        log_N = 6 + 0.4 * hardness_N + 0.25 * ~correct_N + 0.5 * rng.standard_normal(n * k)
        tokens_N = np.maximum(np.rint(factor * np.exp(log_N)), 1.0)
        pair.append(Draws(problem_N=problem_N, correct_N=correct_N, tokens_N=tokens_N))
    return pair[0], pair[1]
