"""Responses that were generated elsewhere become a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from evalharness.benchmarks import (
    Benchmark,
    ProblemIndex,
    benchmarks_at_hand,
    known_name,
    load_benchmark,
)
from evalharness.benchmarks.files import Row
from evalharness.definitions import suggestion
from evalharness.errors import DataError, InputError
from evalharness.importing.collecting import Collected, collect
from evalharness.importing.columns import COLUMNS, SourceFile, Wanted, value_of_text
from evalharness.importing.formats import FORMAT_NAMES, read_sources
from evalharness.importing.record import ImportCommand, import_notes, run_record
from evalharness.records import GoldChoice
from evalharness.scoring import score_run
from evalharness.store import JSONL, LABELS, PARQUET, SPEC, RunWriter

__all__ = ["COLUMNS", "FORMAT_NAMES", "LABELS", "ImportResult", "import_responses"]

_BATCH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import made."""

    verdicts: str
    """The name of our verdict table."""
    notes: tuple[str, ...]


def import_responses(
    files: Sequence[Path],
    folder: Path,
    *,
    columns: Mapping[str, str],
    constants: Mapping[str, str],
    tokenizer: str | None = None,
    golds: GoldChoice = "published",
    command: str = "",
    source_format: str | None = None,
    score: str | None = None,
) -> ImportResult:
    """Make one run of all rows of `files`, and check it.

    A file is one of another harness, or JSONL, JSON, CSV or Parquet with columns of ours; of a
    folder every such file is read. A row whose benchmark is a known one is matched to its problem
    by text, or by id, and gets that problem's golds; any other row brings its own. The source's own
    verdicts become a table of their own beside ours.

    Args:
        files: what to read, files and folders.
        folder: the run folder to make; it must not hold a run yet.
        columns: our name -> the file's name of a column; such a file is read as a plain one.
        constants: our column -> one value for all rows; an empty one takes the file's away.
        tokenizer: folder or hub id; counts tokens where a row has no `n_tokens`.
        golds: which golds the first scoring uses.
        command: for the run's record.
        source_format: one of `FORMAT_NAMES`; None sees it from the content.
        score: which of the source's scores is its verdict; None takes the usual one.

    Raises:
        InputError: a file is of no known form, a column is missing or a row is wrong, with file
            and line.
        StoreError: the folder can't be written.
    """
    _refuse_unknown([*columns, *constants])
    _refuse_used(folder)
    count = _token_counter(tokenizer) if tokenizer else None
    wanted = Wanted(columns=columns, constants=constants, score=score)
    sources, notes = read_sources(files, wanted, source_format)
    collected = Collected()
    collected.notes += [*notes, *(note for each in sources for note in each.notes)]
    known = _collect_all(collected, sources, constants, count)
    made_by = ImportCommand(command=command, wanted=wanted, tokenizer=tokenizer)
    with RunWriter(folder) as writer:
        writer.write_problems(collected.problems.values())
        writer.write_prompts(collected.prompts)
        responses = iter(collected.responses.values())
        while batch := list(islice(responses, _BATCH)):
            writer.append(batch)
        writer.compact()
        if collected.labels:
            writer.write_verdicts(LABELS, collected.labels)
        # It says that the run is complete, and so comes last.
        writer.write_json(SPEC, run_record(sources, collected, known, golds, made_by))
    return ImportResult(verdicts=score_run(folder, golds), notes=import_notes(collected, known))


def _refuse_unknown(names: Sequence[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            raise InputError(
                f'unknown column "{name}"{suggestion(name, COLUMNS)} '
                f"There are {', '.join(COLUMNS)}."
            )


def _refuse_used(folder: Path) -> None:
    if (folder / SPEC).exists():
        raise InputError(f"{folder} holds a run already: name another --out")
    if any((folder / name).exists() for name in (JSONL, PARQUET)):
        raise InputError(
            f"{folder} holds responses already: name another --out, or delete it if an import "
            "broke off there"
        )


def _collect_all(
    collected: Collected,
    sources: Sequence[SourceFile],
    constants: Mapping[str, str],
    count: Callable[[str], int] | None,
) -> dict[str, Benchmark]:
    """Take in the rows of all files; the known benchmarks that they name, by our names."""
    values = {name: value_of_text(name, value or None) for name, value in constants.items()}
    rows = [Row(row.place, {**row.cells, **values}) for each in sources for row in each.rows]
    tasks = {
        str(row.cells.get("benchmark"))
        for each in sources
        for row in each.rows
        if each.has_task_names
    }
    known = _known_benchmarks(rows, tasks - {constants.get("benchmark", "")}, collected)
    by_name = {each.name: each for each in known.values()}
    index = ProblemIndex(by_name.values())
    for place, cells in rows:
        benchmark = known.get(str(cells.get("benchmark")))
        named = {"benchmark": benchmark.name} if benchmark else {}
        collect(collected, place, {**cells, **named}, index, count)
    return by_name


def _known_benchmarks(
    rows: Sequence[Row], tasks: Collection[str], collected: Collected
) -> dict[str, Benchmark]:
    """By the name in the rows; one whose data isn't at hand is noted, not fatal.

    Another harness names its tasks as it likes: one of `tasks` that is not known by name counts as
    the benchmark that holds the texts of all its problems.
    """
    texts: dict[str, set[str]] = {}
    for row in rows:
        name, text = row.cells.get("benchmark"), row.cells.get("problem")
        if isinstance(name, str):
            texts.setdefault(name, set()).add(text if isinstance(text, str) else "")
    known: dict[str, Benchmark] = {}
    unknown = []
    for name in sorted(texts):
        canonical = known_name(name)
        if canonical is None:
            unknown += [name] if name in tasks else []
            continue
        try:
            known[name] = load_benchmark(canonical)
        except DataError as error:
            collected.notes.append(f"{name}: its rows count by their own golds. {error}")
    if unknown:
        index = ProblemIndex(benchmarks_at_hand())
        for name in unknown:
            found = index.holding(texts[name])
            if found is not None:
                known[name] = found
                collected.notes.append(f"{name}: all its problems are those of {found.name}")
    return known


def _token_counter(name: str) -> Callable[[str], int]:
    from evalharness.engines.checkpoints import open_tokenizer

    tokenizer = open_tokenizer(name)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return count
