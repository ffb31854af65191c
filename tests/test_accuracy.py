import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.analysis.accuracy import (
    Estimate,
    clustered_mean,
    macro_average,
    proportion,
    wilson,
)
from evalharness.errors import InputError


def test_wilson_interval_by_hand() -> None:
    # p = 1/3, n = 30, z = 1.96: centre = 1/3 + 3.8416/60 = 0.397360; z^2/n = 0.128053;
    # half = 1.96 sqrt((2/9)/30 + 3.8416/3600) = 1.96 sqrt(0.00740741 + 0.00106711) = 0.180434;
    # low = 0.216926/1.128053 = 0.192301; high = 0.577794/1.128053 = 0.512205
    low, high = wilson(1 / 3, 30, 1.96)
    assert low == pytest.approx(0.192301, abs=5e-6)
    assert high == pytest.approx(0.512205, abs=5e-6)


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    estimate = proportion(np.arange(83) < 36, np.arange(83))
    reference = binomtest(36, 83).proportion_ci(method="wilson")
    assert estimate.low == pytest.approx(reference.low)
    assert estimate.high == pytest.approx(reference.high)


def test_accuracy_is_the_mean_over_samples_and_then_over_problems() -> None:
    # Problem 0: 1 of 2; problem 1: 1 of 1; unequal k must not weigh problem 0 twice: 0.75, not 2/3
    estimate = proportion(np.array([True, False, True]), np.array([0, 0, 1]))
    assert estimate.value == 0.75
    assert (estimate.n, estimate.k) == (2, 1.5)
    # p_q = (0.5, 1): sd = 0.353553, SE = 0.353553/sqrt(2) = 0.25
    assert estimate.stderr == pytest.approx(0.25)


def test_samples_that_always_agree_carry_no_more_than_their_problems() -> None:
    hits = np.repeat(np.arange(30) < 10, 16)
    estimate = proportion(hits, np.repeat(np.arange(30), 16))
    # n_eff = p(1-p)/SE^2 = n-1 = 29, raised to n = 30; t with 29 degrees of freedom instead of 1.96
    low, high = wilson(1 / 3, 30, 2.045229642)
    assert estimate.low == pytest.approx(low)
    assert estimate.high == pytest.approx(high)


def test_samples_that_differ_freely_narrow_the_interval_up_to_n_times_k() -> None:
    hits = np.tile([True, False], 30 * 8)  # every problem exactly 8 of 16: SE = 0
    spread = proportion(hits, np.repeat(np.arange(30), 16))
    assert spread.stderr == 0
    one = proportion(np.tile([True, False], 15), np.arange(30))
    hits[0] = False
    narrow = proportion(hits, np.repeat(np.arange(30), 16))
    assert narrow.high - narrow.low < (one.high - one.low) / 3


def test_the_interval_covers_the_truth_where_the_naive_one_does_not() -> None:
    # 30 problems x 16 samples, p_q from a beta(0.3, 0.7): true mean 0.3. Fixed seeds.
    rng = np.random.default_rng(0)
    problem = np.repeat(np.arange(30), 16)
    covered = naive = 0
    for _ in range(1000):
        p = rng.beta(0.3, 0.7, size=30)
        hits = rng.random(480) < np.repeat(p, 16)
        estimate = proportion(hits, problem)
        covered += estimate.low <= 0.3 <= estimate.high
        half = 1.96 * math.sqrt(estimate.value * (1 - estimate.value) / 480)
        naive += abs(estimate.value - 0.3) <= half
    assert 930 <= covered <= 970
    assert naive < 600


def test_one_problem_carries_no_interval() -> None:
    estimate = proportion(np.array([True, False]), np.array([0, 0]))
    assert (estimate.value, estimate.low, estimate.high, estimate.stderr) == (0.5, None, None, None)
    assert estimate.notes == "one problem carries no interval"


def test_a_statistic_over_nothing_raises() -> None:
    with pytest.raises(InputError):
        proportion(np.array([], dtype=bool), np.array([], dtype=int))
    with pytest.raises(InputError):
        clustered_mean(np.array([]), np.array([], dtype=int))


def test_macro_average_adds_the_variances_and_recovers_the_interval() -> None:
    # SE = sqrt(0.03^2 + 0.04^2)/2 = 0.025; low = 0.4 - sqrt(0.1^2 + 0.1^2)/2 = 0.4 - 0.0707107
    parts = [
        Estimate(value=0.2, low=0.1, high=0.3, stderr=0.03, n=30, k=1),
        Estimate(value=0.6, low=0.5, high=0.7, stderr=0.04, n=500, k=1),
    ]
    macro = macro_average(parts)
    assert macro.value == pytest.approx(0.4)
    assert macro.stderr == pytest.approx(0.025)
    assert macro.low == pytest.approx(0.4 - 0.0707107)
    assert macro.high == pytest.approx(0.4 + 0.0707107)


def test_macro_average_of_zeros_is_not_certain() -> None:
    # Wilson for 0 of 30 reaches 0.11351, for 0 of 100 0.03699: sqrt(0.0142538)/2 = 0.059694
    parts = [proportion(np.zeros(n, dtype=bool), np.arange(n)) for n in (30, 100)]
    macro = macro_average(parts)
    assert (macro.value, macro.low) == (0, 0)
    assert macro.high == pytest.approx(0.059694, abs=1e-5)


def test_clustered_mean_by_hand() -> None:
    # lengths 10, 20 of problem 0 and 30 of problem 1: mean 20; sums of residuals -10 and 10;
    # SE^2 = 2/1 * 200/9 = 44.44
    estimate = clustered_mean(np.array([10.0, 20.0, 30.0]), np.array([0, 0, 1]))
    assert estimate.value == 20
    assert estimate.stderr == pytest.approx(math.sqrt(400 / 9))


def test_clustered_mean_agrees_with_statsmodels() -> None:
    statsmodels = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(1)
    problem = rng.integers(0, 20, size=200)
    values = rng.normal(size=200) + problem
    fit = statsmodels.OLS(values, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": problem, "use_correction": True}
    )
    # statsmodels' small-sample factor is n/(n-1) * (N-1)/(N-p), and p = 1 here
    assert clustered_mean(values, problem).stderr == pytest.approx(float(fit.bse[0]))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=60))
def test_the_interval_holds_the_value_and_stays_inside_0_and_1(
    rows: list[tuple[bool, int]],
) -> None:
    estimate = proportion(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))
    if estimate.low is not None and estimate.high is not None:
        assert 0 <= estimate.low <= estimate.value + 1e-12
        assert estimate.value - 1e-12 <= estimate.high <= 1
