"""What the parent and its workers say to each other.

A request is a line of JSON about a batch and then its texts, one after the other, as bytes: most of
what is sent is text, and escaping it costs more than all the rest. The replies come in their order,
several in a line of JSON, and are read with nothing but `json`: who wrote them has read what a
model wrote.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

from evalharness.checking.extract import Extraction
from evalharness.checking.judging import Outcome, Readings
from evalharness.checking.policy import Policy
from evalharness.records import Judgement, Status


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


class Decided(NamedTuple):
    """What a worker says of a submission that it could decide."""

    found: Readings
    judgement: Judgement


Request = Comparison | Submission
Reply = Outcome | Judgement | Readings
"""To a comparison its outcome; to a submission the judgement on it, or the readings of one that
takes a comparison of its own."""

_encode = json.JSONEncoder().encode
_decode = json.JSONDecoder().decode


def request_bytes(requests: Sequence[Request], limit_seconds: float) -> bytes:
    """A batch for a worker; its own alarm rings when one of them takes longer than the limit."""
    # Few batches have more than one policy or format: they are named by their number.
    policies: dict[Policy, int] = {}
    formats: dict[tuple[str, ...], int] = {}
    asked: list[tuple[int, tuple[str, ...], int, int | None]] = []
    texts = []
    known: Policy | None = None
    answer_format: tuple[str, ...] | None = None
    number = places = 0
    for each in requests:
        # Finding a policy by its fields takes longer than all the rest.
        if each.policy is not known:
            known = each.policy
            number = policies.setdefault(known, len(policies))
        if isinstance(each, Submission):
            if each.answer_format is not answer_format:
                answer_format = each.answer_format
                places = formats.setdefault(answer_format, len(formats))
            text = each.response.encode("utf-8", "surrogatepass")
            asked.append((len(text), each.golds, number, places))
        else:
            text = each.answer.encode("utf-8", "surrogatepass")
            asked.append((len(text), each.golds, number, None))
        texts.append(text)
    header = {
        "limit_seconds": limit_seconds,
        "policies": [_changes(policy) for policy in policies],
        "formats": list(formats),
        "asked": asked,
    }
    return b"".join((_encode(header).encode("ascii"), b"\n", *texts))


class Batch(NamedTuple):
    """What a worker is asked at once."""

    limit_seconds: float
    """Of each request."""
    requests: Iterator[Request]
    """Each is read when it is asked for."""


def read_batch(header: bytes, read: Callable[[int], bytes]) -> Batch:
    """The batch that a header begins; `read` gives so many of the bytes that follow it."""
    said = _decode(header.decode("ascii"))
    policies = [_policy(_encode(changes)) for changes in said["policies"]]
    formats = [tuple(places) for places in said["formats"]]

    def requests() -> Iterator[Request]:
        for num_bytes, golds, policy, places in said["asked"]:
            text = read(num_bytes).decode("utf-8", "surrogatepass")
            if places is None:
                yield Comparison(tuple(golds), text, policies[policy])
            else:
                yield Submission(text, tuple(golds), formats[places], policies[policy])

    return Batch(said["limit_seconds"], requests())


@functools.lru_cache(maxsize=1024)
def _changes(policy: Policy) -> dict[str, Any]:
    return policy.changes()


@functools.lru_cache(maxsize=1024)
def _policy(changes: str) -> Policy:
    return Policy.from_table(json.loads(changes))


def reply_line(replies: Sequence[Outcome | Decided | Readings]) -> str:
    """A worker's replies to the next requests."""
    return _encode(list(map(_plain, replies))) + "\n"


def _plain(reply: Outcome | Decided | Readings) -> tuple[Any, ...]:
    """As JSON can hold it; the answers of a submission are named by their place in the response."""
    if isinstance(reply, Outcome):
        return astuple(reply)
    if isinstance(reply, Decided):
        return _listed(*reply)
    strict, lenient, _ = reply
    return (_place(strict), None if lenient is strict else _place(lenient))


def read_line(line: bytes) -> list[Any]:
    """What is in a worker's line, for `reply_of` to read.

    Raises:
        ValueError: it is no list.
    """
    found = _decode(line.decode("ascii"))
    if not isinstance(found, list):
        raise ValueError(f"no list of replies: {line[:80]!r}")
    return found


def reply_of(reply: Any, request: Request) -> Reply:
    """The reply to a request.

    Raises:
        ValueError: it is none.
    """
    try:
        if isinstance(request, Comparison):
            return _outcome(*reply)
        if len(reply) > 2:
            return _judgement(request.response, *reply)
        place, other = reply
        strict = _extraction(request.response, *place)
        lenient = strict if other is None else _extraction(request.response, *other)
        return Readings(strict, lenient, request.policy)
    except TypeError as error:
        raise ValueError(f"no reply to {type(request).__name__}") from error


def _outcome(
    status: Status,
    gold: str | None,
    method: str | None,
    reason: str,
    num_milliseconds: float,
    gold_read: str | None,
    answer_read: str | None,
) -> Outcome:
    return Outcome(
        status=status,
        gold=gold,
        method=method,
        reason=reason,
        num_milliseconds=num_milliseconds,
        gold_read=gold_read,
        answer_read=answer_read,
    )


def _listed(found: Readings, judged: Judgement) -> tuple[Any, ...]:
    """What `_judgement` takes behind the response."""
    lenient = found.lenient
    is_elsewhere = judged.extracted is None and lenient.answer is not None
    return (
        judged.status,
        judged.start,
        judged.end,
        judged.extraction,
        judged.gold,
        judged.method,
        judged.reason,
        judged.num_milliseconds,
        judged.note,
        judged.gold_read,
        judged.answer_read,
        judged.policy,
        judged.lenient_status,
        judged.lenient_extraction,
        *((lenient.start, lenient.end) if is_elsewhere else ()),
    )


def _judgement(
    response: str,
    status: Status,
    start: int | None,
    end: int | None,
    extraction: str | None,
    gold: str | None,
    method: str | None,
    reason: str,
    num_milliseconds: float,
    note: str,
    gold_read: str | None,
    answer_read: str | None,
    policy: str,
    lenient_status: Status | None,
    lenient_extraction: str | None,
    lenient_start: int | None = None,
    lenient_end: int | None = None,
) -> Judgement:
    extracted = None if start is None else response[start:end]
    return Judgement(
        status=status,
        extracted=extracted,
        extraction=extraction,
        gold=gold,
        method=method,
        reason=reason,
        num_milliseconds=num_milliseconds,
        note=note,
        start=start,
        end=end,
        gold_read=gold_read,
        answer_read=answer_read,
        policy=policy,
        lenient_status=lenient_status,
        lenient_extracted=(
            extracted if lenient_start is None else response[lenient_start:lenient_end]
        ),
        lenient_extraction=lenient_extraction,
    )


def _place(found: Extraction) -> tuple[Any, ...]:
    return (found.rule, found.start, found.end, found.note)


def _extraction(response: str, rule: str | None, start: int, end: int, note: str) -> Extraction:
    answer = None if rule is None else response[start:end]
    return Extraction(answer=answer, rule=rule, start=start, end=end, note=note)
