"""The run folder: append, resume, compact, read.

`responses.jsonl` is the truth: appended to, flushed to the disk batch by batch, never rewritten.
`responses.parquet` is made from it when a run is complete. Everything else can be made again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from evalharness.errors import StoreError
from evalharness.records import Judgement, Problem, Response, ResponseKey, Verdict

if TYPE_CHECKING:
    import pandas as pd

SPEC = "run.json"
JSONL = "responses.jsonl"
PARQUET = "responses.parquet"
DAMAGED = "responses.damaged.jsonl"
PROBLEMS = "problems.jsonl"
PROMPTS = "prompts.jsonl"
METRICS = "metrics.json"
_COVERED = b"evalharness.covered_bytes"
_BATCH_ROWS = 16384
_RESPONSE_FIELDS = tuple(field.name for field in dataclasses.fields(Response))
_JUDGED = tuple(field.name for field in dataclasses.fields(Judgement))
_VERDICT_FIELDS = (
    *(field.name for field in dataclasses.fields(Verdict) if field.name not in _JUDGED),
    *_JUDGED,
)
_KEY = ["model", "template", "problem_id", "sample_index"]


def write_atomically(path: Path, text: str) -> None:
    """Replace a file whole: a reader sees the old text or the new one, also after a crash."""
    with _temporary(path) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A sibling of `path` that is gone when the block ends."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turns a failing disk into words."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: can't be written: {error.strerror or error}. Every response stored before "
            "is safe: free space or correct the permissions, then run the same command again"
        ) from error


def _rename(temporary: Path, path: Path) -> None:
    """Rename for good: the new name survives a crash of the machine too."""
    temporary.replace(path)
    _sync(path.parent)


class RunWriter:
    """The one process that writes a run folder; a second one is refused.

    Raises:
        StoreError: the folder can't be written, or another process is writing it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("a+")
        except OSError as error:
            raise StoreError(
                f"{folder}: can't be written ({error.strerror}): choose another folder with --out"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise StoreError(
                f"{folder}: another process is writing this run; wait for it or name another --out"
            ) from error
        self._file: IO[bytes] | None = None

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the folder free; the lock of a killed process is freed by the system."""
        if self._file:
            self._file.close()
            self._file = None
        self._lock.close()

    def write_json(self, name: str, value: Any) -> None:
        """One of the small files of the folder, replaced whole."""
        with _disk(self.folder / name):
            write_atomically(
                self.folder / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n"
            )

    def write_problems(self, problems: Iterable[Problem]) -> None:
        """What was asked and which answers count, so that the folder can be scored by itself."""
        lines = (json.dumps(dataclasses.asdict(problem)) for problem in problems)
        with _disk(self.folder / PROBLEMS):
            write_atomically(self.folder / PROBLEMS, "".join(f"{line}\n" for line in lines))

    def write_prompts(self, prompts: dict[str, str]) -> None:
        """Prompt texts by their sha256, one of each."""
        with _disk(self.folder / PROMPTS):
            known = read_prompts(self.folder) | prompts
            lines = (
                json.dumps({"prompt_sha256": sha256, "prompt": text})
                for sha256, text in sorted(known.items())
            )
            write_atomically(self.folder / PROMPTS, "".join(f"{line}\n" for line in lines))

    def recover(self) -> RecoveredResponses:
        """Bring `responses.jsonl` to a state that can be appended to, and read what is finished.

        A torn last line, left by a crash in the middle of a write, is cut off. A line that is
        damaged in the middle goes to `responses.damaged.jsonl`; its response will be drawn again.
        """
        path = self.folder / JSONL
        num_damaged = 0
        if path.exists():
            num_damaged = self._repair(path)
        rows = {response.key: response for response in read_responses(self.folder)}
        return RecoveredResponses(responses=rows, num_damaged=num_damaged)

    def _repair(self, path: Path) -> int:
        good, damaged = [], []
        torn = False
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    torn = True
                elif _parse(line) is None:
                    damaged.append(line)
                else:
                    good.append(len(line))
        if damaged:
            with (self.folder / DAMAGED).open("ab") as aside, _temporary(path) as temporary:
                aside.writelines(damaged)
                aside.flush()
                os.fsync(aside.fileno())
                with path.open("rb") as file, temporary.open("wb") as repaired:
                    for line in file:
                        if line.endswith(b"\n") and _parse(line) is not None:
                            repaired.write(line)
                    repaired.flush()
                    os.fsync(repaired.fileno())
                _rename(temporary, path)
        elif torn:
            with path.open("r+b") as file:
                file.truncate(sum(good))
                os.fsync(file.fileno())
        return len(damaged)

    def has_responses(self) -> bool:
        """Whether anything was ever stored here."""
        return _size(self.folder / JSONL) > 0 or (self.folder / PARQUET).exists()

    def append(self, responses: Iterable[Response]) -> None:
        """Add responses; when this returns they survive a crash of the process and the machine.

        Raises:
            StoreError: the disk is full or gone; the file is as before.
        """
        path = self.folder / JSONL
        block = b"".join(
            json.dumps(_as_row(response), ensure_ascii=True).encode() + b"\n"
            for response in responses
        )
        with _disk(path):
            if self._file is None:
                self._file = path.open("ab", buffering=0)
                _sync(self.folder)
            size = os.fstat(self._file.fileno()).st_size
            try:
                written = 0
                while written < len(block):
                    written += self._file.write(block[written:])
                os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):  # the torn line is dropped at the next start anyway
                    os.ftruncate(self._file.fileno(), size)
                raise

    def compact(self) -> None:
        """Make `responses.parquet`, sorted by problem, from everything that is stored."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / PARQUET
        covered = _size(self.folder / JSONL)
        rows = sorted(
            read_responses(self.folder),
            key=lambda row: (
                row.benchmark,
                row.problem_id,
                row.model,
                row.template,
                row.sample_index,
            ),
        )
        table = pa.Table.from_pylist([_as_row(row) for row in rows], schema=_response_schema())
        table = table.replace_schema_metadata({_COVERED: str(covered).encode()})
        with _disk(path), _temporary(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
            _sync(temporary)
            _rename(temporary, path)

    def write_verdicts(self, name: str, verdicts: Iterable[Verdict]) -> Path:
        """Replace `verdicts/<name>.parquet` whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / "verdicts" / f"{name}.parquet"
        rows = sorted(
            ({field: getattr(verdict, field) for field in _VERDICT_FIELDS} for verdict in verdicts),
            key=lambda row: [row[field] for field in _KEY],
        )
        for row in rows:
            row |= {name: _clean(text) for name, text in row.items() if isinstance(text, str)}
        with _disk(path):
            path.parent.mkdir(exist_ok=True)
            with _temporary(path) as temporary:
                table = pa.Table.from_pylist(rows, schema=_verdict_schema())
                pq.write_table(table, temporary, compression="zstd")
                _sync(temporary)
                _rename(temporary, path)
        return path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredResponses:
    """What a run folder already holds when it is opened again."""

    responses: dict[ResponseKey, Response]
    num_damaged: int
    """Lines moved to `responses.damaged.jsonl`."""


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
    """Every stored response, once: where a key was written twice, the later row.

    Raises:
        StoreError: a line in the middle of the file is damaged.
    """
    rows: dict[ResponseKey, Response] = {}
    jsonl, parquet = folder / JSONL, folder / PARQUET
    covered = -1
    if parquet.exists():
        import pyarrow.parquet as pq

        table = pq.read_table(parquet)
        covered = int((table.schema.metadata or {}).get(_COVERED, b"-1"))
        for row in table.to_pylist():
            response = Response(**row)
            rows[response.key] = response
    if jsonl.exists() and covered != _size(jsonl):
        with jsonl.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                found = _parse(line)
                if found is None:
                    raise StoreError(
                        f"{jsonl}:{number}: damaged line; run the same `evalharness run` command "
                        "again: it moves the line aside and draws that response anew"
                    )
                rows[found.key] = found
    return list(rows.values())


def responses_frame(folder: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The responses as a frame, from Parquet where that is up to date."""
    import pandas as pd
    import pyarrow as pa

    if _is_compact(folder):
        return pd.read_parquet(folder / PARQUET, columns=columns)
    rows = [_as_row(response) for response in read_responses(folder)]
    frame = pa.Table.from_pylist(rows, schema=_response_schema()).to_pandas()
    return frame[columns] if columns else frame


def response_batches(folder: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    """The responses as frames of bounded size, so that a run of any size can be searched."""
    import pyarrow.parquet as pq

    if _is_compact(folder):
        with pq.ParquetFile(folder / PARQUET) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                yield batch.to_pandas()
    else:
        yield responses_frame(folder, columns)


def _is_compact(folder: Path) -> bool:
    """Whether the Parquet file holds all that the JSONL holds."""
    import pyarrow.parquet as pq

    if not (folder / PARQUET).exists():
        return False
    covered = int((pq.read_schema(folder / PARQUET).metadata or {}).get(_COVERED, b"-1"))
    return not (folder / JSONL).exists() or covered == _size(folder / JSONL)


def verdict_names(folder: Path) -> list[str]:
    """The stems of `verdicts/*.parquet`, the newest last."""
    paths = (folder / "verdicts").glob("*.parquet")
    return [path.stem for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)]


def verdicts_frame(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """One checker's verdicts; columns that a table is too old for are empty."""
    import pandas as pd
    import pyarrow.parquet as pq

    path = folder / "verdicts" / f"{name}.parquet"
    if columns is None:
        return pd.read_parquet(path)
    known = set(pq.read_schema(path).names)
    frame = pd.read_parquet(path, columns=[each for each in columns if each in known])
    return frame.reindex(columns=columns)


def read_verdicts(folder: Path, name: str) -> Iterator[Verdict]:
    """One checker's verdicts, a record each; columns that a table is too old for are empty."""
    import pyarrow.parquet as pq

    for row in pq.read_table(folder / "verdicts" / f"{name}.parquet").to_pylist():
        yield Verdict(**row)


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


def _parse(line: bytes) -> Response | None:
    """The response of one line; None where the line is damaged."""
    try:
        return Response(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _clean(text: str | None) -> str | None:
    """UTF-8 can't hold a lone surrogate, which a model can emit half of a character as."""
    return text if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _as_row(response: Response) -> dict[str, Any]:
    row = {field: getattr(response, field) for field in _RESPONSE_FIELDS}
    row["response"] = _clean(response.response)
    row["error"] = _clean(response.error)
    return row


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _response_schema() -> Any:
    import pyarrow as pa

    whole = {"sample_index", "seed", "prompt_tokens", "num_tokens", "token_limit"}
    return pa.schema(
        [(name, pa.int64() if name in whole else pa.string()) for name in _RESPONSE_FIELDS]
    )


def _verdict_schema() -> Any:
    import pyarrow as pa

    kinds = dict.fromkeys(("sample_index", "start", "end"), pa.int64())
    kinds["num_milliseconds"] = pa.float64()
    return pa.schema([(name, kinds.get(name, pa.string())) for name in _VERDICT_FIELDS])
