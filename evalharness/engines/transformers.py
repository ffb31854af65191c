"""The engine for a CPU or one GPU: transformers' models under our own decoding loop."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    context_length,
    end_token_ids,
    find_checkpoint,
    first_line,
    load_error,
    load_tokenizer,
    refuse,
)
from evalharness.engines.decoding import Finished, Row, decode
from evalharness.engines.stops import StopWatch, ended_text
from evalharness.errors import EngineBrokeError, EngineError, InputError
from evalharness.records import Prompt, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_DTYPES = ("float32", "bfloat16", "float16")
_DETERMINISM_NOTES = (
    "--deterministic: responses repeat only with the same hardware, driver, versions, --dtype and "
    "--batch-size; in bfloat16 on a GPU a row may still depend on its batch, unless --batch-size "
    "is 1. `evalharness verify` measures it",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    model: Any
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    context_length: int


def create_engine(options: EngineOptions) -> TransformersEngine:
    """The engine, with no model loaded."""
    return TransformersEngine(options)


class TransformersEngine:
    """Runs a checkpoint with transformers in this process."""

    name = "transformers"

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._loaded: _Loaded | None = None

    def load(self, model: str) -> ModelRecord:
        """Load `model`; the model before it is given back first, so that only one is in memory."""
        import torch
        import transformers

        self.close()
        if self.options.deterministic:
            # cuBLAS reads its variable when its first kernel runs.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        device = choose_device(self.options.device)
        dtype = choose_dtype(self.options.dtype, device)
        checkpoint = find_checkpoint(model)
        tokenizer = load_tokenizer(checkpoint, trust_remote_code=self.options.trust_remote_code)
        loaded_model = load_model(
            checkpoint,
            dtype=dtype,
            device=device,
            max_model_len=self.options.max_model_len,
            trust_remote_code=self.options.trust_remote_code,
        )
        context = context_length(model, loaded_model.config, self.options.max_model_len)
        end_ids = end_token_ids(checkpoint, tokenizer)
        self._loaded = _Loaded(
            model=loaded_model, tokenizer=tokenizer, end_ids=end_ids, context_length=context
        )
        return ModelRecord(
            model=model,
            revision=checkpoint.revision,
            context_length=context,
            dtype=dtype,
            device=torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
            details={
                "transformers": transformers.__version__,
                "torch": torch.__version__,
                "batch_size": self.options.batch_size,
                "deterministic": self.options.deterministic,
                "attention": loaded_model.config._attn_implementation,
                "end_token_ids": sorted(end_ids),
            },
            notes=_DETERMINISM_NOTES if self.options.deterministic else (),
        )

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """Render and tokenize one prompt with the loaded model's tokenizer."""
        return prepare_with_tokenizer(prompt, self._require().tokenizer)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as rows end; a request that can't be run gives an error completion.

        Raises:
            EngineBrokeError: the model failed in a step; it says how many requests were unfinished.
        """
        loaded = self._require()
        rows = []
        for index, request in enumerate(requests):
            refusal = refuse(request, loaded.context_length)
            if refusal is not None:
                yield refusal
                continue
            prompt_ids = request.prompt.token_ids or ()
            rows.append(
                Row(
                    index=index,
                    prompt_ids=prompt_ids,
                    seed=request.seed,
                    max_tokens=request.max_tokens,
                )
            )
        watches: dict[int, StopWatch] = {}

        def should_stop(index: int, token_ids: Sequence[int]) -> bool:
            stops = requests[index].stop
            if not stops:
                return False
            if len(token_ids) == 1:
                watches[index] = StopWatch(loaded.tokenizer, stops)
            return watches[index].is_complete(token_ids)

        finished_rows = decode(
            loaded.model,
            rows,
            sampling,
            end_ids=loaded.end_ids,
            batch_size=self.options.batch_size,
            should_stop=should_stop,
        )
        num_unfinished = len(rows)
        try:
            for finished in finished_rows:
                watches.pop(finished.index, None)
                num_unfinished -= 1
                yield _completion(requests[finished.index], finished, loaded.tokenizer)
        except Exception as error:
            # What a model's code and its device raise has no common class.
            raise EngineBrokeError(
                f"the model failed with {num_unfinished} requests unfinished "
                f"({first_line(error)}): run the same command again to continue"
            ) from error

    def close(self) -> None:
        """Free the model."""
        if self._loaded is None:
            return
        import torch

        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _require(self) -> _Loaded:
        if self._loaded is None:
            raise EngineError("the transformers engine has no model: call load first")
        return self._loaded


def load_model(
    checkpoint: Checkpoint,
    *,
    dtype: str,
    device: str,
    max_model_len: int | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """The model of a checkpoint on `device`, ready to be read, its weights in `dtype`.

    Raises:
        EngineError: it can't be loaded, lacks weights, or doesn't fit the memory.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model: Any
    info: dict[str, Any]
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=trust_remote_code)
        # A wrong --max-model-len is said before minutes of loading.
        context_length(checkpoint.model, config, max_model_len)
        with no_progress_bars():
            # Typed as the model alone; output_loading_info makes it a pair.
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=getattr(torch, dtype),
                attn_implementation="sdpa",
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
            )
            model, info = loaded
    except EngineError:
        raise
    except Exception as error:
        # What a checkpoint's files make transformers raise has no common class.
        raise load_error(checkpoint.model, error) from error
    if info["missing_keys"]:
        first = sorted(info["missing_keys"])[0]
        raise EngineError(
            f"{checkpoint.model} lacks {len(info['missing_keys'])} of its weights, {first} "
            "first: the checkpoint is incomplete, or its config.json is another model's"
        )
    try:
        return model.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"{checkpoint.model} doesn't fit on {device}: take a smaller --dtype or the vllm "
            "engine with --tensor-parallel-size"
        ) from error


def _completion(
    request: Request, finished: Finished, tokenizer: PreTrainedTokenizerBase
) -> Completion:
    text, stop_reason = ended_text(
        tokenizer,
        finished.token_ids,
        request.stop,
        keep_stop=request.keep_stop,
        is_truncated=finished.finish != "stop",
    )
    return Completion(
        key=request.key,
        text=text,
        num_tokens=len(finished.token_ids),
        finish_reason=finished.finish,
        stop_reason=stop_reason,
        prompt_tokens=len(request.prompt.token_ids or ()),
        error=finished.error,
        token_ids=finished.token_ids,
        end_id=finished.end_id,
    )


def choose_device(named: str) -> str:
    """`auto` is the GPU where torch sees one.

    Raises:
        InputError: no such device.
        EngineError: torch sees no GPU, or not so many.
    """
    import torch

    if named == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", named):
        raise InputError(f'unknown device "{named}": give auto, cpu, cuda or cuda:N')
    if named == "cpu":
        return named
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not num_gpus:
        raise EngineError(f'--device {named}, but torch sees no GPU here: give "cpu" or "auto"')
    number = int(named.partition(":")[2] or 0)
    if number >= num_gpus:
        raise EngineError(
            f"--device {named}, but torch sees {num_gpus} GPUs here: give cuda:0 to "
            f"cuda:{num_gpus - 1}"
        )
    return named


def choose_dtype(named: str, device: str) -> str:
    """`auto` is float32 on a CPU, bfloat16 on a GPU.

    Raises:
        InputError: no such dtype.
    """
    if named == "auto":
        return "float32" if device == "cpu" else "bfloat16"
    if named not in _DTYPES:
        raise InputError(f'unknown dtype "{named}": give auto, {", ".join(_DTYPES)}')
    return named


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keeps transformers from drawing bars on stderr while it loads and saves."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging

    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
