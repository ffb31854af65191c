"""Advantages, losses and gradients by hand, on two rows of at most three tokens.

Rows: a right answer of 2 tokens (reward 1) and a wrong one of 3 (reward 0), of one problem; the cap
is 4. Ratios of the new to the old policy: [1, 1.5] and [1, 0.5, 1.25]. With the clip range 0.2 and
advantages +a and -a the token losses -min(ratio A, clipped A) are

    right: -1 a, -1.2 a (clipped)         sum -2.2 a
    wrong: +1 a, +0.8 a (clipped), +1.25 a   sum 3.05 a

and, as d ratio / d logprob = ratio, their gradients -a, 0 and +a, 0, +1.25 a. 1.25 is above the
range, but a wrong answer's gradient there is not clipped: pushing it down is what the step wants.
"""

import math

import pytest

from evalharness.errors import InputError
from evalharness.training.algorithms import (
    PRESETS,
    Algorithm,
    algorithm,
    gae,
    group_advantages,
    kl_estimate,
    leave_one_out_advantages,
    row_advantages,
    row_weights,
    surrogate_loss,
    value_loss,
    weighted_loss,
    whiten,
)

torch = pytest.importorskip("torch", reason="needs the extra [local]")

MASK = torch.tensor([[True, True, False], [True, True, True]])
RATIOS = torch.tensor([[1.0, 1.5, 1.0], [1.0, 0.5, 1.25]])
OLD = torch.tensor([[-1.0, -2.0, -9.0], [-0.5, -1.5, -3.0]])
REWARDS = torch.tensor([[1.0, 0.0]])
MAX_TOKENS = 4
# (1 - 0.5) / (std + 1e-4), std of (1, 0) with Bessel's correction = sqrt(2 * 0.25 / 1)
GRPO_A = 0.5 / (math.sqrt(0.5) + 1e-4)


def _weights(method: Algorithm, mask_BT: torch.Tensor = MASK) -> torch.Tensor:
    return row_weights(
        mask_BT.sum(dim=1),
        method.length_normalisation,
        num_rows=len(mask_BT),
        max_tokens=MAX_TOKENS,
        total_tokens=int(mask_BT.sum()),
    )


def _loss_and_gradient(
    method: Algorithm, advantages_BT: torch.Tensor
) -> tuple[float, torch.Tensor, list[list[bool]]]:
    logprobs_BT = (OLD + RATIOS.log()).requires_grad_()
    loss_BT, is_clipped_BT = surrogate_loss(
        logprobs_BT, OLD, advantages_BT, clip_low=method.clip_low, clip_high=method.clip_high
    )
    loss = weighted_loss(loss_BT, MASK, _weights(method))
    loss.backward()
    return loss.item(), logprobs_BT.grad, (is_clipped_BT & MASK).tolist()


@pytest.mark.parametrize(
    ("name", "loss", "gradient"),
    [
        # Weights 1/(2*2) and 1/(2*3): a (-2.2/4 + 3.05/6).
        (
            "grpo",
            GRPO_A * (-2.2 / 4 + 3.05 / 6),
            [[-GRPO_A / 4, 0, 0], [GRPO_A / 6, 0, 1.25 * GRPO_A / 6]],
        ),
        # a = 0.5, weights 1/(2*4): 0.5 * (3.05 - 2.2) / 8 = 0.053125.
        ("dr_grpo", 0.053125, [[-0.0625, 0, 0], [0.0625, 0, 0.078125]]),
        # a = 0.5 with GRPO's weights: 0.5 * (-0.55 + 3.05/6) = -0.0208333.
        ("grpo_no_std", 0.5 * (-2.2 / 4 + 3.05 / 6), [[-0.125, 0, 0], [1 / 12, 0, 1.25 / 12]]),
        # GRPO's a with weights 1/8.
        (
            "grpo_no_length",
            GRPO_A * 0.85 / 8,
            [[-GRPO_A / 8, 0, 0], [GRPO_A / 8, 0, 1.25 * GRPO_A / 8]],
        ),
        # Upper range 0.28: the right answer's second token is -1.28 a; weights 1/5.
        (
            "dapo",
            GRPO_A * (3.05 - 2.28) / 5,
            [[-GRPO_A / 5, 0, 0], [GRPO_A / 5, 0, 1.25 * GRPO_A / 5]],
        ),
        # a = 1 (1 - 0 and 0 - 1), weights 1/2: 0.85 / 2.
        ("rloo", 0.425, [[-0.5, 0, 0], [0.5, 0, 0.625]]),
        # Batch mean 0.5: a = 0.5, weights 1/2.
        ("reinforce", 0.2125, [[-0.25, 0, 0], [0.25, 0, 0.3125]]),
    ],
)
def test_loss_and_gradient_of_methods_with_one_advantage_a_row(
    name: str, loss: float, gradient: list[list[float]]
) -> None:
    method = algorithm(name)
    advantages_B1 = row_advantages(REWARDS, method).reshape(-1, 1)
    found, found_gradient, is_clipped = _loss_and_gradient(method, advantages_B1)
    assert found == pytest.approx(loss, abs=1e-6)
    torch.testing.assert_close(found_gradient, torch.tensor(gradient), atol=1e-6, rtol=0)
    assert is_clipped == [[False, True, False], [False, True, False]]


