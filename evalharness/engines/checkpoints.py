"""What the engines that run a model themselves share: the checkpoint, its limits, its ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalharness.engines.base import Completion, Request, folder_fingerprint
from evalharness.errors import EngineError
from evalharness.hub import hub_trouble
from evalharness.paths import model_location

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_WEIGHTS = ("*.safetensors", "*.bin")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
_LARGEST_HEADER = 100_000_000
"""Bytes; safetensors itself takes no larger one."""
_VALIDATION = re.compile(r"\d+ validation errors? for \w+")
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.py"]


class Checkpoint(NamedTuple):
    """A model's files on this machine."""

    model: str
    """As the user named it."""
    folder: Path
    revision: str


def find_checkpoint(model: str) -> Checkpoint:
    """The folder of `model`, a path or a hub id; a hub model is downloaded if it isn't here.

    A hub id `owner/name` may end in `@` and a commit, tag or branch.

    Raises:
        EngineError: nothing is there, or a part is missing; one line that says what to do.
    """
    folder = Path(model_location(model)).expanduser()
    if folder.is_dir():
        _check_files(model, folder)
        return Checkpoint(model, folder, folder_fingerprint(folder))
    if folder.exists():
        raise EngineError(f"model {model} is a file: name the folder that holds config.json")
    name, sign, revision = model.partition("@")
    if name.startswith((".", "/", "~")) or name.count("/") != 1 or (sign and not revision):
        raise EngineError(
            f"model {model}: there is no such folder (a hub id is owner/name, or "
            "owner/name@REVISION)"
        )
    downloaded = _download(name, revision or None)
    _check_files(model, downloaded)
    return Checkpoint(model, downloaded, downloaded.name)


def _check_files(model: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise EngineError(f"model {model} has no config.json: name the checkpoint's own folder")
    if not any(True for pattern in _WEIGHTS for _ in folder.glob(pattern)):
        raise EngineError(f"model {model} has no weights (*.safetensors or *.bin): save them there")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise EngineError(
            f"model {model} has no tokenizer: copy the base model's tokenizer files beside "
            "config.json (tokenizer.save_pretrained)"
        )


def _download(name: str, revision: str | None) -> Path:
    """The snapshot of a hub model; its folder is named by the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=[*_SMALL_FILES, "*.safetensors"]
            )
        )
        if not any(folder.glob("*.safetensors")):
            # The commit of the first call: a branch may move in between.
            again = snapshot_download(
                name, revision=folder.name, allow_patterns=[*_SMALL_FILES, "*.bin"]
            )
            folder = Path(again)
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        trouble = hub_trouble("model", name, revision, error)
        raise EngineError(f"model {name} is no folder here and {trouble}") from error
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object of a checkpoint; empty where the file isn't there.

    Raises:
        EngineError: the file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: not readable as JSON: {error}; save the model again") from error
    if not isinstance(value, dict):
        raise EngineError(f"{path}: must hold a JSON object; save the model again")
    return value


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Tensor name -> shape, read from the headers of the safetensors files; no weight is read.

    None where the weights are in another form, or a header can't be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(size, _LARGEST_HEADER)))
            header.pop("__metadata__", None)
            shapes |= {name: tuple(entry["shape"]) for name, entry in header.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
    return shapes or None


def load_tokenizer(checkpoint: Checkpoint, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokenizer.

    Raises:
        EngineError: transformers can't build it.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            checkpoint.folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:
        # What a checkpoint's files make transformers and tokenizers raise has no common class.
        raise EngineError(
            f"the tokenizer of {checkpoint.model} can't be loaded: {first_line(error)}"
        ) from error
    return tokenizer


def open_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, which needs no weights, or of a hub id.

    Raises:
        EngineError: there is none, or transformers can't build it.
    """
    folder = Path(model_location(name)).expanduser()
    if not folder.is_dir():
        folder = find_checkpoint(name).folder
    return load_tokenizer(Checkpoint(name, folder, ""), trust_remote_code=False)


def end_token_ids(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end a response: the tokenizer's EOS and generation_config.json's list.

    Nothing else is read from generation_config.json: its temperature and the rest aren't ours.
    """
    listed = read_json(checkpoint.folder / "generation_config.json").get("eos_token_id")
    ids = {listed} if isinstance(listed, int) else set(listed or ())
    if tokenizer.eos_token_id is not None:
        ids.add(tokenizer.eos_token_id)
    return frozenset(ids)


def context_length(model: str, config: Any, max_model_len: int | None) -> int:
    """Tokens of prompt and response together: the model's own, or less where the user says so.

    Raises:
        EngineError: more than the model was built for, or nothing says how much.
    """
    own: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not max_model_len and not own:
        raise EngineError(f"{model}'s config.json names no context length: give --max-model-len")
    if max_model_len and own and max_model_len > own:
        raise EngineError(
            f"--max-model-len {max_model_len} is more than the {own} positions of {model}: "
            f"give {own} or less"
        )
    return max_model_len or own or 0


def refuse(request: Request, context: int) -> Completion | None:
    """An error completion for a request that no model of this context can serve."""
    prompt_ids = request.prompt.token_ids
    if not prompt_ids:
        reason = "the prompt has no tokens: use a template that adds text"
    elif request.max_tokens < 1:
        reason = f"max_tokens is {request.max_tokens}: it must be at least 1"
    elif len(prompt_ids) + request.max_tokens > context:
        reason = (
            f"a prompt of {len(prompt_ids)} tokens and {request.max_tokens} to generate don't fit "
            f"the context of {context}: lower --max-tokens or raise --max-model-len"
        )
    else:
        return None
    return Completion(
        key=request.key,
        text="",
        num_tokens=0,
        finish_reason="error",
        prompt_tokens=len(prompt_ids or ()),
        error=reason,
        token_ids=(),
    )


def load_error(model: str, error: BaseException) -> EngineError:
    """The one line for a model that is there but can't be run."""
    return EngineError(f"{model} can't be loaded: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line that says something."""
    lines = str(error).strip().splitlines()
    if len(lines) > 1 and _VALIDATION.fullmatch(lines[0].strip()):
        lines = lines[1:]  # pydantic counts in the first line and says in the next
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
