"""Data parallel: one watched engine process a GPU, all fed from one list of requests."""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from evalharness.engines.base import (
    Completion,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
)
from evalharness.engines.devices import Machine, Share, look_at_machine, share_machine
from evalharness.engines.watch import DEFAULT_TIMEOUT, WatchedEngine
from evalharness.errors import EngineError, InputError
from evalharness.records import Prompt, Sampling

_UNFIT = {
    "openai": "a server shares its requests out itself: raise --concurrency",
    "ray": "give --ray-workers",
    "replay": "no model runs there",
}
_LEAST_ROOM = 16
_LOOK_SECONDS = 0.1
_T = TypeVar("_T")


class ParallelEngine:
    """`options.data_parallel_size` processes of the engine `name`, each on its own devices.

    A process takes requests as it has room for them, so that none is idle while others have work
    waiting; which process draws a response doesn't change it, because each has its own seed. One
    that dies or hangs is replaced on its own devices, as `WatchedEngine` does it; the others go on.
    """

    def __init__(
        self,
        name: str,
        options: EngineOptions,
        opener: str = "evalharness.engines:open_engine",
        machine: Machine | None = None,
    ) -> None:
        """Start the processes.

        Raises:
            InputError: the engine has no devices to share, or they don't suffice.
            EvalHarnessError: what opening the engine raises.
        """
        if name in _UNFIT:
            raise InputError(f"--data-parallel-size is not for --engine {name}: {_UNFIT[name]}")
        self.options = options
        self.shares = share_machine(name, options, machine or look_at_machine())
        self.deaths: list[str] = []
        """How processes ended before their time."""
        self.tell: Callable[[str], None] = _say
        self.name = name
        self._child_options = dataclasses.replace(
            options,
            data_parallel_size=1,
            engine_timeout=options.engine_timeout or DEFAULT_TIMEOUT,
        )
        self._asked_for = name
        self._opener = opener
        self._untold: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._children: list[WatchedEngine] = []
        self._room = _LEAST_ROOM
        self._drawing: _Drawing | None = None
        try:
            self._children = _all_at_once(
                [partial(self._open_child, *each) for each in enumerate(self.shares)]
            )
        except BaseException:
            self.close()
            raise
        self.name = self._children[0].name

    def load(self, model: str) -> ModelRecord:
        """Load `model` in every process at once.

        Raises:
            EngineError: one can't run it, or they don't agree on what it is.
        """
        try:
            records = _all_at_once([partial(each.load, model) for each in self._children])
        except BaseException:
            for child in self._children:
                child.abandon()
            raise
        finally:
            self._tell_deaths()
        first = records[0]
        for record, share in zip(records, self.shares, strict=True):
            if _identity(record) != _identity(first):
                raise EngineError(
                    f"{model} is not the same on {share} as on {self.shares[0]}: "
                    f"{_identity(record)}, {_identity(first)}. Run them apart"
                )
        self._room = room_of(first, self.options)
        places = [str(share) for share in self.shares]
        details = {"data_parallel_size": len(places), "replicas": places}
        note = f"{len(places)} engines, one process each: {'; '.join(places)}"
        return dataclasses.replace(
            first, details=first.details | details, notes=(*first.notes, note)
        )

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """Render and tokenize one prompt in the first process."""
        prepared = self._children[0].prepare(prompt)
        self._tell_deaths()
        return prepared

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, from whichever process has it first.

        Raises:
            EngineError: a process died too often without giving a single response between.
        """
        drawing = _Drawing(self._children, _Waiting(requests, len(self._children), self._room))
        self._drawing = drawing
        try:
            drawing.start(sampling)
            for completion in drawing.completions():
                self._tell_deaths()
                yield completion
        finally:
            drawing.stop()
            self._drawing = None
            self._tell_deaths()

    def close(self) -> None:
        """End every process; calling it twice is allowed."""
        if self._drawing:
            self._drawing.stop()
        for child in self._children:
            child.close()

    def _open_child(self, number: int, share: Share) -> WatchedEngine:
        child = WatchedEngine(
            self._asked_for, self._child_options, self._opener, share.environment()
        )
        child.tell = lambda death: self._untold.put(f"engine {number} ({share}): {death}")
        self._children.append(child)
        return child

    def _tell_deaths(self) -> None:
        """Say in the reader's thread what the others have seen."""
        while not self._untold.empty():
            death = self._untold.get()
            self.deaths.append(death)
            self.tell(death)


