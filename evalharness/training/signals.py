"""From rewards to the advantage of every token, by whatever the algorithm's switches say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from evalharness.errors import InputError
from evalharness.training import algorithms
from evalharness.training.algorithms import Algorithm

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of B completions of at most T tokens; nothing carries a gradient."""

    rewards_B: Tensor
    mask_BT: Tensor
    penalty_BT: Tensor
    """Taken off the reward of every token: the KL coefficient times KL, or 0."""
    token_rewards_BT: Tensor | None = None
    """Of PRIME's process reward model."""
    values_BT: Tensor | None = None
    """Of the critic, before each token."""


class StepAdvantages(NamedTuple):
    """What the policy and its critic learn from."""

    advantages_BT: Tensor
    """[B, T], or [B, 1] where all tokens of a row share one."""
    returns_BT: Tensor | None
    """The critic's targets."""


def step_advantages(method: Algorithm, evidence: Evidence, group_size: int) -> StepAdvantages:
    """Advantages of a step's completions, the rows of one problem next to each other.

    Without a critic and a process reward every token of a completion shares one advantage, and a
    penalty counts as its sum over the completion. With a critic the checker's reward stands at the
    last token, PRIME's and the penalty at their own, and GAE runs over them.

    Raises:
        InputError: the evidence lacks what the method needs.
    """
    mask_BT = evidence.mask_BT
    if method.uses_critic:
        if evidence.values_BT is None:
            raise InputError(f"{method.name} needs the values of a critic")
        token_rewards_BT = algorithms.rewards_at_end(evidence.rewards_B, mask_BT)
        if evidence.token_rewards_BT is not None and method.process_reward is not None:
            settings = method.process_reward
            token_rewards_BT = (
                settings.outcome_coefficient * token_rewards_BT
                + settings.process_coefficient * evidence.token_rewards_BT
            )
        found = algorithms.gae(
            token_rewards_BT - evidence.penalty_BT,
            evidence.values_BT,
            mask_BT,
            gamma=method.gamma,
            lam=method.gae_lambda,
        )
        advantages_BT = found.advantages_BT
        if method.std_normalisation:
            advantages_BT = algorithms.whiten(advantages_BT, mask_BT)
        return StepAdvantages(advantages_BT, found.returns_BT)
    penalised_B = evidence.rewards_B - evidence.penalty_BT.sum(dim=1)
    if method.process_reward is not None:
        if evidence.token_rewards_BT is None:
            raise InputError(f"{method.name} needs the rewards of a process reward model")
        advantages_BT = algorithms.prime_advantages(
            evidence.token_rewards_BT,
            penalised_B,
            mask_BT,
            group_size,
            process_coefficient=method.process_reward.process_coefficient,
            outcome_coefficient=method.process_reward.outcome_coefficient,
            whitened=method.std_normalisation,
        )
        return StepAdvantages(advantages_BT, None)
    rewards_PG = penalised_B.reshape(-1, group_size)
    return StepAdvantages(algorithms.row_advantages(rewards_PG, method).reshape(-1, 1), None)
