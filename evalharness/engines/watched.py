"""The process of a watched engine: `python -m evalharness.engines.watched`, JSON lines both ways.

It opens an engine, loads models, prepares prompts and generates as it is told, writes a beat while
the engine gets on, and ends with its parent (see `child` for the other side).
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, overload

from evalharness.engines import pulse, wire
from evalharness.engines.base import Engine, Request
from evalharness.errors import EngineBrokeError, EvalHarnessError

_LONGEST_BEAT = 1.0


def main() -> int:
    """Serve until told to close; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evalharness.engines.watched")
    parser.add_argument("--opener", default="evalharness.engines:open_engine")
    opener = parser.parse_args().opener
    faulthandler.enable()
    inbox = _Inbox()
    # Out of reach of libraries that read or print: fd 0 becomes empty, fd 1 becomes fd 2.
    incoming = os.fdopen(os.dup(0), "rb")
    line = _Line(os.dup(1))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    threading.Thread(target=_receive, args=(incoming, inbox.received), daemon=True).start()
    try:
        _serve(opener, inbox, line)
    except BrokenPipeError:
        return 1  # the parent is gone
    except Exception as error:  # noqa: BLE001 - the parent starts a fresh process and says why
        traceback.print_exc()
        line.say({"broke": f"{type(error).__name__}: {str(error).strip()[:500]}"})
        return 1
    return 0


class _Line:
    """The pipe to the parent."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb")
        self._last_beat = 0.0
        self.seconds_between_beats = _LONGEST_BEAT

    def say(self, message: dict[str, Any]) -> None:
        self._file.write(json.dumps(message).encode() + b"\n")
        self._file.flush()

    def beat(self) -> None:
        now = time.monotonic()
        if now - self._last_beat >= self.seconds_between_beats:
            self._last_beat = now
            self.say({"beat": True})


def _receive(incoming: BinaryIO, inbox: queue.Queue[dict[str, Any]]) -> None:
    """Hand on what the parent says; when it is gone, end this process and those it has started."""
    for text in incoming:
        # A parent that was killed while it wrote leaves half a line.
        if text.endswith(b"\n"):
            inbox.put(json.loads(text))
    sys.stderr.flush()
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


class _Inbox:
    """What the parent has said, in its order."""

    def __init__(self) -> None:
        self.received: queue.Queue[dict[str, Any]] = queue.Queue()
        self._seen: deque[dict[str, Any]] = deque()
        self.num_requested = 0
        """Requests that came so far."""

    def get(self) -> dict[str, Any]:
        """The next message; waits for it."""
        return self._seen.popleft() if self._seen else self.received.get()

    def more(self) -> Iterator[dict[str, Any]]:
        """The messages to generate that are here and stand before any other."""
        while not self.received.empty():
            self._seen.append(self.received.get())
        while self._seen and self._seen[0]["do"] == "generate":
            yield self._seen.popleft()


class _Feed(Sequence[Request]):
    """Requests that may become more while the engine works on them.

    Its length is that of what came so far: an engine that looks again finds more.
    """

    def __init__(self, inbox: _Inbox, message: dict[str, Any]) -> None:
        self._inbox = inbox
        self._requests: list[Request] = []
        self._num_taken = 0
        self._take_in(message)

    def __len__(self) -> int:
        for message in self._inbox.more():
            self._take_in(message)
        return len(self._requests)

    @overload
    def __getitem__(self, place: int) -> Request: ...
    @overload
    def __getitem__(self, place: slice) -> list[Request]: ...
    def __getitem__(self, place: int | slice) -> Request | list[Request]:
        if isinstance(place, slice):
            raise TypeError("requests that may become more have no slices")
        request = self._requests[place]
        self._num_taken = max(self._num_taken, place + 1)
        return request

    def has_more(self) -> bool:
        """Whether requests are left that the engine hasn't looked at; it then gets only those."""
        has_more = len(self) > self._num_taken
        self._requests = self._requests[self._num_taken :]
        self._num_taken = 0
        return has_more

    def _take_in(self, message: dict[str, Any]) -> None:
        requests, self.sampling = wire.requests_of(message)
        self._requests += requests
        self._inbox.num_requested += len(requests)


def _serve(opener: str, inbox: _Inbox, line: _Line) -> None:
    module, _, function = opener.partition(":")
    first = inbox.get()
    line.seconds_between_beats = min(_LONGEST_BEAT, first["engine_timeout"] / 4)
    try:
        open_engine = getattr(importlib.import_module(module), function)
        engine: Engine = open_engine(first["engine"], wire.options_of(first["options"]))
    except EvalHarnessError as error:
        line.say(_refusal(error))
        return
    pulse.listen(line.beat)
    line.say({"name": engine.name})
    while True:
        message = inbox.get()
        if message["do"] == "close":
            engine.close()
            return
        try:
            for reply in _replies(engine, message, inbox):
                line.say(reply)
        except EngineBrokeError:
            raise
        except EvalHarnessError as error:
            line.say(_refusal(error))


def _replies(engine: Engine, message: dict[str, Any], inbox: _Inbox) -> Iterator[dict[str, Any]]:
    if message["do"] == "load":
        yield {"record": dataclasses.asdict(engine.load(message["model"]))}
    elif message["do"] == "prepare":
        yield {"prepared": dataclasses.asdict(engine.prepare(wire.prompt_of(message["prompt"])))}
    else:
        feed = _Feed(inbox, message)
        has_more = True
        while has_more:
            for completion in engine.generate(feed, feed.sampling):
                yield {"completion": wire.completion_message(completion)}
            has_more = feed.has_more()
        yield {"done": inbox.num_requested}


def _refusal(error: EvalHarnessError) -> dict[str, Any]:
    return {"refused": [type(error).__name__, str(error)]}


if __name__ == "__main__":
    sys.exit(main())
