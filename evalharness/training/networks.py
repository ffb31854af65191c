"""The networks that a run trains, and the small things that are done to each of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalharness.errors import TrainingError
from evalharness.training.config import RLConfig
from evalharness.training.forward import (
    TokenBatch,
    TokenRow,
    hidden_states,
    make_token_batch,
    micro_batches,
    precision,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(slots=True, kw_only=True)
class Network:
    """One trained network with its optimizer."""

    module: Any
    optimizer: torch.optim.Optimizer
    learning_rate: float


def trained(module: Any, learning_rate: float | None, config: RLConfig) -> Network:
    """With AdamW at `learning_rate`; None is the run's."""
    import torch

    rate = config.learning_rate if learning_rate is None else learning_rate
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=rate, weight_decay=config.weight_decay, fused=True
    )
    return Network(module=module, optimizer=optimizer, learning_rate=rate)


def frozen_copy(policy: Any) -> Any:
    """What the policy is now, to compare with."""
    return copy.deepcopy(policy).requires_grad_(False).eval()


def make_critic(policy: Any) -> Any:
    """A copy of the policy's trunk with a linear head that starts at 0."""
    import torch

    critic = torch.nn.Module()
    critic.model = copy.deepcopy(policy.model)
    critic.head = torch.nn.Linear(
        policy.config.get_text_config().hidden_size, 1, device=policy.device
    )
    torch.nn.init.zeros_(critic.head.weight)
    torch.nn.init.zeros_(critic.head.bias)
    return critic


def critic_values(critic: Any, batch: TokenBatch) -> Tensor:
    """The critic's value before every completion token [B, T]; 0 at the padding."""
    values_N: Tensor = critic.head(hidden_states(critic, batch))[:, 0].float()
    return batch.spread(values_N)


def clip_gradient(network: Network, most: float) -> float:
    """Scale the gradient down to a norm of `most`; the norm before."""
    import torch

    return float(torch.nn.utils.clip_grad_norm_(network.module.parameters(), most))


def refuse_nonfinite(
    norm: float,
    what: str,
    step: int,
    remedy: str = "lower the learning rate, or compute in float32 (--dtype float32)",
) -> None:
    """Stop before the weights are lost.

    Raises:
        TrainingError: the norm isn't finite.
    """
    if not math.isfinite(norm):
        raise TrainingError(
            f"step {step}: {what} is {norm}: {remedy}. The last checkpoint is from before this step"
        )


def over_all_rows(
    rows: Sequence[TokenRow],
    compute: Callable[[TokenBatch], Tensor],
    *,
    max_tokens: int,
    device: Any,
    dtype: str,
) -> Tensor:
    """What `compute` says of every row, as [B, T] on the CPU; carries no gradient."""
    import torch

    longest = max(len(row.completion_ids) for row in rows)
    all_BT = torch.zeros((len(rows), longest))
    with torch.no_grad():
        for part in micro_batches(rows, max_tokens=max_tokens):
            batch = make_token_batch([rows[place] for place in part], device)
            with precision(device.type, dtype):
                values_BT = compute(batch)
            all_BT[part, : values_BT.shape[1]] = values_BT.float().cpu()
    return all_BT
