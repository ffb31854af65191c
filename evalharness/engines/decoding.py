"""The decoding loop over a model's forward: batched, and every row as if it were alone.

Not `model.generate`: rows come out when they finish and leave the batch, each has its own seed, and
no default of the model's generation config takes part. No tokenizer in here: the evaluation engine
and reinforcement learning use the same loop.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evalharness.engines.attention import grouped_attention
from evalharness.engines.cache import roomy_cache
from evalharness.engines.pulse import beat
from evalharness.records import Sampling

if TYPE_CHECKING:
    from torch import Tensor

StopCheck = Callable[[int, Sequence[int]], bool]
"""(row index, its tokens so far) -> whether the row ends here. Called once a token, in order; after
memory ran out a row starts again, with one token."""

# One size for every draw: torch's CPU generator gives other numbers for other block sizes.
_UNIFORMS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One response to be drawn."""

    index: int
    """The caller's name for it."""
    prompt_ids: tuple[int, ...]
    seed: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One response that ended."""

    index: int
    token_ids: tuple[int, ...]
    """Without the end token."""
    finish: Literal["stop", "length", "error"]
    error: str | None = None
    end_id: int | None = None
    """The end token that the model wrote; None where something else ended the row."""


class _Live:
    """A row in the running batch."""

    def __init__(self, row: Row) -> None:
        import torch

        self.row = row
        self.token_ids: list[int] = []
        self._generator = torch.Generator(device="cpu").manual_seed(row.seed)
        self._uniforms: list[float] = []

    def uniform(self) -> float:
        """The next number in [0, 1), from this row's seed alone."""
        import torch

        if not self._uniforms:
            block = torch.rand(_UNIFORMS, generator=self._generator, dtype=torch.float64)
            self._uniforms = block.tolist()[::-1]
        return self._uniforms.pop()

    def finished(
        self,
        finish: Literal["stop", "length", "error"],
        *,
        error: str | None = None,
        end_id: int | None = None,
    ) -> Finished:
        return Finished(
            index=self.row.index,
            token_ids=tuple(self.token_ids),
            finish=finish,
            error=error,
            end_id=end_id,
        )


def decode(
    model: Any,
    rows: Sequence[Row],
    sampling: Sampling,
    *,
    end_ids: frozenset[int],
    batch_size: int,
    should_stop: StopCheck | None = None,
) -> Iterator[Finished]:
    """Yield every row when it ends; what a row says doesn't depend on the others.

    Rows are batched by prompt length. When memory runs out, the rows of the batch that haven't
    ended start again in batches half as large, with the same seeds and so the same tokens.
    """
    import torch

    waiting = sorted(rows, key=lambda row: len(row.prompt_ids), reverse=True)
    while waiting:
        batch, ended, exhausted = waiting[:batch_size], set[int](), False
        try:
            for finished in _decode_batch(model, batch, sampling, end_ids, should_stop):
                ended.add(finished.index)
                yield finished
        except torch.OutOfMemoryError:
            exhausted = True
        if not exhausted:
            waiting = waiting[len(batch) :]
            continue
        # Outside the except clause, whose traceback would keep the cache alive.
        gc.collect()
        torch.cuda.empty_cache()
        if len(batch) == 1:
            length = len(batch[0].prompt_ids)
            message = f"out of memory with this response alone (a prompt of {length} tokens)"
            yield Finished(index=batch[0].index, token_ids=(), finish="error", error=message)
            waiting = waiting[1:]
        else:
            batch_size = max(1, len(batch) // 2)
            waiting = [row for row in waiting if row.index not in ended]


def _decode_batch(
    model: Any,
    rows: Sequence[Row],
    sampling: Sampling,
    end_ids: frozenset[int],
    should_stop: StopCheck | None,
) -> Iterator[Finished]:
    import torch

    device = model.device
    live: list[_Live | None] = [_Live(row) for row in rows]
    # The samples of one problem share their prompt: it is read once, then copied to each of them.
    prompts = list(dict.fromkeys(row.prompt_ids for row in rows))
    places = {prompt: place for place, prompt in enumerate(prompts)}
    shared: list[int] | None = None
    if len(prompts) < len(rows):
        shared = [places[row.prompt_ids] for row in rows]
    input_ids_BT, mask_BT = _left_padded(prompts, device)
    positions_BT = (mask_BT.cumsum(dim=1) - 1).clamp(min=0)
    cache = roomy_cache(model.config)
    while True:
        beat()
        with torch.inference_mode(), grouped_attention(model):
            output = model(
                input_ids=input_ids_BT,
                attention_mask=mask_BT,
                position_ids=positions_BT,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits_BV = output.logits[:, -1].float()
            if shared is not None:
                places_B = torch.tensor(shared, device=device)
                cache.batch_select_indices(places_B)
                logits_BV, mask_BT = logits_BV[places_B], mask_BT[places_B]
                positions_BT, shared = positions_BT[places_B], None
            tokens, healthy = _draw(logits_BV, live, sampling)
        for place, state in enumerate(live):
            if state is None:
                continue
            finished = _advance(state, tokens[place], healthy[place], end_ids, should_stop)
            if finished is not None:
                live[place] = None
                yield finished
        kept = [place for place, state in enumerate(live) if state is not None]
        if not kept:
            return
        with torch.inference_mode():
            next_B = torch.tensor(tokens, device=device)
            # A row that has ended stands still: its position must not leave the model's context.
            alive_B = torch.tensor([state is not None for state in live], device=device)
            next_position_B = positions_BT[:, -1] + alive_B.long()
            # Leaving costs a copy of the cache: worth it once a quarter of the rows have ended.
            if len(live) - len(kept) >= max(1, len(live) // 4):
                kept_B = torch.tensor(kept, device=device)
                cache.batch_select_indices(kept_B)
                mask_BT, next_B = mask_BT[kept_B], next_B[kept_B]
                next_position_B = next_position_B[kept_B]
                live = [live[place] for place in kept]
            input_ids_BT = next_B[:, None]
            positions_BT = next_position_B[:, None]
            mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(live), 1)], dim=1)


