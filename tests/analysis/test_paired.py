import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from evalharness.analysis.draws import Draws
from evalharness.analysis.paired import (
    Difference,
    flip_law,
    macro_difference,
    paired_difference,
)
from evalharness.errors import InputError
from tests.analysis.simulated import draws


def _sampled(shares: list[int], k: int) -> Draws:
    """Problem q with shares[q] correct samples of k."""
    correct = np.concatenate([np.arange(k) < each for each in shares])
    return Draws(
        problem_N=np.repeat(np.arange(len(shares)), k),
        correct_N=correct,
        tokens_N=np.full(len(shares) * k, 100.0),
    )


def _single(fixed: int, broken: int, same: int) -> tuple[Draws, Draws]:
    a = [False] * fixed + [True] * broken + [True] * same
    b = [True] * fixed + [False] * broken + [True] * same
    return draws(a), draws(b)


def test_difference_and_interval_of_single_samples_by_hand() -> None:
    # 9 fixed, 2 broken of 30: difference 7/30. Bonett and Price: 10 and 3 of 32,
    # centre 7/32 = 0.21875, SE = sqrt((13/32 - 0.0478516)/32) = 0.105830, half 0.207423
    found = paired_difference(*_single(9, 2, 19))
    assert found.value == pytest.approx(7 / 30)
    assert found.low == pytest.approx(0.011327, abs=2e-6)
    assert found.high == pytest.approx(0.426173, abs=2e-6)
    assert found.p_value == found.p_mcnemar == pytest.approx(134 / 2048)
    assert found.fixed == tuple(range(9))
    assert found.broken == (9, 10)


def test_the_same_answers_are_a_difference_of_zero_with_an_interval() -> None:
    # nothing changed in 30: SE = sqrt((2/32)/32) = 0.0441942; half 0.0866190
    found = paired_difference(*_single(0, 0, 30))
    assert (found.value, found.p_value, found.p_t) == (0, 1, None)
    assert found.high == pytest.approx(0.086619, abs=1e-6)
    assert found.low == pytest.approx(-0.086619, abs=1e-6)


def test_several_samples_agree_with_scipy_s_paired_t() -> None:
    rng = np.random.default_rng(0)
    a = _sampled(rng.integers(0, 9, 40).tolist(), 8)
    b = _sampled(rng.integers(0, 9, 40).tolist(), 8)
    found = paired_difference(a, b)
    reference = stats.ttest_rel(b.shares(), a.shares())
    assert found.p_t == pytest.approx(float(reference.pvalue))
    interval = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((float(interval.low), float(interval.high)))
    assert found.p_mcnemar is None
    # sums move in steps of 2/8, so that the two tests agree to about one step's probability
    assert found.p_value == pytest.approx(found.p_t, abs=0.03)


def test_unequal_numbers_of_samples_are_compared_by_their_shares() -> None:
    # problem 0: 1/2 -> 3/4; problem 1: 2/2 -> 1/4; problem 2: 0/2 -> 4/4; mean (0.25-0.75+1)/3
    found = paired_difference(_sampled([1, 2, 0], 2), _sampled([3, 1, 4], 4))
    assert found.value == pytest.approx(0.5 / 3)
    # sums of +-1 +-3 +-4 in quarters: 8 patterns, |sum| in 8,2,6,0,0,6,2,8; |sum| >= 2 in 6
    assert found.p_value == pytest.approx(6 / 8)
    # in more than half of the samples: problem 0 (half before) and 2
    assert found.fixed == (0, 2)
    assert found.broken == (1,)


def test_clustered_error_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(25), 4)
    shift = np.repeat(rng.integers(-3, 4, 25), 4)
    a = _sampled([4] * 100, 8)
    b = _sampled((4 + shift).tolist(), 8)
    found = paired_difference(a, b, cluster)
    fit = sm.OLS(b.shares() - a.shares(), np.ones(100)).fit(
        cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": True}
    )
    assert found.stderr == pytest.approx(float(fit.bse[0]))
    assert found.high - found.low > 1.8 * (
        paired_difference(a, b).high - paired_difference(a, b).low
    )
    assert found.notes[0] == "error over 25 clusters of related problems"
    # flipped whole, 25 signs instead of 100
    assert found.p_value > paired_difference(a, b).p_value


