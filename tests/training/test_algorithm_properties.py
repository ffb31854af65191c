"""What must hold for any batch: sums, orders, paddings, splits and filters."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.errors import InputError
from evalharness.training.algorithms import (
    PRESETS,
    algorithm,
    gae,
    gradient_filter,
    group_advantages,
    prime_advantages,
    row_advantages,
    row_weights,
    surrogate_loss,
    weighted_loss,
)

torch = pytest.importorskip("torch", reason="needs the extra [local]")

MAX_TOKENS = 7
ROW_METHODS = [
    name
    for name, preset in PRESETS.items()
    if preset.advantage != "gae" and preset.process_reward is None
]
rewards = st.lists(
    st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4), min_size=1, max_size=4
)


@given(rewards)
def test_grpo_advantages_of_a_group_sum_to_zero(rows: list[list[float]]) -> None:
    rewards_PG = torch.tensor(rows, dtype=torch.float64)
    for std_normalisation in (True, False):
        sums_P = group_advantages(rewards_PG, std_normalisation=std_normalisation).sum(dim=1)
        assert sums_P.abs().max() < 1e-9


@given(rewards, st.floats(-100, 100))
def test_group_advantages_ignore_what_all_rewards_share(
    rows: list[list[float]], shift: float
) -> None:
    rewards_PG = torch.tensor(rows, dtype=torch.float64)
    shifted_PG = rewards_PG + shift
    for name in ("dr_grpo", "rloo"):
        method = algorithm(name)
        difference = row_advantages(shifted_PG, method) - row_advantages(rewards_PG, method)
        assert difference.abs().max() < 1e-9


@settings(deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0, 1),
    st.floats(0, 1),
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
)
def test_gae_is_the_sum_of_its_definition(
    seed: int, gamma: float, lam: float, lengths: list[int]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards_BT, values_BT = torch.randn(2, len(lengths), 6, generator=generator).double()
    mask_BT = torch.arange(6) < torch.tensor(lengths)[:, None]
    found = gae(rewards_BT, values_BT, mask_BT, gamma=gamma, lam=lam)
    for row, length in enumerate(lengths):
        r, v = rewards_BT[row].tolist(), [*values_BT[row, :length].tolist(), 0.0]
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            # A_t = sum over k of (gamma lambda)^k delta_{t+k}, to the end of the row.
            expected = sum((gamma * lam) ** k * deltas[t + k] for k in range(length - t))
            assert found.advantages_BT[row, t].item() == pytest.approx(expected, abs=1e-9)
            assert found.returns_BT[row, t].item() == pytest.approx(expected + v[t], abs=1e-9)
    assert found.advantages_BT[~mask_BT].abs().sum() == 0
    assert found.returns_BT[~mask_BT].abs().sum() == 0


def _batch(seed: int = 0) -> dict[str, torch.Tensor]:
    """Three problems of four rows; the second problem's rewards are all equal."""
    generator = torch.Generator().manual_seed(seed)
    lengths_B = torch.tensor([1, 7, 3, 5, 2, 2, 6, 4, 7, 1, 5, 3])
    old_BT = -torch.rand(12, MAX_TOKENS, generator=generator) * 3
    return {
        "mask": torch.arange(MAX_TOKENS) < lengths_B[:, None],
        "old": old_BT,
        "new": old_BT + 0.5 * torch.randn(12, MAX_TOKENS, generator=generator),
        "rewards": torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1]),
    }


def _loss_and_gradient(
    name: str,
    batch: dict[str, torch.Tensor],
    parts: list[torch.Tensor],
) -> tuple[float, torch.Tensor]:
    """The loss summed over parts of a batch, each a list of rows, and its gradient by logprob."""
    method = algorithm(name)
    advantages_B = row_advantages(batch["rewards"].reshape(3, 4), method).reshape(-1)
    weights_B = row_weights(
        batch["mask"].sum(dim=1),
        method.length_normalisation,
        num_rows=12,
        max_tokens=MAX_TOKENS,
        total_tokens=int(batch["mask"].sum()),
    )
    new_BT = batch["new"].clone().requires_grad_()
    total = torch.tensor(0.0)
    for rows in parts:
        loss_BT, _ = surrogate_loss(
            new_BT[rows],
            batch["old"][rows],
            advantages_B[rows, None],
            clip_low=method.clip_low,
            clip_high=method.clip_high,
        )
        total = total + weighted_loss(loss_BT, batch["mask"][rows], weights_B[rows])
    total.backward()
    return total.item(), new_BT.grad


