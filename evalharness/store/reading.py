"""What a run folder holds."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.errors import StoreError
from evalharness.records import Problem, Response, Verdict
from evalharness.store.files import FORMAT, LABELS, PARQUET, PROBLEMS, PROMPTS, SPEC, VERDICTS
from evalharness.store.index import Place, StoredResponses, is_compact, place_of
from evalharness.store.rows import (
    ORDER,
    RESPONSE_FIELDS,
    VERDICT_FIELDS,
    VERSIONS,
    WRITTEN,
    as_row,
    response_schema,
)
from evalharness.store.tables import damage_in_words, table_metadata, table_rows

if TYPE_CHECKING:
    import pandas as pd

_BATCH_ROWS = 16384
_SPEC_KEYS = ("models", "templates", "benchmarks")


def run_id(identity: dict[str, Any]) -> str:
    """16 hex digits over what makes two runs the same run."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_spec(folder: Path) -> dict[str, Any]:
    """`run.json`.

    Raises:
        StoreError: the folder isn't a run, or one of another version's format.
    """
    path = folder / SPEC
    try:
        spec: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = "it has no run.json" if folder.is_dir() else "there is no such folder"
        raise StoreError(f"{folder} is not a run: {what}") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: can't be read: {error}") from error
    missing = [key for key in _SPEC_KEYS if not isinstance(spec, dict) or key not in spec]
    if missing:
        raise StoreError(f"{path} isn't that of a run: it has no {', '.join(missing)}")
    if spec.get("format", FORMAT) != FORMAT:
        raise StoreError(
            f"{path}: format {spec['format']}, and this version of evalharness reads {FORMAT}: "
            "use the version that made the run"
        )
    return spec


def read_problems(folder: Path) -> dict[str, Problem]:
    """The problems of a run by id, in the order of the benchmarks.

    Raises:
        StoreError: the file is missing, or a line of it is no problem.
    """
    problems = {}
    for place, row in _read_jsonl(folder / PROBLEMS):
        try:
            row["golds"] = tuple(row["golds"])
            if row["corrected_golds"] is not None:
                row["corrected_golds"] = tuple(row["corrected_golds"])
            problem = Problem(**row)
        except (KeyError, TypeError) as error:
            raise StoreError(f"{place}: not a problem of a run: {error}") from error
        problems[problem.problem_id] = problem
    return problems


def read_prompts(folder: Path) -> dict[str, str]:
    """Prompt texts by sha256; empty for a run that was imported without them.

    Raises:
        StoreError: a line of the file is no prompt.
    """
    if not (folder / PROMPTS).exists():
        return {}
    prompts = {}
    for place, row in _read_jsonl(folder / PROMPTS):
        try:
            prompts[row["prompt_sha256"]] = row["prompt"]
        except (KeyError, TypeError) as error:
            raise StoreError(f"{place}: not a prompt of a run: {error}") from error
    return prompts


def read_responses(folder: Path) -> list[Response]:
    """Every stored response, once, sorted by problem; `StoredResponses` doesn't hold them all.

    Raises:
        StoreError: a line in the middle of the file is damaged.
    """
    return list(StoredResponses(folder))


def responses_frame(folder: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The responses as a frame, from Parquet where that is up to date.

    Raises:
        StoreError: a file is damaged.
    """
    import pandas as pd
    import pyarrow as pa

    if is_compact(folder):
        with damage_in_words(folder / PARQUET):
            return pd.read_parquet(folder / PARQUET, columns=columns)
    return pa.concat_tables(_line_batches(folder, columns)).to_pandas()


def response_batches(folder: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    """The responses as frames of bounded size, so that a run of any size can be searched.

    Raises:
        StoreError: a file is damaged.
    """
    import pyarrow.parquet as pq

    if is_compact(folder):
        path = folder / PARQUET
        with damage_in_words(path), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                yield batch.to_pandas()
    else:
        for table in _line_batches(folder, columns):
            yield table.to_pandas()


def _line_batches(folder: Path, columns: list[str] | None) -> Iterator[Any]:
    """The responses of a run that isn't compact as Arrow tables; an empty one where there is none.

    No more than the wanted columns of them is held.
    """
    import pyarrow as pa

    names = columns or list(RESPONSE_FIELDS)
    whole = response_schema()
    schema = pa.schema([whole.field(name) for name in names])
    rows = ({name: row[name] for name in names} for row in map(as_row, StoredResponses(folder)))
    yield schema.empty_table()
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield pa.Table.from_pylist(batch, schema=schema)


def verdict_names(folder: Path) -> list[str]:
    """The stems of `verdicts/*.parquet`, the newest last; before all, a source's labels.

    A table says when it was written: the files of a copied folder are all as old as the copy.
    """
    paths = (folder / VERDICTS).glob("*.parquet")
    return [path.stem for path in sorted(paths, key=_age)]


def after_all_verdicts(folder: Path) -> int:
    """A time for a new verdict table: now, or behind the newest where the clock was set back."""
    ages = [_age(path)[1] for path in (folder / VERDICTS).glob("*.parquet")]
    return max([time.time_ns(), *(age + 1 for age in ages)])


def _age(path: Path) -> tuple[bool, int]:
    """Whether it is one of a checker, and when it was written, in nanoseconds since 1970."""
    try:
        written = int(table_metadata(path).get(WRITTEN, b"0"))
    except StoreError:
        written = 0  # Who reads it is told.
    return path.stem != LABELS, written or path.stat().st_mtime_ns


def verdict_versions(folder: Path, name: str) -> dict[str, str]:
    """The versions of what made a verdict table; empty where it doesn't say."""
    metadata = table_metadata(folder / VERDICTS / f"{name}.parquet")
    versions: dict[str, str] = json.loads(metadata.get(VERSIONS, b"{}"))
    return versions


def verdicts_frame(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """One checker's verdicts; columns that a table is too old for are empty.

    Raises:
        StoreError: the file is damaged.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    path = folder / VERDICTS / f"{name}.parquet"
    columns = columns or list(VERDICT_FIELDS)
    with damage_in_words(path):
        known = set(pq.read_schema(path).names)
        frame = pd.read_parquet(path, columns=[each for each in columns if each in known])
    return frame.reindex(columns=columns)


def read_verdicts(folder: Path, name: str, start: int = 0) -> Iterator[Verdict]:
    """One checker's verdicts, a record each; columns that a table is too old for are empty.

    The first `start` rows are left out.

    Raises:
        StoreError: the table is damaged.
    """
    for row in table_rows(folder / VERDICTS / f"{name}.parquet", start=start):
        yield Verdict(**row)


def verdict_places(folder: Path, name: str) -> Iterator[Place]:
    """What each of one checker's verdicts is on, in the order of the table.

    Raises:
        StoreError: the table is damaged.
    """
    return map(place_of, table_rows(folder / VERDICTS / f"{name}.parquet", list(ORDER)))


def _read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """What each line holds, behind its place."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                place = f"{path}:{number}"
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise StoreError(f"{place}: not valid JSON: {error}") from error
                yield place, row
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: can't be read: {error}") from error
