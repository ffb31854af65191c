import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.duration.survfunc import SurvfuncRight

from evalharness.analysis.length import (
    Lengths,
    VerdictLength,
    accuracy_within,
    budget_curve,
    kaplan_meier,
    length_by_verdict,
    tokens_per_correct,
)
from evalharness.errors import InputError


def _lengths(
    rows: list[tuple[int, str, float, bool]], *, says_how_it_ended: bool = True
) -> Lengths:
    """Rows of problem, status, tokens, truncated."""
    return Lengths(
        problem_N=np.array([row[0] for row in rows]),
        status_N=np.array([row[1] for row in rows]),
        tokens_N=np.array([row[2] for row in rows], dtype=float),
        truncated_N=np.array([row[3] for row in rows]) if says_how_it_ended else None,
    )


ROWS = [
    (0, "correct", 10.0, False),
    (1, "correct", 100.0, True),  # the answer stands in a truncated response
    (2, "incorrect", 40.0, False),
    (3, "incorrect", 100.0, True),
    (4, "no_answer", 30.0, False),
    (5, "no_answer", 100.0, True),
    (6, "unparsed", 20.0, False),
    (7, "error", 0.0, False),
]


def _by_verdict(lengths: Lengths) -> dict[str, VerdictLength]:
    return {each.verdict: each for each in length_by_verdict(lengths)}


def test_the_verdicts_divide_the_responses() -> None:
    found = _by_verdict(_lengths(ROWS))
    counts = {name: each.num_responses for name, each in found.items()}
    assert counts == {
        "all": 8,
        "correct": 2,
        "wrong answer": 1,
        "no answer": 1,
        "truncated": 2,
        "undecided": 2,
    }
    assert found["truncated"].share.value == pytest.approx(2 / 8)
    assert found["correct"].truncated_share == 0.5
    assert found["correct"].mean.value == pytest.approx(55)
    assert found["all"].mean.value == pytest.approx(400 / 8)


def test_quantiles_beyond_the_cap_are_not_printed() -> None:
    # 3 of 10 truncated: the median of 1..7 and three 100s is 5.5, the 90th percentile is unknown
    rows = [(at, "incorrect", at + 1.0, False) for at in range(7)]
    rows += [(at, "incorrect", 100.0, True) for at in range(7, 10)]
    found = _by_verdict(_lengths(rows))["all"]
    assert found.median == pytest.approx(5.5)
    assert found.p90 is None
    assert found.notes == ("the p90 lies among truncated responses",)
    cut = _by_verdict(_lengths(rows))["truncated"]
    assert (cut.median, cut.p90) == (None, None)


def test_a_quantile_between_a_known_length_and_a_cut_one_is_not_printed() -> None:
    # Sorted 10, 20, 100+, 100+: the median lies between 20 and one that may end anywhere.
    rows = [(0, "correct", 10.0, False), (1, "correct", 20.0, False)]
    rows += [(at, "incorrect", 100.0, True) for at in (2, 3)]
    assert _by_verdict(_lengths(rows))["all"].median is None
    # Sorted 10, 20, 30, 100+: between 20 and 30, whatever the last one does.
    rows[2] = (2, "incorrect", 30.0, False)
    assert _by_verdict(_lengths(rows))["all"].median == 25


def test_under_unequal_limits_a_quantile_is_known_only_below_the_first_cut() -> None:
    # 100+, 200, 300, 400, 500: were the first one 1000, the median would be 400 and not 300.
    rows = [(0, "incorrect", 100.0, True)]
    rows += [(at, "correct", 100.0 * (at + 1), False) for at in range(1, 5)]
    assert _by_verdict(_lengths(rows))["all"].median is None


def test_a_verdict_that_never_occurs_has_a_share_and_no_length() -> None:
    found = _by_verdict(_lengths([(0, "correct", 10.0, False), (1, "correct", 12.0, False)]))
    assert found["truncated"].share.value == 0
    assert found["truncated"].mean is None
    assert "no such response" in found["truncated"].notes[0]


