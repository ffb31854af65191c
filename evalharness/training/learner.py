"""The networks of a run and one optimizer step on rollouts, whatever the algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from evalharness.errors import TrainingError
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
from evalharness.training.networks import (
    Network,
    clip_gradient,
    critic_values,
    frozen_copy,
    make_critic,
    over_all_rows,
    refuse_nonfinite,
    trained,
)
from evalharness.training.process_reward import ProcessRewardModel
from evalharness.training.rollout import Rollout
from evalharness.training.signals import Evidence, step_advantages

if TYPE_CHECKING:
    from torch import Tensor


class Signals(NamedTuple):
    """What one step learns from; B rows of at most T completion tokens."""

    advantages_BT: Tensor
    """[B, T], or [B, 1] where all tokens of a row share one."""
    mask_BT: Tensor
    old_logprobs_BT: Tensor | None
    """None where the rollouts are used once, so that the ratio is 1."""
    reference_logprobs_BT: Tensor | None
    old_values_BT: Tensor | None
    returns_BT: Tensor | None


@dataclass(slots=True, kw_only=True)
class UpdateMetrics:
    """Of all optimizer steps on one step's rollouts."""

    loss: float = 0.0
    """Mean over the optimizer steps."""
    grad_norm: float = 0.0
    """Before clipping; the largest."""
    entropy: float | None = None
    """Mean over the tokens that were trained on, in nats; None where all rows were filtered."""
    clip_share: float = 0.0
    """Of the tokens trained on, those whose gradient the clipped ratio cut off."""
    kl: float | None = None
    """Mean over tokens, to the model that the run started from; None without a reference."""
    critic_loss: float | None = None
    prm_loss: float | None = None
    num_trained: int = 0
    """Rows that went through forward and backward."""
    num_tokens: int = 0
    """Completion tokens that went through forward and backward."""


