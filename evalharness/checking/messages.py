"""What the parent and its workers say to each other: one JSON line each way."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from evalharness.checking.extract import Extraction
from evalharness.checking.policy import Policy
from evalharness.records import Status


class Comparison(NamedTuple):
    """Asks whether an answer is right: all that an `Outcome` depends on."""

    golds: tuple[str, ...]
    answer: str
    policy: Policy


class Submission(NamedTuple):
    """Asks for the answer in a response, and for its outcome where the bounded stages decide."""

    response: str
    golds: tuple[str, ...]
    answer_format: tuple[str, ...]
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one comparison."""

    status: Status
    gold: str | None
    method: str | None
    reason: str
    num_milliseconds: float
    gold_read: str | None = None
    answer_read: str | None = None


class Found(NamedTuple):
    """What a worker found in a submission."""

    strict: Extraction
    lenient: Extraction
    outcome: Outcome | None
    """None where there is no answer, or where it takes a comparison of its own."""


Request = Comparison | Submission


@functools.lru_cache(maxsize=1024)
def _changes(policy: Policy) -> dict[str, Any]:
    return policy.changes()


def request_line(request: Request, limit_seconds: float) -> bytes:
    """The request for a worker; its own alarm rings at the limit."""
    message: dict[str, Any] = {"golds": request.golds, "policy": _changes(request.policy)}
    if isinstance(request, Submission):
        message |= {"response": request.response, "answer_format": request.answer_format}
    else:
        message["answer"] = request.answer
    message["limit_seconds"] = limit_seconds
    return json.dumps(message).encode("ascii") + b"\n"


def reply_message(
    strict: Extraction, lenient: Extraction, outcome: dict[str, Any] | None
) -> dict[str, Any]:
    """A worker's reply to a submission; the answers are named by their place in the response."""
    return {
        "strict": _place(strict),
        "lenient": None if lenient is strict else _place(lenient),
        "outcome": outcome,
    }


def reply_of(line: bytes, request: Request) -> Outcome | Found:
    """The reply to a request.

    Raises:
        ValueError: the line is no reply.
    """
    reply = json.loads(line)
    try:
        if isinstance(request, Comparison):
            return _outcome(reply, request.golds)
        strict = _extraction(reply["strict"], request.response)
        lenient = reply["lenient"] and _extraction(reply["lenient"], request.response)
        outcome = reply["outcome"] and _outcome(reply["outcome"], request.golds)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no reply to {type(request).__name__}") from error
    return Found(strict, lenient or strict, outcome)


def _outcome(reply: dict[str, Any], golds: tuple[str, ...]) -> Outcome:
    return Outcome(
        status=reply["status"],
        gold=reply["gold"] if reply["gold"] is not None else golds[0],
        method=reply["method"],
        reason=reply["reason"],
        num_milliseconds=reply["num_milliseconds"],
        gold_read=reply["gold_read"],
        answer_read=reply["answer_read"],
    )


def _place(found: Extraction) -> list[Any]:
    return [found.rule, found.start, found.end, found.note]


def _extraction(place: list[Any], response: str) -> Extraction:
    rule, start, end, note = place
    answer = None if rule is None else response[start:end]
    return Extraction(answer=answer, rule=rule, start=start, end=end, note=note)
