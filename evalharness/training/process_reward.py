"""The process reward model of a run: it learns from outcomes and rewards tokens (see `prime`)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalharness.training import algorithms
from evalharness.training.config import RLConfig
from evalharness.training.forward import (
    TokenBatch,
    TokenRow,
    make_token_batch,
    micro_batches,
    precision,
    score_tokens,
)
from evalharness.training.networks import clip_gradient, over_all_rows, refuse_nonfinite, trained
from evalharness.training.prime import PrimeSettings

if TYPE_CHECKING:
    from torch import Tensor


class ProcessRewardModel:
    """A copy of the policy that began as the reference, with its optimizer."""

    def __init__(self, policy: Any, settings: PrimeSettings, config: RLConfig, dtype: str) -> None:
        self.network = trained(copy.deepcopy(policy), settings.learning_rate, config)
        self.settings = settings
        self._max_tokens = config.micro_batch_tokens
        self._temperature = config.temperature
        self._dtype = dtype

    def rewards(
        self,
        rows: Sequence[TokenRow],
        outcomes_B: Tensor,
        reference_BT: Tensor,
        mask_BT: Tensor,
        step: int,
    ) -> tuple[Tensor, float]:
        """One online step on the outcomes, and the reward of every token [B, T], with the loss.

        `reference_BT` and the model's own log-probabilities are those at the run's temperature, so
        that a model that hasn't moved gives rewards of exactly 0.

        Raises:
            TrainingError: its gradient isn't finite; nothing has moved.
        """
        if self.settings.updates_before_rewards:
            loss = self._train(rows, outcomes_B, reference_BT, step)
            return self._token_rewards(rows, reference_BT, mask_BT), loss
        rewards_BT = self._token_rewards(rows, reference_BT, mask_BT)
        return rewards_BT, self._train(rows, outcomes_B, reference_BT, step)

    def _train(
        self, rows: Sequence[TokenRow], outcomes_B: Tensor, reference_BT: Tensor, step: int
    ) -> float:
        module = self.network.module
        self.network.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in micro_batches(rows, max_tokens=self._max_tokens):
            batch = make_token_batch([rows[place] for place in part], module.device)
            width = batch.mask_BT.shape[1]
            with precision(module.device.type, self._dtype):
                scores = score_tokens(module, batch, temperature=self._temperature)
            loss = algorithms.prm_loss(
                scores.logprobs_BT,
                reference_BT[part, :width].to(module.device),
                batch.mask_BT,
                outcomes_B[part].to(module.device),
                beta=self.settings.beta,
            ) * (len(part) / len(rows))
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.item())
        norm = clip_gradient(self.network, self.settings.max_grad_norm)
        refuse_nonfinite(norm, "the process reward model's gradient", step)
        self.network.optimizer.step()
        return total

    def _token_rewards(
        self, rows: Sequence[TokenRow], reference_BT: Tensor, mask_BT: Tensor
    ) -> Tensor:
        def logprobs(batch: TokenBatch) -> Tensor:
            return score_tokens(
                self.network.module, batch, temperature=self._temperature
            ).logprobs_BT

        prm_BT = over_all_rows(
            rows,
            logprobs,
            max_tokens=self._max_tokens,
            device=self.network.module.device,
            dtype=self._dtype,
        )
        return algorithms.implicit_token_rewards(
            prm_BT, reference_BT, mask_BT, beta=self.settings.beta
        )
