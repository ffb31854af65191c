"""A cache of keys and values with room for the next tokens."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_ROOM = 64
"""Tokens."""
_SHARE_OF_ROOM = 8
"""A full buffer grows by one part in so many."""


def roomy_cache(config: Any) -> Any:
    """A transformers `DynamicCache` whose full-attention layers don't copy themselves every token.

    What it gives is what `DynamicCache` gives, bit by bit: the stock layer concatenates all that
    it holds with the one new token, layer after layer, step after step.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=config)
    roomy = _roomy_layer()
    # Sliding and other layers keep their own ways.
    cache.layers = [roomy() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


@functools.cache
def _roomy_layer() -> type:
    """The class, made when transformers is first needed."""
    import torch
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
        """`keys` and `values` are the filled part of buffers [B, heads, room, size]."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self._buffers: tuple[Tensor, Tensor] | None = None

        def update(
            self,
            key_states: Tensor,
            value_states: Tensor,
            *_: Any,
            **__: Any,
        ) -> tuple[Tensor, Tensor]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            filled = self.get_seq_length()
            length = filled + key_states.shape[-2]
            if self._buffers is None or self._buffers[0].shape[-2] < length:
                self._grow(key_states, value_states, length)
            keys, values = self._buffers  # type: ignore[misc]  # _grow made them
            keys[..., filled:length, :] = key_states
            values[..., filled:length, :] = value_states
            self.keys, self.values = keys[..., :length, :], values[..., :length, :]
            return self.keys, self.values

        def _grow(self, key_states: Tensor, value_states: Tensor, length: int) -> None:
            filled = self.get_seq_length()
            room = length + max(_LEAST_ROOM, length // _SHARE_OF_ROOM)
            grown = []
            for new, old in ((key_states, self.keys), (value_states, self.values)):
                buffer = new.new_empty((*new.shape[:-2], room, new.shape[-1]))
                if old is not None and filled:
                    buffer[..., :filled, :] = old
                grown.append(buffer)
            self._buffers = (grown[0], grown[1])

        def batch_select_indices(self, indices: Tensor) -> None:
            if self._buffers is None:
                return
            filled = self.get_seq_length()
            keys, values = (torch.index_select(each, 0, indices) for each in self._buffers)
            self._buffers = (keys, values)
            self.keys, self.values = keys[..., :filled, :], values[..., :filled, :]

    return RoomyLayer
