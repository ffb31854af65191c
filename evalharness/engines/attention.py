"""Attention of one new token a row to grouped keys and values, without repeating them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_NAME = "evalharness_grouped"


@contextmanager
def grouped_attention(model: Any) -> Iterator[None]:
    """Within it, transformers' `sdpa` attention doesn't copy keys and values for every query head.

    Several query heads share one head of keys and values (grouped-query attention, arXiv
    2305.13245). Where there is a mask, transformers repeats the whole cache for each of them, every
    token; with one new token a row they are as well so many queries of one head. Other attention
    implementations and longer inputs go their own way.
    """
    config = model.config
    # Models without the field, of code of their own, attend as they like.
    if getattr(config, "_attn_implementation", None) != "sdpa":
        yield
        return
    _register()
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"


@functools.cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Shapes: query [B, H, T, D], key and value [B, G, L, D], mask [B, 1, T, L] -> [B, T, H, D]."""
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    num_rows, num_heads, num_new, size = query.shape
    num_groups = key.shape[1]
    is_plain = more.get("position_bias") is None and more.get("cache") is None
    if num_new > 1 or num_groups == num_heads or not is_plain:
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **more
        )
        return attended
    # Head h reads group h // (H / G): the heads of a group stand side by side.
    queries = query.view(num_rows, num_groups, num_heads // num_groups, size)
    mixed = scaled_dot_product_attention(
        queries, key, value, attn_mask=attention_mask, scale=scaling
    )
    return mixed.reshape(num_rows, 1, num_heads, value.shape[-1]), None
