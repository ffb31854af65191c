"""The change of the wrong length and of the mean length, taken apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evalharness.analysis.draws import Draws, number_of_problems

KITAGAWA_WARNING = (
    "Kitagawa's parts don't remove selection: wrong answers of the two models come from other "
    "problems. Read the matched inflation."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongLengthChange:
    """The change in the mean length of responses that are not correct, taken apart exactly."""

    naive: float
    """matched + newly_wrong + newly_right."""
    matched: float
    """Longer on problems that both got wrong."""
    newly_wrong: float
    """Other problems came into the wrong answers of B."""
    newly_right: float
    """Problems left the wrong answers of A."""


def decompose_wrong_length(a: Draws, b: Draws) -> WrongLengthChange | None:
    """Take the naive change of the wrong length apart into what is matched and what is selection.

    Problem q has the wrong shares a_q, b_q and mean wrong lengths A_q, B_q. Matched mass
    m_q = min(a_q, b_q), newly wrong b_q - m_q, newly right a_q - m_q, with sums M, N, R and mean
    lengths taken with these weights:

        naive = mean B - mean A
              = (B_M - A_M) + N/(M+N) (B_N - B_M) + R/(M+R) (A_M - A_R)

    which is exact. With one sample each these are the problems wrong in both, in B only and in A
    only. None where no problem is wrong in both.

    Raises:
        InputError: there are no problems, or they aren't the same.
    """
    n = number_of_problems(a, b)
    masses, lengths = [], []
    for draws in (a, b):
        wrong_N = draws.with_length(False)
        known = np.bincount(draws.problem_N[draws.with_length()], minlength=n)
        masses.append(np.bincount(draws.problem_N[wrong_N], minlength=n) / np.maximum(known, 1))
        lengths.append(np.nan_to_num(draws.means(draws.tokens_N, wrong_N, n)))
    matched_P = np.minimum(*masses)
    both = float(matched_P.sum())
    if both == 0:
        return None
    at_a, at_b = (float((matched_P * each).sum()) / both for each in lengths)
    left_P, come_P = masses[0] - matched_P, masses[1] - matched_P
    left, come = float(left_P.sum()), float(come_P.sum())
    newly_wrong = (float((come_P * lengths[1]).sum()) - come * at_b) / (both + come)
    newly_right = (left * at_a - float((left_P * lengths[0]).sum())) / (both + left)
    means = [
        float((mass_P * length_P).sum() / mass_P.sum())
        for mass_P, length_P in zip(masses, lengths, strict=True)
    ]
    return WrongLengthChange(
        naive=means[1] - means[0],
        matched=at_b - at_a,
        newly_wrong=newly_wrong,
        newly_right=newly_right,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One cell of correct and wrong in A times correct and wrong in B."""

    is_correct_a: bool
    is_correct_b: bool
    count: float
    """Problems; with several samples the expected number when one of each is drawn."""
    tokens_a: float | None
    """A's mean length in this cell; None where it is empty."""
    tokens_b: float | None


def transitions(a: Draws, b: Draws) -> list[Transition]:
    """The four cells; only correct-correct and wrong-wrong read as inflation.

    Raises:
        InputError: there are no problems, or they aren't the same.
    """
    n = number_of_problems(a, b)
    right = {"a": a.shares(), "b": b.shares()}
    rows = []
    for is_correct_a in (True, False):
        for is_correct_b in (True, False):
            weights_P = (right["a"] if is_correct_a else 1 - right["a"]) * (
                right["b"] if is_correct_b else 1 - right["b"]
            )
            means = []
            for draws, is_correct in ((a, is_correct_a), (b, is_correct_b)):
                length_P = draws.means(draws.tokens_N, draws.with_length(is_correct), n)
                used_P = (weights_P > 0) & ~np.isnan(length_P)
                total = float(weights_P[used_P].sum())
                means.append(
                    float((weights_P[used_P] * length_P[used_P]).sum()) / total if total else None
                )
            rows.append(
                Transition(
                    is_correct_a=is_correct_a,
                    is_correct_b=is_correct_b,
                    count=float(weights_P.sum()),
                    tokens_a=means[0],
                    tokens_b=means[1],
                )
            )
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Kitagawa:
    """The change of the overall mean length by verdict, with `KITAGAWA_WARNING`."""

    change: float
    """within_correct + within_wrong + composition."""
    within_correct: float
    within_wrong: float
    composition: float
    """Because correct and wrong answers, of different lengths, became more or fewer."""


def kitagawa(a: Draws, b: Draws) -> Kitagawa | None:
    """Kitagawa's decomposition over the two verdicts; None where a verdict doesn't occur in both.

    sum_v (s_Av+s_Bv)/2 (m_Bv-m_Av) + sum_v (m_Av+m_Bv)/2 (s_Bv-s_Av), over responses with a known
    length.

    Source: Kitagawa 1955.
    """
    shares, means = [], []
    for draws in (a, b):
        known_N = draws.with_length()
        for is_correct in (True, False):
            chosen_N = draws.with_length(is_correct)
            if not chosen_N.any():
                return None
            shares.append(float(chosen_N.sum() / known_N.sum()))
            means.append(float(draws.tokens_N[chosen_N].mean()))
    within = [(shares[v] + shares[2 + v]) / 2 * (means[2 + v] - means[v]) for v in (0, 1)]
    composition = sum((means[v] + means[2 + v]) / 2 * (shares[2 + v] - shares[v]) for v in (0, 1))
    return Kitagawa(
        change=sum(within) + composition,
        within_correct=within[0],
        within_wrong=within[1],
        composition=composition,
    )