def test_loss_and_gradient_of_ppo() -> None:
    method = algorithm("ppo")
    values_BT = torch.tensor([[0.5, 0.25, 7.0], [0.5, 0.25, 0.25]])
    rewards_BT = torch.tensor([[0.0, 1.0, 7.0], [0.0, 0.0, 0.0]])
    # gamma = lambda = 1: A_t = reward at the end - V_t: [0.5, 0.75], [-0.5, -0.25, -0.25].
    advantages_BT, returns_BT = gae(
        rewards_BT, values_BT, MASK, gamma=method.gamma, lam=method.gae_lambda
    )
    assert advantages_BT.tolist() == [[0.5, 0.75, 0.0], [-0.5, -0.25, -0.25]]
    assert returns_BT.tolist() == [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    # Mean 0.05; deviations 0.45, 0.7, -0.55, -0.3, -0.3; squares sum to 1.175; std sqrt(1.175/4).
    std = math.sqrt(1.175 / 4)
    whitened_BT = whiten(advantages_BT, MASK)
    found, gradient, is_clipped = _loss_and_gradient(method, whitened_BT)
    # (-0.45 - 1.2*0.7 + 0.55 + 0.8*0.3 + 1.25*0.3) / 5 = -0.125 / 5, over the std.
    assert found == pytest.approx(-0.025 / std, abs=1e-6)
    expected = torch.tensor([[-0.09, 0, 0], [0.11, 0, 0.075]]) / std
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0)
    assert is_clipped == [[False, True, False], [False, True, False]]


def test_ratio_that_fell_for_a_right_answer_or_rose_for_a_wrong_one_is_not_clipped() -> None:
    logprobs_BT = torch.tensor([[0.5], [2.0]]).log().requires_grad_()
    loss_BT, is_clipped_BT = surrogate_loss(
        logprobs_BT, torch.zeros(2, 1), torch.tensor([[1.0], [-1.0]]), clip_low=0.2, clip_high=0.2
    )
    loss_BT.sum().backward()
    assert is_clipped_BT.tolist() == [[False], [False]]
    assert loss_BT.tolist() == [[-0.5], [2.0]]
    assert logprobs_BT.grad.tolist() == [[-0.5], [2.0]]


def test_doubling_a_wrong_answer_halves_grpos_weight_and_leaves_dr_grpos() -> None:
    lengths_B = torch.tensor([2, 2])
    doubled_B = torch.tensor([2, 4])
    of = {
        name: [
            row_weights(
                lengths,
                PRESETS[name].length_normalisation,
                num_rows=2,
                max_tokens=MAX_TOKENS,
                total_tokens=int(lengths.sum()),
            ).tolist()
            for lengths in (lengths_B, doubled_B)
        ]
        for name in ("grpo", "dr_grpo", "dapo", "rloo")
    }
    assert of["grpo"] == [[0.25, 0.25], [0.25, 0.125]]  # 1/(2*2), then 1/(2*4)
    assert of["dr_grpo"] == [[0.125, 0.125], [0.125, 0.125]]  # 1/(2*4) always
    # DAPO's weight falls for both rows alike: 1/4, then 1/6.
    assert of["dapo"] == [[0.25, 0.25], [pytest.approx(1 / 6), pytest.approx(1 / 6)]]
    assert of["rloo"] == [[0.5, 0.5], [0.5, 0.5]]


def test_group_advantages_by_hand() -> None:
    rewards_PG = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    plain = group_advantages(rewards_PG, std_normalisation=False)
    assert plain.tolist() == [[0.75, -0.25, -0.25, -0.25], [0.25, 0.25, 0.25, -0.75]]
    # Sum of squares 0.5625 + 3 * 0.0625 = 0.75; over 3 gives 0.25, std 0.5.
    scaled = group_advantages(rewards_PG, std_normalisation=True)
    torch.testing.assert_close(scaled, plain / 0.5001)
    # Leave-one-out: 1 - 0, 0 - 1/3, ...; G/(G-1) = 4/3 times the plain ones.
    torch.testing.assert_close(leave_one_out_advantages(rewards_PG), plain * 4 / 3)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo", "reinforce"])
