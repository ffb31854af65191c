"""The engine that answers from a stored run: no model, the same pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalharness.engines.base import (
    Completion,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
    chat_as_lines,
)
from evalharness.errors import EngineError, InputError
from evalharness.records import Prompt, ResponseKey, Sampling


def create_engine(options: EngineOptions) -> ReplayEngine:
    """The engine over the run folder `options.replay_from`.

    Raises:
        InputError: no folder is named, or it holds no responses.
    """
    if options.replay_from is None:
        raise InputError("the replay engine needs a run folder: give --replay-from RUN")
    return ReplayEngine(options.replay_from)


class ReplayEngine:
    """Gives the responses of a run again, each to its own key."""

    name = "replay"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = {_key(row, folder): row for row in read_responses(folder)}
        prompts = _read_prompts(folder)
        self._rendered = {
            (key.model, key.template, key.problem_id): prompts[row["prompt_sha256"]]
            for key, row in self._rows.items()
            if row.get("prompt_sha256") in prompts
        }
        """(model, template, problem) -> the text that the model saw."""
        self._model: str | None = None

    def load(self, model: str) -> ModelRecord:
        """Accept a model that the run holds.

        Raises:
            EngineError: it holds others only; the message lists them.
        """
        models = sorted({key.model for key in self._rows})
        if model not in models:
            raise EngineError(
                f"{self.folder} has no responses of {model}: it has {', '.join(models) or 'none'}"
            )
        self._model = model
        return ModelRecord(
            model=model,
            revision="replayed",
            # Nothing is drawn here; each response brings the limit that it was drawn under.
            context_length=None,
            dtype="none",
            device="none",
            details={"replay_from": str(self.folder)},
        )

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """Raw text as it is; a chat as the stored run rendered it, since there is no tokenizer.

        A chat whose turns aren't all in the stored text is another one: it becomes lines of role
        and content, and `generate` refuses it.
        """
        if prompt.messages is None:
            return PreparedPrompt(text=prompt.text or "", token_ids=None)
        rendered = self._rendered.get((self._model or "", prompt.template, prompt.problem_id))
        # A chat template may strip what it is given.
        if rendered is not None and all(
            turn.content.strip() in rendered for turn in prompt.messages
        ):
            return PreparedPrompt(text=rendered, token_ids=None)
        return PreparedPrompt(text=chat_as_lines(prompt.messages), token_ids=None)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:  # noqa: ARG002 - nothing is drawn
        """Yield the stored response of every request, or an error completion that says why not."""
        if self._model is None:
            raise EngineError("the replay engine has no model: call load first")
        for request in requests:
            yield self._completion(request)

    def close(self) -> None:
        """Nothing is held."""
        self._model = None

    def _completion(self, request: Request) -> Completion:
        row = self._rows.get(request.key)
        if row is None:
            return _error(request, f"{self.folder} has no response for {_name(request.key)}")
        stored = row.get("prompt_sha256")
        if stored is not None and stored != request.prompt.sha256:
            return _error(
                request,
                f"the prompt of {_name(request.key)} has changed since {self.folder} was made: "
                "replay it with the template and benchmark of that run",
            )
        return Completion(
            key=request.key,
            text=row["response"],
            num_tokens=row.get("num_tokens"),
            finish_reason=row.get("finish_reason"),
            stop_reason=row.get("stop_reason"),
            prompt_tokens=row.get("prompt_tokens"),
            error=row.get("error"),
            token_limit=row.get("token_limit"),
        )


def read_responses(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's responses.parquet and responses.jsonl; a later row replaces an earlier.

    Raises:
        InputError: neither file is there, or a line before the last isn't JSON.
    """
    parquet, lines = folder / "responses.parquet", folder / "responses.jsonl"
    rows: list[dict[str, Any]] = []
    if parquet.is_file():
        import pyarrow.parquet

        rows.extend(pyarrow.parquet.read_table(parquet).to_pylist())
    if lines.is_file():
        rows.extend(_read_lines(lines))
    if not parquet.is_file() and not lines.is_file():
        raise InputError(f"{folder} has no responses.parquet or responses.jsonl: name a run folder")
    return rows


def _read_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    *whole, last = path.read_bytes().split(b"\n")
    for number, line in enumerate(whole, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(f"{path}:{number}: not valid JSON: {error}") from error
    # Without its newline the last line was torn by a crash, as resuming reads it too.
    del last
    return rows


def _read_prompts(folder: Path) -> dict[str, str]:
    path = folder / "prompts.jsonl"
    rows = _read_lines(path) if path.is_file() else []
    return {row["prompt_sha256"]: row["prompt"] for row in rows}


def _key(row: dict[str, Any], folder: Path) -> ResponseKey:
    try:
        return ResponseKey(
            row["model"], row["template"], row["problem_id"], int(row["sample_index"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: a response has no model, template, problem_id and sample_index: not a run "
            "of evalharness"
        ) from error


def _name(key: ResponseKey) -> str:
    return f"{key.model}, {key.template}, {key.problem_id}, sample {key.sample_index}"


def _error(request: Request, reason: str) -> Completion:
    return Completion(
        key=request.key, text="", num_tokens=None, finish_reason="error", error=reason
    )