def test_what_the_data_cannot_resolve_is_said_in_words() -> None:
    # 6 fixed, 4 broken of 30: 7 and 5 of 32; SE = sqrt((0.375 - 0.00390625)/32) = 0.107677;
    # 2.8016 SE = 0.30167
    found = paired_difference(*_single(6, 4, 20))
    assert found.detectable == pytest.approx(0.30167, abs=1e-4)
    assert found.notes == ("these 30 problems cannot resolve less than 30 points",)
    assert paired_difference(*_single(20, 0, 10)).notes == ()


def test_one_problem_carries_no_interval() -> None:
    found = paired_difference(draws([False]), draws([True]))
    assert (found.value, found.low, found.stderr) == (1, None, None)
    assert found.notes == ("one problem carries no interval",)


def test_equal_shifts_of_several_samples_carry_no_interval() -> None:
    found = paired_difference(_sampled([1, 2, 3], 4), _sampled([2, 3, 4], 4))
    assert (found.value, found.low) == (0.25, None)
    assert "no interval" in found.notes[0]


def test_equal_shifts_are_equal_also_where_binary_fractions_differ() -> None:
    # 2/10 - 1/10, 3/10 - 2/10 and 4/10 - 3/10 differ in the last bit.
    found = paired_difference(_sampled([1, 2, 3], 10), _sampled([2, 3, 4], 10))
    assert (found.low, found.stderr, found.p_t) == (None, None, None)
    assert found.value == pytest.approx(0.1)


def test_mcnemar_is_not_said_of_problems_that_are_related() -> None:
    a, b = _single(9, 2, 19)
    found = paired_difference(a, b, np.arange(30) // 2)
    assert (found.p_mcnemar, found.p_mid) == (None, None)


def test_unpaired_answers_are_refused() -> None:
    with pytest.raises(InputError, match="paired"):
        paired_difference(draws([True, False]), draws([True]))
    with pytest.raises(InputError, match="over no problems"):
        paired_difference(draws([]), draws([]))


@pytest.mark.parametrize("k", [1, 4, 16])
def test_the_interval_of_thirty_problems_covers_the_true_difference(k: int) -> None:
    # True difference over the population of problems: E[B] - E[A] = 0.4 - 0.3. Fixed seed.
    rng = np.random.default_rng(k)
    problem = np.repeat(np.arange(30), k)
    covered = 0
    for _ in range(500):
        pair = []
        level = rng.random(30)
        for first, second in ((0.3, 0.7), (0.4, 0.6)):
            p = stats.beta.ppf(level, first, second)  # the same problems are hard for both
            correct = rng.random(30 * k) < np.repeat(p, k)
            pair.append(Draws(problem_N=problem, correct_N=correct, tokens_N=np.ones(30 * k)))
        found = paired_difference(*pair)
        if found.low is not None:
            covered += found.low <= 0.1 <= found.high
    assert 0.93 <= covered / 500 <= 0.98


def test_macro_difference_by_hand() -> None:
    pairs = [_single(9, 2, 19), _single(0, 10, 90)]
    parts = [paired_difference(*pair) for pair in pairs]
    macro = macro_difference(parts, [flip_law(*pair) for pair in pairs])
    # (7/30 - 10/100)/2
    assert macro.value == pytest.approx(0.2 / 3)
    assert macro.stderr == pytest.approx(math.hypot(parts[0].stderr or 0, parts[1].stderr or 0) / 2)
    below = math.hypot(parts[0].value - parts[0].low, parts[1].value - parts[1].low) / 2
    assert macro.low == pytest.approx(macro.value - below)
    assert macro.n == 130


def test_macro_of_one_benchmark_repeats_its_test() -> None:
    pair = _single(9, 2, 19)
    part = paired_difference(*pair)
    macro = macro_difference([part], [flip_law(*pair)])
    assert (macro.value, macro.low, macro.high) == pytest.approx((part.value, part.low, part.high))
    assert macro.p_value == pytest.approx(part.p_value, abs=0.003)


def test_a_benchmark_without_an_interval_leaves_the_mean_without_one() -> None:
    pairs = [_single(1, 0, 0), _single(3, 1, 20)]
    parts: list[Difference] = [paired_difference(*pair) for pair in pairs]
    macro = macro_difference(parts, [flip_law(*pair) for pair in pairs])
    assert macro.low is None
    assert "carries no interval" in macro.notes[0]
