"""The vLLM engine: one request a sample, finished responses stream out of the running batch."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalharness.engines.base import (
    Completion,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
    prepare_with_tokenizer,
)
from evalharness.engines.checkpoints import (
    Checkpoint,
    end_token_ids,
    find_checkpoint,
    load_error,
    load_tokenizer,
    read_json,
    refuse,
    weight_shapes,
)
from evalharness.engines.pulse import beat
from evalharness.engines.stops import response_text
from evalharness.engines.vllm_arguments import (
    ENGINE_SEED,
    cpu_arguments,
    determinism_notes,
    environment,
    gpu_arguments,
    quiet_stdout,
    sampling_params,
    set_deterministic,
)
from evalharness.errors import EngineBrokeError, EngineError
from evalharness.records import Prompt, Sampling

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

# Of config.json: what differs between checkpoints of one training run and changes no shape.
_IRRELEVANT = frozenset({"_name_or_path", "torch_dtype", "dtype", "transformers_version"})
_LEAST_WINDOW = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    checkpoint: Checkpoint
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]] | None
    """Of the weights; None where they can't be told without reading them."""
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    context_length: int


def create_engine(options: EngineOptions) -> VllmEngine:
    """The engine, with no model loaded."""
    return VllmEngine(options)


class VllmEngine:
    """Runs a checkpoint with vLLM's offline `LLM`.

    The next checkpoint of the same architecture and tokenizer takes the running engine over: its
    weights are read in place, which saves the start.
    """

    name = "vllm"

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._llm: Any = None
        self._loaded: _Loaded | None = None

    def load(self, model: str) -> ModelRecord:
        """Load `model`, in place where the running engine has the same architecture."""
        with quiet_stdout():
            return self._load(model)

    def _load(self, model: str) -> ModelRecord:
        checkpoint = find_checkpoint(model)
        tokenizer = load_tokenizer(checkpoint, trust_remote_code=self.options.trust_remote_code)
        config = _comparable_config(checkpoint.folder)
        shapes = weight_shapes(checkpoint.folder)
        is_swap = self._can_swap(config, shapes, tokenizer)
        if is_swap:
            self._swap(checkpoint)
        else:
            self.close()
            self._llm = self._start(checkpoint)
        vllm_config = self._llm.llm_engine.vllm_config
        context = int(vllm_config.model_config.max_model_len)
        end_ids = end_token_ids(checkpoint, tokenizer)
        self._loaded = _Loaded(
            checkpoint=checkpoint,
            config=config,
            shapes=shapes,
            tokenizer=tokenizer,
            end_ids=end_ids,
            context_length=context,
        )
        return ModelRecord(
            model=model,
            revision=checkpoint.revision,
            context_length=context,
            dtype=str(vllm_config.model_config.dtype).removeprefix("torch."),
            device=_device_name(),
            details=self._details(is_swap, end_ids),
            notes=determinism_notes(self.options, is_cpu=_device_name() == "cpu"),
        )

    def _details(self, is_swap: bool, end_ids: frozenset[int]) -> dict[str, Any]:
        import torch
        import vllm

        vllm_config = self._llm.llm_engine.vllm_config
        return {
            "vllm": vllm.__version__,
            "torch": torch.__version__,
            "swapped_in_place": is_swap,
            "max_num_seqs": vllm_config.scheduler_config.max_num_seqs,
            "max_num_batched_tokens": vllm_config.scheduler_config.max_num_batched_tokens,
            "tensor_parallel_size": vllm_config.parallel_config.tensor_parallel_size,
            "enforce_eager": vllm_config.model_config.enforce_eager,
            "prefix_caching": vllm_config.cache_config.enable_prefix_caching,
            "deterministic": self.options.deterministic,
            "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT") == "1",
            "engine_seed": ENGINE_SEED,
            "end_token_ids": sorted(end_ids),
        }

    def _can_swap(
        self,
        config: dict[str, Any],
        shapes: dict[str, tuple[int, ...]] | None,
        tokenizer: PreTrainedTokenizerBase,
    ) -> bool:
        loaded = self._loaded
        return (
            self._llm is not None
            and loaded is not None
            and config == loaded.config
            # vLLM only warns of a weight that isn't there and keeps what it had before.
            and shapes is not None
            and shapes == loaded.shapes
            # Quantized weights are repacked when they are loaded.
            and "quantization_config" not in config
            and _tokenizer_state(tokenizer) == _tokenizer_state(loaded.tokenizer)
        )

    def _swap(self, checkpoint: Checkpoint) -> None:
        folder = str(checkpoint.folder)
        try:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
            self._llm.reset_prefix_cache()
        except Exception as error:
            # Half-read weights must never answer, whatever the files made vLLM raise.
            self.close()
            raise load_error(checkpoint.model, error) from error

    def _start(self, checkpoint: Checkpoint) -> Any:
        # vLLM reads these when it is imported; what the user set stays.
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        with environment(HF_HUB_OFFLINE="1"):
            from vllm import LLM
            from vllm.platforms import current_platform

            is_cpu = current_platform.is_cpu()
            if is_cpu:
                os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            if self.options.deterministic:
                set_deterministic(is_cpu=is_cpu)
            arguments = gpu_arguments(self.options)
            try:
                if is_cpu:
                    arguments |= cpu_arguments(self.options, checkpoint)
                return LLM(str(checkpoint.folder), **arguments)
            except EngineError:
                raise
            except Exception as error:
                # What a checkpoint's files make vLLM raise has no common class.
                raise load_error(checkpoint.model, error) from error

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """Render and tokenize one prompt with the loaded model's tokenizer."""
        return prepare_with_tokenizer(prompt, self._require().tokenizer)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as vLLM finishes them; a refused request gives an error completion.

        A window of requests is outstanding at a time, refilled while the engine runs, so that
        100,000 requests take no more memory than a few thousand.

        Raises:
            EngineBrokeError: vLLM failed in a step; it says how many requests were unfinished.
        """
        loaded = self._require()
        engine = self._llm.llm_engine
        window = max(_LEAST_WINDOW, 2 * engine.vllm_config.scheduler_config.max_num_seqs)
        outstanding: dict[str, Request] = {}
        num_taken = num_yielded = 0
        try:
            while num_taken < len(requests) or outstanding:
                while num_taken < len(requests) and len(outstanding) < window:
                    request = requests[num_taken]
                    num_taken += 1
                    refusal = self._enqueue(request, sampling, outstanding)
                    if refusal is not None:
                        num_yielded += 1
                        yield refusal
                if not outstanding:
                    continue
                for output in self._step(len(requests) - num_yielded):
                    if output.finished:
                        num_yielded += 1
                        yield _completion(outstanding.pop(output.request_id), output, loaded)
        finally:
            if outstanding and self._llm is not None:
                engine.abort_request(list(outstanding))

    def _enqueue(
        self, request: Request, sampling: Sampling, outstanding: dict[str, Request]
    ) -> Completion | None:
        from vllm import TokensPrompt

        loaded = self._require()
        refusal = refuse(request, loaded.context_length)
        if refusal is not None:
            return refusal
        prompt = TokensPrompt(prompt_token_ids=list(request.prompt.token_ids or ()))
        params = sampling_params(request, sampling, loaded.end_ids)
        [internal_id] = self._llm.enqueue([prompt], [params], use_tqdm=False)
        # enqueue adds a random suffix to the id that outputs carry.
        outstanding[internal_id.split("-", 1)[0]] = request
        return None

    def _step(self, num_unfinished: int) -> Any:
        beat()
        try:
            return self._llm.llm_engine.step()
        except Exception as error:
            # vLLM's failures have no common class, and none of them is survivable.
            self.close()
            raise EngineBrokeError(
                f"vLLM failed with {num_unfinished} requests unfinished "
                f"({type(error).__name__}: {error}): run the same command again to continue"
            ) from error

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        llm, self._llm, self._loaded = self._llm, None, None
        if llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        with quiet_stdout():
            llm.llm_engine.engine_core.shutdown()
            del llm
            gc.collect()
            cleanup_dist_env_and_memory()

    def _require(self) -> _Loaded:
        if self._loaded is None:
            raise EngineError("the vllm engine has no model: call load first")
        return self._loaded


def _completion(request: Request, output: Any, loaded: _Loaded) -> Completion:
    answer = output.outputs[0]
    token_ids = tuple(answer.token_ids)
    stop_reason = answer.stop_reason if isinstance(answer.stop_reason, str) else None
    text = answer.text
    error = end_id = None
    finish = answer.finish_reason
    if finish == "stop" and stop_reason is None:
        if token_ids and token_ids[-1] in loaded.end_ids:
            token_ids, end_id = token_ids[:-1], token_ids[-1]
        if request.keep_stop:
            # include_stop_str_in_output writes an end token that isn't special into the text too.
            text = response_text(loaded.tokenizer, token_ids)
    elif finish not in ("stop", "length"):
        error = f"vLLM ended this request with finish_reason {finish!r}: see its log"
        finish = "error"
    return Completion(
        key=request.key,
        text=text,
        num_tokens=len(token_ids),
        finish_reason=finish,
        stop_reason=stop_reason,
        prompt_tokens=len(request.prompt.token_ids or ()),
        error=error,
        token_ids=token_ids,
        end_id=end_id,
    )


def _comparable_config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    return {key: value for key, value in config.items() if key not in _IRRELEVANT}


def _tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> Any:
    """What must be equal for the running engine to decode this checkpoint's tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = backend.to_str() if backend is not None else tokenizer.get_vocab()
    return state, sorted(tokenizer.all_special_ids)


def _device_name() -> str:
    from vllm.platforms import current_platform

    return "cpu" if current_platform.is_cpu() else str(current_platform.get_device_name())