def _left_padded(prompts: Sequence[Sequence[int]], device: Any) -> tuple[Tensor, Tensor]:
    import torch

    width = max(len(prompt) for prompt in prompts)
    ids = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _draw(
    logits_BV: Tensor, live: Sequence[_Live | None], sampling: Sampling
) -> tuple[list[int], list[bool]]:
    """The next token of every row, and whether its logits were numbers at all."""
    import torch

    # The maximum is NaN where any is, infinite where one is, minus infinity where all are.
    healthy_B = torch.isfinite(logits_BV.amax(dim=-1))
    if sampling.temperature == 0:
        tokens_B = logits_BV.argmax(dim=-1)
    else:
        uniforms = [0.0 if state is None else state.uniform() for state in live]
        uniforms_B = torch.tensor(uniforms, dtype=torch.float64, device=logits_BV.device)
        safe_BV = torch.where(healthy_B[:, None], logits_BV, 0.0)
        tokens_B = sample_tokens(sampling_probabilities(safe_BV, sampling), uniforms_B)
    return tokens_B.tolist(), healthy_B.tolist()


def sampling_probabilities(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """The distribution that is drawn from: temperature, then top_k, then top_p; rows sum to 1.

    Shapes: float32 logits [B, V] -> probabilities [B, V].
    top_k keeps the k-th value's ties; top_p keeps the smallest set of largest probabilities that
    sums to at least top_p, after top_k, as vLLM does.
    """
    import torch

    scaled_BV = logits_BV / sampling.temperature
    if 0 < sampling.top_k < scaled_BV.shape[-1]:
        smallest_B1 = scaled_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        scaled_BV = scaled_BV.masked_fill(scaled_BV < smallest_B1, float("-inf"))
    probabilities_BV = torch.softmax(scaled_BV, dim=-1)
    if sampling.top_p < 1:
        sorted_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
        before_BV = _running_sums(sorted_BV) - sorted_BV
        sorted_BV = sorted_BV.masked_fill(before_BV >= sampling.top_p, 0.0)
        probabilities_BV = torch.zeros_like(sorted_BV).scatter(-1, order_BV, sorted_BV)
        probabilities_BV = probabilities_BV / probabilities_BV.sum(dim=-1, keepdim=True)
    return probabilities_BV


def sample_tokens(probabilities_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """Invert each row's cumulative distribution at its number in [0, 1).

    One number a token, so that a row's tokens depend on its own seed only; in float64, because a
    float32 sum over 150,000 tokens loses the rare ones.
    """
    import torch

    cumulative_BV = _running_sums(probabilities_BV.double())
    total_B1 = cumulative_BV[:, -1:]
    # Strictly below the total, so that the token found has a probability above zero.
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))
    targets_B1 = torch.minimum(uniforms_B[:, None] * total_B1, below_B1)
    return torch.searchsorted(cumulative_BV, targets_B1, right=True)[:, 0]


def _running_sums(values_BV: Tensor) -> Tensor:
    """`cumsum` over the last dimension, on the CPU where only that repeats.

    Source: the page of torch.use_deterministic_algorithms: on CUDA floats cumsum raises under it.
    """
    import torch

    if values_BV.is_cuda and torch.are_deterministic_algorithms_enabled():
        return values_BV.cpu().cumsum(dim=-1).to(values_BV.device)
    return values_BV.cumsum(dim=-1)


def _advance(
    state: _Live,
    token: int,
    healthy: bool,
    end_ids: frozenset[int],
    should_stop: StopCheck | None,
) -> Finished | None:
    """Add a token to a row; what ended it, if it ended."""
    if not healthy:
        message = (
            f"the model's logits were NaN or infinite at token {len(state.token_ids) + 1}: the "
            "weights are broken or overflow this dtype (try --dtype float32)"
        )
        return state.finished("error", error=message)
    if token in end_ids:
        return state.finished("stop", end_id=token)
    state.token_ids.append(token)
    if should_stop is not None and should_stop(state.row.index, state.token_ids):
        return state.finished("stop")
    if len(state.token_ids) >= state.row.max_tokens:
        return state.finished("length")
    return None
