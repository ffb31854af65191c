import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalharness.analysis.decomposition import decompose_wrong_length, kitagawa, transitions
from evalharness.analysis.draws import Draws
from evalharness.analysis.inflation import Ratio, length_inflation, mean_inflation
from tests.analysis.simulated import draws, planted_pair


def test_inflation_is_a_geometric_mean_over_matched_problems() -> None:
    # wrong in both: problems 0 (100 -> 200) and 1 (100 -> 50): exp((ln 2 - ln 2)/2) = 1;
    # correct in both: 2 (100 -> 300): 3; all four: exp((ln 2 - ln 2 + ln 3 + ln 4)/4) = 12^(1/4)
    a = draws([False, False, True, True], [100, 100, 100, 100])
    b = draws([False, False, True, False], [200, 50, 300, 400])
    found = length_inflation(a, b)
    assert found.wrong is not None
    assert found.correct is not None
    assert found.wrong.value == pytest.approx(1)
    assert (found.wrong.n, found.correct.n, found.overall.n) == (2, 1, 4)
    assert found.correct.value == pytest.approx(3)
    assert found.correct.low is None  # one problem carries no interval
    assert found.overall.value == pytest.approx(12**0.25)
    assert found.excess_wrong.value == pytest.approx(1 / 3)
    assert found.excess_wrong.low is None
    assert found.excess_wrong.n == 3


def test_the_interval_is_a_t_interval_on_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    a, b = planted_pair(rng, n=40, k=1, inflation=1.25, gain=0)
    found = length_inflation(a, b).overall
    logs = np.log(b.tokens_N) - np.log(a.tokens_N)
    reference = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert found.low == pytest.approx(math.exp(reference.low))
    assert found.high == pytest.approx(math.exp(reference.high))


@pytest.mark.parametrize("n", [2, 3, 7])
def test_ratios_that_are_all_the_same_carry_no_interval_unless_they_are_1(n: int) -> None:
    a = draws([True] * n, [25.0] * n)
    found = length_inflation(a, draws([True] * n, [24.0] * n)).overall
    assert found.value == pytest.approx(0.96)
    assert (found.low, found.high) == (None, None)
    same = length_inflation(a, a).overall
    assert (same.value, same.low, same.high) == (1, 1, 1)


def test_a_problem_without_that_verdict_in_both_does_not_enter() -> None:
    found = length_inflation(draws([True, False]), draws([False, True]))
    assert found.correct is None
    assert found.wrong is None
    assert found.excess_wrong is None
    assert found.overall.n == 2


def test_unknown_lengths_do_not_enter_and_zero_counts_as_one() -> None:
    a = draws([True, True, True], [math.nan, 10, 0])
    b = draws([True, True, True], [50, 20, 2])
    found = length_inflation(a, b).overall
    assert found.n == 2
    assert found.value == pytest.approx(2)  # 10 -> 20 and 1 -> 2
    assert length_inflation(draws([True], [math.nan]), draws([True])).overall is None


def test_clusters_take_the_place_of_problems() -> None:
    a = draws([True] * 6, [100] * 6)
    b = draws([True] * 6, [200, 200, 200, 100, 100, 100])
    alone = length_inflation(a, b).overall
    paired = length_inflation(a, b, np.array([0, 0, 0, 1, 1, 1])).overall
    # clusters at ln 2 and 0: SE = sqrt(2/1 * 2 * (3 ln2/2)^2)/6 = ln(2)/2, 1 degree of freedom
    half = float(stats.t.ppf(0.975, 1)) * math.log(2) / 2
    assert paired.high == pytest.approx(math.sqrt(2) * math.exp(half))
    assert paired.high > 10 * alone.high


def test_the_excess_agrees_with_the_question_demeaned_regression() -> None:
    # Balanced: every problem has both verdicts in both models with the same counts, where the
    # coefficient of B x W in ln L ~ question + B + W + B x W is the difference of mean log ratios.
    rng = np.random.default_rng(1)
    n, k = 60, 4
    problem = np.repeat(np.arange(n), k)
    correct = np.tile([True, True, False, False], n)
    hard = rng.standard_normal(n)[problem]
    pair = []
    for is_b in (0, 1):
        logs = 6 + hard + 0.2 * is_b + 0.15 * is_b * ~correct + 0.3 * rng.standard_normal(n * k)
        pair.append(Draws(problem_N=problem, correct_N=correct, tokens_N=np.exp(logs)))
    found = length_inflation(*pair).excess_wrong
    frame = pd.concat(
        [
            pd.DataFrame(
                {"q": problem, "b": b, "w": (~correct).astype(int), "y": np.log(each.tokens_N)}
            )
            for b, each in enumerate(pair)
        ]
    )
    for name in ("y", "b", "w"):
        frame[f"{name}_"] = frame[name] - frame.groupby("q")[name].transform("mean")
    frame["bw_"] = frame["b"] * frame["w"]
    frame["bw_"] -= frame.groupby("q")["bw_"].transform("mean")
    fit = smf.ols("y_ ~ b_ + w_ + bw_ - 1", frame).fit(
        cov_type="cluster", cov_kwds={"groups": frame["q"], "use_correction": True}
    )
    assert found.value == pytest.approx(math.exp(fit.params["bw_"]))
    stderr = (math.log(found.high) - math.log(found.low)) / 2
    assert stderr / 1.99 == pytest.approx(float(fit.bse["bw_"]), rel=0.03)


