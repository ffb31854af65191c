import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from evalharness.errors import StoreError
from evalharness.store import RunWriter
from evalharness.store.lock import LOCK, FolderLock, Holder

ROOT = Path(__file__).parent.parent
HOLDING = """
    import os, sys
    from pathlib import Path
    from evalharness.store.lock import FolderLock
    lock = FolderLock(Path(sys.argv[1]))
    {then}
    print(os.getpid(), flush=True)
    sys.stdin.readline()
"""


def start_holder(folder: Path, then: str = "") -> tuple[subprocess.Popen[str], int]:
    """A process that holds `folder`, and the pid that it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDING.format(then=then)), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout
    return process, int(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_with_the_name_of_the_holder(tmp_path: Path) -> None:
    process, pid = start_holder(tmp_path)
    try:
        with pytest.raises(
            StoreError, match=rf"another process is writing this run \(process {pid} on .*since 20"
        ):
            RunWriter(tmp_path)
    finally:
        end(process)


def test_the_lock_of_a_killed_process_is_in_nobody_s_way(tmp_path: Path) -> None:
    process, pid = start_holder(tmp_path)
    end(process)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == pid
    lock = FolderLock(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    lock.release()
    assert (tmp_path / LOCK).read_text() == ""


def test_a_lock_that_a_child_of_the_killed_process_keeps_is_taken_over(tmp_path: Path) -> None:
    # A forked child inherits the file lock and outlives its parent, as an engine's process can.
    fork = """child = os.fork()
    if child == 0:
        import signal
        signal.pause()
    print(child, flush=True)"""
    process, orphan = start_holder(tmp_path, fork)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    try:
        with (tmp_path / LOCK).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock = FolderLock(tmp_path)
        with pytest.raises(StoreError, match=f"process {os.getpid()} on"):
            FolderLock(tmp_path)
        lock.release()
    finally:
        os.kill(orphan, signal.SIGKILL)
        process.stdout.close()
        if process.stdin:
            process.stdin.close()


def test_a_lock_that_was_given_back_is_free_while_a_child_still_has_the_file(
    tmp_path: Path,
) -> None:
    fork = """child = os.fork()
    if child == 0:
        import signal
        signal.pause()
    lock.release()
    print(child, flush=True)"""
    process, child = start_holder(tmp_path, fork)
    try:
        FolderLock(tmp_path).release()
    finally:
        os.kill(child, signal.SIGKILL)
        end(process)


@pytest.fixture
def no_file_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system that has none."""

    def unsupported(file: object, operation: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)


@pytest.mark.parametrize(
    ("change", "is_taken_over"),
    [
        ({}, False),  # this very process, alive
        ({"started": "1"}, True),  # the pid is used again by a process that began at another time
        ({"pid": 2**22 + 1}, True),  # beyond the greatest pid of Linux: no such process
        ({"host": "node7 some-boot pid:[1]", "pid": 2**22 + 1}, False),  # can't be asked from here
    ],
)
def test_without_file_locks_the_name_decides(
    tmp_path: Path, no_file_locks: None, change: dict[str, object], is_taken_over: bool
) -> None:
    (tmp_path / LOCK).write_text(json.dumps(asdict(replace(Holder.here(), **change))))
    if is_taken_over:
        FolderLock(tmp_path).release()
    else:
        with pytest.raises(StoreError, match="another process is writing this run"):
            FolderLock(tmp_path)


def test_a_holder_on_another_machine_comes_with_the_way_out(
    tmp_path: Path, no_file_locks: None
) -> None:
    away = replace(Holder.here(), host="node7 some-boot pid:[1]")
    (tmp_path / LOCK).write_text(json.dumps(asdict(away)))
    with pytest.raises(StoreError, match=r"on node7 since .*delete .*\.lock"):
        FolderLock(tmp_path)


def test_a_holder_is_known_by_its_start_not_by_the_clock() -> None:
    holder = Holder.here()
    assert not replace(holder, since="1999-01-01T00:00:00+00:00").is_gone
    assert not replace(holder, since="2999-01-01T00:00:00+00:00").is_gone
    assert replace(holder, started=str(int(holder.started) + 1)).is_gone