def test_all_equal_group_gives_exactly_zero(name: str) -> None:
    # The mean of seven times 0.1 is not 0.1 in float32; divided by 1e-4 that would be a push.
    rewards_PG = torch.full((2, 7), 0.1)
    assert (rewards_PG - rewards_PG.mean(dim=1, keepdim=True)).abs().max() > 0
    assert row_advantages(rewards_PG, algorithm(name)).abs().max() == 0


def test_reinforce_compares_with_the_batch_and_not_with_the_group() -> None:
    rewards_PG = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    found = row_advantages(rewards_PG, algorithm("reinforce"))
    assert found.tolist() == [[0.25, 0.25], [0.25, -0.75]]  # mean 0.75


@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce"])
def test_group_of_one_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="draw at least two samples"):
        row_advantages(torch.tensor([[1.0]]), algorithm(name))


def test_kl_estimators_by_hand() -> None:
    logprobs_BT = torch.tensor([[-1.0, -2.0]])
    reference_BT = torch.tensor([[-2.0, -1.0]])
    assert kl_estimate(logprobs_BT, reference_BT, "k1").tolist() == [[1.0, -1.0]]
    # exp(-1) + 1 - 1 = 0.367879; exp(1) - 1 - 1 = 0.718282.
    expected = torch.tensor([[0.3678794, 0.7182818]])
    torch.testing.assert_close(kl_estimate(logprobs_BT, reference_BT, "k3"), expected)


def test_kl_estimators_agree_in_expectation_and_only_k3_has_a_gradient() -> None:
    # Exact expectations over a vocabulary of three, under the policy itself.
    logits_V = torch.tensor([0.3, -0.5, 1.0], requires_grad=True)
    logprobs_V = logits_V.log_softmax(0)
    reference_V = torch.tensor([0.0, 0.4, -0.2]).log_softmax(0)
    probabilities_V = logprobs_V.exp().detach()
    exact = (probabilities_V * (logprobs_V - reference_V)).sum().item()
    gradients = {}
    for estimator in ("k1", "k3"):
        expected = (probabilities_V * kl_estimate(logprobs_V, reference_V, estimator)).sum()
        assert expected.item() == pytest.approx(exact, abs=1e-6)
        gradients[estimator] = torch.autograd.grad(expected, logits_V, retain_graph=True)[0]
    assert gradients["k1"].abs().max() < 1e-6
    assert gradients["k3"].abs().max() > 0.1


def test_value_loss_takes_the_worse_of_moved_and_held_value() -> None:
    values_BT = torch.tensor([[0.9, 0.1, 0.55]], requires_grad=True)
    old_BT = torch.full((1, 3), 0.5)
    returns_BT = torch.ones(1, 3)
    # Held within 0.2: 0.7, 0.3, 0.55. Errors (0.01, 0.81, 0.2025) and (0.09, 0.49, 0.2025).
    loss_BT = value_loss(values_BT, old_BT, returns_BT, clip=0.2)
    torch.testing.assert_close(loss_BT, torch.tensor([[0.045, 0.405, 0.10125]]))
    loss_BT.sum().backward()
    # The first has run ahead of the clip: nothing more to gain. The second's gradient is V - R.
    assert values_BT.grad[0, 0] == 0
    assert values_BT.grad[0, 1].item() == pytest.approx(-0.9)
    plain_BT = value_loss(values_BT, old_BT, returns_BT, clip=None)
    torch.testing.assert_close(plain_BT, torch.tensor([[0.005, 0.405, 0.10125]]))


def test_whitening_of_one_token_or_of_equal_tokens() -> None:
    with pytest.raises(InputError, match="at least two completion tokens"):
        whiten(torch.ones(1, 2), torch.tensor([[True, False]]))
    equal_BT = torch.full((1, 3), 0.1)
    mask_BT = torch.ones(1, 3, dtype=torch.bool)
    assert whiten(equal_BT, mask_BT).tolist() == [[0.0, 0.0, 0.0]]
    # 0, 1 and 2: mean 1, variance 1.
    ladder_BT = torch.tensor([[0.0, 1.0, 2.0]])
    torch.testing.assert_close(
        whiten(ladder_BT, mask_BT), torch.tensor([[-1.0, 0.0, 1.0]]), atol=1e-6, rtol=0
    )