WHOLE = [torch.arange(12)]


@pytest.mark.parametrize("name", ROW_METHODS)
def test_micro_batches_and_row_order_change_nothing(name: str) -> None:
    batch = _batch()
    loss, gradient = _loss_and_gradient(name, batch, WHOLE)
    assert gradient.abs().sum() > 0.01
    by_length = batch["mask"].sum(dim=1).argsort()
    for parts in (list(by_length.split(5)), list(torch.arange(12).split(1))):
        other_loss, other_gradient = _loss_and_gradient(name, batch, parts)
        assert other_loss == pytest.approx(loss, abs=1e-6)
        torch.testing.assert_close(other_gradient, gradient, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", ROW_METHODS)
def test_what_stands_in_the_padding_and_how_much_of_it_changes_nothing(name: str) -> None:
    batch = _batch()
    loss, gradient = _loss_and_gradient(name, batch, WHOLE)
    wider = {
        "mask": torch.nn.functional.pad(batch["mask"], (0, 4), value=False),
        "old": torch.nn.functional.pad(batch["old"], (0, 4), value=-50.0),
        "new": torch.nn.functional.pad(batch["new"], (0, 4), value=-1.0),
        "rewards": batch["rewards"],
    }
    wider["new"][~wider["mask"]] = -2.0
    other_loss, other_gradient = _loss_and_gradient(name, wider, WHOLE)
    assert other_loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(other_gradient[:, :MAX_TOKENS], gradient, atol=1e-7, rtol=0)
    assert other_gradient[~wider["mask"]].abs().sum() == 0


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "rloo"])
def test_filtering_rows_without_advantage_keeps_the_gradient_of_the_whole_batch(name: str) -> None:
    batch = _batch()
    advantages_B = row_advantages(batch["rewards"].reshape(3, 4), algorithm(name)).reshape(-1)
    keep_B = gradient_filter(advantages_B, threshold=0.0)
    assert keep_B.tolist() == [True] * 4 + [False] * 4 + [True] * 4
    loss, gradient = _loss_and_gradient(name, batch, WHOLE)
    filtered_loss, filtered_gradient = _loss_and_gradient(name, batch, [keep_B.nonzero()[:, 0]])
    assert filtered_loss == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(filtered_gradient, gradient, atol=1e-7, rtol=0)


def test_filter_drops_at_the_threshold_and_looks_at_real_tokens_only() -> None:
    advantages_B = torch.tensor([0.5, -0.6, 0.25, 0.0])
    assert gradient_filter(advantages_B, threshold=0.5).tolist() == [False, True, False, False]
    advantages_BT = torch.tensor([[0.1, 0.9], [0.1, 0.9]])
    mask_BT = torch.tensor([[True, False], [True, True]])
    assert gradient_filter(advantages_BT, mask_BT, threshold=0.5).tolist() == [False, True]
    with pytest.raises(InputError, match="need the mask"):
        gradient_filter(advantages_BT, threshold=0.5)
    with pytest.raises(InputError, match="at least 0, not -1"):
        gradient_filter(advantages_B, threshold=-1)


@given(st.permutations(range(4)))
@settings(deadline=None)
def test_order_of_a_group_changes_no_prime_advantage(order: list[int]) -> None:
    generator = torch.Generator().manual_seed(3)
    token_rewards_BT = torch.randn(4, 5, generator=generator)
    mask_BT = torch.arange(5) < torch.tensor([2, 5, 1, 3])[:, None]
    outcomes_B = torch.tensor([1.0, 0.0, 0.0, 1.0])
    plain = prime_advantages(token_rewards_BT, outcomes_B, mask_BT, 4)
    moved = prime_advantages(token_rewards_BT[order], outcomes_B[order], mask_BT[order], 4)
    torch.testing.assert_close(moved, plain[order], atol=1e-5, rtol=0)
    masked_N = plain[mask_BT]
    assert masked_N.mean().item() == pytest.approx(0, abs=1e-6)
    assert math.sqrt(masked_N.var().item()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"num_rows": 0}, "num_rows must be positive, not 0"),
        ({"max_tokens": 0}, "max_tokens must be positive, not 0"),
        ({"total_tokens": 0}, "total_tokens must be positive, not 0"),
    ],
)
def test_weights_of_nothing_are_refused(counts: dict[str, int], message: str) -> None:
    full = {"num_rows": 1, "max_tokens": 1, "total_tokens": 1} | counts
    with pytest.raises(InputError, match=message):
        row_weights(torch.tensor([1]), "response", **full)
