"""What several samples of a problem say: pass@k, maj@k and G-Pass@k, all exact over k-subsets."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import InputError

NO_ANSWER = -1
"""The group of a sample that gave no answer: it doesn't vote."""


def pass_at_k(
    num_correct_P: NDArray[np.int64], num_samples_P: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """For each problem the probability that one of k samples is correct: 1 - C(n-c,k)/C(n,k).

    Raises:
        InputError: a problem has fewer than k samples.

    Source: Chen et al., arXiv 2107.03374, equation 1.
    """
    return g_pass_at_k(num_correct_P, num_samples_P, k, threshold=0.0)


def g_pass_at_k(
    num_correct_P: NDArray[np.int64],
    num_samples_P: NDArray[np.int64],
    k: int,
    threshold: float,
) -> NDArray[np.float64]:
    """For each problem the probability that at least a share `threshold` of k samples is correct.

    sum_{j >= max(1, ceil(threshold k))} C(c,j) C(n-c,k-j)/C(n,k). A threshold of 0 is pass@k, of 1
    that all k samples are correct.

    Raises:
        InputError: a problem has fewer than k samples, or the threshold is outside 0 to 1.

    Source: Liu et al., arXiv 2412.13147 (G-Pass@k).
    """
    from scipy import stats

    _need_samples(num_samples_P, k)
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold of G-Pass@k is a share between 0 and 1, not {threshold}")
    # A product such as 0.7 * 10 is a little above 7 in binary: the ceiling must still be 7.
    least = max(1, math.ceil(threshold * k - 1e-9))
    law = stats.hypergeom(num_samples_P, num_correct_P, k)
    return np.clip(np.asarray(law.sf(least - 1), dtype=float), 0.0, 1.0)


def mean_g_pass_at_k(
    num_correct_P: NDArray[np.int64], num_samples_P: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """G-Pass@k averaged over the thresholds from 1/2 to 1: (2/k) sum_{i=ceil(k/2)+1}^k G(i/k).

    Source: Liu et al., arXiv 2412.13147 (mG-Pass@k).
    """
    steps = range(math.ceil(k / 2) + 1, k + 1)
    parts = [g_pass_at_k(num_correct_P, num_samples_P, k, i / k) for i in steps]
    if not parts:
        raise InputError(f"mG-Pass@k needs k of at least 2, not {k}")
    return np.asarray(2 / k * np.sum(parts, axis=0), dtype=float)


def maj_at_k(
    groups_N: NDArray[np.int64],
    correct_N: NDArray[np.bool_],
    problem_N: NDArray[np.int64],
    k: int,
) -> NDArray[np.float64]:
    """For each problem the probability that the most frequent answer of k samples is correct.

    The average over all k-subsets of the samples, counted exactly and not by drawing some. The
    answers tied for the most votes share the win; a group whose samples were judged differently is
    correct by the share of them that are; a sample without an answer doesn't vote, and a subset
    without any vote is wrong.

    Args:
        groups_N: which answers are the same within a problem; `NO_ANSWER` where there is none.
        correct_N: whether each is correct.
        problem_N: which problem each answers, any integers.
        k: size of the vote.

    Returns:
        one value a problem, in the order of `np.unique(problem_N)`.

    Raises:
        InputError: a problem has fewer than k samples.
    """
    ballots, counts_P = _ballots(groups_N, correct_N, problem_N)
    _need_samples(counts_P, k)
    return np.array(
        [
            _majority(ballot, int(count) - sum(size for size, _ in ballot), k)
            for ballot, count in zip(ballots, counts_P, strict=True)
        ]
    )


Ballot = tuple[tuple[int, int], ...]
"""Of each answer to a problem the number of its samples and how many of them are correct."""


def _ballots(
    groups_N: NDArray[np.int64], correct_N: NDArray[np.bool_], problem_N: NDArray[np.int64]
) -> tuple[list[Ballot], NDArray[np.int64]]:
    """The sorted ballot of each problem, equal ones equal, and how many samples each has."""
    _, place_N, counts_P = np.unique(problem_N, return_inverse=True, return_counts=True)
    votes_N = groups_N != NO_ANSWER
    places, groups = place_N[votes_N], groups_N[votes_N]
    span = int(groups.max()) + 1 if groups.size else 1
    keys, index, sizes = np.unique(places * span + groups, return_inverse=True, return_counts=True)
    rights = np.bincount(index, weights=correct_N[votes_N], minlength=len(keys)).astype(np.int64)
    owners = keys // span
    order = np.lexsort((rights, sizes, owners))
    pairs = list(zip(sizes[order].tolist(), rights[order].tolist(), strict=True))
    ends = np.cumsum(np.bincount(owners, minlength=len(counts_P))).tolist()
    return [
        tuple(pairs[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ], counts_P


@lru_cache(maxsize=65536)
def _majority(ballot: Ballot, num_silent: int, k: int) -> float:
    """The chance that the vote of a random k-subset is right.

    Args:
        ballot: from `_ballots`.
        num_silent: samples without an answer.
        k: size of the subset.

    For each winning count v, `ways[s, t]` counts the choices of s samples in which t answers have
    v votes and no answer has more; `right` is the same, weighted by how correct the t answers are.
    """
    total = 0.0
    for votes in range(1, min(k, max((size for size, _ in ballot), default=0)) + 1):
        most = k // votes
        ways = np.zeros((k + 1, most + 1))
        right = np.zeros((k + 1, most + 1))
        ways[0, 0] = 1.0
        for size, num_correct in ballot:
            next_ways, next_right = np.zeros_like(ways), np.zeros_like(right)
            for taken in range(min(size, votes - 1, k) + 1):
                count = math.comb(size, taken)
                next_ways[taken:] += count * ways[: k + 1 - taken]
                next_right[taken:] += count * right[: k + 1 - taken]
            if size >= votes:
                count, stop = math.comb(size, votes), k + 1 - votes
                next_ways[votes:, 1:] += count * ways[:stop, :-1]
                next_right[votes:, 1:] += count * (
                    right[:stop, :-1] + num_correct / size * ways[:stop, :-1]
                )
            ways, right = next_ways, next_right
        for silent in range(min(num_silent, k) + 1):
            shares = right[k - silent, 1:] / np.arange(1, most + 1)
            total += math.comb(num_silent, silent) * float(shares.sum())
    num_samples = sum(size for size, _ in ballot) + num_silent
    return total / math.comb(num_samples, k)


def equal_text_groups(answers: list[str | None], correct_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which answers of a problem are the same, told by their text without white space.

    All correct answers are one group, because each equals the gold.
    """
    numbers: dict[str, int] = {}
    groups_N = np.empty(len(answers), dtype=np.int64)
    for position, (answer, is_correct) in enumerate(zip(answers, correct_N, strict=True)):
        if is_correct:
            groups_N[position] = 0
        elif answer is None or not answer.strip():
            groups_N[position] = NO_ANSWER
        else:
            groups_N[position] = numbers.setdefault("".join(answer.split()), len(numbers) + 1)
    return groups_N


def _need_samples(num_samples_P: NDArray[np.int64], k: int) -> None:
    if num_samples_P.size == 0:
        raise InputError(f"a vote or pass over no problems does not exist (k = {k})")
    if k < 1 or num_samples_P.min() < k:
        raise InputError(
            f"k = {k} needs as many samples of every problem; one has {num_samples_P.min()}"
        )
