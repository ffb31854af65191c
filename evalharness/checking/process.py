"""One worker process as its parent sees it: start, ask with a deadline, kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.checking.checkers import DEFAULT_CHECKER
from evalharness.checking.messages import Request, read_line, request_bytes
from evalharness.checking.progress import Progress, shared_page
from evalharness.errors import EvalHarnessError
from evalharness.paths import PACKAGE

_START_SECONDS = 120.0
_MOST_WAITING = 5
"""A worker that is kept from computing may take so many times its limit on the clock."""
_PIPE_BYTES = 1 << 20
"""A batch of responses is larger than what a pipe usually holds, 64 KiB; each part of it that has
to wait wakes this process once more."""


class CheckerError(EvalHarnessError):
    """The checker itself can't work: a worker doesn't start, or the pool is closed."""


class TimedOutError(Exception):
    """The worker didn't answer in time."""


class WorkerDiedError(Exception):
    """The worker ended instead of answering; the message says how."""


class WorkerProcess:
    """A running `evalharness.checking.worker`; one thread at a time may use it."""

    def __init__(self, *, memory_limit_bytes: int, checker: str = DEFAULT_CHECKER) -> None:
        """Start it; `wait_until_ready` comes next."""
        # Kept on disk to explain a failed start; a pipe that nobody reads could fill and block it.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # -P: a file in the user's folder can't shadow a module. -m needs the package's own folder.
        command = [sys.executable, "-P", "-m", "evalharness.checking.worker"]
        command += ["--memory-limit-bytes", str(memory_limit_bytes), "--checker", checker]
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(PACKAGE.parent), *([inherited] if inherited else [])])
        try:
            with shared_page() as page:
                self._progress = Progress(page.fileno())
                self._process = subprocess.Popen(
                    [*command, "--progress-file", str(page.fileno())],
                    pass_fds=[page.fileno()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._messages,
                    bufsize=0,
                    # sympy orders some things by hash: one answer, one verdict, every time.
                    env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
                )
        except OSError as error:
            self._messages.close()
            raise CheckerError(
                f"the checker's worker can't start: {error}; use fewer workers or free memory"
            ) from error
        if self._process.stdin is None or self._process.stdout is None:
            raise CheckerError("the checker's worker started without pipes")
        self._stdin = self._process.stdin
        self._stdout = self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        _widen(self._stdin.fileno())
        os.set_blocking(self._stdout.fileno(), False)
        self._received = b""
        self._num_received = 0
        self._to_write = memoryview(b"")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait for the imports, which no answer's time is charged for.

        Raises:
            CheckerError: it ended or hung, with the last thing it said.
        """
        try:
            self.replies(_START_SECONDS)
            self._num_received = 0
        except (WorkerDiedError, TimedOutError) as error:
            self.kill()
            self._process.wait()
            self._messages.seek(0)
            said = self._messages.read().decode(errors="replace").strip().splitlines()
            raise CheckerError(
                f"the checker's worker can't start ({error}): "
                f"{said[-1] if said else 'it said nothing'}; run "
                f"`{sys.executable} -m evalharness.checking.worker --memory-limit-bytes {2 << 30}` "
                "to see why"
            ) from error

    def ask(self, requests: Sequence[Request], timeout_seconds: float) -> None:
        """Have it do these too; what it can't take yet is sent while a reply is waited for.

        Raises:
            WorkerDiedError: it was killed or crashed.
        """
        # Its own alarm is for the case that this process isn't there to kill it.
        alarm = _MOST_WAITING * timeout_seconds + 1
        data = request_bytes(requests, alarm)
        if self._to_write:
            self._to_write = memoryview(bytes(self._to_write) + data)
            return
        self._to_write = memoryview(data)
        self._write()
        if self._to_write:
            self._selector.register(self._stdin, selectors.EVENT_WRITE)

    def replies(self, timeout_seconds: float) -> list[Any]:
        """The next ones, at least one, in the order of what was asked; see `messages.reply_of`.

        A verdict must not depend on what else the machine does: the limit is on the worker's own
        computing time where the system tells it, and on the clock at `_MOST_WAITING` times that.

        Raises:
            TimedOutError: the request at hand took more than `timeout_seconds`.
            WorkerDiedError: it was killed or crashed, or wrote something else.
        """
        began = time.monotonic()
        deadline = began + timeout_seconds
        while True:
            now = time.monotonic()
            if now >= deadline:
                left = self._seconds_left(timeout_seconds, began)
                if left <= 0:
                    raise TimedOutError(f"no answer in {timeout_seconds:g} s")
                deadline = now + left
            for key, _ in self._selector.select(deadline - now):
                if key.fileobj is self._stdout:
                    found = self._read()
                    if found:
                        self._num_received += len(found)
                        return found
                elif self._write():
                    self._selector.unregister(self._stdin)

    @property
    def num_held(self) -> int:
        """The replies that it has not sent: the request behind those is the one at hand."""
        return max(self._progress.read().num_finished - self._num_received, 0)

    def _seconds_left(self, limit: float, began: float) -> float:
        """What the request at hand may still take; one that was not begun yet, since `began`."""
        mark = self._progress.read()
        waited = time.monotonic() - max(mark.at, began)
        computed = self._cpu_seconds()
        if computed is None:
            return limit - waited
        return min(limit - (computed - mark.cpu_seconds), _MOST_WAITING * limit - waited)

    def kill(self) -> None:
        """SIGKILL; any thread may call it."""
        self._process.kill()

    def close(self) -> None:
        """Kill it, wait for its end and give its files back."""
        self.kill()
        self._process.wait()
        self._selector.close()
        self._stdin.close()
        self._stdout.close()
        self._messages.close()
        self._progress.close()

    def _cpu_seconds(self) -> float | None:
        """What the worker has computed since it started; None where the system can't say."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return None
        user, system = stat.rpartition(")")[2].split()[11:13]  # in ticks, see proc(5)
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _write(self) -> bool:
        """Send what it takes now; whether that was all."""
        try:
            written = os.write(self._stdin.fileno(), self._to_write)
        except BlockingIOError:
            return False
        except BrokenPipeError as error:
            raise WorkerDiedError(self._how_it_ended()) from error
        self._to_write = self._to_write[written:]
        return not self._to_write

    def _read(self) -> list[Any]:
        chunk = os.read(self._stdout.fileno(), 1 << 16)
        if not chunk:
            raise WorkerDiedError(self._how_it_ended())
        *lines, self._received = (self._received + chunk).split(b"\n")
        try:
            return [reply for line in lines for reply in read_line(line)]
        except ValueError as error:
            raise WorkerDiedError(f"it wrote {chunk[:80]!r} instead of an answer") from error

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _widen(pipe: int) -> None:
    """Let a pipe hold more, where the system can and the user's share of memory allows it."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