class Learner:
    """The policy, what its algorithm needs beside it, and their optimizers."""

    def __init__(self, policy: Any, config: RLConfig, dtype: str) -> None:
        algorithm = config.algorithm
        self.config = config
        self.dtype = dtype
        self.policy = trained(policy, config.learning_rate, config)
        self.reference = frozen_copy(policy) if algorithm.uses_reference else None
        self.critic = (
            trained(make_critic(policy), config.critic_learning_rate, config)
            if algorithm.uses_critic
            else None
        )
        self.prm = (
            ProcessRewardModel(policy, algorithm.process_reward, config, dtype)
            if algorithm.process_reward is not None
            else None
        )

    @property
    def device(self) -> Any:
        """Where the networks are."""
        return self.policy.module.device

    def networks(self) -> dict[str, Network]:
        """Every network that is trained, by name."""
        prm = self.prm.network if self.prm is not None else None
        named = {"policy": self.policy, "critic": self.critic, "prm": prm}
        return {name: network for name, network in named.items() if network is not None}

    def learn(self, rollouts: Sequence[Rollout], step: int) -> UpdateMetrics:
        """Take the optimizer steps that one step's rollouts give; `step` counts from 1.

        Without a rollout nothing moves.

        Raises:
            TrainingError: a loss or a gradient isn't finite, or memory runs out. The weights are
                those before the optimizer step that failed.
        """
        import torch

        try:
            return self._learn(rollouts, step)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"step {step}: out of memory with micro-batches of "
                f"{self.config.micro_batch_tokens} tokens: lower --micro-batch-tokens"
            ) from error

    def _learn(self, rollouts: Sequence[Rollout], step: int) -> UpdateMetrics:
        metrics = UpdateMetrics()
        if not rollouts:
            return metrics
        rows = [rollout.row for rollout in rollouts]
        signals = self._signals(rollouts, rows, metrics, step)
        size = len(rows) // self.config.updates_per_step
        sums = _Sums()
        for start in range(0, len(rows), size):
            self._update(rows, range(start, start + size), signals, metrics, sums, step)
        metrics.loss /= self.config.updates_per_step
        if sums.num_tokens:
            metrics.entropy = sums.entropy / sums.num_tokens
            metrics.clip_share = sums.clipped / sums.num_tokens
            if self.reference is not None:
                metrics.kl = sums.kl / sums.num_tokens
        if self.critic is not None:
            metrics.critic_loss = sums.critic_loss / self.config.updates_per_step
        metrics.num_tokens = sums.num_tokens
        return metrics

    def _signals(
        self, rollouts: Sequence[Rollout], rows: list[TokenRow], metrics: UpdateMetrics, step: int
    ) -> Signals:
        """Advantages, and what the losses compare with; nothing here carries a gradient."""
        import torch

        algorithm, group_size = self.config.algorithm, self.config.group_size
        rewards_B = torch.tensor([rollout.reward for rollout in rollouts])
        mask_BT = _mask(rows)
        takes_kl = algorithm.kl_in_reward and algorithm.kl_coefficient != 0
        needs_old = self.config.updates_per_step > 1 or takes_kl
        old_BT = self._all_logprobs(self.policy.module, rows) if needs_old else None
        reference_BT = (
            self._all_logprobs(self.reference, rows) if self.reference is not None else None
        )
        token_rewards_BT = None
        if self.prm is not None and reference_BT is not None:
            token_rewards_BT, metrics.prm_loss = self.prm.rewards(
                rows, rewards_B, reference_BT, mask_BT, step
            )
        if takes_kl and old_BT is not None and reference_BT is not None:
            kl_BT = algorithms.kl_estimate(old_BT, reference_BT, algorithm.kl_estimator)
            penalty_BT = (algorithm.kl_coefficient * kl_BT).masked_fill(~mask_BT, 0.0)
        else:
            penalty_BT = torch.zeros(mask_BT.shape)
        values_BT = self._all_values(rows) if self.critic is not None else None
        evidence = Evidence(
            rewards_B=rewards_B,
            mask_BT=mask_BT,
            penalty_BT=penalty_BT,
            token_rewards_BT=token_rewards_BT,
            values_BT=values_BT,
        )
        advantages_BT, returns_BT = step_advantages(algorithm, evidence, group_size)
        return Signals(advantages_BT, mask_BT, old_BT, reference_BT, values_BT, returns_BT)

    def _update(
        self,
        rows: Sequence[TokenRow],
        places: range,
        signals: Signals,
        metrics: UpdateMetrics,
        sums: _Sums,
        step: int,
    ) -> None:
        """One optimizer step of the policy, and of the critic, on the rows at `places`."""
        import torch

        config, algorithm = self.config, self.config.algorithm
        # Over all rows of the update: neither micro-batches nor the filter change a row's weight.
        weights_B = torch.zeros(len(rows))
        lengths_B = signals.mask_BT[places.start : places.stop].sum(dim=1)
        weights_B[places.start : places.stop] = algorithms.row_weights(
            lengths_B,
            algorithm.length_normalisation,
            num_rows=len(places),
            max_tokens=config.max_tokens,
            total_tokens=int(lengths_B.sum()),
        )
        kept = self._unfiltered(places, signals)
        metrics.num_trained += len(kept)
        for network in self._updated():
            network.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for indices in micro_batches(
            [rows[place] for place in kept], max_tokens=config.micro_batch_tokens
        ):
            part = [kept[index] for index in indices]
            batch = make_token_batch([rows[place] for place in part], self.device)
            total += self._backward(batch, part, signals, weights_B, sums)
            if self.critic is not None:
                sums.critic_loss += self._backward_critic(batch, part, signals, places)
        if not kept:
            self._zero_gradients()
        self._step_optimizers(step, metrics)
        metrics.loss += total

    def _backward(
        self,
        batch: TokenBatch,
        part: list[int],
        signals: Signals,
        weights_B: Tensor,
        sums: _Sums,
    ) -> float:
        """Add the gradient of one micro-batch; its share of the loss."""
        algorithm = self.config.algorithm
        cut = _Cut(part, batch.mask_BT.shape[1], self.device)
        with precision(self.device.type, self.dtype):
            scores = score_tokens(self.policy.module, batch, temperature=self.config.temperature)
        old_BT = cut(signals.old_logprobs_BT)
        if old_BT is None:
            old_BT = scores.logprobs_BT.detach()
        loss_BT, clipped_BT = algorithms.surrogate_loss(
            scores.logprobs_BT,
            old_BT,
            cut.always(signals.advantages_BT),
            clip_low=algorithm.clip_low,
            clip_high=algorithm.clip_high,
        )
        reference_BT = cut(signals.reference_logprobs_BT)
        if reference_BT is not None:
            kl_BT = algorithms.kl_estimate(scores.logprobs_BT, reference_BT, algorithm.kl_estimator)
            if algorithm.kl_coefficient and not algorithm.kl_in_reward:
                loss_BT = loss_BT + algorithm.kl_coefficient * kl_BT
            sums.kl += (kl_BT.detach() * batch.mask_BT).sum().item()
        loss = algorithms.weighted_loss(loss_BT, batch.mask_BT, weights_B[part].to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        sums.num_tokens += int(batch.mask_BT.sum())
        sums.entropy += (scores.entropy_BT * batch.mask_BT).sum().item()
        sums.clipped += int((clipped_BT & batch.mask_BT).sum())
        return float(loss.item())

    def _backward_critic(
        self, batch: TokenBatch, part: list[int], signals: Signals, places: range
    ) -> float:
        """Add the gradient of the critic on one micro-batch: a mean over all tokens."""
        if self.critic is None or signals.old_values_BT is None or signals.returns_BT is None:
            return 0.0
        algorithm = self.config.algorithm
        cut = _Cut(part, batch.mask_BT.shape[1], self.device)
        num_tokens = signals.mask_BT[places.start : places.stop].sum().item()
        with precision(self.device.type, self.dtype):
            values_BT = critic_values(self.critic.module, batch)
        loss_BT = algorithms.value_loss(
            values_BT,
            cut.always(signals.old_values_BT),
            cut.always(signals.returns_BT),
            clip=algorithm.value_clip,
        )
        loss = (loss_BT * batch.mask_BT).sum() / num_tokens
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.item())

    def _all_logprobs(self, module: Any, rows: list[TokenRow]) -> Tensor:
        """Of all rows as [B, T] on the CPU, without gradient."""

        def logprobs(batch: TokenBatch) -> Tensor:
            return score_tokens(module, batch, temperature=self.config.temperature).logprobs_BT

        return self._over_all(rows, logprobs)

    def _all_values(self, rows: list[TokenRow]) -> Tensor:
        module = self.critic.module if self.critic is not None else None
        return self._over_all(rows, lambda batch: critic_values(module, batch))

    def _over_all(self, rows: list[TokenRow], compute: Callable[[TokenBatch], Tensor]) -> Tensor:
        return over_all_rows(
            rows,
            compute,
            max_tokens=self.config.micro_batch_tokens,
            device=self.device,
            dtype=self.dtype,
        )

    def _unfiltered(self, places: range, signals: Signals) -> list[int]:
        threshold = self.config.filter_threshold
        if threshold is None:
            return list(places)
        part = slice(places.start, places.stop)
        width = signals.advantages_BT.shape[1]
        keep_B = algorithms.gradient_filter(
            signals.advantages_BT[part], signals.mask_BT[part, :width], threshold=threshold
        )
        return [place for place, keep in zip(places, keep_B.tolist(), strict=True) if keep]

    def _updated(self) -> Iterator[Network]:
        yield self.policy
        if self.critic is not None:
            yield self.critic

    def _zero_gradients(self) -> None:
        """As rows without an advantage leave them: Adam's momentum still moves the weights."""
        for network in self._updated():
            for parameter in network.module.parameters():
                parameter.grad = parameter.new_zeros(parameter.shape)

    def _step_optimizers(self, step: int, metrics: UpdateMetrics) -> None:
        """Clip and step; nothing moves unless all gradients are finite."""
        norms = [clip_gradient(network, self.config.max_grad_norm) for network in self._updated()]
        for norm in norms:
            refuse_nonfinite(norm, "the gradient", step)
        metrics.grad_norm = max(metrics.grad_norm, norms[0])
        warmup = self.config.warmup_steps
        factor = min(1.0, step / warmup) if warmup else 1.0
        for network in self._updated():
            for group in network.optimizer.param_groups:
                group["lr"] = network.learning_rate * factor
            network.optimizer.step()


@dataclass(slots=True)
class _Sums:
    """Over all tokens trained on."""

    num_tokens: int = 0
    entropy: float = 0.0
    clipped: int = 0
    kl: float = 0.0
    critic_loss: float = 0.0


class _Cut:
    """Takes the rows of a micro-batch out of [B, T] tensors, as wide as the micro-batch is."""

    def __init__(self, part: list[int], width: int, device: Any) -> None:
        self._part, self._width, self._device = part, width, device

    def __call__(self, values_BT: Tensor | None) -> Tensor | None:
        return None if values_BT is None else self.always(values_BT)

    def always(self, values_BT: Tensor) -> Tensor:
        return values_BT[self._part, : self._width].to(self._device)


def _mask(rows: Sequence[TokenRow]) -> Tensor:
    import torch

    lengths_B = torch.tensor([len(row.completion_ids) for row in rows])
    return torch.arange(int(lengths_B.max()))[None, :] < lengths_B[:, None]
