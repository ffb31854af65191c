"""From rewards to advantages: what each token of a completion is multiplied by.

Shapes: P problems, G completions of each (a group), B = P * G rows with the rows of one problem
next to each other, T completion tokens padded on the right. A mask is true at completion tokens,
EOS included. Pass detached tensors: nothing here is meant to carry a gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from evalharness.errors import InputError

if TYPE_CHECKING:
    import torch

STD_FLOOR = 1e-4
"""Added to the standard deviation of a group.

Source: TRL 1.16, trl/trainer/grpo_trainer.py; the paper (DeepSeekMath) divides by the bare std.
"""
_VARIANCE_FLOOR = 1e-8
"""Added to the variance of a whitened batch. Source: openai/lm-human-preferences, core.py."""


class AdvantagesAndReturns(NamedTuple):
    """What an actor and its critic learn from."""

    advantages_BT: torch.Tensor
    returns_BT: torch.Tensor
    """The critic's targets: advantage plus value; 0 at padding."""


def group_advantages(rewards_PG: torch.Tensor, *, std_normalisation: bool) -> torch.Tensor:
    """How much better than its group each completion is.

    A = r - mean(r of the group), with `std_normalisation` divided by std + 1e-4. The std has
    Bessel's correction. A group whose rewards are all equal gives exactly 0, also where the mean of
    equal numbers isn't the number in float arithmetic.

    Returns:
        Advantages of shape (P, G).

    Raises:
        InputError: a group of one, which is its own mean.

    Source: with std, GRPO (DeepSeekMath, arXiv 2402.03300, section 4.1.2); without, Dr. GRPO
    (arXiv 2503.20783, section 3.2), which removes the std because it weighs problems by how
    uneven their rewards are. Bessel's correction and the 1e-4 are TRL's; the papers leave both
    open.
    """
    import torch

    _check_group(rewards_PG, "its mean is the completion itself, so every advantage is 0")
    advantages_PG = rewards_PG - rewards_PG.mean(dim=1, keepdim=True)
    if std_normalisation:
        advantages_PG = advantages_PG / (rewards_PG.std(dim=1, keepdim=True) + STD_FLOOR)
    return torch.where(_is_varied(rewards_PG), advantages_PG, torch.zeros_like(advantages_PG))


def leave_one_out_advantages(rewards_PG: torch.Tensor) -> torch.Tensor:
    """How much better than the others of its group each completion is.

    A_i = r_i - mean of r_j over j != i, which is G / (G - 1) times (r_i - mean of the group). An
    all-equal group gives exactly 0.

    Returns:
        Advantages of shape (P, G).

    Raises:
        InputError: a group of one has no others.

    Source: RLOO (Kool et al. 2019; Ahmadian et al., arXiv 2402.14740).
    """
    import torch

    _check_group(rewards_PG, "it has no others to compare with")
    num_others = rewards_PG.shape[1] - 1
    others_PG = (rewards_PG.sum(dim=1, keepdim=True) - rewards_PG) / num_others
    advantages_PG = rewards_PG - others_PG
    return torch.where(_is_varied(rewards_PG), advantages_PG, torch.zeros_like(advantages_PG))


def batch_mean_advantages(rewards_PG: torch.Tensor, *, std_normalisation: bool) -> torch.Tensor:
    """How much better than the whole batch each completion is; groups play no part.

    A = r - mean(r of all P * G), with `std_normalisation` divided by their std + 1e-4. A batch
    whose rewards are all equal gives exactly 0.

    Returns:
        Advantages of shape (P, G).

    Raises:
        InputError: a batch of one.

    Source: REINFORCE with a baseline (Williams 1992); with std, REINFORCE++ (arXiv 2501.03262).
    The baseline is the mean of the present batch and not a moving average: it needs no state, and
    the bias of 1/B from counting the row itself only shrinks all advantages alike.
    """
    advantages_1B = rewards_PG.reshape(1, -1)
    advantages_1B = group_advantages(advantages_1B, std_normalisation=std_normalisation)
    return advantages_1B.reshape(rewards_PG.shape)


