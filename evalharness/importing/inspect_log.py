"""The logs of Inspect: `.eval` archives and their older JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.benchmarks.files import Row
from evalharness.definitions import display_path
from evalharness.errors import InputError
from evalharness.importing.archive import Archive
from evalharness.importing.cells import (
    need_list,
    need_table,
    need_text,
    parse_object,
    read_object,
    right_or_wrong,
)
from evalharness.importing.columns import SourceFile, Wanted

KEYS = frozenset({"header.json"})
JSON_KEYS = frozenset({"eval", "plan", "samples"})
BROKEN_OFF = "the log has no header.json: the run was broken off; `inspect log recover` ends it"
_ATTACHMENT = "attachment://"
_LETTERS: Mapping[str, bool | None] = {"C": True, "I": False, "N": False, "P": None}
"""Inspect's correct, incorrect, no answer and partial."""
_STOPS = {"stop": "stop", "max_tokens": "length", "model_length": "length"}


def read_inspect(path: Path, wanted: Wanted) -> SourceFile:
    """One row a sample and epoch, with the score of its scorer.

    Of a log with several scorers the first one's score is the source's verdict, unless another is
    wanted. The response is what the model wrote last; its reasoning goes before it between think
    tags, as a model without a reasoning parser would have written it.

    Raises:
        InputError: the archive or a sample is damaged or isn't of this form, with its member.
    """
    header, samples = _opened(path)
    place = f"{display_path(path)}: header"
    about = need_table(place, "eval", header.get("eval"))
    task = need_text(place, "task", about.get("task")).rpartition("/")[2]
    model = about.get("model")
    config = _config(header, about)
    ours = _ours(about)
    template = ours.get("template") or "inspect"
    rows: list[Row] = []
    scorers: dict[str, None] = {}
    for where, sample in samples:
        rows.append(_row(where, sample, wanted.score, scorers))
        rows[-1] = Row(
            where,
            {
                "benchmark": task,
                "model": model,
                "template": template,
                "token_limit": config.get("max_tokens"),
                **rows[-1].cells,
            },
        )
    if not rows:
        raise InputError(f"{display_path(path)}: the log has no samples: was it run to the end?")
    if wanted.score is not None and wanted.score not in scorers:
        raise InputError(
            f"{display_path(path)}: --score {wanted.score}: no such scorer; there are "
            f"{', '.join(scorers)}"
        )
    return SourceFile(
        path=path,
        format="inspect",
        rows=rows,
        has_task_names=not ours,
        about={
            "harness": "inspect",
            "packages": about.get("packages"),
            "task": task,
            "status": header.get("status"),
            "generation": config,
            "score": wanted.score or next(iter(scorers), None),
        },
        notes=_notes(header, task, list(scorers), wanted.score, is_ours=bool(ours)),
    )


def _opened(path: Path) -> tuple[dict[str, Any], Iterator[tuple[str, dict[str, Any]]]]:
    """The header, and the samples with their places."""
    if path.suffix.lower() == ".json":
        log = read_object(path)
        name = display_path(path)
        listed = need_list(name, "samples", log.get("samples"))
        places = ((f"{name}: sample {number}", each) for number, each in enumerate(listed))
        return log, ((where, dict(need_table(where, "sample", each))) for where, each in places)
    with Archive(path) as archive:
        if "header.json" not in archive:
            raise InputError(f"{archive.name}: {BROKEN_OFF}")
        return parse_object(f"{archive.name}: header.json", archive.read("header.json")), _samples(
            path
        )


