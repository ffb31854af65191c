"""What a run folder holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.errors import StoreError
from evalharness.records import Problem, Response, Verdict
from evalharness.store.files import LABELS, PARQUET, PROBLEMS, PROMPTS, SPEC, VERDICTS
from evalharness.store.index import StoredResponses, is_compact
from evalharness.store.rows import (
    VERSIONS,
    as_row,
    response_schema,
)
from evalharness.store.tables import table_rows

if TYPE_CHECKING:
    import pandas as pd

_BATCH_ROWS = 16384


def run_id(identity: dict[str, Any]) -> str:
    """16 hex digits over what makes two runs the same run."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_spec(folder: Path) -> dict[str, Any]:
    """`run.json`.

    Raises:
        StoreError: the folder isn't a run.
    """
    path = folder / SPEC
    try:
        spec: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = "it has no run.json" if folder.is_dir() else "there is no such folder"
        raise StoreError(f"{folder} is not a run: {what}") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: can't be read: {error}") from error
    for key in ("models", "templates", "benchmarks"):
        if not isinstance(spec, dict) or not isinstance(spec.get(key), dict):
            raise StoreError(f"{path}: is not that of a run: it has no table of {key}")
    return spec


def read_problems(folder: Path) -> dict[str, Problem]:
    """The problems of a run by id, in the order of the benchmarks."""
    problems = {}
    for row in _read_jsonl(folder / PROBLEMS):
        row["golds"] = tuple(row["golds"])
        if row["corrected_golds"] is not None:
            row["corrected_golds"] = tuple(row["corrected_golds"])
        problems[row["problem_id"]] = Problem(**row)
    return problems


def read_prompts(folder: Path) -> dict[str, str]:
    """Prompt texts by sha256; empty for a run that was imported without them."""
    if not (folder / PROMPTS).exists():
        return {}
    return {row["prompt_sha256"]: row["prompt"] for row in _read_jsonl(folder / PROMPTS)}


def read_responses(folder: Path) -> list[Response]:
    """Every stored response, once, sorted by problem; `StoredResponses` doesn't hold them all.

    Raises:
        StoreError: a line in the middle of the file is damaged.
    """
    return list(StoredResponses(folder))


def responses_frame(folder: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The responses as a frame, from Parquet where that is up to date."""
    import pandas as pd
    import pyarrow as pa

    if is_compact(folder):
        return pd.read_parquet(folder / PARQUET, columns=columns)
    rows = [as_row(response) for response in read_responses(folder)]
    frame = pa.Table.from_pylist(rows, schema=response_schema()).to_pandas()
    return frame[columns] if columns else frame


def response_batches(folder: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    """The responses as frames of bounded size, so that a run of any size can be searched."""
    import pyarrow.parquet as pq

    if is_compact(folder):
        with pq.ParquetFile(folder / PARQUET) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                yield batch.to_pandas()
    else:
        yield responses_frame(folder, columns)


def verdict_names(folder: Path) -> list[str]:
    """The stems of `verdicts/*.parquet`, the newest last, those of an import's source first.

    A folder that was copied has the times of the copy: the source's own verdicts must not pass for
    ours by that.
    """
    paths = (folder / VERDICTS).glob("*.parquet")
    by_age = sorted(paths, key=lambda path: (path.stem != LABELS, path.stat().st_mtime_ns))
    return [path.stem for path in by_age]


def verdict_versions(folder: Path, name: str) -> dict[str, str]:
    """The versions of what made a verdict table; empty where it doesn't say."""
    import pyarrow.parquet as pq

    path = folder / VERDICTS / f"{name}.parquet"
    with _damage_in_words(path):
        metadata = pq.read_schema(path).metadata or {}
    versions: dict[str, str] = json.loads(metadata.get(VERSIONS, b"{}"))
    return versions


def verdicts_frame(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """One checker's verdicts; columns that a table is too old for are empty.

    Raises:
        StoreError: the table is damaged.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    path = folder / VERDICTS / f"{name}.parquet"
    with _damage_in_words(path):
        if columns is None:
            return pd.read_parquet(path)
        known = set(pq.read_schema(path).names)
        frame = pd.read_parquet(path, columns=[each for each in columns if each in known])
    return frame.reindex(columns=columns)


def read_verdicts(folder: Path, name: str) -> Iterator[Verdict]:
    """One checker's verdicts, a record each; columns that a table is too old for are empty.

    Raises:
        StoreError: the table is damaged.
    """
    path = folder / VERDICTS / f"{name}.parquet"
    with _damage_in_words(path):
        for row in table_rows(path):
            yield Verdict(**row)


@contextmanager
def _damage_in_words(path: Path) -> Iterator[None]:
    """A verdict table that can't be read says how to have it again."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        remedy = f"`evalharness score {path.parent.parent}` writes verdicts again"
        raise StoreError(f"{path}: can't be read: {error}; {remedy}") from error


def _read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise StoreError(f"{path}:{number}: not valid JSON: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: can't be read: {error.strerror}") from error
