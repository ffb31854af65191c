"""What a model says of completions that are there already: log-probabilities, entropy, states."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from evalharness.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

_PADDING = 0.25
"""Of a row in a micro-batch, where the micro-batch isn't small."""
_LEAST_SHARE = 0.25
"""Of the micro-batch budget, below which padding doesn't end a group."""


class TokenRow(NamedTuple):
    """One prompt with its completion, as token ids."""

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    """With EOS where the model wrote it."""

    @property
    def num_tokens(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """B rows padded on the right: L tokens with the prompt, T of the longest completion."""

    input_ids_BL: Tensor
    is_scored_BL: Tensor
    """True where the next token belongs to the completion."""
    targets_N: Tensor
    """All completion tokens, row after row."""
    mask_BT: Tensor
    """True at the tokens of the completion, EOS included."""

    def spread(self, values_N: Tensor) -> Tensor:
        """Values of all completion tokens, row after row, as [B, T]; 0 at the padding."""
        spread_BT = values_N.new_zeros(self.mask_BT.shape)
        return spread_BT.masked_scatter(self.mask_BT, values_N)


def make_token_batch(rows: Sequence[TokenRow], device: Any = "cpu") -> TokenBatch:
    """Stack rows. What stands in the padding is never looked at: a causal model sees only left."""
    import torch

    length = max(row.num_tokens for row in rows)
    longest = max(len(row.completion_ids) for row in rows)
    input_ids_BL = torch.zeros((len(rows), length), dtype=torch.long)
    is_scored_BL = torch.zeros((len(rows), length), dtype=torch.bool)
    mask_BT = torch.zeros((len(rows), longest), dtype=torch.bool)
    for index, row in enumerate(rows):
        start, end = len(row.prompt_ids), row.num_tokens
        input_ids_BL[index, :end] = torch.tensor([*row.prompt_ids, *row.completion_ids])
        is_scored_BL[index, start - 1 : end - 1] = True
        mask_BT[index, : end - start] = True
    targets = [token for row in rows for token in row.completion_ids]
    return TokenBatch(
        input_ids_BL=input_ids_BL.to(device),
        is_scored_BL=is_scored_BL.to(device),
        targets_N=torch.tensor(targets, device=device),
        mask_BT=mask_BT.to(device),
    )


class TokenScores(NamedTuple):
    """Of every completion token, in nats; 0 at the padding."""

    logprobs_BT: Tensor
    entropy_BT: Tensor
    """Of the distribution that the token was drawn from; carries no gradient."""


def score_tokens(model: Any, batch: TokenBatch, *, temperature: float = 1.0) -> TokenScores:
    """Log-probability of every completion token under the distribution at `temperature`.

    Logits are computed where a completion token is predicted and nowhere else, and their softmax is
    in float32 whatever the model runs in.
    """
    import torch

    logits_NV = model.lm_head(hidden_states(model, batch)).float() / temperature
    normaliser_N = logits_NV.logsumexp(dim=-1)
    logprobs_N = logits_NV.gather(1, batch.targets_N[:, None])[:, 0] - normaliser_N
    with torch.no_grad():
        probabilities_NV = torch.softmax(logits_NV, dim=-1)
        entropy_N = normaliser_N - (probabilities_NV * logits_NV).sum(dim=-1)
    return TokenScores(batch.spread(logprobs_N), batch.spread(entropy_N))


def check_head(model: Any, name: str) -> None:
    """Refuse a model whose logits are more than `lm_head` of the states of `model.model`.

    Gemma 2 squashes its logits, Granite and Cohere scale them, GPT-2 has its states elsewhere: what
    `score_tokens` says of these isn't what they draw from.

    Raises:
        InputError: the model's own forward gives other log-probabilities.
    """
    import torch

    own = f"{name}: {type(model).__name__}"
    remedy = "train with --backend trl, or take a model of the Llama or Qwen kind"
    if not hasattr(model, "model") or not hasattr(model, "lm_head"):
        raise InputError(
            f"{own} has no `model` and `lm_head` to read log-probabilities from: {remedy}"
        )
    row = TokenRow([1, 2], [3, 4])
    batch = make_token_batch([row], model.device)
    with torch.no_grad():
        found_T = score_tokens(model, batch).logprobs_BT[0]
        logits_TV = model(input_ids=batch.input_ids_BL, use_cache=False).logits[0, 1:3].float()
    wanted_T = logits_TV.log_softmax(dim=-1).gather(1, batch.targets_N[:, None])[:, 0]
    if not torch.allclose(found_T, wanted_T, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise InputError(
            f"{own} changes its logits after `lm_head` (it scales or caps them), and its "
            f"log-probabilities would be wrong: {remedy}"
        )


def hidden_states(model: Any, batch: TokenBatch) -> Tensor:
    """The last hidden states [N, H] from which the completion tokens are predicted.

    No attention mask: the padding stands on the right, and no token that counts looks there.
    """
    states_BLH: Tensor = model.model(
        input_ids=batch.input_ids_BL, use_cache=False
    ).last_hidden_state
    return states_BLH[batch.is_scored_BL]


def micro_batches(rows: Sequence[TokenRow], *, max_tokens: int) -> list[list[int]]:
    """Indices of all rows, in groups of similar length of at most `max_tokens` tokens, padded.

    The longest come first, so that memory runs out at once or not at all. A row longer than
    `max_tokens` is alone. A group ends before it is full where the next row would be padding for
    more than a quarter: then two forwards cost less than one. It has at least a quarter of
    `max_tokens` by then, so that the device has work.
    """
    order = sorted(range(len(rows)), key=lambda index: (-rows[index].num_tokens, index))
    groups: list[list[int]] = []
    for index in order:
        if groups:
            longest = rows[groups[-1][0]].num_tokens
            fits = (len(groups[-1]) + 1) * longest <= max_tokens
            is_alike = rows[index].num_tokens >= (1 - _PADDING) * longest
            if fits and (is_alike or len(groups[-1]) * longest < _LEAST_SHARE * max_tokens):
                groups[-1].append(index)
                continue
        groups.append([index])
    return groups


def precision(device_type: str, dtype: str) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 or float16 over float32 weights; nothing for float32."""
    import contextlib

    import torch

    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device_type, dtype=getattr(torch, dtype))
