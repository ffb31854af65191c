"""What every engine does: load a model, prepare prompts, stream completions as they finish."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from evalharness.errors import EngineError, InputError
from evalharness.records import FinishReason, Message, Prompt, ResponseKey, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How a model is run; what is drawn from it is in `Sampling`. Flags carry the same names.

    Raises:
        InputError: a number that nothing can be run with.
    """

    dtype: str = "auto"
    """`auto` is float32 on a CPU, bfloat16 on a GPU."""
    device: str = "auto"
    max_model_len: int | None = None
    """Context in tokens; None takes the model's own."""
    batch_size: int = 64
    """Rows at a time, for the transformers engine."""
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False
    trust_remote_code: bool = False
    deterministic: bool = False
    """Whatever the engine offers to give the same response again."""
    replay_from: Path | None = None
    """The run folder whose responses the replay engine gives."""
    base_url: str | None = None
    """The server that the openai engine asks."""
    api_key_env: str | None = None
    """The environment variable that holds the server's key; never the key."""
    concurrency: int | None = None
    """Requests that a server is asked at a time; None follows the server."""
    request_timeout: float | None = None
    """Seconds for one answer of a server; None waits as long as the server lives."""
    engine_timeout: float | None = None
    """Seconds without a step after which an engine, then in a process of its own, counts as hung;
    None runs it in this process, unwatched."""
    data_parallel_size: int = 1
    """Engine processes on this machine, each on its own GPUs."""
    ray_address: str | None = None
    """The Ray cluster that the ray engine joins; None starts one on this machine."""
    ray_workers: int | None = None
    """Actors with an engine each; None is one a GPU, or one on a cluster without GPUs."""
    ray_engine: str = "auto"
    """The engine that they run."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            count: int | None = getattr(self, name)
            if count is not None and count < 1:
                raise InputError(f"--{name.replace('_', '-')} {count}: give 1 or more")
        for name in ("request_timeout", "engine_timeout"):
            seconds: float | None = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                raise InputError(f"--{name.replace('_', '-')} {seconds:g}: give seconds above 0")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise InputError(
                f"--gpu-memory-utilization {self.gpu_memory_utilization:g}: give a share above 0, "
                "1 at most"
            )


_COUNTS = (
    "batch_size",
    "max_model_len",
    "tensor_parallel_size",
    "concurrency",
    "data_parallel_size",
    "ray_workers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """What is known of a loaded model, for the run's record."""

    model: str
    revision: str
    """The commit of a hub model; a fingerprint of the weight files of a folder."""
    context_length: int | None
    """Tokens of prompt and response together; None where only the server knows."""
    dtype: str
    device: str
    details: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What the user should know before the first response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPrompt:
    """A prompt as the model sees it."""

    text: str
    token_ids: tuple[int, ...] | None
    """None where only the server knows the tokenizer."""
    messages: tuple[Message, ...] | None = None
    """What a server is sent in place of the text."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One response to be drawn."""

    key: ResponseKey
    prompt: PreparedPrompt
    seed: int
    max_tokens: int
    """Already cut to what the context leaves; at least 1."""
    stop: tuple[str, ...] = ()
    keep_stop: bool = False
    """Whether the stop string stays at the end of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What came of one request."""

    key: ResponseKey
    text: str
    num_tokens: int | None
    """Generated tokens, EOS not counted."""
    finish_reason: FinishReason | None
    stop_reason: str | None = None
    prompt_tokens: int | None = None
    error: str | None = None
    token_ids: tuple[int, ...] | None = None
    """EOS not included; for tests and training, not stored."""
    end_id: int | None = None
    """The end token that the model wrote; for training, not stored."""
    token_limit: int | None = None
    """The most that could be generated, where that was known only with the answer."""


class Engine(Protocol):
    """Runs one model at a time; a second `load` gives the memory of the first model back."""

    name: str

    def load(self, model: str) -> ModelRecord:
        """Make `model` (a folder or a hub id) the one that answers.

        Raises:
            EngineError: it isn't there or can't be run, with the reason.
        """
        ...

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """Render and tokenize one prompt as the loaded model sees it, without a doubled BOS."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, in the order in which they finish."""
        ...

    def close(self) -> None:
        """Give everything back; calling it twice is allowed."""
        ...


@runtime_checkable
class OutlivesDeaths(Protocol):
    """An engine whose processes may die without the run; whoever opens it may listen."""

    tell: Callable[[str], None]
    """What is told of each death, in the thread that reads the completions."""


def request_seed(run_seed: int, problem_id: str, sample_index: int) -> int:
    """The seed of one request, a 48-bit integer that doesn't depend on batch, order or engine."""
    text = f"{run_seed}\x1f{problem_id}\x1f{sample_index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def chat_as_lines(messages: Sequence[Message]) -> str:
    """A chat as lines of role and content, where there is no tokenizer to render it."""
    return "\n".join(f"{turn.role}: {turn.content}" for turn in messages)


def prepare_with_tokenizer(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> PreparedPrompt:
    """Render chat messages with the tokenizer's own template, and tokenize without doubling BOS.

    Raw text gets the tokenizer's special tokens, as vLLM does with a text prompt, unless it already
    begins with BOS; a rendered chat never does, because its template wrote them.

    Raises:
        EngineError: chat messages, but the tokenizer has no chat template, or one that refuses
            them.
    """
    if prompt.messages is not None:
        if not tokenizer.chat_template:
            raise EngineError(
                f'template "{prompt.template}" needs a chat template and the tokenizer of '
                f"{tokenizer.name_or_path} has none: use a raw template such as no or qwen-math"
            )
        text = _rendered_chat(prompt, tokenizer)
        special = False
    else:
        text = prompt.text or ""
        special = not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
    token_ids = tokenizer(text, add_special_tokens=special)["input_ids"]
    return PreparedPrompt(text=text, token_ids=tuple(token_ids))


def _rendered_chat(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> str:
    from jinja2 import TemplateError

    chat = [{"role": turn.role, "content": turn.content} for turn in prompt.messages or ()]
    try:
        return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        # Some raise it on purpose, as those that know no system turn.
        raise EngineError(
            f"the chat template of {tokenizer.name_or_path} refuses what template "
            f'"{prompt.template}" makes of {prompt.problem_id}: {error}. Use another template'
        ) from error


def folder_fingerprint(folder: Path) -> str:
    """`files:<16 hex>` over names, sizes and sampled bytes of the model files.

    Reading a 15 GB checkpoint whole takes longer than starting the engine; eight blocks of 64 KiB
    a file notice a checkpoint that was written over.
    """
    digest = hashlib.sha256()
    patterns = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt", "*.jinja")
    block = 1 << 16
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        size = path.stat().st_size
        digest.update(f"{path.name}\x1f{size}\x1f".encode())
        with path.open("rb") as file:
            for part in range(8):
                file.seek(part * max(size - block, 0) // 7)
                digest.update(file.read(block))
    return f"files:{digest.hexdigest()[:16]}"