def gae(
    rewards_BT: torch.Tensor,
    values_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    *,
    gamma: float,
    lam: float,
) -> AdvantagesAndReturns:
    """Generalised advantage estimation along each completion.

    delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lam A_{t+1}; a completion ends at its
    last token, also one that the cap cut: value and advantage after it are 0. `values_BT[:, t]` is
    the critic's estimate before token t is drawn.

    Returns:
        Advantages A and returns A + V, both (B, T), 0 at padding.

    Source: GAE (arXiv 1506.02438, equations 11, 12 and 16).
    """
    import torch

    rewards_BT = rewards_BT.masked_fill(~mask_BT, 0.0)
    values_BT = values_BT.masked_fill(~mask_BT, 0.0)
    advantages_BT = torch.zeros_like(rewards_BT)
    next_value_B = torch.zeros_like(rewards_BT[:, 0])
    next_advantage_B = torch.zeros_like(next_value_B)
    for t in reversed(range(rewards_BT.shape[1])):
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        next_advantage_B = delta_B + gamma * lam * next_advantage_B
        advantages_BT[:, t] = next_advantage_B
        next_value_B = values_BT[:, t]
    # Padding stands behind the last token, so it has given 0 to everything above already.
    return AdvantagesAndReturns(advantages_BT=advantages_BT, returns_BT=advantages_BT + values_BT)


def whiten(values_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The masked entries moved to mean 0 and scaled to variance 1.

    (x - mean) / sqrt(var + 1e-8), the variance with Bessel's correction. Entries that are all equal
    give exactly 0.

    Returns:
        Shape (B, T), 0 at padding.

    Raises:
        InputError: fewer than two tokens, which have no variance.

    Source: PPO for language models (arXiv 1909.08593; openai/lm-human-preferences, core.py);
    Bessel's correction as in verl's masked_whiten, which PRIME's code calls.
    """
    import torch

    num_tokens = int(mask_BT.sum())
    if num_tokens < 2:
        raise InputError(
            f"whitening needs at least two completion tokens in a batch, not {num_tokens}: take "
            "more problems a step or a larger group, or switch std_normalisation off"
        )
    masked_N = values_BT[mask_BT]
    mean = masked_N.mean()
    is_varied = masked_N.max() > masked_N.min()
    centred_BT = torch.where(is_varied, values_BT - mean, torch.zeros_like(values_BT))
    whitened_BT = centred_BT * torch.rsqrt(masked_N.var() + _VARIANCE_FLOOR)
    return whitened_BT.masked_fill(~mask_BT, 0.0)


def rewards_at_end(rewards_B: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """Each row's reward at its last token, 0 before: an outcome as a token reward of shape (B, T).

    Raises:
        InputError: a row without tokens has no place for its reward.
    """
    import torch

    lengths_B = mask_BT.sum(dim=1)
    if bool((lengths_B == 0).any()):
        row = int((lengths_B == 0).nonzero()[0])
        raise InputError(
            f"row {row} of the batch has no completion token, not even EOS: let max_tokens be at "
            "least 1 and leave EOS in the completion"
        )
    rewards_BT = torch.zeros(mask_BT.shape, dtype=rewards_B.dtype, device=rewards_B.device)
    rewards_BT[torch.arange(len(rewards_B), device=rewards_B.device), lengths_B - 1] = rewards_B
    return rewards_BT


def gradient_filter(
    advantages: torch.Tensor, mask_BT: torch.Tensor | None = None, *, threshold: float = 0.0
) -> torch.Tensor:
    """Which rows are worth a forward and a backward pass.

    A row is dropped when |A| <= threshold: of its one advantage (shape (B,)), or of every unmasked
    token's (shape (B, T) with `mask_BT`). With threshold 0 and no KL in the loss, what remains has
    the same gradient as the whole batch, because the weights of `row_weights` keep the original B;
    a KL term in the loss does lose the dropped rows' share.

    Returns:
        True at the rows to keep, shape (B,).

    Raises:
        InputError: a negative threshold, or token advantages without a mask.

    Source: DASH (arXiv 2505.17218, gradient filtering). Its published code filters after the full
    forward pass and averages over what remains; here the filter comes first and the normaliser
    keeps the whole batch, so that filtering neither costs the forward nor raises the step size.
    """
    if threshold < 0:
        raise InputError(f"the filter's threshold must be at least 0, not {threshold}")
    if advantages.dim() == 1:
        return advantages.abs() > threshold
    if mask_BT is None:
        raise InputError("token advantages need the mask of completion tokens: pass mask_BT")
    return ((advantages.abs() > threshold) & mask_BT).any(dim=1)


def _is_varied(rewards_PG: torch.Tensor) -> torch.Tensor:
    """Whether a group's rewards differ, shape (P, 1)."""
    return rewards_PG.amax(dim=1, keepdim=True) > rewards_PG.amin(dim=1, keepdim=True)


def _check_group(rewards_PG: torch.Tensor, reason: str) -> None:
    if rewards_PG.shape[1] < 2:
        raise InputError(f"a group of one teaches nothing ({reason}): draw at least two samples")
