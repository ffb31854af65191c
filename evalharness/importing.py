"""Responses that were generated elsewhere become a run."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.benchmarks import Benchmark, ProblemIndex, known_name, load_benchmark
from evalharness.benchmarks.golds import GOLD_RULES
from evalharness.benchmarks.sources import Row, read_file, sha256_of
from evalharness.checking import DEFAULT_ANSWER_FORMAT
from evalharness.definitions import display_path, suggestion
from evalharness.errors import DataError, InputError
from evalharness.records import GoldChoice, Problem, Response, ResponseKey, Verdict
from evalharness.scoring import score_run
from evalharness.session import describe_session
from evalharness.store import SPEC, RunWriter, run_id
from evalharness.templates import load_template, template_names

COLUMNS = (
    "benchmark",
    "problem_id",
    "problem",
    "gold",
    "response",
    "model",
    "template",
    "sample_index",
    "n_tokens",
    "finish_reason",
    "token_limit",
    "prompt",
    "label",
)
REQUIRED = ("benchmark", "response", "model", "template")
LABELS = "label@source"
"""The verdict table that holds the source's own correctness labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import made."""

    verdicts: str
    """The name of our verdict table."""
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Collected:
    """What the rows of all files come to."""

    problems: dict[str, Problem] = field(default_factory=dict)
    responses: dict[ResponseKey, Response] = field(default_factory=dict)
    places: dict[ResponseKey, str] = field(default_factory=dict)
    labels: list[Verdict] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    num_samples: dict[tuple[str, str, str], int] = field(default_factory=dict)
    num_matched: dict[str, int] = field(default_factory=dict)
    num_other_gold: dict[str, int] = field(default_factory=dict)


def import_responses(
    files: Sequence[Path],
    folder: Path,
    *,
    columns: Mapping[str, str],
    constants: Mapping[str, str],
    tokenizer: str | None = None,
    golds: GoldChoice = "published",
    command: str = "",
) -> ImportResult:
    """Make one run of all rows of `files` (JSONL, JSON, CSV or Parquet) and check it.

    A row whose benchmark is a known one is matched to its problem by text, or by id, and gets that
    problem's golds; any other row brings its own. A `label` column becomes a verdict table of its
    own beside ours.

    Args:
        files: what to read.
        folder: the run folder to make; it must not hold a run yet.
        columns: our name -> the file's name of a column.
        constants: our column -> one value for all rows.
        tokenizer: folder or hub id; counts tokens where a row has no `n_tokens`.
        golds: which golds the first scoring uses.
        command: for the run's record.

    Raises:
        InputError: a column is missing or a row is wrong, with file and line.
        StoreError: the folder can't be written.
    """
    for name in (*columns, *constants):
        if name not in COLUMNS:
            raise InputError(
                f'unknown column "{name}"{suggestion(name, COLUMNS)} '
                f"There are {', '.join(COLUMNS)}."
            )
    if (folder / SPEC).exists():
        raise InputError(f"{folder} holds a run already: name another --out")
    count = _token_counter(tokenizer) if tokenizer else None
    collected = _Collected()
    rows: list[tuple[str, dict[str, Any]]] = []
    for path in files:
        found = read_file(path)
        _check_columns(path, found, columns, constants)
        for row in found:
            cells = {ours: row.cells.get(columns.get(ours, ours)) for ours in COLUMNS}
            rows.append((row.place, {**cells, **constants}))
    known = _known_benchmarks({str(cells["benchmark"]) for _, cells in rows}, collected)
    index = ProblemIndex(known.values())
    for place, cells in rows:
        _collect(collected, place, cells, index, count)
    responses = list(collected.responses.values())
    with RunWriter(folder) as writer:
        writer.write_json(SPEC, _spec(files, collected, known, golds, command))
        writer.write_problems(collected.problems.values())
        writer.write_prompts(collected.prompts)
        writer.append(responses)
        writer.compact()
        if collected.labels:
            writer.write_verdicts(LABELS, collected.labels)
    return ImportResult(verdicts=score_run(folder, golds), notes=_notes(collected))


