"""What a watched engine's process and its parent say to each other: one JSON object a line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.engines.base import (
    Completion,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
)
from evalharness.errors import DataError, EngineError, EvalHarnessError, InputError, StoreError
from evalharness.records import Message, Prompt, ResponseKey, Sampling

_REFUSALS: dict[str, type[EvalHarnessError]] = {
    kind.__name__: kind for kind in (DataError, EngineError, InputError, StoreError)
}


def options_message(options: EngineOptions) -> dict[str, Any]:
    """For the engine in the child, which nobody watches again."""
    replay_from = options.replay_from
    return dataclasses.asdict(options) | {
        "engine_timeout": None,
        "data_parallel_size": 1,
        "replay_from": None if replay_from is None else str(replay_from),
    }


def options_of(message: dict[str, Any]) -> EngineOptions:
    """What `options_message` was made of, unwatched."""
    replay_from = message["replay_from"]
    return EngineOptions(
        **message | {"replay_from": None if replay_from is None else Path(replay_from)}
    )


def record_of(message: dict[str, Any]) -> ModelRecord:
    """The record of a loaded model."""
    return ModelRecord(**message | {"notes": tuple(message["notes"])})


def prompt_of(message: dict[str, Any]) -> Prompt:
    """The prompt to be prepared."""
    return Prompt(**message | {"messages": _turns(message["messages"])})


def prepared_of(message: dict[str, Any]) -> PreparedPrompt:
    """The prompt as the model sees it."""
    return PreparedPrompt(
        text=message["text"],
        token_ids=_tuple(message["token_ids"]),
        messages=_turns(message["messages"]),
    )


def requests_message(requests: Sequence[Request], sampling: Sampling) -> dict[str, Any]:
    """Requests to be run; a prompt that many of them share goes once."""
    numbers: dict[PreparedPrompt, int] = {}
    rows = [
        [
            list(request.key),
            numbers.setdefault(request.prompt, len(numbers)),
            request.seed,
            request.max_tokens,
            list(request.stop),
            request.keep_stop,
        ]
        for request in requests
    ]
    prompts = [
        {"text": each.text, "token_ids": each.token_ids, "messages": each.messages}
        for each in numbers
    ]
    return {"prompts": prompts, "requests": rows, "sampling": dataclasses.asdict(sampling)}


def requests_of(message: dict[str, Any]) -> tuple[list[Request], Sampling]:
    """What `requests_message` was made of."""
    prompts = [prepared_of(each) for each in message["prompts"]]
    requests = [
        Request(
            key=ResponseKey(*key),
            prompt=prompts[number],
            seed=seed,
            max_tokens=max_tokens,
            stop=tuple(stop),
            keep_stop=keep_stop,
        )
        for key, number, seed, max_tokens, stop, keep_stop in message["requests"]
    ]
    return requests, Sampling(**message["sampling"])


def completion_message(completion: Completion) -> dict[str, Any]:
    """Every field of a completion."""
    return {name: getattr(completion, name) for name in _COMPLETION_FIELDS}


def completion_of(message: dict[str, Any]) -> Completion:
    """What `completion_message` was made of."""
    key, token_ids = ResponseKey(*message["key"]), _tuple(message["token_ids"])
    return Completion(**message | {"key": key, "token_ids": token_ids})


def refusal_of(kind: str, text: str) -> EvalHarnessError:
    """The error that an engine raised in its process, to be raised again here."""
    return _REFUSALS.get(kind, EngineError)(text)


_COMPLETION_FIELDS = tuple(field.name for field in dataclasses.fields(Completion))


def _tuple(values: list[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)


def _turns(messages: list[list[str]] | None) -> tuple[Message, ...] | None:
    return None if messages is None else tuple(Message(*turn) for turn in messages)
