"""How vLLM is started and asked: every argument that changes tokens is spelled out here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evalharness.engines.base import EngineOptions, Request
from evalharness.engines.checkpoints import Checkpoint, context_length
from evalharness.errors import EngineError
from evalharness.records import Sampling

ENGINE_SEED = 0
_DETERMINISTIC = {
    # What a prompt is computed with must not depend on which came before it, nor on who is faster.
    "enable_prefix_caching": False,
    "async_scheduling": False,
}
_READS_WHEN_IMPORTED = "vllm.v1.attention.ops.triton_unified_attention"
_SAME = "the same hardware, driver, versions, --dtype and --tensor-parallel-size"


def gpu_arguments(options: EngineOptions) -> dict[str, Any]:
    """What `LLM` gets on any machine."""
    arguments: dict[str, Any] = {
        "dtype": "bfloat16" if options.dtype == "auto" else options.dtype,
        "max_model_len": options.max_model_len,
        "tensor_parallel_size": options.tensor_parallel_size,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        "enforce_eager": options.enforce_eager,
        "trust_remote_code": options.trust_remote_code,
        "enable_prefix_caching": True,
        # Not the model's sampling defaults.
        "generation_config": "vllm",
        "seed": ENGINE_SEED,
    }
    return arguments | (_DETERMINISTIC if options.deterministic else {})


def set_deterministic(*, is_cpu: bool) -> None:
    """Set the variables that vLLM reads, before it reads them.

    Kernels that give a row the same result in every batch exist for GPUs only; on a CPU vLLM 0.32
    fails when it is asked for them.

    Raises:
        EngineError: vLLM has read them already, as the engine of an earlier run in this process.
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if is_cpu or os.environ.get("VLLM_BATCH_INVARIANT") == "1":
        return
    if _READS_WHEN_IMPORTED in sys.modules:
        raise EngineError(
            "--deterministic comes too late: vLLM has run in this process without it. Set "
            "VLLM_BATCH_INVARIANT=1 in the environment, or start a new process"
        )
    os.environ["VLLM_BATCH_INVARIANT"] = "1"


def determinism_notes(options: EngineOptions, *, is_cpu: bool) -> tuple[str, ...]:
    """What `--deterministic` does not promise."""
    if not options.deterministic:
        return ()
    if is_cpu:
        return (
            "--deterministic on a CPU: vLLM has no batch-invariant kernels for it; responses "
            f"repeat in float32, where they were measured, and only with {_SAME}",
        )
    return (
        f"--deterministic: responses repeat only with {_SAME}; vLLM calls its batch invariance "
        "beta. `evalharness verify` measures it",
    )


def cpu_arguments(options: EngineOptions, checkpoint: Checkpoint) -> dict[str, Any]:
    """What `LLM` gets besides where there is no GPU."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        checkpoint.folder, trust_remote_code=options.trust_remote_code
    )
    context = context_length(checkpoint.model, config, options.max_model_len)
    return {
        "dtype": "float32" if options.dtype == "auto" else options.dtype,
        "enforce_eager": True,
        # A prompt prefilled in pieces and a request's own seed crash the CPU engine.
        "enable_chunked_prefill": False,
        "max_model_len": context,
        "max_num_batched_tokens": max(context, 4096),
        # The share gpu_memory_utilization would be of all memory.
        "kv_cache_memory_bytes": _cpu_cache_bytes(config, context),
    }


def sampling_params(request: Request, sampling: Sampling, end_ids: frozenset[int]) -> Any:
    """Everything that changes tokens, spelled out; EOS ends a response through stop_token_ids."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=1,
        seed=request.seed,
        max_tokens=request.max_tokens,
        min_tokens=0,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=0.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        repetition_penalty=1.0,
        stop=list(request.stop),
        include_stop_str_in_output=request.keep_stop,
        # The list of the loaded checkpoint: after a swap the engine still holds the first one's.
        stop_token_ids=sorted(end_ids),
        ignore_eos=True,
        skip_special_tokens=True,
        spaces_between_special_tokens=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _cpu_cache_bytes(config: Any, context: int) -> int:
    """Room for 32 full responses, within 128 MiB and 4 GiB, and always for one."""
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    # Key and value of four bytes, and a block more than the context.
    row = 8 * text.num_hidden_layers * int(heads) * int(head_size) * (context + 128)
    return int(max(2**27, row, min(32 * row, 2**32)))


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables of the environment for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send everything written to file descriptor 1 to stderr, from C and child processes too."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)
