"""pass@k and G-Pass@k against the package `scorio`, which was written apart from this one."""

import numpy as np
import pytest

from evalharness.analysis.samples import g_pass_at_k, mean_g_pass_at_k, pass_at_k

scorio = pytest.importorskip("scorio.eval", reason="needs the extra [dev]: scorio")

CORRECT_PN = np.random.default_rng(5).random((40, 12)) < np.linspace(0, 1, 40)[:, None]
NUM_CORRECT_P = CORRECT_PN.sum(axis=1)
NUM_SAMPLES_P = np.full(40, 12)


@pytest.mark.parametrize("k", [1, 2, 3, 8, 12])
def test_pass_at_k_is_theirs(k: int) -> None:
    ours = pass_at_k(NUM_CORRECT_P, NUM_SAMPLES_P, k).mean()
    assert ours == pytest.approx(scorio.pass_at_k(CORRECT_PN.astype(int), k), abs=1e-12)


@pytest.mark.parametrize("k", [2, 5, 12])
@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.75, 1.0])
def test_g_pass_at_k_is_theirs(k: int, threshold: float) -> None:
    ours = g_pass_at_k(NUM_CORRECT_P, NUM_SAMPLES_P, k, threshold).mean()
    theirs = scorio.g_pass_at_k_tau(CORRECT_PN.astype(int), k, threshold)
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("k", [2, 4, 8, 12])
def test_mean_g_pass_at_k_is_theirs(k: int) -> None:
    ours = mean_g_pass_at_k(NUM_CORRECT_P, NUM_SAMPLES_P, k).mean()
    assert ours == pytest.approx(scorio.mg_pass_at_k(CORRECT_PN.astype(int), k), abs=1e-12)
