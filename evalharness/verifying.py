"""Does a run repeat? A sample of its responses is drawn again and compared, letter by letter."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalharness.engines import open_engine
from evalharness.engines.base import Completion, Engine, EngineOptions, Request
from evalharness.errors import InputError, StoreError
from evalharness.pipeline import Progress
from evalharness.records import Problem, Response, ResponseKey, Sampling
from evalharness.session import describe_session
from evalharness.spec import model_changes
from evalharness.store import StoredResponses, read_problems, read_spec
from evalharness.templates import Template

DEFAULT_LIMIT = 100
_MOST_SHOWN = 20
_AROUND = 24

Kind = Literal["text", "end", "prompt", "error"]
_SAID: dict[Kind, str] = {
    "end": "the same text with another end or length",
    "prompt": "the prompt is another one now",
    "error": "no response this time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSize:
    """How many responses are drawn again: a fraction, or a number; neither is `DEFAULT_LIMIT`.

    Raises:
        InputError: a value that can't be.
    """

    fraction: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise InputError(f"--fraction {self.fraction}: it lies in (0, 1]")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit {self.limit}: it is at least 1")

    def of(self, num_responses: int) -> int:
        """The number; at least 1 of a run that has any."""
        if self.fraction is not None:
            return math.ceil(self.fraction * num_responses)
        return min(self.limit or DEFAULT_LIMIT, num_responses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One response that didn't come again."""

    model: str
    template: str
    problem_id: str
    sample_index: int
    kind: Kind
    position: int | None
    """Of the first character that differs; None where the texts don't."""
    stored: str
    """From the first difference on, or the whole reason."""
    now: str

    def __str__(self) -> str:
        where = f"{self.model} {self.template} {self.problem_id} #{self.sample_index}"
        if self.kind == "text":
            return f"{where}: from character {self.position}: {self.stored!r}, now {self.now!r}"
        return f"{where}: {_SAID[self.kind]}: {self.stored}, now {self.now}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What drawing again showed."""

    run: str
    num_responses: int
    """That the run holds and that can be drawn again."""
    num_checked: int
    num_different: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """For a person."""
        share = 100 * self.num_different / self.num_checked
        yield (
            f"{self.num_checked} of {self.num_responses} responses drawn again: "
            f"{self.num_different} differ ({share:.1f}%)"
        )
        yield from (f"  {difference}" for difference in self.differences[:_MOST_SHOWN])
        if self.num_different > _MOST_SHOWN:
            yield f"  and {self.num_different - _MOST_SHOWN} more: --json has all of them"
        yield from self.notes


def verify_run(
    folder: Path, size: SampleSize, overrides: dict[str, Any], progress: Progress
) -> VerifyResult:
    """Draw a sample of a run's responses again, with the recorded engine, sampling and seeds.

    Which ones follows from their keys alone: the same command draws the same sample. The run folder
    is only read. `overrides` are fields of `EngineOptions` that differ from the recorded ones.

    Raises:
        StoreError: the folder is no run, or its models are not what they were.
        InputError: the run was imported, or holds nothing that can be drawn again.
    """
    spec = read_spec(folder)
    stored = StoredResponses(folder)
    drawn = [each.key for each in stored if _can_be_drawn(each)]
    if not drawn:
        raise InputError(f"{folder} holds no response that an engine here drew: nothing to verify")
    wanted = set(heapq.nsmallest(size.of(len(drawn)), drawn, key=_lot))
    chosen = sorted((each for each in stored if each.key in wanted), key=lambda row: _lot(row.key))
    templates = {name: _template(name, table) for name, table in spec["templates"].items()}
    problems = read_problems(folder)
    sampling = Sampling(**spec["identity"]["sampling"])
    options = _engine_options(spec, overrides)
    progress.expect(total=len(chosen), done=0)
    differences: list[Difference] = []
    for model, record in spec["models"].items():
        rows = [each for each in chosen if each.model == model]
        if rows:
            engine = open_engine(record["engine"], options)
            try:
                progress.stage(f"loading {model}")
                _load_the_same(engine, folder, spec, model)
                progress.stage(f"generating with {model}")
                for before, now in _draw(engine, rows, templates, problems, sampling):
                    progress.response(before)
                    differences += _compare(before, now)
            finally:
                engine.close()
    differences.sort(
        key=lambda each: (each.model, each.template, each.problem_id, each.sample_index)
    )
    return VerifyResult(
        run=str(folder),
        num_responses=len(drawn),
        num_checked=len(chosen),
        num_different=len(differences),
        differences=tuple(differences),
        notes=_version_notes(spec),
    )