def _samples(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with Archive(path) as archive:
        for name in archive:
            if name.startswith("samples/") and name.endswith(".json"):
                place = f"{archive.name}: {name}"
                yield place, parse_object(place, archive.read(name))


def _config(header: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """How it sampled: what the model was given, then what the plan changed."""
    found: dict[str, Any] = {}
    plan = header.get("plan")
    changed = plan.get("config") if isinstance(plan, Mapping) else None
    for each in (about.get("model_generate_config"), changed):
        if isinstance(each, Mapping):
            found |= each
    return found


def _ours(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `evalharness export` wrote about the run; empty in a log of Inspect's own."""
    metadata = about.get("metadata")
    ours = metadata.get("evalharness") if isinstance(metadata, Mapping) else None
    return ours if isinstance(ours, Mapping) else {}


def _row(place: str, sample: Mapping[str, Any], score: str | None, scorers: dict[str, None]) -> Row:
    attachments = sample.get("attachments")
    texts = attachments if isinstance(attachments, Mapping) else {}
    output = need_table(place, "output", sample.get("output") or {})
    usage = output.get("usage")
    failed = sample.get("error")
    target = sample.get("target")
    epoch = sample.get("epoch", 1)
    scores = sample.get("scores") or {}
    scorers |= dict.fromkeys(need_table(place, "scores", scores))
    cells: dict[str, Any] = {
        "problem_id": None if sample.get("id") is None else str(sample["id"]),
        "problem": _problem(place, sample.get("input"), texts),
        "gold": list(target) if isinstance(target, list) and len(target) != 1 else _one(target),
        "response": _response(place, output, texts),
        "prompt": _given(sample) or _prompt(place, sample.get("input"), texts),
        "sample_index": epoch - 1 if isinstance(epoch, int) else epoch,
        "n_tokens": usage.get("output_tokens") if isinstance(usage, Mapping) else None,
        "finish_reason": "error" if failed else _finish(output),
        "label": _label(place, scores, score),
    }
    return Row(place, cells)


def _one(target: Any) -> Any:
    return target[0] if isinstance(target, list) else target


def _problem(place: str, given: Any, texts: Mapping[str, Any]) -> str:
    """What the user said: the whole input, or its last user turn."""
    if isinstance(given, str):
        return _resolved(place, given, texts)
    turns = [need_table(place, "input", turn) for turn in need_list(place, "input", given)]
    asked = [turn for turn in turns if turn.get("role") == "user"] or turns
    return _content(place, asked[-1].get("content"), texts) if asked else ""


def _prompt(place: str, given: Any, texts: Mapping[str, Any]) -> str:
    """One user turn as it is, a conversation as JSON."""
    if isinstance(given, str):
        return _resolved(place, given, texts)
    turns = [
        {"role": turn.get("role"), "content": _content(place, turn.get("content"), texts)}
        for turn in need_list(place, "input", given)
        if isinstance(turn, Mapping)
    ]
    if len(turns) == 1:
        return str(turns[0]["content"])
    return json.dumps(turns, ensure_ascii=False)


def _given(sample: Mapping[str, Any]) -> str | None:
    """The prompt after its template, which `evalharness export` puts into the metadata."""
    metadata = sample.get("metadata")
    prompt = metadata.get("prompt") if isinstance(metadata, Mapping) else None
    return prompt if isinstance(prompt, str) else None


def _response(place: str, output: Mapping[str, Any], texts: Mapping[str, Any]) -> str:
    choices = need_list(place, "choices", output.get("choices") or [])
    if not choices:
        return ""
    message = need_table(place, "choices", choices[0]).get("message")
    return _content(place, need_table(place, "message", message).get("content"), texts)


def _content(place: str, content: Any, texts: Mapping[str, Any]) -> str:
    """The text of a turn; reasoning between think tags, other parts named and left out."""
    if isinstance(content, str):
        return _resolved(place, content, texts)
    written = []
    for part in need_list(place, "content", content):
        table = need_table(place, "content", part)
        if table.get("type") == "reasoning":
            inner = need_text(place, "reasoning", table.get("reasoning"), may_be_empty=True)
            written.append(f"<think>\n{_resolved(place, inner, texts)}\n</think>\n")
        elif table.get("type") == "text":
            inner = need_text(place, "text", table.get("text"), may_be_empty=True)
            written.append(_resolved(place, inner, texts))
        else:
            raise InputError(
                f"{place}: a part of a turn is {table.get('type')!r}: only text can be imported"
            )
    return "".join(written)


def _resolved(place: str, text: str, texts: Mapping[str, Any]) -> str:
    """The text itself where the log keeps a long one apart."""
    if not text.startswith(_ATTACHMENT):
        return need_text(place, "text", text, may_be_empty=True)
    found = texts.get(text.removeprefix(_ATTACHMENT))
    if found is None:
        raise InputError(f"{place}: the text {text[:60]} is missing from the log")
    return need_text(place, "attachment", found, may_be_empty=True)


def _finish(output: Mapping[str, Any]) -> str | None:
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, Sequence) and choices else {}
    reason = first.get("stop_reason") if isinstance(first, Mapping) else None
    return _STOPS.get(reason) if isinstance(reason, str) else None


def _label(place: str, scores: Mapping[str, Any], wanted: str | None) -> bool | None:
    name = wanted or next(iter(scores), None)
    if name is None or name not in scores:
        return None
    value = need_table(place, name, scores[name]).get("value")
    if isinstance(value, str) and value in _LETTERS:
        return _LETTERS[value]
    if isinstance(value, str | Mapping | list):
        return None  # a grade of several parts is no verdict; said in the notes
    return right_or_wrong(place, name, value)


def _notes(
    header: Mapping[str, Any],
    task: str,
    scorers: Sequence[str],
    wanted: str | None,
    *,
    is_ours: bool,
) -> tuple[str, ...]:
    notes = []
    if len(scorers) > 1:
        chosen = wanted or scorers[0]
        others = ", ".join(name for name in scorers if name != chosen)
        notes.append(
            f"{task}: the score of {chosen} is taken as the source's verdict, not of {others}: "
            "--score names another"
        )
    if header.get("status") not in ("success", None):
        notes.append(f"{task}: the log says that its run ended as {header.get('status')}")
    if not is_ours:
        notes.append(
            f"{task}: token counts are the provider's: they may include the end token and what a "
            "batch was filled up with: --set n_tokens= drops them, --tokenizer counts anew"
        )
    return tuple(notes)