class _Waiting:
    """The requests that no process has yet."""

    def __init__(self, requests: Sequence[Request], num_children: int, room: int) -> None:
        # Every num_children-th request first: where all fit in at once, each process gets its part
        # of the hard problems.
        self._requests = deque(
            each for first in range(num_children) for each in requests[first::num_children]
        )
        self._room = room
        self._unfinished = [0] * num_children
        self._lock = threading.Lock()

    def take(self, child: int, unfinished: int) -> list[Request]:
        """For a process with so many unfinished: what its room and its fair part leave it."""
        with self._lock:
            self._unfinished[child] = unfinished
            num_waiting, num_children = len(self._requests), len(self._unfinished)
            fair = -(-(num_waiting + sum(self._unfinished)) // num_children)
            count = min(min(self._room, fair) - unfinished, num_waiting)
            # A message for every single request is dear where hundreds are under way.
            if count < max(1, min(unfinished // 16, num_waiting)):
                return []
            self._unfinished[child] += count
            return [self._requests.popleft() for _ in range(count)]

    def stop(self) -> None:
        """Give nothing more."""
        with self._lock:
            self._requests.clear()


@dataclass(frozen=True, slots=True)
class _Ended:
    """A thread has nothing more to do."""

    error: BaseException | None


class _Drawing:
    """One thread a process, all putting completions on one queue."""

    def __init__(self, children: list[WatchedEngine], waiting: _Waiting) -> None:
        self._children = children
        self._waiting = waiting
        self._events: queue.SimpleQueue[Completion | _Ended] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, sampling: Sampling) -> None:
        for number, child in enumerate(self._children):
            thread = threading.Thread(
                target=self._work, args=(number, child, sampling), name=f"engine {number}"
            )
            thread.daemon = True
            self._threads.append(thread)
            thread.start()

    def completions(self) -> Iterator[Completion]:
        """As they come; raises what a process raised."""
        num_working = len(self._threads)
        while num_working:
            event = self._events.get()
            if isinstance(event, Completion):
                yield event
            elif event.error is not None:
                raise event.error
            else:
                num_working -= 1

    def stop(self) -> None:
        """Kill what still works for nobody, and wait for the threads."""
        self._waiting.stop()
        for thread, child in zip(self._threads, self._children, strict=False):
            while thread.is_alive():
                child.abandon()
                thread.join(_LOOK_SECONDS)

    def _work(self, number: int, child: WatchedEngine, sampling: Sampling) -> None:
        error: BaseException | None = None
        try:
            for completion in child.draw(partial(self._waiting.take, number), sampling):
                self._events.put(completion)
        except BaseException as raised:  # noqa: BLE001 - raised again in the reader's thread
            error = raised
        self._events.put(_Ended(error))


def _all_at_once(works: Sequence[Callable[[], _T]]) -> list[_T]:
    """The results of all, each from a thread of its own; raises what the first to fail raised."""
    results: dict[int, _T] = {}
    errors: dict[int, BaseException] = {}

    def work(number: int) -> None:
        try:
            results[number] = works[number]()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors[number] = error

    threads = [
        threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(works))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(works))]


def _identity(record: ModelRecord) -> str:
    return f"{record.revision}, {record.dtype}, context {record.context_length}"


def room_of(record: ModelRecord, options: EngineOptions) -> int:
    """Requests that a process may hold: what it runs at a time, and enough for the next step."""
    running = record.details.get("max_num_seqs")
    if running is None:
        return max(2 * options.batch_size, _LEAST_ROOM)
    return int(running) + max(int(running) // 4, _LEAST_ROOM)


def _say(death: str) -> None:
    print(f"evalharness: {death}", file=sys.stderr)
