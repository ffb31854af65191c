"""One writer a run folder: a lock that names its holder and outlives no process."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from evalharness.errors import StoreError
from evalharness.store.files import make_folders, remove_folders

LOCK = ".lock"
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_MOST_TAKEOVERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who writes a run folder, as the lock file says."""

    pid: int
    started: str
    """When the process began, in the kernel's ticks since this boot; pids are used again."""
    host: str
    since: str

    @classmethod
    def here(cls) -> Holder:
        """This process, now."""
        return cls(
            pid=os.getpid(),
            started=_process_start(os.getpid()) or "",
            host=_host(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def is_gone(self) -> bool:
        """Whether the process is certainly dead: it ran here, and its pid is free or another's.

        A process of another machine can't be asked.
        """
        return self.host == _host() and _process_start(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition(' ')[0]} since {self.since}"


class FolderLock:
    """Holds a run folder for this process until `release`, or until the process dies.

    The system's file lock decides, and frees itself with its process. It is inherited, though: a
    child that outlives a killed parent keeps it, and some network file systems have none. For both
    cases the file names its holder, and a holder that is certainly dead is in nobody's way.

    Raises:
        StoreError: another process holds the folder, or it can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._is_new = not self.path.exists()
        self._made: list[Path] = []
        try:
            self._file = self._take()
        except OSError as error:
            remove_folders(self._made)
            raise StoreError(
                f"{folder}: can't be written ({error.strerror}): choose another folder with --out"
            ) from error

    def release(self) -> None:
        """Give the folder free; calling it twice is allowed."""
        if not self._file.closed:
            self._file.truncate(0)
            with suppress(OSError):  # where there are no file locks
                # A child that has inherited the file would keep the lock beyond the close.
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()

    def retract(self, files: Iterable[Path]) -> None:
        """Give the folder free and leave nothing of this process's in it.

        `files` are those that it made. The lock and the folders go with them if they are its own
        too; a folder in which there is anything else stays.
        """
        for path in files:
            path.unlink(missing_ok=True)
        if self._is_new:
            # Still held: who opens it now sees that his file has no name any more.
            self.path.unlink(missing_ok=True)
        # Some network file systems keep an open file's folder from being removed.
        self.release()
        remove_folders(self._made)

    def _take(self) -> IO[str]:
        for _ in range(_MOST_TAKEOVERS):
            self._made += make_folders(self.path.parent)
            try:
                file = self.path.open("a+", encoding="utf-8")
            except FileNotFoundError:
                continue  # its maker has just retracted the folder
            is_free = _try_lock(file)
            if is_free is not False and not _is_at(file, self.path):
                file.close()  # its holder gave it up, or another process took it over
                continue
            holder = _read_holder(file)
            # Without a file lock the name alone decides.
            if is_free or (is_free is None and holder is None) or (holder and holder.is_gone):
                if is_free is False:
                    # An orphan of the dead holder keeps the old file's lock: leave it that file.
                    self._discard(file)
                    continue
                try:
                    _write_holder(file)
                except OSError:
                    if self._is_new:
                        self.path.unlink(missing_ok=True)
                    file.close()
                    raise
                return file
            file.close()
            raise self._refusal(holder)
        raise StoreError(f"{self.path}: taken by one process after another: try again")

    def _discard(self, file: IO[str]) -> None:
        """Remove the name of `file`, unless another process has just put its own file there."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if _is_at(file, self.path):
                self.path.unlink()
        finally:
            os.close(folder)
            file.close()

    def _refusal(self, holder: Holder | None) -> StoreError:
        folder = self.path.parent
        text = f"{folder}: another process is writing this run"
        if holder is None:
            return StoreError(f"{text}; wait for it or name another --out")
        text += f" ({holder}); wait for it or name another --out"
        if holder.host != _host():
            text += f". If that machine is gone for good, delete {self.path}"
        return StoreError(text)


def _try_lock(file: IO[str]) -> bool | None:
    """Whether the file lock was free; None where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read_holder(file: IO[str]) -> Holder | None:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None


def _write_holder(file: IO[str]) -> None:
    file.truncate(0)
    file.write(json.dumps(asdict(Holder.here())))
    file.flush()
    os.fsync(file.fileno())


def _host() -> str:
    """The machine, its boot and the container: where a pid means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _process_start(pid: int) -> str | None:
    """When a process of this machine began; None where there is none.

    The clock of the day takes no part: it may jump.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_without_proc(pid)
    except (ProcessLookupError, PermissionError):
        return None
    # The name of the program is in parentheses and may hold anything; field 3 follows it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_without_proc(pid: int) -> str | None:
    """For systems without /proc: only whether the process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
