"""PRIME: a process reward model learned from outcomes alone, while the policy trains.

The process reward model (PRM) is a causal language model that starts as a copy of the reference.
Its reward for a token is how much more likely it finds the token than the reference does; it learns
by predicting the outcome from the sum. Source: PRIME (arXiv 2502.01456) and its code,
PRIME-RL/PRIME. Both draw at temperature 1; at another one the PRM and the reference are read at
the temperature of the draws, as the policy is.

Shapes: B rows with the rows of one problem next to each other, T completion tokens padded on the
right; a mask is true at completion tokens, EOS included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalharness.errors import InputError
from evalharness.training.advantages import leave_one_out_advantages, rewards_at_end, whiten

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimeSettings:
    """How the process reward model learns and how much it counts.

    Source of the numbers: PRIME-RL/PRIME, training/examples/run_prime_main.sh (beta, learning rate,
    gradient clip, equal coefficients). After whitening only the ratio of the coefficients matters.
    """

    beta: float = 0.05
    learning_rate: float = 1e-6
    max_grad_norm: float = 10.0
    process_coefficient: float = 1.0
    outcome_coefficient: float = 1.0
    updates_before_rewards: bool = True
    """Train the PRM on a batch before it gives that batch's rewards; the code's `update=before`."""


def implicit_token_rewards(
    prm_logprobs_BT: torch.Tensor,
    reference_logprobs_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    *,
    beta: float,
) -> torch.Tensor:
    """The process reward of each token: beta (log pi_prm - log pi_ref), 0 at padding, detached.

    Source: PRIME, arXiv 2502.01456, implicit process rewards. The code leaves a completion's last
    token out; the sum that the PRM learns from (`prm_loss`) includes it, so here the rewards do
    too.
    """
    rewards_BT = beta * (prm_logprobs_BT - reference_logprobs_BT)
    return rewards_BT.detach().masked_fill(~mask_BT, 0.0)


def prm_loss(
    prm_logprobs_BT: torch.Tensor,
    reference_logprobs_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    outcomes_B: torch.Tensor,
    *,
    beta: float,
) -> torch.Tensor:
    """How badly the PRM predicts the outcomes, a scalar.

    The mean over rows of the binary cross entropy between s = sigmoid(beta times the sum of the
    row's log ratios) and the outcome. It carries the PRM's gradient: (s - outcome) beta / B at each
    token's logprob.

    Args:
        prm_logprobs_BT: of the completion's tokens under the PRM.
        reference_logprobs_BT: the same under the reference, detached.
        mask_BT: true at completion tokens.
        outcomes_B: the checker's reward, between 0 and 1.
        beta: scale of the log ratios.

    Raises:
        InputError: an outcome that is no probability.

    Source: PRIME, arXiv 2502.01456, the cross-entropy loss of the implicit PRM; beta 0.05 in its
    code.
    """
    import torch

    if bool(((outcomes_B < 0) | (outcomes_B > 1)).any()):
        raise InputError(
            "PRIME predicts the outcome as a probability: rewards must lie between 0 and 1, not "
            f"{outcomes_B.min().item():g} to {outcomes_B.max().item():g}"
        )
    ratios_BT = (prm_logprobs_BT - reference_logprobs_BT).masked_fill(~mask_BT, 0.0)
    scores_B = beta * ratios_BT.sum(dim=1)
    return torch.nn.functional.binary_cross_entropy_with_logits(
        scores_B, outcomes_B.to(scores_B.dtype)
    )


def prime_advantages(
    token_rewards_BT: torch.Tensor,
    outcomes_B: torch.Tensor,
    mask_BT: torch.Tensor,
    group_size: int,
    *,
    process_coefficient: float = 1.0,
    outcome_coefficient: float = 1.0,
    whitened: bool = True,
) -> torch.Tensor:
    """Leave-one-out on process and on outcome rewards apart, then summed, shape (B, T).

    A_it = c_p sum_{s>=t} (q_is - mean over j != i of m_j) + c_o (r_i - mean over j != i of r_j),
    m_j the mean of row j's token rewards; then whitened over all tokens of the batch.

    Raises:
        InputError: rows that are no whole groups, a group of one, or fewer than two tokens.

    Source: PRIME, arXiv 2502.01456, the advantage with RLOO, at gamma = 1. The whitening is the
    code's (prime_core_algos.py): its README says that advantages are not whitened. The code's
    process baseline isn't the paper's: it multiplies a token's reward by G/(G-1) and subtracts the
    sum of all G row means over G-1, which adds (q_it - m_i)/(G-1) to the paper's term; ours is the
    paper's.
    """
    num_rows = len(outcomes_B)
    if num_rows % group_size:
        raise InputError(f"{num_rows} rows are no whole number of groups of {group_size}")
    token_rewards_BT = token_rewards_BT.masked_fill(~mask_BT, 0.0)
    means_B = token_rewards_BT.sum(dim=1) / mask_BT.sum(dim=1).clamp(min=1)
    others_B = means_B - leave_one_out_advantages(means_B.reshape(-1, group_size)).reshape(-1)
    outcome_B = leave_one_out_advantages(outcomes_B.reshape(-1, group_size)).reshape(-1)
    rewards_BT = process_coefficient * (token_rewards_BT - others_B[:, None])
    rewards_BT = rewards_BT + outcome_coefficient * rewards_at_end(outcome_B, mask_BT)
    advantages_BT = rewards_to_go(rewards_BT, mask_BT)
    return whiten(advantages_BT, mask_BT) if whitened else advantages_BT


def rewards_to_go(rewards_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """At each token the sum of its reward and all later ones of the row; 0 at padding."""
    rewards_BT = rewards_BT.masked_fill(~mask_BT, 0.0)
    return rewards_BT.flip(1).cumsum(dim=1).flip(1).masked_fill(~mask_BT, 0.0)
