"""A response and a verdict as rows of JSON and of Parquet."""

from __future__ import annotations

import dataclasses
import json
from types import UnionType
from typing import Any, get_args

from evalharness.records import FinishReason, Judgement, Response, ResponseKey, Verdict

COVERED = b"evalharness.covered_bytes"
"""In the metadata of responses.parquet: the size of the JSONL that it was made from."""
VERSIONS = b"evalharness.versions"
"""In the metadata of a verdict table: the versions of the libraries that took part."""
WRITTEN = b"evalharness.written_nanoseconds"
"""In the metadata of a verdict table: when it was written, since 1970."""
ORDER = ("benchmark", "problem_id", "model", "template", "sample_index")
"""In which responses.parquet is sorted."""
RESPONSE_FIELDS = tuple(field.name for field in dataclasses.fields(Response))
_NEEDED_TEXTS = ("model", "template", "benchmark", "problem_id", "response")
_WHOLE = ("seed", "prompt_tokens", "num_tokens", "token_limit")
_KINDS: dict[str, type | UnionType] = {
    **dict.fromkeys(RESPONSE_FIELDS, str | None),
    **dict.fromkeys(_NEEDED_TEXTS, str),
    **dict.fromkeys(_WHOLE, int | None),
    "sample_index": int,
}
"""What a line may hold for each field."""
_FINISH_REASONS = (None, *get_args(FinishReason))
_JUDGED = tuple(field.name for field in dataclasses.fields(Judgement))
VERDICT_FIELDS = (
    *(field.name for field in dataclasses.fields(Verdict) if field.name not in _JUDGED),
    *_JUDGED,
)


def parse_line(line: bytes) -> Response | None:
    """The response of one line; None where the line is damaged."""
    try:
        response = Response(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    is_whole = all(isinstance(getattr(response, field), kinds) for field, kinds in _KINDS.items())
    return response if is_whole and response.finish_reason in _FINISH_REASONS else None


def clean(text: str | None) -> str | None:
    """UTF-8 can't hold a lone surrogate, which a model can emit half of a character as."""
    return text if text is None else text.encode("utf-8", "replace").decode("utf-8")


def as_row(response: Response) -> dict[str, Any]:
    """As stored: every field, text that UTF-8 can hold."""
    row = {field: getattr(response, field) for field in RESPONSE_FIELDS}
    row["response"] = clean(response.response)
    row["error"] = clean(response.error)
    return row


def as_verdict_row(verdict: Verdict) -> dict[str, Any]:
    """The same of a verdict."""
    row = {field: getattr(verdict, field) for field in VERDICT_FIELDS}
    return row | {name: clean(text) for name, text in row.items() if isinstance(text, str)}


def by_problem(response: Response) -> tuple[Any, ...]:
    """Its place in responses.parquet."""
    return tuple(getattr(response, field) for field in ORDER)


def by_key(verdict: Verdict) -> ResponseKey:
    """Its place in a verdict table."""
    return verdict.key


def response_schema() -> Any:
    """Of responses.parquet."""
    import pyarrow as pa

    whole = {"sample_index", *_WHOLE}
    return pa.schema(
        [(name, pa.int64() if name in whole else pa.string()) for name in RESPONSE_FIELDS]
    )


def verdict_schema() -> Any:
    """Of a verdict table."""
    import pyarrow as pa

    whole = ("sample_index", "answer_group", "answer_group_undecided", "start", "end")
    kinds = dict.fromkeys(whole, pa.int64())
    kinds["num_milliseconds"] = pa.float64()
    return pa.schema([(name, kinds.get(name, pa.string())) for name in VERDICT_FIELDS])
