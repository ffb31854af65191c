"""Rollouts by vLLM beside the model in training; its weights are read anew after every step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.engines.base import Completion, EngineOptions, PreparedPrompt, Request
from evalharness.engines.transformers import no_progress_bars
from evalharness.engines.vllm import VllmEngine
from evalharness.errors import EngineError
from evalharness.records import ResponseKey, Sampling
from evalharness.training.rollout import Drawn, RolloutRequest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_GPU_SHARE = 0.4
"""Of the GPU's memory for vLLM: the model in training has the rest."""


class VllmSampler:
    """Draws with vLLM; `refresh` saves the policy to memory, and the running engine reads it.

    The engine's own kernels give other log-probabilities in the last digits than the training
    forward does: the trainer computes the old log-probabilities itself.
    """

    def __init__(
        self,
        policy: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        temperature: float,
        dtype: str,
        context_length: int,
    ) -> None:
        self._policy = policy
        self._sampling = Sampling(temperature=temperature)
        parent = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="evalharness-policy-", dir=parent))
        tokenizer.save_pretrained(self._folder)
        self._engine = VllmEngine(
            EngineOptions(
                dtype=dtype, max_model_len=context_length, gpu_memory_utilization=_GPU_SHARE
            )
        )
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def draw(
        self, requests: Sequence[RolloutRequest], stop: tuple[str, ...], *, keep_stop: bool = False
    ) -> list[Drawn]:
        """All requests at once; vLLM batches them itself.

        Raises:
            EngineError: vLLM failed, or a completion can't be had.
        """
        asked = [
            Request(
                key=ResponseKey("policy", "", "", index),
                prompt=PreparedPrompt(text="", token_ids=request.prompt_ids),
                seed=request.seed,
                max_tokens=request.max_tokens,
                stop=stop,
                keep_stop=keep_stop,
            )
            for index, request in enumerate(requests)
        ]
        drawn = {
            completion.key.sample_index: _drawn(completion)
            for completion in self._engine.generate(asked, self._sampling)
        }
        return [drawn[index] for index in range(len(requests))]

    def refresh(self) -> None:
        """Give the engine the policy's weights."""
        with no_progress_bars():
            self._policy.save_pretrained(self._folder)
        self._engine.load(str(self._folder))

    def close(self) -> None:
        """Stop the engine and remove the copy of the weights."""
        self._engine.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _drawn(completion: Completion) -> Drawn:
    if completion.finish_reason == "error" or completion.token_ids is None:
        raise EngineError(f"a rollout failed: {completion.error}")
    ids = completion.token_ids
    if completion.end_id is not None:
        ids = (*ids, completion.end_id)
    return Drawn(
        token_ids=ids, text=completion.text, is_truncated=completion.finish_reason == "length"
    )
