"""What several samples of a problem say: pass@k, maj@k and G-Pass@k, all exact over k-subsets."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import InputError

NO_ANSWER = -1
"""The group of a sample that gave no answer: it doesn't vote."""
MOST_SAMPLES = 1000
"""C(n, n/2) of more doesn't fit into a number of 64 bits."""


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
    _need_samples(num_samples_P, k)
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold of G-Pass@k is a share between 0 and 1, not {threshold}")
    # A product such as 0.7 * 10 is a little above 7 in binary: the ceiling must still be 7.
    least = max(1, math.ceil(threshold * k - 1e-9))
    pairs = zip(num_samples_P.tolist(), num_correct_P.tolist(), strict=True)
    return np.array([_at_least(n, c, k, least) for n, c in pairs])


@lru_cache(maxsize=65536)
def _at_least(n: int, c: int, k: int, least: int) -> float:
    """The chance that k of n samples, c of them correct, hold so many correct ones."""
    ways = sum(math.comb(c, j) * math.comb(n - c, k - j) for j in range(least, min(c, k) + 1))
    return ways / math.comb(n, k)


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
    votes_P: NDArray[np.float64] = maj_at_each(groups_N, correct_N, problem_N, (k,))[0]
    return votes_P


def maj_at_each(
    groups_N: NDArray[np.int64],
    correct_N: NDArray[np.bool_],
    problem_N: NDArray[np.int64],
    sizes: tuple[int, ...],
) -> NDArray[np.float64]:
    """`maj_at_k` for several sizes of the vote at once: a row a size, a column a problem.

    Raises:
        InputError: a problem has fewer samples than the largest size, or more than `MOST_SAMPLES`.
    """
    ballots, counts_P = _ballots(groups_N, correct_N, problem_N)
    _need_samples(counts_P, max(sizes))
    if counts_P.max() > MOST_SAMPLES:
        raise InputError(
            f"the votes of {counts_P.max()} samples of a problem are more than can be counted; "
            f"{MOST_SAMPLES} can"
        )
    return np.array(
        [
            _majority(ballot, int(count) - sum(size for size, _ in ballot), sizes)
            for ballot, count in zip(ballots, counts_P, strict=True)
        ]
    ).T


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
def _majority(ballot: Ballot, num_silent: int, sizes: tuple[int, ...]) -> tuple[float, ...]:
    """The chance that the vote of a random subset is right, for each size of the subset.

    Args:
        ballot: from `_ballots`.
        num_silent: samples without an answer.
        sizes: of the subsets.
    """
    num_samples = sum(size for size, _ in ballot) + num_silent
    wins_S = np.zeros(len(sizes))
    for place, (size, num_correct) in enumerate(ballot):
        if num_correct:
            rivals = [other for other, _ in ballot[:place] + ballot[place + 1 :]]
            wins_S += num_correct / size * _wins(size, rivals, num_silent, sizes)
    subsets_S = np.array([float(math.comb(num_samples, size)) for size in sizes])
    return tuple((wins_S / subsets_S).tolist())


def _wins(
    own: int, rivals: list[int], num_silent: int, sizes: tuple[int, ...]
) -> NDArray[np.float64]:
    """How many subsets of each size an answer wins, a tie of t answers counted as 1/t.

    For each number v of votes that it may win with: the answers that also have v samples or more
    are chosen with at most v votes, `ways_DT[d, t]` the ways to choose d samples of them with t of
    them at v votes; of all other samples any may be chosen.

    Args:
        own: samples with this answer.
        rivals: samples of each other answer.
        num_silent: samples without an answer.
        sizes: of the subsets.
    """
    most = max(sizes)
    wins_S = np.zeros(len(sizes))
    mine, contested = _binomials(own), min(own, most, max(rivals, default=0))
    for votes in range(1, contested + 1):
        able = [size for size in rivals if size >= votes]
        length = most - votes + 1
        ways_DT = np.zeros((length, min(len(able), (length - 1) // votes) + 1))
        ways_DT[0, 0] = 1.0
        for size in able:
            more_DT = _product_matrix(size, votes, most)[:length, :length] @ ways_DT
            if length > votes:
                more_DT[votes:, 1:] += _binomials(size)[votes] * ways_DT[: length - votes, :-1]
            ways_DT = more_DT
        shared_D = ways_DT @ (1 / np.arange(1, ways_DT.shape[1] + 1))
        ways_D = np.convolve(shared_D, _binomials(num_silent + sum(rivals) - sum(able)))
        for place, size in enumerate(sizes):
            if votes <= size < votes + len(ways_D):
                wins_S[place] += mine[votes] * ways_D[size - votes]
    free = _binomials(num_silent + sum(rivals))
    for place, size in enumerate(sizes):
        # With more votes than any other answer has samples it wins alone.
        least = max(contested + 1, size - len(free) + 1)
        votes_V = np.arange(least, min(own, size) + 1)
        wins_S[place] += mine[votes_V] @ free[size - votes_V]
    return wins_S


@lru_cache(maxsize=1024)
def _binomials(n: int) -> NDArray[np.float64]:
    """C(n, 0) to C(n, n)."""
    return np.array([float(math.comb(n, taken)) for taken in range(n + 1)])


@lru_cache(maxsize=1024)
def _product_matrix(n: int, limit: int, length: int) -> NDArray[np.float64]:
    """The matrix that multiplies a polynomial by (1 + x)^n without its powers from `limit` on."""
    place_DD = np.subtract.outer(np.arange(length), np.arange(length))
    padded = np.zeros(2 * length)
    padded[: min(limit, length)] = _binomials(n)[: min(limit, length)]
    # A negative place is one of the zeros at the end.
    product_DD: NDArray[np.float64] = padded[place_DD]
    return product_DD


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
