"""A watched engine's process as its parent sees it: start, ask with a deadline, kill."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from evalharness.engines import wire
from evalharness.engines.base import EngineOptions
from evalharness.errors import EngineError
from evalharness.paths import PACKAGE

_LOOK_SECONDS = 0.5
_CLOSE_SECONDS = 10.0
_CHUNK = 1 << 18


class EngineDeathError(Exception):
    """The process ended, or was killed because it hung; the message says how."""


class EngineProcess:
    """A running `evalharness.engines.watched`, in a process group of its own.

    What the engine starts (vLLM's core, its workers) belongs to the group and ends with it.
    """

    def __init__(
        self,
        engine: str,
        options: EngineOptions,
        opener: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, with `environment` over this process's own; `name` asks what it became.

        Raises:
            EngineError: the system can't start a process.
        """
        # -P: a file in the user's folder can't shadow a module. -m needs the package's own folder.
        command = [sys.executable, "-P", "-m", "evalharness.engines.watched", "--opener", opener]
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(PACKAGE.parent), *([inherited] if inherited else [])])
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            )
        except OSError as error:
            raise EngineError(f"the engine's process can't start: {error}; free memory") from error
        if self._process.stdin is None or self._process.stdout is None:
            raise EngineError("the engine's process started without pipes")
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._received = b""
        self._lines: deque[bytes] = deque()
        self._is_open = True
        self._ending = threading.Lock()
        self.num_requested = 0
        """Requests that were sent, as whoever sends them counts."""
        self._first = {
            "engine": engine,
            "engine_timeout": options.engine_timeout or 1.0,
            "options": wire.options_message(options),
        }

    @property
    def pid(self) -> int:
        return self._process.pid

    def name(self, seconds: float) -> str:
        """Open the engine; its name.

        Raises:
            EngineDeathError: the process ended or hung.
            EvalHarnessError: the engine refused.
        """
        reply: str = self.ask(self._first, seconds)["name"]
        return reply

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a message and wait for its first reply; raises what `send` and `receive` do."""
        self.send(message, seconds)
        return self.receive(seconds)

    def send(self, message: dict[str, Any], seconds: float) -> None:
        """Send one message.

        Raises:
            EngineDeathError: the process ended, or took nothing for `seconds`.
        """
        left = memoryview(json.dumps(message).encode() + b"\n")
        latest = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE)
            while left:
                if not selector.select(_LOOK_SECONDS):
                    self._check(latest, seconds)
                    continue
                try:
                    left = left[os.write(self._stdin.fileno(), left) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError as error:
                    raise EngineDeathError(self._how_it_ended()) from error
                latest = time.monotonic() + seconds

    def receive(self, seconds: float, *, with_beats: bool = False) -> dict[str, Any]:
        """The next reply; a beat isn't one, unless asked for: it shows that the engine gets on.

        Raises:
            EngineDeathError: the process ended, or said nothing for `seconds`: then it is killed.
            EvalHarnessError: the engine refused.
        """
        while True:
            message: dict[str, Any] = json.loads(self._receive_line(seconds))
            if "refused" in message:
                raise wire.refusal_of(*message["refused"])
            if "broke" in message:
                raise EngineDeathError(f"it broke: {message['broke']}")
            if with_beats or "beat" not in message:
                return message

    def close(self, *, at_once: bool = False) -> None:
        """End it and everything it started; calling it twice is allowed."""
        if not self._is_open:
            return
        if not at_once:
            with suppress(EngineDeathError):
                self.send({"do": "close"}, _CLOSE_SECONDS)
                self._wait(_CLOSE_SECONDS)
        with self._ending:
            self._is_open = False
            self._kill_group()
            self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def kill(self) -> None:
        """End it and everything it started, from any thread; who reads from it then closes it."""
        with self._ending:
            if self._is_open:
                self._kill_group()

    def _kill_group(self) -> None:
        # Not reaped yet: until then the number of the group can't be anyone else's.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _receive_line(self, seconds: float) -> bytes:
        latest = time.monotonic() + seconds
        while not self._lines:
            # Asked first, so that whatever it wrote before its end is read.
            has_ended = self._has_ended()
            if self._read(0.0 if has_ended else _LOOK_SECONDS):
                latest = time.monotonic() + seconds
            elif has_ended:
                raise EngineDeathError(self._how_it_ended())
            else:
                self._check(latest, seconds)
        return self._lines.popleft()

    def _read(self, seconds: float) -> bool:
        """Take what is there, waiting so long for it; whether there was anything."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return False
        chunk = os.read(self._stdout.fileno(), _CHUNK)
        if not chunk:
            self._wait(_CLOSE_SECONDS)
            raise EngineDeathError(self._how_it_ended())
        *lines, self._received = (self._received + chunk).split(b"\n")
        self._lines.extend(lines)
        return True

    def _check(self, latest: float, seconds: float) -> None:
        if self._has_ended():
            raise EngineDeathError(self._how_it_ended())
        if time.monotonic() > latest:
            self.close(at_once=True)
            raise EngineDeathError(f"it hung: no step in {seconds:g} s")

    def _has_ended(self) -> bool:
        """Whether it is dead; asked without reaping it."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def _wait(self, seconds: float) -> None:
        """Wait for its end, no longer than `seconds`."""
        latest = time.monotonic() + seconds
        while not self._has_ended() and time.monotonic() < latest:
            time.sleep(0.01)

    def _how_it_ended(self) -> str:
        self.close(at_once=True)
        code = self._process.returncode
        if code < 0:
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it ended with exit code {code}"
