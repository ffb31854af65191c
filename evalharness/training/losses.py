"""Losses of one token, and the weight of a row: together the loss of a step.

loss = sum over rows b of w_b * sum over tokens t of mask_bt * l_bt, with l from `surrogate_loss`
(plus a KL term) and w from `row_weights`. The weights are computed once over the whole batch, so
cutting it into micro-batches or dropping rows never changes the weight of another row.

Shapes: B rows, T completion tokens padded on the right; a mask is true at completion tokens, EOS
included. Log-probabilities must be finite at padding too (any number will do).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from evalharness.errors import InputError

if TYPE_CHECKING:
    import torch

LengthNormalisation = Literal["response", "constant", "token", "none"]
KLEstimator = Literal["k1", "k3"]


class SurrogateLoss(NamedTuple):
    """The policy loss of each token."""

    loss_BT: torch.Tensor
    is_clipped_BT: torch.Tensor
    """True where the clip has taken the gradient away."""


def row_weights(
    lengths_B: torch.Tensor,
    length_normalisation: LengthNormalisation,
    *,
    num_rows: int,
    max_tokens: int,
    total_tokens: int,
) -> torch.Tensor:
    """The weight of every token of a row.

    - `response`: 1 / (B |o_b|), the mean over rows of each row's mean over tokens: GRPO. A wrong
      answer twice as long costs half as much a token.
    - `constant`: 1 / (B max_tokens), the same weight for every token: Dr. GRPO.
    - `token`: 1 / sum of |o|, the mean over all tokens of the batch: DAPO, PPO.
    - `none`: 1 / B, the mean over rows of each row's sum: RLOO and REINFORCE, where the whole
      completion is one action. Its direction is that of `constant`, max_tokens times as large.

    Args:
        lengths_B: completion tokens of the rows at hand, EOS included; may be a part of the batch.
        length_normalisation: one of the above.
        num_rows: B, the rows of the whole batch, before micro-batching and before filtering.
        max_tokens: the cap of a completion.
        total_tokens: completion tokens of the whole batch.

    Returns:
        Weights of shape (B,) of the rows at hand.

    Raises:
        InputError: an unknown normalisation, or a count that is not positive.

    Source: GRPO, arXiv 2402.03300 eq. 3; Dr. GRPO, arXiv 2503.20783 section 3.2, whose code divides
    by the generation budget; DAPO, arXiv 2503.14476 eq. 8, which divides by the tokens of a group
    and averages the groups, where its code (verl, `token-mean`) divides by those of the batch, as
    here; RLOO, arXiv 2402.14740.
    """
    import torch

    counts = {"num_rows": num_rows, "max_tokens": max_tokens, "total_tokens": total_tokens}
    for name, count in counts.items():
        if count <= 0:
            raise InputError(f"{name} must be positive, not {count}")
    weights_B = torch.ones(lengths_B.shape, dtype=torch.float32, device=lengths_B.device)
    if length_normalisation == "response":
        # An empty row has no token to weigh; 1 avoids a division by zero there.
        return weights_B / (num_rows * lengths_B.clamp(min=1))
    if length_normalisation == "constant":
        return weights_B / (num_rows * max_tokens)
    if length_normalisation == "token":
        return weights_B / total_tokens
    if length_normalisation == "none":
        return weights_B / num_rows
    raise InputError(
        f'unknown length normalisation "{length_normalisation}": there are response, constant, '
        "token and none"
    )


def weighted_loss(
    loss_BT: torch.Tensor, mask_BT: torch.Tensor, weights_B: torch.Tensor
) -> torch.Tensor:
    """The scalar sum over rows of weight times the sum of the row's unmasked token losses."""
    return (loss_BT.masked_fill(~mask_BT, 0.0).sum(dim=1) * weights_B).sum()