def _can_be_drawn(response: Response) -> bool:
    return (
        response.finish_reason in ("stop", "length")
        and response.seed is not None
        and response.token_limit is not None
    )


def _lot(key: ResponseKey) -> str:
    return hashlib.sha256(repr(tuple(key)).encode()).hexdigest()


def _template(name: str, table: dict[str, Any]) -> Template:
    fields = {each.name for each in dataclasses.fields(Template)}
    values = {key: value for key, value in table.items() if key in fields}
    values["stop"] = tuple(values["stop"])
    values["answer_format"] = tuple(values["answer_format"])
    return Template(**values | {"name": name})


def _engine_options(spec: dict[str, Any], overrides: dict[str, Any]) -> EngineOptions:
    """Those of the last session that recorded them, then those of the flags."""
    known = {each.name for each in dataclasses.fields(EngineOptions)}
    identity = spec["identity"]
    values = {key: identity[key] for key in ("dtype", "max_model_len") if key in identity}
    for session in spec["sessions"]:
        values |= session.get("engine_options", {})
    if values.get("replay_from"):
        values["replay_from"] = Path(values["replay_from"])
    return EngineOptions(**{key: values[key] for key in values if key in known} | overrides)


def _load_the_same(engine: Engine, folder: Path, spec: dict[str, Any], model: str) -> None:
    """Load a model of a run; another one than it was is refused."""
    record = engine.load(spec["identity"]["models"][model])
    now = {"engine": engine.name} | dataclasses.asdict(record)
    changes = model_changes(spec["models"][model], now)
    if changes:
        raise StoreError(
            f"{folder}: {model} is not what it was when this run was made: {'; '.join(changes)}. "
            "Verify it where its checkpoint and its hardware are the same"
        )


def _draw(
    engine: Engine,
    rows: list[Response],
    templates: dict[str, Template],
    problems: dict[str, Problem],
    sampling: Sampling,
) -> Iterator[tuple[Response, Completion]]:
    """Each row with what came of it; a prompt that is another one now has no finish_reason."""
    stored = {row.key: row for row in rows}
    requests = []
    for row in rows:
        template = templates[row.template]
        prompt = engine.prepare(template.render(problems[row.problem_id]))
        if row.prompt_sha256 not in (None, prompt.sha256):
            other = f"sha256 {prompt.sha256}"
            yield (
                row,
                Completion(key=row.key, text="", num_tokens=None, finish_reason=None, error=other),
            )
            continue
        requests.append(
            Request(
                key=row.key,
                prompt=prompt,
                seed=row.seed or 0,
                max_tokens=row.token_limit or 1,
                stop=template.stop,
                keep_stop=template.keep_stop,
            )
        )
    for completion in engine.generate(requests, sampling):
        yield stored[completion.key], completion


def _compare(stored: Response, now: Completion) -> list[Difference]:
    where = stored.key._asdict()
    # As the store keeps it: half of a character is a question mark.
    text = now.text.encode("utf-8", "replace").decode("utf-8")
    reason = now.error or "no reason given"
    if now.finish_reason is None:
        before = f"sha256 {stored.prompt_sha256}"
        return [Difference(**where, kind="prompt", position=None, stored=before, now=reason)]
    if now.finish_reason == "error":
        return [Difference(**where, kind="error", position=None, stored="a response", now=reason)]
    if text != stored.response:
        position = _first_difference(stored.response, text)
        shown = slice(position, position + _AROUND)
        return [
            Difference(
                **where,
                kind="text",
                position=position,
                stored=stored.response[shown],
                now=text[shown],
            )
        ]
    ends = [
        f"{each.finish_reason}, {each.stop_reason or 'EOS or limit'}, {each.num_tokens} tokens"
        for each in (stored, now)
    ]
    if ends[0] != ends[1]:
        return [Difference(**where, kind="end", position=None, stored=ends[0], now=ends[1])]
    return []


def _first_difference(before: str, now: str) -> int:
    for position, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return position
    return min(len(before), len(now))


def _version_notes(spec: dict[str, Any]) -> tuple[str, ...]:
    """Packages that were other ones when the run was made: the first thing to look at."""
    now = describe_session("")["versions"]
    before = spec["sessions"][-1]["versions"]
    changed = [
        f"{name} {before.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    return (f"versions since the run: {', '.join(changed)}",) if changed else ()
