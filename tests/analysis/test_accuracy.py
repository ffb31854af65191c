import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalharness.analysis.accuracy import (
    Estimate,
    clustered_mean,
    detectable_difference,
    macro_average,
    proportion,
    share_of_means,
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


def test_the_interval_of_a_length_ends_at_none() -> None:
    # 10 and 1000: 505 +- 12.7 * 495 would begin at -5784.
    assert clustered_mean(np.array([10.0, 1000.0]), np.arange(2)).low == 0


def test_clustered_mean_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(1)
    problem = rng.integers(0, 20, size=200)
    values = rng.normal(size=200) + problem
    fit = sm.OLS(values, np.ones(200)).fit(
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


def test_both_standard_errors_by_hand() -> None:
    # Problem 0: 1 of 4, problem 1: 2 of 4. Over problems: sd(0.25, 0.5)/sqrt(2) = 0.125.
    # Over samples: s^2/k = p(1-p)/(k-1) = 0.1875/3 + 0.25/3 = 0.1458333; sqrt of it / 2 = 0.190941
    hits = np.array([1, 0, 0, 0, 1, 1, 0, 0], dtype=bool)
    estimate = proportion(hits, np.repeat([0, 1], 4))
    assert estimate.stderr == pytest.approx(0.125)
    assert estimate.stderr_sampling == pytest.approx(0.190941, abs=1e-6)


def test_one_sample_says_nothing_of_the_sampling_error() -> None:
    assert proportion(np.array([True, False, True]), np.arange(3)).stderr_sampling is None


def test_the_sampling_error_predicts_how_much_a_repetition_differs() -> None:
    # The same 40 problems drawn again 2000 times: the spread of the accuracy over repetitions.
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 0.5, size=40)
    problem = np.repeat(np.arange(40), 8)
    runs = [proportion(rng.random(320) < np.repeat(p, 8), problem) for _ in range(1000)]
    spread = np.std([run.value for run in runs])
    predicted = math.sqrt(np.mean([run.stderr_sampling**2 for run in runs]))
    assert predicted == pytest.approx(spread, rel=0.08)
    assert runs[0].stderr > 2 * predicted


def test_clustered_share_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(2)
    cluster = rng.integers(0, 40, size=150)
    hits = rng.random(150) < rng.random(40)[cluster]
    fit = sm.OLS(hits.astype(float), np.ones(150)).fit(
        cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": True}
    )
    estimate = proportion(hits, np.arange(150), cluster)
    assert estimate.stderr == pytest.approx(float(fit.bse[0]))
    assert estimate.stderr > 1.2 * proportion(hits, np.arange(150)).stderr


def test_clusters_of_one_problem_each_change_nothing() -> None:
    hits = np.arange(50) < 20
    assert proportion(hits, np.arange(50), np.arange(50)) == proportion(hits, np.arange(50))


def test_the_clustered_interval_covers_where_the_independent_one_does_not() -> None:
    # 60 clusters of 4 problems that succeed or fail almost together; true share 0.4.
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(60), 4)
    covered = independent = 0
    for _ in range(600):
        hits = rng.random(240) < np.repeat(rng.beta(0.2, 0.3, size=60), 4)
        one, other = proportion(hits, np.arange(240), cluster), proportion(hits, np.arange(240))
        covered += one.low <= 0.4 <= one.high
        independent += other.low <= 0.4 <= other.high
    assert 0.93 <= covered / 600 <= 0.97
    assert independent / 600 < 0.80


def test_large_clusters_leave_fewer_observations_than_there_are_clusters() -> None:
    # 100 related problems, all right, and 100 alone, half of them right: p = 0.75, SE^2 = 101/100
    # (25^2 + 50 * 0.25^2 + 50 * 0.75^2)/200^2 = 0.0165703, so 0.1875/SE^2 = 11.3 observations.
    cluster = np.concatenate([np.zeros(100, int), np.arange(1, 101)])
    hits = np.concatenate([np.ones(100, bool), np.arange(100) % 2 == 0])
    estimate = proportion(hits, np.arange(200), cluster)
    assert estimate.stderr == pytest.approx(0.128726, abs=1e-6)
    low, high = wilson(0.75, 0.1875 / estimate.stderr**2, float(stats.t.ppf(0.975, 100)))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    # Where nothing varies, Kish's number: 200^2/(100^2 + 100) = 3.96.
    low, _ = wilson(1.0, 200**2 / 10_100, float(stats.t.ppf(0.975, 100)))
    assert proportion(np.ones(200, bool), np.arange(200), cluster).low == pytest.approx(low)


def test_equal_shares_have_no_error_also_where_binary_fractions_differ() -> None:
    # The mean of ten times 0.3 differs from 0.3 in the last bit, that of four doesn't: both nk.
    for n in (4, 10):
        estimate = share_of_means(np.full(n, 0.3), 10)
        low, high = wilson(0.3, 10 * n, float(stats.t.ppf(0.975, n - 1)))
        assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_all_problems_in_one_cluster_carry_no_interval() -> None:
    estimate = proportion(np.array([True, False]), np.arange(2), np.zeros(2, dtype=int))
    assert (estimate.low, estimate.notes) == (None, "all problems are in one cluster")


def test_detectable_difference_by_hand() -> None:
    # AIME, 30 problems, one sample, s = 0.27 both, w = 0.15:
    # 2.8016 sqrt((0.0225 + 0.0729 + 0.0729)/30) = 2.8016 sqrt(0.00561) = 0.20984
    value = detectable_difference(
        n=30, sampling_a=0.27, sampling_b=0.27, k_a=1, k_b=1, between=0.15
    )
    assert value == pytest.approx(0.20984, abs=1e-4)
    # sixteen samples: 2.8016 sqrt((0.0225 + 2*0.0729/16)/30) = 2.8016 sqrt(0.00105375) = 0.09094
    value = detectable_difference(
        n=30, sampling_a=0.27, sampling_b=0.27, k_a=16, k_b=16, between=0.15
    )
    assert value == pytest.approx(0.09094, abs=1e-4)


def test_the_detectable_difference_is_found_in_four_of_five_repetitions() -> None:
    # 200 problems, 8 samples, accuracy 0.5 with s = 0.4 within; a true difference of that size.
    rng = np.random.default_rng(4)
    within, between, n, k = 0.4, 0.15, 200, 8
    delta = detectable_difference(
        n=n, sampling_a=within, sampling_b=within, k_a=k, k_b=k, between=between
    )
    noise = math.sqrt(between**2 + 2 * within**2 / k)
    d = delta + noise * rng.standard_normal((4000, n))
    found = np.abs(d.mean(axis=1)) > 1.96 * d.std(axis=1, ddof=1) / math.sqrt(n)
    assert found.mean() == pytest.approx(0.8, abs=0.025)


def test_a_share_over_no_problems_raises() -> None:
    with pytest.raises(InputError):
        share_of_means(np.array([]), 1)
