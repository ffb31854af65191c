"""Files that a crash leaves whole, and the names of those in a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evalharness.errors import StoreError

FORMAT = 1
"""Of a run folder, as run.json says it."""
SPEC = "run.json"
JSONL = "responses.jsonl"
PARQUET = "responses.parquet"
DAMAGED = "responses.damaged.jsonl"
PROBLEMS = "problems.jsonl"
PROMPTS = "prompts.jsonl"
METRICS = "metrics.json"
VERDICTS = "verdicts"
LABELS = "label@source"
"""The verdict table that holds the verdicts of the harness that an imported file comes from."""


def write_atomically(path: Path, text: str) -> None:
    """Replace a file whole: a reader sees the old text or the new one, also after a crash."""
    with temporary_beside(path) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        rename_for_good(temporary, path)


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; the ones that weren't there, the outermost first.

    Raises:
        OSError: it can't be made, and then none is left.
    """
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.append(path)
    made: list[Path] = []
    try:
        for path in reversed(missing):
            try:
                path.mkdir()
            except FileExistsError:  # another process was faster
                continue
            made.append(path)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        remove_folders(made)
        raise
    return made


def remove_folders(made: Iterable[Path]) -> None:
    """Take back what `make_folders` made, but for a folder in which there is something by now."""
    for path in reversed(list(made)):
        try:
            path.rmdir()
        except OSError:
            return


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A sibling of `path` that is gone when the block ends."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporaries(folder: Path) -> None:
    """Remove what `temporary_beside` left here in processes of this machine that were killed."""
    for path in folder.glob(".*.tmp"):
        pid = path.suffixes[-2].removeprefix(".") if len(path.suffixes) > 1 else ""
        if pid.isdecimal() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def disk_in_words(path: Path) -> Iterator[None]:
    """Turns a failing disk into words."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: can't be written: {error.strerror or error}. Every response stored before "
            "is safe: free space or correct the permissions, then run the same command again"
        ) from error


def rename_for_good(temporary: Path, path: Path) -> None:
    """Rename for good: the new name survives a crash of the machine too."""
    temporary.replace(path)
    sync(path.parent)


def size_of(path: Path) -> int:
    """Bytes; 0 where there is no file."""
    return path.stat().st_size if path.exists() else 0


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
