"""The one process that writes a run folder: append, resume, compact."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from evalharness.errors import StoreError
from evalharness.records import Problem, Response, ResponseKey, Verdict
from evalharness.store.files import (
    DAMAGED,
    JSONL,
    PARQUET,
    PROBLEMS,
    PROMPTS,
    VERDICTS,
    disk_in_words,
    rename_for_good,
    size_of,
    sweep_temporaries,
    sync,
    temporary_beside,
    write_atomically,
)
from evalharness.store.index import LineIndex, StoredResponses
from evalharness.store.lock import FolderLock
from evalharness.store.reading import after_all_verdicts, read_prompts
from evalharness.store.rows import (
    COVERED,
    VERSIONS,
    WRITTEN,
    as_row,
    as_verdict_row,
    by_key,
    clean,
    response_schema,
    verdict_schema,
)
from evalharness.store.tables import write_table


class RunWriter:
    """The one process that writes a run folder; a second one is refused.

    A block that ends with an error before anything was stored leaves nothing that it made.

    Raises:
        StoreError: the folder can't be written, or another process is writing it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FolderLock(folder)
        self._file: IO[bytes] | None = None
        self._made: list[Path] = []
        try:
            with disk_in_words(folder):
                sweep_temporaries(folder)
                sweep_temporaries(folder / VERDICTS)
        except StoreError:
            self._lock.retract([])
            raise

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close_file()
        with suppress(OSError):  # it would hide the error that ended the block
            if value is not None and not self.has_responses():
                self._lock.retract(self._made)
        self._lock.release()

    def close(self) -> None:
        """Give the folder free."""
        self._close_file()
        self._lock.release()

    def _close_file(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _path(self, name: str) -> Path:
        """Where a file is about to be written; remembered if it wasn't there."""
        path = self.folder / name
        if not path.exists():
            self._made.append(path)
        return path

    def write_json(self, name: str, value: Any) -> None:
        """One of the small files of the folder, replaced whole."""
        path = self._path(name)
        with disk_in_words(path):
            text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
            write_atomically(path, clean(text) or "")

    def write_problems(self, problems: Iterable[Problem]) -> None:
        """What was asked and which answers count, so that the folder can be scored by itself."""
        lines = (json.dumps(dataclasses.asdict(problem)) for problem in problems)
        path = self._path(PROBLEMS)
        with disk_in_words(path):
            write_atomically(path, "".join(f"{line}\n" for line in lines))

    def write_prompts(self, prompts: dict[str, str]) -> None:
        """Prompt texts by their sha256, one of each."""
        path = self._path(PROMPTS)
        with disk_in_words(path):
            known = read_prompts(self.folder) | prompts
            lines = (
                json.dumps({"prompt_sha256": sha256, "prompt": text})
                for sha256, text in sorted(known.items())
            )
            write_atomically(path, "".join(f"{line}\n" for line in lines))

    def recover(self) -> RecoveredResponses:
        """Bring `responses.jsonl` to a state that can be appended to, and read what is finished.

        A torn last line, left by a crash in the middle of a write, is cut off. A line that is
        damaged in the middle goes to `responses.damaged.jsonl`; its response will be drawn again.

        Raises:
            StoreError: the file has to be mended and can't be written.
        """
        path = self.folder / JSONL
        with disk_in_words(path):
            lines = LineIndex(path)
            damaged = tuple(lines.damaged)
            if damaged:
                self._set_aside(path, lines.damaged)
                lines = LineIndex(path)
            elif lines.num_good_bytes < size_of(path):
                with path.open("r+b") as file:
                    file.truncate(lines.num_good_bytes)
                    os.fsync(file.fileno())
        stored = StoredResponses(self.folder, lines)
        return RecoveredResponses(stored=stored, finished=stored.finished(), damaged_lines=damaged)

    def _set_aside(self, path: Path, damaged: dict[int, bytes]) -> None:
        with (self.folder / DAMAGED).open("ab") as aside, temporary_beside(path) as temporary:
            aside.writelines(damaged.values())
            aside.flush()
            os.fsync(aside.fileno())
            with path.open("rb") as file, temporary.open("wb") as repaired:
                for number, line in enumerate(file, start=1):
                    if line.endswith(b"\n") and number not in damaged:
                        repaired.write(line)
                repaired.flush()
                os.fsync(repaired.fileno())
            rename_for_good(temporary, path)

    def has_responses(self) -> bool:
        """Whether anything was ever stored here."""
        return size_of(self.folder / JSONL) > 0 or (self.folder / PARQUET).exists()

    def append(self, responses: Iterable[Response]) -> None:
        """Add responses; when this returns they survive a crash of the process and the machine.

        Raises:
            StoreError: the disk is full or gone; the file is as before.
        """
        path = self._path(JSONL)
        block = b"".join(
            json.dumps(as_row(response), ensure_ascii=True).encode() + b"\n"
            for response in responses
        )
        with disk_in_words(path):
            if self._file is None:
                self._file = path.open("ab", buffering=0)
                sync(self.folder)
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

    def compact(self, rows: Iterable[Response] | None = None) -> None:
        """Make `responses.parquet`, sorted by problem, from everything that is stored.

        `rows` is everything, sorted, from a caller who has it from elsewhere.
        """
        covered = size_of(self.folder / JSONL)
        if rows is None:
            rows = StoredResponses(self.folder)
        about = {COVERED: str(covered).encode()}
        write_table(self.folder / PARQUET, map(as_row, rows), response_schema(), about)

    def write_verdicts(
        self,
        name: str,
        verdicts: Iterable[Verdict],
        versions: Mapping[str, str] | None = None,
        *,
        is_sorted: bool = False,
    ) -> Path:
        """Replace `verdicts/<name>.parquet` whole; the versions of what made it go with it.

        Verdicts that are sorted by key already are never held all at once.
        """
        path = self.folder / VERDICTS / f"{name}.parquet"
        if not is_sorted:
            verdicts = sorted(verdicts, key=by_key)
        about = {WRITTEN: str(after_all_verdicts(self.folder)).encode()}
        if versions is not None:
            about[VERSIONS] = json.dumps(dict(versions)).encode()
        with disk_in_words(path):
            path.parent.mkdir(exist_ok=True)
        write_table(path, map(as_verdict_row, verdicts), verdict_schema(), about)
        return path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredResponses:
    """What a run folder already holds when it is opened again."""

    stored: StoredResponses
    finished: set[ResponseKey]
    """Of the stored ones, those that the engine could give."""
    damaged_lines: tuple[int, ...]
    """Where `responses.jsonl` was damaged; those lines are in `responses.damaged.jsonl` now."""