@pytest.mark.parametrize(("n", "k", "inflation"), [(30, 4, 1.0), (30, 4, 1.25), (200, 1, 1.25)])
def test_planted_inflation_is_found_where_the_naive_ratio_misleads(
    n: int, k: int, inflation: float
) -> None:
    # A better model (+1.5 logits) whose wrong answers come from harder problems. 300 fixed seeds.
    rng = np.random.default_rng(7)
    naive, matched = [], []
    covered = excess = 0
    for _ in range(300):
        a, b = planted_pair(rng, n=n, k=k, inflation=inflation, gain=1.5)
        found = length_inflation(a, b)
        if found.wrong is None or found.wrong.low is None or found.excess_wrong.low is None:
            continue
        naive.append(math.log(b.tokens_N[~b.correct_N].mean() / a.tokens_N[~a.correct_N].mean()))
        matched.append(math.log(found.wrong.value))
        covered += found.wrong.low <= inflation <= found.wrong.high
        excess += found.excess_wrong.low <= 1 <= found.excess_wrong.high
    assert len(matched) == 300
    assert math.exp(np.mean(naive)) > 1.08 * inflation
    assert math.exp(np.mean(matched)) == pytest.approx(inflation, rel=0.015)
    assert 0.92 <= covered / 300 <= 0.98
    assert 0.92 <= excess / 300 <= 0.98


def test_the_mean_of_benchmarks_is_geometric_and_recovers_its_interval() -> None:
    # sqrt(2 * 0.5) = 1; ln distances of the lower ends ln 2 and ln 2: sqrt(2) ln 2 / 2
    parts = [Ratio(value=2, low=1, high=4, n=30), Ratio(value=0.5, low=0.25, high=1, n=50)]
    found = mean_inflation(parts)
    assert found.value == pytest.approx(1)
    assert found.low == pytest.approx(math.exp(-math.log(2) / math.sqrt(2)))
    assert found.n == 80
    assert mean_inflation([parts[0], Ratio(value=1, low=None, high=None, n=1)]).low is None


def test_the_wrong_length_change_is_taken_apart_by_hand() -> None:
    # wrong in both: 0 (100 -> 140); newly wrong: 1 (B 300); newly right: 2 (A 40)
    a = draws([False, True, False], [100, 50, 40])
    b = draws([False, False, True], [140, 300, 60])
    found = decompose_wrong_length(a, b)
    # naive (140+300)/2 - (100+40)/2 = 150; matched 40; newly wrong (300-140)/2 = 80;
    # newly right (100-40)/2 = 30
    assert found is not None
    assert (found.naive, found.matched) == pytest.approx((150, 40))
    assert (found.newly_wrong, found.newly_right) == pytest.approx((80, 30))


def test_without_a_problem_wrong_in_both_nothing_is_taken_apart() -> None:
    assert decompose_wrong_length(draws([True, False]), draws([False, True])) is None


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_parts_always_sum_to_the_naive_change(seed: int, k: int) -> None:
    a, b = planted_pair(np.random.default_rng(seed), n=12, k=k, inflation=1.1, gain=0.5)
    found = decompose_wrong_length(a, b)
    if found is not None:
        total = found.matched + found.newly_wrong + found.newly_right
        assert total == pytest.approx(found.naive, abs=1e-6)
        naive = b.tokens_N[~b.correct_N].mean() - a.tokens_N[~a.correct_N].mean()
        assert found.naive == pytest.approx(naive)


def test_transitions_by_hand() -> None:
    a = draws([True, True, False, False], [10, 20, 30, 40])
    b = draws([True, False, True, False], [11, 21, 31, 41])
    found = [(each.count, each.tokens_a, each.tokens_b) for each in transitions(a, b)]
    assert found == [(1, 10, 11), (1, 20, 21), (1, 30, 31), (1, 40, 41)]
    empty = transitions(draws([True]), draws([True]))[3]
    assert (empty.count, empty.tokens_a, empty.tokens_b) == (0, None, None)


def test_expected_transitions_of_several_samples() -> None:
    # A: 1 of 2 correct, B: 2 of 2: half a problem stays correct, half becomes correct
    problem = np.zeros(2, dtype=int)
    a = Draws(problem_N=problem, correct_N=np.array([True, False]), tokens_N=np.array([10.0, 30.0]))
    b = Draws(problem_N=problem, correct_N=np.array([True, True]), tokens_N=np.array([20.0, 40.0]))
    both, lost, won, neither = transitions(a, b)
    assert (both.count, both.tokens_a, both.tokens_b) == (0.5, 10, 30)
    assert (won.count, won.tokens_a, won.tokens_b) == (0.5, 30, 30)
    assert (lost.count, neither.count) == (0, 0)


def test_kitagawa_by_hand_and_its_parts_sum() -> None:
    # A: correct 100 (1/2), wrong 200 (1/2); B: correct 110 (3/4), wrong 300 (1/4)
    a = draws([True, True, False, False], [100, 100, 200, 200])
    b = draws([True, True, True, False], [110, 110, 110, 300])
    found = kitagawa(a, b)
    assert found is not None
    assert found.within_correct == pytest.approx((0.5 + 0.75) / 2 * 10)
    assert found.within_wrong == pytest.approx((0.5 + 0.25) / 2 * 100)
    assert found.composition == pytest.approx(105 * 0.25 - 250 * 0.25)
    assert found.change == pytest.approx(157.5 - 150)
    assert kitagawa(draws([True]), draws([True])) is None
