"""PRIME by hand: implicit rewards, the process reward model's loss, and the advantages."""

import math

import pytest

from evalharness.errors import InputError
from evalharness.training.algorithms import (
    gae,
    implicit_token_rewards,
    prime_advantages,
    prm_loss,
    rewards_at_end,
)

torch = pytest.importorskip("torch", reason="needs the extra [local]")

MASK = torch.tensor([[True, True, False], [True, True, True]])
# A right answer of two tokens and a wrong one of three.
OUTCOMES = torch.tensor([1.0, 0.0])
REFERENCE = torch.tensor([[-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]])
PRM = torch.tensor([[-0.5, 0.5, 9.0], [-1.5, -1.0, -2.0]])
# Log ratios: 0.5 and 1.5 (sum 2); -0.5, 0 and -1 (sum -1.5).


def test_implicit_rewards_are_scaled_log_ratios_without_a_gradient() -> None:
    prm_BT = PRM.clone().requires_grad_()
    rewards_BT = implicit_token_rewards(prm_BT, REFERENCE, MASK, beta=0.5)
    assert rewards_BT.tolist() == [[0.25, 0.75, 0.0], [-0.25, 0.0, -0.5]]
    assert not rewards_BT.requires_grad


def test_prm_loss_and_its_gradient() -> None:
    prm_BT = PRM.clone().requires_grad_()
    loss = prm_loss(prm_BT, REFERENCE, MASK, OUTCOMES, beta=0.5)
    # Scores 0.5 * 2 = 1 and 0.5 * -1.5 = -0.75: -(log sigmoid(1) + log(1 - sigmoid(-0.75))) / 2.
    right, wrong = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(0.75))
    assert loss.item() == pytest.approx(-(math.log(right) + math.log(1 - wrong)) / 2)
    loss.backward()
    # (sigmoid - outcome) * beta / B at every token of the row.
    pull, push = (right - 1) * 0.5 / 2, wrong * 0.5 / 2
    expected = torch.tensor([[pull, pull, 0.0], [push, push, push]])
    torch.testing.assert_close(prm_BT.grad, expected)
    # Descending it raises the right row's tokens and lowers the wrong row's.
    assert pull < 0 < push


def test_advantages_of_a_worked_example() -> None:
    token_rewards_BT = torch.tensor([[0.25, 0.75, 9.0], [-0.25, 0.0, -0.5]])
    # Row means 0.5 and -0.25; each row's baseline is the other's. Process: right 0.25 + 0.25,
    # 0.75 + 0.25; wrong -0.25 - 0.5, 0 - 0.5, -0.5 - 0.5. Outcome at the last token: +1 and -1.
    # Right: [0.5, 1 + 1], to go [2.5, 2]. Wrong: [-0.75, -0.5, -1 - 1], to go [-3.25, -2.5, -2].
    plain_BT = prime_advantages(token_rewards_BT, OUTCOMES, MASK, 2, whitened=False)
    expected = torch.tensor([[2.5, 2.0, 0.0], [-3.25, -2.5, -2.0]])
    torch.testing.assert_close(plain_BT, expected)
    # Whitened: mean -3.25 / 5 = -0.65; deviations 3.15, 2.65, -2.6, -1.85, -1.35; their squares
    # sum to 28.95; variance 28.95 / 4.
    whitened_BT = prime_advantages(token_rewards_BT, OUTCOMES, MASK, 2)
    expected = torch.tensor([[3.15, 2.65, 0.0], [-2.6, -1.85, -1.35]]) / math.sqrt(28.95 / 4)
    torch.testing.assert_close(whitened_BT, expected)


def test_coefficients_weigh_process_against_outcome() -> None:
    token_rewards_BT = torch.tensor([[0.25, 0.75, 0.0], [-0.25, 0.0, -0.5]])
    found = prime_advantages(
        token_rewards_BT,
        OUTCOMES,
        MASK,
        2,
        process_coefficient=2.0,
        outcome_coefficient=0.5,
        whitened=False,
    )
    # Right: process to go 2 * [1.5, 1], outcome 0.5. Wrong: 2 * [-2.25, -1.5, -1] - 0.5.
    expected = torch.tensor([[3.5, 2.5, 0.0], [-5.0, -3.5, -2.5]])
    torch.testing.assert_close(found, expected)


def test_untrained_prm_leaves_the_outcome_alone() -> None:
    # At the start the PRM is the reference: every process reward is 0.
    rewards_BT = implicit_token_rewards(REFERENCE, REFERENCE, MASK, beta=0.05)
    found = prime_advantages(rewards_BT, OUTCOMES, MASK, 2, whitened=False)
    assert found.tolist() == [[1.0, 1.0, 0.0], [-1.0, -1.0, -1.0]]


def test_process_rewards_reach_ppo_through_gae() -> None:
    token_rewards_BT = torch.tensor([[0.25, 0.75, 0.0], [-0.25, 0.0, -0.5]])
    rewards_BT = token_rewards_BT + rewards_at_end(OUTCOMES, MASK)
    assert rewards_BT.tolist() == [[0.25, 1.75, 0.0], [-0.25, 0.0, -0.5]]
    # No values, gamma = lambda = 1: rewards to go.
    found = gae(rewards_BT, torch.zeros(2, 3), MASK, gamma=1.0, lam=1.0)
    assert found.advantages_BT.tolist() == [[2.0, 1.75, 0.0], [-0.75, -0.5, -0.5]]


def test_rows_that_make_no_groups_and_outcomes_that_are_no_probability_are_refused() -> None:
    with pytest.raises(InputError, match="2 rows are no whole number of groups of 3"):
        prime_advantages(torch.zeros(2, 3), OUTCOMES, MASK, 3)
    with pytest.raises(InputError, match="between 0 and 1, not -1 to 1"):
        prm_loss(PRM, REFERENCE, MASK, torch.tensor([1.0, -1.0]), beta=0.05)
    with pytest.raises(InputError, match="row 1 of the batch has no completion token"):
        rewards_at_end(OUTCOMES, torch.tensor([[True], [False]]))