def test_unknown_endings_are_said() -> None:
    found = _by_verdict(_lengths(ROWS, says_how_it_ended=False))
    assert found["all"].truncated_share is None
    assert "don't say how they ended" in found["all"].notes[0]
    assert found["wrong answer"].num_responses == 2


def test_tokens_per_correct_by_hand() -> None:
    # 10+30 and 20 tokens, 1 correct each of two problems: 60/2 = 30. Residuals tokens - 30 correct:
    # problem 0: 10 - 30 + 30 = 10, problem 1: 20 - 30 = -10; SE = sqrt(2/1 * 200)/2 = 10
    tokens, correct = np.array([10.0, 30.0, 20.0]), np.array([True, False, True])
    found = tokens_per_correct(tokens, correct, np.array([0, 0, 1]))
    assert found is not None
    assert found.value == 30
    assert found.stderr == pytest.approx(10)
    # t(1) = 12.706 on the logarithm: half = 12.706 * 10/30 = 4.2354
    assert found.low == pytest.approx(30 * np.exp(-4.2354), rel=1e-4)
    assert found.high == pytest.approx(30 * np.exp(4.2354), rel=1e-4)
    assert tokens_per_correct(tokens, np.zeros(3, bool), np.arange(3)) is None
    with pytest.raises(InputError):
        tokens_per_correct(np.array([np.nan]), np.array([True]), np.array([0]))


def test_tokens_per_correct_agrees_with_a_weighted_regression() -> None:
    # sum t / sum c is the instrumental slope of t on c through 0 with instrument 1; its
    # cluster-robust error is that of the mean of t - r c over the mean of c.
    rng = np.random.default_rng(0)
    problem = np.repeat(np.arange(50), 4)
    correct = rng.random(200) < 0.4
    tokens = 100 + 50 * rng.random(200)
    found = tokens_per_correct(tokens, correct, problem)
    fit = sm.OLS(tokens - found.value * correct, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": problem, "use_correction": True}
    )
    assert found.stderr == pytest.approx(float(fit.bse[0]) / correct.mean())


def test_tokens_per_correct_of_one_right_answer_in_thirty_are_uncertain_upwards() -> None:
    # 30 x 1000 tokens over 1: r = 30,000, SE = 30,000; an accuracy of 1/30 is 0.6% to 17% (Wilson),
    # so r may as well be 6,000 or 170,000, and never below 0.
    correct = np.arange(30) == 0
    found = tokens_per_correct(np.full(30, 1000.0), correct, np.arange(30))
    assert found is not None
    assert 1_000 < found.low < 6_000
    assert found.high > 170_000


def test_the_interval_of_tokens_per_correct_covers_where_few_are_right() -> None:
    # Half the tokens where it is right, 2 in 10 right: the truth is (0.2 + 2 * 0.8)/0.2 = 9.
    rng = np.random.default_rng(0)
    hits = covered = 0
    for _ in range(1000):
        correct = rng.random(30) < 0.2
        tokens = np.where(correct, 1.0, 2.0) * rng.exponential(size=30)
        found = tokens_per_correct(tokens, correct, np.arange(30))
        if found is not None:
            hits += 1
            covered += found.low <= 9 <= found.high
    assert 0.93 < covered / hits < 0.99  # symmetric about the ratio it was 0.91


def test_related_problems_count_once_in_the_errors_of_lengths() -> None:
    # Two problems of one cluster are two samples of one problem: the same errors, of more problems.
    tokens = np.array([10.0, 30.0, 20.0, 60.0])
    right, cluster = np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    alone = tokens_per_correct(tokens, right, cluster)
    related = tokens_per_correct(tokens, right, np.arange(4), cluster)
    assert alone is not None
    assert related is not None
    assert (related.n, related.low, related.high) == (4, alone.low, alone.high)
    lengths = Lengths(
        problem_N=np.arange(4),
        status_N=np.where(right, "correct", "incorrect"),
        tokens_N=tokens,
        truncated_N=np.zeros(4, bool),
        cluster_N=cluster,
    )
    found = _by_verdict(lengths)["all"].mean
    assert found is not None
    # Residuals of the clusters -20 and 20: SE = sqrt(2/1 (20^2 + 20^2))/4 = 10; t(1) = 12.706.
    assert found.stderr == pytest.approx(10)
    assert found.high == pytest.approx(30 + 127.062, abs=1e-2)


