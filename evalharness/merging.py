"""One run of the shards that several processes drew, each into a folder of its own."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from evalharness.errors import StoreError
from evalharness.plan import Shard, identity_changes, sorted_places
from evalharness.records import Response, Verdict
from evalharness.scoring import store_verdicts
from evalharness.store import (
    JSONL,
    SPEC,
    RunWriter,
    StoredResponses,
    by_key,
    by_problem,
    read_problems,
    read_prompts,
    read_spec,
    read_verdicts,
    run_id,
    verdict_names,
)

_BATCH = 4096
_MOST_NAMED = 5
_MODEL_FIELDS = ("revision", "engine", "dtype", "context_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What a merge left."""

    verdicts: str
    """The name of the newest verdict table that every shard has."""
    num_responses: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    folder: Path
    spec: dict[str, Any]
    shard: Shard
    identity: dict[str, Any]
    """Of the whole run: without the shard."""


def merge_shards(folders: Sequence[Path], out: Path) -> MergeResult:
    """Make `out` the run that its shards are parts of; the same command without --shard resumes it.

    Responses and verdicts are taken as they are; nothing is generated or checked again. Of shards
    whose responses.parquet is up to date no more than a few thousand are held at a time.

    Raises:
        StoreError: a folder is no shard or not finished, the shards belong to different runs, one
            is missing or there twice, or `out` holds something already.
    """
    parts = sorted((_read_part(folder) for folder in folders), key=lambda part: part.shard)
    _refuse_different(parts)
    _refuse_gaps(parts)
    for part in parts:
        _refuse_unfinished(part)
    names = _common_tables(parts)
    with RunWriter(out) as writer:
        if writer.has_responses():
            raise StoreError(
                f"{out} holds responses already: name another --out, or delete "
                "it if a merge broke off there"
            )
        spec = _whole_spec(parts)
        writer.write_json(SPEC, spec)
        writer.write_problems(read_problems(parts[0].folder).values())
        for part in parts:
            writer.write_prompts(read_prompts(part.folder))
        num_responses = num_failed = 0
        responses = _responses(parts)
        while batch := list(islice(responses, _BATCH)):
            writer.append(batch)
            num_responses += len(batch)
            num_failed += sum(response.finish_reason == "error" for response in batch)
        writer.compact(_responses(parts))
        for name in names:
            store_verdicts(writer, name, _verdicts(parts, name), is_sorted=True)
        spec["status"] = "complete" if num_failed == 0 else "complete but for failed responses"
        writer.write_json(SPEC, spec)
    return MergeResult(
        verdicts=names[-1], num_responses=num_responses, notes=_notes(parts, names, num_failed)
    )


def _read_part(folder: Path) -> _Part:
    spec = read_spec(folder)
    shard = spec.get("identity", {}).get("shard")
    if shard is None:
        raise StoreError(f"{folder} is not a shard: only runs made with --shard can be merged")
    identity = {key: value for key, value in spec["identity"].items() if key != "shard"}
    return _Part(folder=folder, spec=spec, shard=Shard.from_text(shard), identity=identity)


