"""A request as a server wants it, and its answer as our records have it."""

from __future__ import annotations

import json
from typing import Any

from evalharness.engines.base import Completion, Request
from evalharness.engines.openai.server import Server
from evalharness.errors import EngineError
from evalharness.records import Sampling

# Without these a server may take the model's own generation_config.json, which is not ours.
_NEUTRAL: dict[str, Any] = {
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "min_tokens": 0,
    "ignore_eos": False,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": False,
}
# How servers call it that the stop string stays in the text.
_KEEP_STOP = ("include_stop_str_in_output", "no_stop_trim")


def kind_of(request: Request) -> str:
    """Which of the server's two endpoints a request belongs to."""
    return "raw" if request.prompt.messages is None else "chat"


def unsent_fields(server: Server) -> tuple[str, ...]:
    """The sampling fields that this server doesn't take; what it does in their place is its own."""
    known = server.fields["raw"] & server.fields["chat"]
    wanted = (*_NEUTRAL, "top_k", "seed", "presence_penalty", "frequency_penalty")
    return tuple(sorted(name for name in wanted if name not in known))


def check_sendable(server: Server, request: Request, sampling: Sampling) -> None:
    """Refuse what would silently be another run than the one that is recorded.

    Raises:
        EngineError: top-k, or a stop string that stays, on a server that has neither.
    """
    known = server.fields[kind_of(request)]
    if sampling.top_k > 0 and "top_k" not in known:
        raise EngineError(
            f"--top-k {sampling.top_k}: {server.owner} at this address takes no top_k "
            f"({server.fields_from}): leave it off, or use a vLLM or SGLang server"
        )
    if request.keep_stop and not known.intersection(_KEEP_STOP):
        raise EngineError(
            f"template {request.key.template} keeps its stop string {list(request.stop)} in the "
            f"response and this server can't ({server.fields_from}): use another template, or a "
            "vLLM or SGLang server"
        )


def request_body(server: Server, request: Request, sampling: Sampling) -> dict[str, Any]:
    """Everything that changes tokens, spelled out where the server has a field for it."""
    known = server.fields[kind_of(request)]
    body: dict[str, Any] = {
        "model": server.model,
        "max_tokens": request.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "n": 1,
        "seed": request.seed,
        "stream": False,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }
    if "max_completion_tokens" in known:
        body["max_completion_tokens"] = body.pop("max_tokens")
    extras = _NEUTRAL | {"top_k": sampling.top_k or -1}
    body |= {name: value for name, value in extras.items() if name in known}
    if request.stop:
        body["stop"] = list(request.stop)
        for name in known.intersection(_KEEP_STOP):
            body[name] = request.keep_stop
    if request.prompt.messages is None:
        body["prompt"] = request.prompt.text
    else:
        body["messages"] = [
            {"role": turn.role, "content": turn.content} for turn in request.prompt.messages
        ]
    return body


def completion_of(server: Server, request: Request, answer: dict[str, Any]) -> Completion:
    """The answer with one choice, as our records have it.

    vLLM and SGLang count the EOS among the completion tokens, our records don't. A server cuts
    `max_tokens` to what the context leaves without a word; the cut limit follows from the prompt.
    """
    choice = answer["choices"][0]
    usage = answer.get("usage") or {}
    num_tokens, num_prompt = usage.get("completion_tokens"), usage.get("prompt_tokens")
    # vLLM's name, and SGLang's.
    stop_reason = choice.get("stop_reason", choice.get("matched_stop"))
    stop_reason = stop_reason if isinstance(stop_reason, str) else None
    finish, error = choice.get("finish_reason"), None
    if finish not in ("stop", "length"):
        error = f"the server ended this request with finish_reason {finish!r}"
    elif finish == "stop" and stop_reason is None and server.counts_eos and num_tokens:
        num_tokens -= 1
    limit = request.max_tokens
    if server.context_length is not None and num_prompt is not None:
        limit = max(1, min(limit, server.context_length - num_prompt))
    return Completion(
        key=request.key,
        text=_text_of(choice) if error is None else "",
        num_tokens=num_tokens if error is None else None,
        finish_reason="error" if error else finish,
        stop_reason=stop_reason if error is None else None,
        prompt_tokens=num_prompt,
        error=error,
        token_limit=limit,
    )


def _text_of(choice: dict[str, Any]) -> str:
    """The text of either endpoint.

    A server that takes the thinking out of a chat answer (`--reasoning-parser`) gets it put back
    between the usual tags, so that the length that it counts has its text.
    """
    message = choice.get("message")
    if not isinstance(message, dict):
        return str(choice.get("text") or "")
    thinking = message.get("reasoning") or message.get("reasoning_content")
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = json.dumps(content)
    return f"<think>{thinking}</think>{content}" if thinking else content