def surrogate_loss(
    logprobs_BT: torch.Tensor,
    old_logprobs_BT: torch.Tensor,
    advantages_BT: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> SurrogateLoss:
    """The clipped policy loss of each token.

    ratio = exp(logprob - old), loss = -min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A). A
    token is clipped where A > 0 and ratio > 1 + clip_high, or A < 0 and ratio < 1 - clip_low; its
    gradient is 0. On the other side of the range the min keeps the unclipped term. At the policy
    that drew the completion the ratio is 1 and the gradient is -A times that of the logprob.

    Args:
        logprobs_BT: of the completion's tokens under the policy in training.
        old_logprobs_BT: the same under the policy that drew them, detached.
        advantages_BT: (B, T), or (B, 1) for one advantage a row, detached.
        clip_low: how far the ratio may fall.
        clip_high: how far it may rise; DAPO's "clip-higher" sets it above `clip_low`.

    Source: PPO (arXiv 1707.06347, eq. 7); the two ranges DAPO (arXiv 2503.14476, eq. 8). For RLOO
    the papers' one action is the whole completion, and TRL's RLOOTrainer clips the ratio of whole
    completions: pass (B, 1) sums of logprobs for that. Here every algorithm clips by token; with
    one optimizer step a batch, where every ratio is 1, the gradients are the same.
    """
    import torch

    ratio_BT = torch.exp(logprobs_BT - old_logprobs_BT)
    clipped_ratio_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    loss_BT = -torch.minimum(ratio_BT * advantages_BT, clipped_ratio_BT * advantages_BT)
    is_clipped_BT = ((advantages_BT > 0) & (ratio_BT > 1 + clip_high)) | (
        (advantages_BT < 0) & (ratio_BT < 1 - clip_low)
    )
    return SurrogateLoss(loss_BT=loss_BT, is_clipped_BT=is_clipped_BT)


def kl_estimate(
    logprobs_BT: torch.Tensor, reference_logprobs_BT: torch.Tensor, estimator: KLEstimator
) -> torch.Tensor:
    """An estimate of KL(policy || reference) at each sampled token, shape (B, T).

    With d = reference - logprob: k1 = -d, unbiased, of either sign; k3 = exp(d) - d - 1, unbiased,
    never negative, of lower variance. In the loss only k3 pulls towards the reference: the expected
    gradient of k1 on the policy's own samples is 0. In the reward k1 is the usual one.

    Raises:
        InputError: an unknown estimator.

    Source: J. Schulman, "Approximating KL divergence", 2020; k3 in the loss is GRPO's (arXiv
    2402.03300, eq. 4), k1 in the reward RLOO's and PPO's (arXiv 1909.08593, eq. 2). TRL 1.16
    multiplies k3 in the loss by the ratio unless `use_bias_correction_kl` is off, which changes its
    gradient on-policy too; here it is as in the paper.
    """
    import torch

    if estimator == "k1":
        return logprobs_BT - reference_logprobs_BT
    if estimator == "k3":
        difference_BT = reference_logprobs_BT - logprobs_BT
        return torch.exp(difference_BT) - difference_BT - 1
    raise InputError(f'unknown KL estimator "{estimator}": there are k1 and k3')


def value_loss(
    values_BT: torch.Tensor,
    old_values_BT: torch.Tensor,
    returns_BT: torch.Tensor,
    *,
    clip: float | None,
) -> torch.Tensor:
    """Half the squared error of the critic at each token, shape (B, T).

    With a clip the larger of (V - R)^2 and (V' - R)^2, where V' is V held within `clip` of the old
    value: a step that moves a value further than that earns nothing more.

    Source: openai/lm-human-preferences, train_policy.py (arXiv 1909.08593), the half included.
    """
    import torch

    errors_BT = (values_BT - returns_BT).square()
    if clip is not None:
        held_BT = old_values_BT + (values_BT - old_values_BT).clamp(-clip, clip)
        errors_BT = torch.maximum(errors_BT, (held_BT - returns_BT).square())
    return 0.5 * errors_BT
