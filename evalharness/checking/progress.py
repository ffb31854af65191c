"""How far a worker is, where its parent can see it even when the worker hangs or is dead."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from typing import IO, NamedTuple

_LAYOUT = struct.Struct("<Qdd")


class Mark(NamedTuple):
    """What a worker noted last."""

    num_finished: int
    """Requests; it is at work on the next one, or waits for it."""
    cpu_seconds: float
    """That it had computed by then."""
    at: float
    """On the clock of `time.monotonic`, which all processes share."""


def shared_page() -> IO[bytes]:
    """A file for a `Progress` in two processes, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("progress"), "r+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.truncate(mmap.PAGESIZE)
    return file


class Progress:
    """A page of memory that a worker writes and its parent reads."""

    def __init__(self, file: int = -1) -> None:
        """Of an open file, which both share; without one nobody else sees it."""
        self._page = mmap.mmap(file, mmap.PAGESIZE)
        self._num_finished = 0

    def begin(self) -> None:
        """Note that the next request is begun."""
        now = time.monotonic()
        _LAYOUT.pack_into(self._page, 0, self._num_finished, time.process_time(), now)

    def finish(self) -> None:
        """Note that one more request is done and the next one begun."""
        self._num_finished += 1
        self.begin()

    def read(self) -> Mark:
        """The last note, whole: it is read again until it stays the same."""
        before = None
        while before != (found := self._page[: _LAYOUT.size]):
            before = found
        return Mark(*_LAYOUT.unpack(found))

    def close(self) -> None:
        """Give the memory back."""
        self._page.close()