def test_the_budget_curve_by_hand() -> None:
    # problem 0: correct at 10, wrong at 5; problem 1: correct at 20, correct but truncated at 30
    rows = [
        (0, "correct", 10.0, False),
        (0, "incorrect", 5.0, False),
        (1, "correct", 20.0, False),
        (1, "correct", 30.0, True),
    ]
    curve = budget_curve(_lengths(rows))
    assert curve.budgets.tolist() == [0, 10, 20]
    assert curve.accuracies.tolist() == [0, 0.25, 0.5]
    assert curve.is_whole


def test_the_curve_is_the_accuracy_of_a_run_at_that_cap() -> None:
    rng = np.random.default_rng(1)
    problem = np.repeat(np.arange(20), 3)
    status = np.where(rng.random(60) < 0.5, "correct", "incorrect")
    lengths = Lengths(
        problem_N=problem,
        status_N=status,
        tokens_N=rng.integers(1, 100, 60).astype(float),
        truncated_N=np.zeros(60, bool),
    )
    curve = budget_curve(lengths)
    for budget, accuracy in zip(curve.budgets, curve.accuracies, strict=True):
        assert accuracy == pytest.approx(accuracy_within(lengths, budget).value)
    assert curve.accuracies[-1] == pytest.approx((status == "correct").mean())
    thin = budget_curve(lengths, most_points=5)
    assert len(thin.budgets) == 5
    assert not thin.is_whole
    assert thin.accuracies[-1] == curve.accuracies[-1]


def test_kaplan_meier_by_hand_and_against_statsmodels() -> None:
    # lengths 10, 20 cut, 30, 40 cut: S(10) = 3/4, S(30) = 3/4 * 1/2 = 3/8
    tokens = np.array([10.0, 20.0, 30.0, 40.0])
    is_cut = np.array([False, True, False, True])
    law = kaplan_meier(tokens, is_cut)
    reference = SurvfuncRight(tokens, (~is_cut).astype(int))
    for length, share in zip(reference.surv_times, reference.surv_prob, strict=True):
        assert law.still_going[law.tokens == length] == pytest.approx(share)
    # area up to 25: 10 * 1 + 15 * 3/4 = 21.25; up to 40: 10 + 20 * 3/4 + 10 * 3/8 = 28.75
    assert law.restricted_mean(25) == pytest.approx(21.25)
    assert law.restricted_mean(40) == pytest.approx(28.75)
    assert law.quantile(0.25) == 10
    assert law.quantile(0.5) == 30
    assert law.quantile(0.9) is None
    with pytest.raises(InputError, match="no response was allowed more than 40"):
        law.restricted_mean(50)


def test_mixed_caps_bias_the_plain_mean_and_not_the_restricted_one() -> None:
    # exponential lengths of mean 1000, half of the responses cut at 500 and half at 2000: the
    # restricted mean at 2000 is 1000 (1 - exp(-2)) = 864.7; the plain mean is that of two caps
    rng = np.random.default_rng(2)
    true = rng.exponential(1000, 20_000)
    cap = np.where(np.arange(20_000) % 2, 500.0, 2000.0)
    law = kaplan_meier(np.minimum(true, cap), true > cap)
    assert law.restricted_mean(2000) == pytest.approx(864.7, rel=0.02)
    assert np.minimum(true, cap).mean() < 0.77 * 864.7
    assert law.quantile(0.5) == pytest.approx(1000 * np.log(2), rel=0.05)