def _known_benchmarks(names: set[str], collected: _Collected) -> dict[str, Benchmark]:
    """The known benchmarks among `names`; one whose data isn't at hand is noted, not fatal."""
    known: dict[str, Benchmark] = {}
    for name in sorted(names):
        canonical = known_name(name)
        if canonical is None or canonical in known:
            continue
        try:
            known[canonical] = load_benchmark(canonical)
        except DataError as error:
            collected.notes.append(f"{name}: its rows count by their own golds. {error}")
    return known


def _check_columns(
    path: Path,
    rows: Sequence[Row],
    columns: Mapping[str, str],
    constants: Mapping[str, str],
) -> None:
    existing = {column for row in rows for column in row.cells}
    for ours in REQUIRED:
        theirs = columns.get(ours, ours)
        if theirs not in existing and ours not in constants:
            raise InputError(
                f'{display_path(path)}: no column "{theirs}"{suggestion(theirs, existing)} '
                f"It has {', '.join(sorted(existing))}. Rename one with --map {ours}=..., or give "
                f"one value to all rows with --set {ours}=..."
            )
    for ours, theirs in columns.items():
        if theirs not in existing:
            raise InputError(
                f'{display_path(path)}: --map {ours}={theirs}: no column "{theirs}"'
                f"{suggestion(theirs, existing)}"
            )


def _collect(
    collected: _Collected,
    place: str,
    cells: Mapping[str, Any],
    index: ProblemIndex,
    count: Callable[[str], int] | None,
) -> None:
    text = {name: _text(place, name, cells[name]) for name in REQUIRED}
    problem = _problem(collected, place, text["benchmark"], cells, index)
    response = text["response"]
    where = (text["model"], text["template"], problem.problem_id)
    sample = _whole(place, "sample_index", cells["sample_index"])
    if sample is None:
        sample = collected.num_samples.get(where, 0)
    collected.num_samples[where] = collected.num_samples.get(where, 0) + 1
    key = ResponseKey(*where, sample)
    if key in collected.places:
        raise InputError(
            f"{place}: {key.problem_id} of {key.model} with template {key.template}, sample "
            f"{sample}, stands at {collected.places[key]} already: give it another sample_index"
        )
    num_tokens = _whole(place, "n_tokens", cells["n_tokens"])
    prompt = cells["prompt"]
    sha256 = None
    if isinstance(prompt, str):
        sha256 = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
        collected.prompts[sha256] = prompt
    finish = cells["finish_reason"]
    if finish not in (None, "stop", "length", "error"):
        raise InputError(
            f'{place}: finish_reason must be "stop", "length" or "error", not {finish!r}'
        )
    collected.places[key] = place
    collected.responses[key] = Response(
        model=key.model,
        template=key.template,
        benchmark=problem.benchmark,
        problem_id=key.problem_id,
        sample_index=sample,
        seed=None,
        prompt_sha256=sha256,
        prompt_tokens=None,
        response=response,
        num_tokens=count(response) if num_tokens is None and count else num_tokens,
        token_limit=_whole(place, "token_limit", cells["token_limit"]),
        finish_reason=finish,
    )
    if cells["label"] is not None:
        collected.labels.append(_label(place, key, problem, cells["label"]))


def _problem(
    collected: _Collected,
    place: str,
    benchmark: str,
    cells: Mapping[str, Any],
    index: ProblemIndex,
) -> Problem:
    text = cells["problem"] if isinstance(cells["problem"], str) else None
    identifier = None if cells["problem_id"] is None else str(cells["problem_id"])
    if text is None and identifier is None:
        raise InputError(f"{place}: a row needs a problem or a problem_id")
    known = index.find(benchmark, identifier, text)
    if known is not None:
        collected.num_matched[known.benchmark] = collected.num_matched.get(known.benchmark, 0) + 1
        if cells["gold"] is not None and not _is_same_gold(cells["gold"], known):
            number = collected.num_other_gold.get(known.benchmark, 0)
            collected.num_other_gold[known.benchmark] = number + 1
        return collected.problems.setdefault(known.problem_id, known)
    if cells["gold"] is None:
        raise InputError(
            f'{place}: the row matches no problem of a known benchmark "{benchmark}" and brings no '
            "gold of its own"
        )
    if identifier is None:
        identifier = hashlib.sha256((text or "").encode()).hexdigest()[:12]
    if not identifier.startswith(f"{benchmark}/"):
        identifier = f"{benchmark}/{identifier}"
    problem = Problem(
        benchmark=benchmark,
        problem_id=identifier,
        text=text or "",
        golds=_golds(place, cells["gold"]),
    )
    first = collected.problems.setdefault(identifier, problem)
    if first != problem:
        raise InputError(
            f"{place}: {identifier} stands for another problem or gold further up: ids must differ"
        )
    return first