def _refuse_different(parts: list[_Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        changes = identity_changes(first.identity, part.identity)
        before, now = first.shard.num_shards, part.shard.num_shards
        if before != now:
            changes.append(f"  number of shards: {before} -> {now}")
        for model, known in first.spec["models"].items():
            other = part.spec["models"].get(model, known)
            changes += [
                f"  {model}, {field}: {known[field]} -> {other[field]}"
                for field in _MODEL_FIELDS
                if known[field] != other[field]
            ]
        if changes:
            raise StoreError(
                f"{first.folder} and {part.folder} are parts of different runs. What differs:\n"
                + "\n".join(changes)
            )


def _refuse_gaps(parts: list[_Part]) -> None:
    count = parts[0].shard.num_shards
    folders: dict[int, list[Path]] = {index: [] for index in range(count)}
    for part in parts:
        folders[part.shard.number].append(part.folder)
    troubles = [f"  {index}/{count} is missing" for index in folders if not folders[index]]
    troubles += [
        f"  {index}/{count} is there {len(found)} times: {', '.join(map(str, found))}"
        for index, found in folders.items()
        if len(found) > 1
    ]
    if troubles:
        raise StoreError("these shards don't make a whole run:\n" + "\n".join(troubles))


def _refuse_unfinished(part: _Part) -> None:
    wanted = sorted_places(
        part.identity["models"],
        # The order of the command, in which the keys were dealt out.
        part.spec["templates"],
        read_problems(part.folder).values(),
        part.identity["sampling"]["num_samples"],
        part.shard,
    )
    found = StoredResponses(part.folder).places()
    num_wanted, missing, foreign = 0, _Named(), _Named()
    both = heapq.merge(((place, True) for place in wanted), ((place, False) for place in found))
    for place, pair in groupby(both, key=itemgetter(0)):
        is_wanted = {each for _, each in pair}
        num_wanted += True in is_wanted
        if is_wanted == {True}:
            missing.add(place)
        elif is_wanted == {False}:
            foreign.add(place)
    if missing.number:
        raise StoreError(
            f"{part.folder}: {missing.number} of {num_wanted} responses are missing, such as "
            f"{missing}: run its command again, it goes on where it stopped"
        )
    if foreign.number:
        raise StoreError(
            f"{part.folder}: {foreign.number} responses belong to another shard, such as "
            f"{foreign}: draw this shard again in a new folder"
        )


class _Named:
    """How many responses have some trouble, and which were the first."""

    def __init__(self) -> None:
        self.number = 0
        self._names: list[str] = []

    def __str__(self) -> str:
        return "; ".join(self._names)

    def add(self, place: tuple[Any, ...]) -> None:
        """One more."""
        self.number += 1
        if self.number <= _MOST_NAMED:
            _, problem, model, template, sample = place
            self._names.append(f"{model} {template} {problem} #{sample}")


def _common_tables(parts: list[_Part]) -> list[str]:
    """The verdict tables that every shard has, the newest last."""
    names = verdict_names(parts[-1].folder)
    common = [name for name in names if all(name in verdict_names(p.folder) for p in parts)]
    if not common:
        tables = "\n".join(f"  {p.folder}: {', '.join(verdict_names(p.folder))}" for p in parts)
        raise StoreError(
            "the shards have no verdict table in common; give each the same one with `evalharness "
            f"score`:\n{tables}"
        )
    return common


def _responses(parts: list[_Part]) -> Iterator[Response]:
    """Those of all shards, sorted as each of them is."""
    return heapq.merge(*(StoredResponses(part.folder) for part in parts), key=by_problem)


def _verdicts(parts: list[_Part], name: str) -> Iterator[Verdict]:
    """Those of all shards, sorted as each table is."""
    tables = (read_verdicts(part.folder, name) for part in parts)
    return heapq.merge(*tables, key=by_key)


def _whole_spec(parts: list[_Part]) -> dict[str, Any]:
    first = parts[0]
    models = {name: part.spec["models"][name] for part in parts for name in part.spec["models"]}
    # In the order of the command: a small shard may not have seen every model.
    models = {name: models[name] for name in first.identity["models"] if name in models}
    return first.spec | {
        "run_id": run_id(first.identity),
        "identity": first.identity,
        "status": "unfinished",
        "models": models,
        "sessions": [session for part in parts for session in part.spec["sessions"]],
        "merged_from": [
            {"shard": str(part.shard), "run_id": part.spec["run_id"]} for part in parts
        ],
    }


def _notes(parts: list[_Part], names: list[str], num_failed: int) -> tuple[str, ...]:
    notes = []
    left_out = {name for part in parts for name in verdict_names(part.folder)} - set(names)
    if left_out:
        notes.append(f"not every shard has {', '.join(sorted(left_out))}: left out")
    if num_failed:
        notes.append(
            f"{num_failed} responses failed and count as wrong; the command of the shards without "
            f"--shard and with --out as here tries them again (their reasons: {JSONL}, error)"
        )
    versions = {
        tuple(sorted(session["versions"].items())) for p in parts for session in p.spec["sessions"]
    }
    if len(versions) > 1:
        notes.append(
            "the shards were drawn with different package versions: see sessions in run.json"
        )
    return tuple(notes)
