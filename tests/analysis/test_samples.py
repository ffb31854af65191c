from itertools import combinations
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.analysis.samples import (
    MOST_SAMPLES,
    NO_ANSWER,
    equal_text_groups,
    g_pass_at_k,
    maj_at_each,
    maj_at_k,
    mean_g_pass_at_k,
    pass_at_k,
)
from evalharness.errors import InputError


def _one(function: object, *arguments: object) -> float:
    return float(function(*arguments)[0])  # type: ignore[operator]


def test_pass_at_k_by_hand() -> None:
    # n = 5, c = 2, k = 2: 1 - C(3,2)/C(5,2) = 1 - 3/10
    assert _one(pass_at_k, np.array([2]), np.array([5]), 2) == pytest.approx(0.7)


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(
    n: int, data: st.DataObject
) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    expected = sum(map(any, subsets)) / len(subsets)
    assert _one(pass_at_k, np.array([c]), np.array([n]), k) == pytest.approx(expected)


@given(st.integers(1, 8), st.sampled_from([0.25, 0.5, 0.7, 0.75, 1.0]), st.data())
def test_g_pass_at_k_is_the_share_of_subsets_with_enough_correct_samples(
    n: int, threshold: float, data: st.DataObject
) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations([1] * c + [0] * (n - c), k))
    expected = sum(sum(subset) >= max(1, threshold * k) for subset in subsets) / len(subsets)
    found = _one(g_pass_at_k, np.array([c]), np.array([n]), k, threshold)
    assert found == pytest.approx(expected)


def test_seven_of_ten_reaches_a_threshold_of_seven_tenths() -> None:
    # 0.7 * 10 is 7.000000000000001 in binary
    assert ceil(0.1 * 3 * 10) == 4
    assert _one(g_pass_at_k, np.array([3]), np.array([10]), 10, 0.1 * 3) == 1
    assert _one(g_pass_at_k, np.array([7]), np.array([10]), 10, 0.7) == 1


def test_mean_g_pass_by_hand() -> None:
    # n = k = 4, c = 3: G(3/4) = 1, G(4/4) = 0; (2/4)(1 + 0) = 0.5
    assert _one(mean_g_pass_at_k, np.array([3]), np.array([4]), 4) == pytest.approx(0.5)


def test_a_tied_vote_scores_in_expectation() -> None:
    # two answers with two votes each, one of them correct: half
    value = maj_at_k(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0], bool), np.zeros(4, int), 4)
    assert value[0] == pytest.approx(0.5)


def test_a_majority_turns_a_minority_of_correct_samples_into_nothing() -> None:
    # 3 correct, 5 the same wrong answer: all 8 vote, the wrong answer wins
    groups = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    assert maj_at_k(groups, groups == 0, np.zeros(8, int), 8)[0] == 0
    # five different wrong answers: the 3 correct ones win
    groups = np.array([0, 0, 0, 1, 2, 3, 4, 5])
    assert maj_at_k(groups, groups == 0, np.zeros(8, int), 8)[0] == pytest.approx(1)


def test_a_sample_without_an_answer_does_not_vote() -> None:
    # one correct, one wrong, two silent; pairs: {c,w} 1/2, 2x{c,-} 1, 2x{w,-} 0, {-,-} 0:
    # (0.5 + 2)/6
    groups = np.array([0, 1, NO_ANSWER, NO_ANSWER])
    value = maj_at_k(groups, groups == 0, np.zeros(4, int), 2)
    assert value[0] == pytest.approx(2.5 / 6)


def test_maj_at_1_is_the_accuracy() -> None:
    groups = np.array([0, 1, 2, NO_ANSWER, 0, 0, 0, 1])
    values = maj_at_k(groups, groups == 0, np.repeat([7, 3], 4), 1)
    assert values == pytest.approx([0.75, 0.25])  # in the order of the problem numbers: 3, 7


def _enumerated(groups: list[int], correct: list[bool], k: int) -> float:
    scores = []
    for subset in combinations(range(len(groups)), k):
        votes: dict[int, list[int]] = {}
        for index in subset:
            if groups[index] != NO_ANSWER:
                votes.setdefault(groups[index], []).append(index)
        most = max(map(len, votes.values()), default=0)
        winners = [members for members in votes.values() if len(members) == most]
        shares = [sum(correct[i] for i in members) / len(members) for members in winners]
        scores.append(sum(shares) / len(shares) if shares else 0.0)
    return sum(scores) / len(scores)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(-1, 3), st.booleans()), min_size=1, max_size=8), st.data())
def test_maj_at_k_is_the_mean_over_all_subsets(
    samples: list[tuple[int, bool]], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(samples)))
    groups = [group for group, _ in samples]
    correct = [is_correct for _, is_correct in samples]
    found = maj_at_k(np.array(groups), np.array(correct), np.zeros(len(groups), int), k)
    assert found[0] == pytest.approx(_enumerated(groups, correct, k))


def test_a_vote_of_sixty_four_samples_is_exact_and_between_0_and_1() -> None:
    # Binomial check: 2 answers only, k odd, so a vote is right when more than half are:
    # the hypergeometric tail of 15 correct among 29 drawn from 36 correct of 64.
    from scipy.stats import hypergeom

    groups = (np.arange(64) >= 36).astype(int)
    value = maj_at_k(groups, groups == 0, np.zeros(64, int), 29)[0]
    assert value == pytest.approx(float(hypergeom(64, 36, 29).sf(14)))


def test_votes_of_several_sizes_are_those_of_each_size_alone() -> None:
    rng = np.random.default_rng(0)
    groups, problems = rng.integers(NO_ANSWER, 6, 5 * 12), np.repeat(np.arange(5), 12)
    correct = (groups == 0) | (
        (groups == 1) & (rng.random(60) < 0.5)
    )  # group 1 is judged unequally
    sizes = (1, 2, 5, 12)
    expected = [maj_at_k(groups, correct, problems, size) for size in sizes]
    assert maj_at_each(groups, correct, problems, sizes) == pytest.approx(np.array(expected))


def test_a_vote_over_more_samples_than_a_number_can_count_is_refused() -> None:
    # C(1001, 500) is about 2.7e300; the limit leaves room for its products with other counts
    votes = np.zeros(MOST_SAMPLES + 1, int)
    with pytest.raises(InputError, match="the votes of 1001 samples"):
        maj_at_k(votes, votes == 0, votes, 2)


def test_more_samples_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="one has 3"):
        pass_at_k(np.array([1, 1]), np.array([4, 3]), 4)
    with pytest.raises(InputError, match="one has 3"):
        maj_at_k(np.zeros(3, int), np.zeros(3, bool), np.zeros(3, int), 4)


def test_correct_answers_are_one_group_and_empty_ones_are_none() -> None:
    answers = ["1/2", "0.5", " x + 1", "x+1", "", None]
    correct = np.array([True, True, False, False, False, False])
    assert equal_text_groups(answers, correct).tolist() == [0, 0, 1, 1, NO_ANSWER, NO_ANSWER]
