from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from evalharness.analysis import significance
from evalharness.analysis.significance import holm, mcnemar, sign_flip_law


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_the_sign_flip_p_is_the_share_of_all_sign_patterns(weights: list[int]) -> None:
    observed = abs(sum(weights))
    sums = [
        abs(sum(sign * weight for sign, weight in zip(signs, weights, strict=True)))
        for signs in product((-1, 1), repeat=len(weights))
    ]
    expected = sum(each >= observed for each in sums) / len(sums)
    law = sign_flip_law((np.array(weights), 0.1))
    assert law.is_exact
    assert law.p_value() == pytest.approx(expected)


@given(st.integers(0, 12), st.integers(0, 12))
def test_with_one_sample_the_sign_flip_test_is_mcnemar(fixed: int, broken: int) -> None:
    weights = np.array([1] * fixed + [-1] * broken + [0] * 5)
    exact, _ = mcnemar(fixed, broken)
    assert sign_flip_law((weights, 1.0)).p_value() == pytest.approx(exact)


@pytest.mark.parametrize(("fixed", "broken"), [(9, 2), (2, 9), (5, 4), (0, 6)])
def test_mcnemar_agrees_with_statsmodels(fixed: int, broken: int) -> None:
    table = [[40, broken], [fixed, 40]]
    expected = float(reference_mcnemar(table, exact=True).pvalue)
    assert mcnemar(fixed, broken)[0] == pytest.approx(expected)


def test_mid_p_by_hand() -> None:
    # 9 fixed, 2 broken: exact = 2 (1 + 11 + 55)/2048 = 0.0654297; minus P(2) = 55/2048: 0.0385742
    exact, mid = mcnemar(9, 2)
    assert exact == pytest.approx(134 / 2048)
    assert mid == pytest.approx(79 / 2048)
    assert mcnemar(5, 5) == (1.0, 1.0)
    assert mcnemar(0, 0) == (1.0, 1.0)


def test_a_law_too_large_to_compute_is_drawn_and_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = (np.random.default_rng(0).integers(-16, 20, size=60), 1.0)
    exact = sign_flip_law(weights)
    monkeypatch.setattr(significance, "EXACT_CELLS", 0)
    drawn = sign_flip_law(weights)
    assert exact.is_exact
    assert not drawn.is_exact
    # standard error of a p near 0.1 from 100,000 draws: 0.001
    assert drawn.p_value() == pytest.approx(exact.p_value(), abs=0.005)


def test_a_drawn_p_is_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "EXACT_CELLS", 0)
    assert sign_flip_law((np.ones(60, dtype=int), 1.0)).p_value() == pytest.approx(1 / 100_001)


def test_holm_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for count in range(1, 20):
        p_values = np.round(rng.beta(0.5, 2, size=count), 2).tolist()  # rounded: some are tied
        expected = multipletests(p_values, method="holm")[1]
        assert holm(p_values) == pytest.approx(list(expected))


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.04: times 3, 2, 1 = 0.03, 0.04, 0.04
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