def _is_same_gold(value: Any, known: Problem) -> bool:
    try:
        return _golds("", value) == known.golds
    except InputError:
        return False


def _golds(place: str, value: Any) -> tuple[str, ...]:
    try:
        return GOLD_RULES["list" if isinstance(value, list) else "plain"](value)
    except ValueError as error:
        raise InputError(f"{place}: gold: {error}") from error


def _text(place: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or (not value and name != "response"):
        raise InputError(f'{place}: "{name}" must be a text, not {value!r}')
    return value


def _whole(place: str, name: str, value: Any) -> int | None:
    if value is None or value != value:  # Parquet has NaN for a missing number
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise InputError(f'{place}: "{name}" must be a whole number, not {value!r}')
    if value < 0:
        raise InputError(f'{place}: "{name}" must not be negative, not {value!r}')
    return int(value)


def _label(place: str, key: ResponseKey, problem: Problem, label: Any) -> Verdict:
    if not isinstance(label, bool | int | float) or label not in (0, 1):
        raise InputError(f"{place}: label must be true or false, not {label!r}")
    return Verdict(
        model=key.model,
        template=key.template,
        benchmark=problem.benchmark,
        problem_id=key.problem_id,
        sample_index=key.sample_index,
        status="correct" if label else "incorrect",
        extracted=None,
        extraction=None,
        gold=problem.golds[0],
        method="label",
        reason="the source's own label",
        num_milliseconds=0.0,
    )


def _token_counter(name: str) -> Callable[[str], int]:
    from evalharness.engines.checkpoints import open_tokenizer

    tokenizer = open_tokenizer(name)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return count


def _spec(
    files: Sequence[Path],
    collected: _Collected,
    known: Mapping[str, Benchmark],
    golds: GoldChoice,
    command: str,
) -> dict[str, Any]:
    keys = collected.responses.keys()
    identity = {"imported": {path.name: sha256_of(path) for path in files}}
    templates: dict[str, Any] = {}
    for name in dict.fromkeys(key.template for key in keys):
        if name in template_names():
            template = load_template(name)
            templates[name] = dataclasses.asdict(template) | {"sha256": template.sha256}
        else:
            templates[name] = {"answer_format": DEFAULT_ANSWER_FORMAT}
    benchmarks: dict[str, Any] = {}
    for problem in collected.problems.values():
        entry = benchmarks.setdefault(
            problem.benchmark,
            {
                "title": problem.benchmark,
                "fingerprint": None,
                "num_problems": 0,
                "source": "the imported files",
            },
        )
        entry["num_problems"] += 1
    for name in collected.num_matched:
        benchmarks[name] |= {
            "title": known[name].title,
            "fingerprint": known[name].fingerprint,
            "num_published": known[name].num_published,
            "source": known[name].source,
            "policy": known[name].policies.general.to_table(),
        }
    return {
        "format": 1,
        "run_id": run_id(identity),
        "status": "complete",
        "identity": identity,
        "models": {name: {"engine": "import"} for name in dict.fromkeys(key.model for key in keys)},
        "templates": templates,
        "benchmarks": benchmarks,
        "golds": golds,
        "sessions": [describe_session(command)],
    }


def _notes(collected: _Collected) -> tuple[str, ...]:
    total = len(collected.responses)
    matched = sum(collected.num_matched.values())
    notes = [f"{total} responses; {matched} of them to problems of known benchmarks"]
    notes += collected.notes
    for name, number in sorted(collected.num_other_gold.items()):
        notes.append(
            f"{name}: {number} of {collected.num_matched[name]} rows bring a gold that is spelled "
            "otherwise than the benchmark's; the benchmark's counts"
        )
    if any(response.num_tokens is None for response in collected.responses.values()):
        notes.append("some rows have no n_tokens: name --tokenizer to count them")
    return tuple(notes)
