"""Worker processes at work: threads hand out tasks, take replies in and say who is to blame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.checking.messages import Reply, Request, reply_of
from evalharness.checking.process import (
    CheckerError,
    TimedOutError,
    WorkerDiedError,
    WorkerProcess,
)
from evalharness.checking.waiting import Waiter

_BATCH_SECONDS = 0.02
"""Of work that a worker is given at once: more costs waiting, less costs messages."""
_LARGEST_BATCH = 64


@dataclass(slots=True)
class Task:
    """One request to a worker."""

    request: Request
    waiter: Waiter[Any]
    """For an `Outcome` of a comparison, for a `Judgement` on a submission."""
    deaths: tuple[str, ...] = ()
    """How workers ended over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """What becomes of a task; each is called once for it, by the thread that served it."""

    replied: Callable[[Task, Reply], None]
    timed_out: Callable[[Task], None]
    killed: Callable[[Task], None]
    """Two workers ended over it."""
    dismissed: Callable[[Task], None]
    """The crew was closed without waiting for it."""
    failed: Callable[[Task, Exception], None]
    """No worker could start, or the harness itself is at fault."""


class Crew:
    """Worker processes, each fed by a thread of its own; they start when they are first needed.

    Tasks with the same golds go to the same worker, because it remembers what it has read; a worker
    that has nothing left takes from the one that has most.
    """

    def __init__(
        self,
        reception: Reception,
        *,
        num_workers: int,
        timeout_seconds: float,
        memory_limit_bytes: int,
        checker: str,
    ) -> None:
        """Set the limits of one task."""
        self.reception = reception
        self.num_workers = num_workers
        self.timeout_seconds = timeout_seconds
        self._memory_limit_bytes = memory_limit_bytes
        self._checker = checker
        self._changed = threading.Condition()
        self._queues: list[deque[Task]] = [deque() for _ in range(num_workers)]
        self._threads: list[threading.Thread] = []
        self._processes: set[WorkerProcess] = set()
        self._num_idle = 0
        self._is_closed = False
        self.is_cancelled = False
        """It was closed without waiting."""

    @property
    def processes(self) -> list[WorkerProcess]:
        """Those that run now."""
        with self._changed:
            return list(self._processes)

    def put(self, tasks: Sequence[Task]) -> bool:
        """Have workers do these; False where the crew is closed.

        What comes of a task that was put before may follow it until the last one is done.
        """
        with self._changed:
            if self._is_closed and threading.current_thread() not in self._threads:
                return False
            if self.is_cancelled:
                return False
            for task in tasks:
                self._queues[hash(task.request.golds) % self.num_workers].append(task)
            if self._num_idle:
                self._changed.notify(len(tasks))
            num_needed = self._num_queued() - self._num_idle
            for _ in range(min(num_needed, self.num_workers - len(self._threads))):
                post = _Post(self, len(self._threads))
                thread = threading.Thread(target=post.serve, name="checker", daemon=True)
                self._threads.append(thread)
                thread.start()
        return True

    def take(self, number: int, most: int, *, wait: bool) -> deque[Task]:
        """The next tasks of the worker of this number, no more than one worker's share of all.

        Empty where there are none; `wait` waits for one until the crew is closed.
        """
        with self._changed:
            if wait:
                self._num_idle += 1
                while not self._num_queued() and not self._is_closed:
                    self._changed.wait()
                self._num_idle -= 1
            queue = self._queues[number] or max(self._queues, key=len)
            share = -(-self._num_queued() // self.num_workers)
            return deque(queue.popleft() for _ in range(min(most, share, len(queue))))

    def _num_queued(self) -> int:
        return sum(map(len, self._queues))

    def close(self, *, wait: bool) -> list[Task]:
        """End every worker process; calling it twice is allowed.

        `wait` finishes what is queued first; without it what runs is killed and what is queued is
        returned undone.
        """
        undone: list[Task] = []
        with self._changed:
            self._is_closed = True
            if not wait:
                self.is_cancelled = True
                for queue in self._queues:
                    undone.extend(queue)
                    queue.clear()
                for process in self._processes:
                    process.kill()
            self._changed.notify_all()
        return undone

    def join(self) -> None:
        """Wait until every thread has ended."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def start_process(self) -> WorkerProcess:
        """A worker that is ready; one that is killed while it starts gets a second chance.

        Raises:
            CheckerError: it can't start.
        """
        try:
            return self._start_process()
        except CheckerError:
            if self.is_cancelled:
                raise
            return self._start_process()

    def _start_process(self) -> WorkerProcess:
        process = WorkerProcess(memory_limit_bytes=self._memory_limit_bytes, checker=self._checker)
        with self._changed:
            self._processes.add(process)
            if self.is_cancelled:
                process.kill()
        try:
            process.wait_until_ready()
        except CheckerError:
            self.retire(process)
            raise
        return process

    def retire(self, process: WorkerProcess) -> None:
        """End a worker that isn't needed, or is of no more use."""
        process.close()
        with self._changed:
            self._processes.discard(process)


class _Post:
    """One thread of a crew: its worker, and what the worker was asked and hasn't answered yet.

    The worker has its next tasks before it is done with the last ones, so that it never waits for
    this process.
    """

    def __init__(self, crew: Crew, number: int) -> None:
        self._crew = crew
        self._number = number
        self._process: WorkerProcess | None = None
        self._asked: deque[Task] = deque()
        """In the order of their replies."""
        self._left: deque[Task] = deque()
        """By a worker that ended: to be asked again."""
        self._batch_size = 1.0
        self._num_done = 0
        self._since = 0.0
        """When the tasks that `_num_done` counts began."""

    def serve(self) -> None:
        """Work until the crew is closed."""
        while True:
            try:
                if not self._hand_out():
                    break
                self._take_in()
            except (TimedOutError, WorkerDiedError) as error:
                self._blame(error)
            except Exception as error:  # noqa: BLE001 - who waits gets it; the thread goes on
                self._retire()
                for task in self._all_given_up():
                    self._crew.reception.failed(task, error)
        self._retire()

    def _hand_out(self) -> bool:
        """See to it that the worker has something to do; False when there will be nothing more."""
        if self._crew.is_cancelled:
            for task in self._all_given_up():
                self._crew.reception.dismissed(task)
            return False
        if self._left:
            left, self._left = self._left, deque()
            self._ask(left)
        elif len(self._asked) <= self._batch_size / 2:
            self._measure()
            if not self._asked:
                tasks = self._crew.take(self._number, int(self._batch_size), wait=True)
                self._num_done, self._since = 0, time.perf_counter()
            else:
                tasks = self._crew.take(self._number, int(self._batch_size), wait=False)
            if tasks:
                self._ask(tasks)
        return bool(self._asked)

    def _ask(self, tasks: deque[Task]) -> None:
        self._asked.extend(tasks)
        if self._process is None:
            self._process = self._crew.start_process()
        self._process.ask([task.request for task in tasks], self._crew.timeout_seconds)

    def _take_in(self) -> None:
        """Finish the tasks whose replies come next."""
        process = self._process
        if process is None:
            raise CheckerError("a checker's worker was asked before it was started")
        replied = self._crew.reception.replied
        found = process.replies(self._crew.timeout_seconds)
        for each in found:
            task = self._asked[0]
            try:
                reply = reply_of(each, task.request)
            except ValueError as error:
                raise WorkerDiedError(f"it wrote {str(each)[:80]} instead of an answer") from error
            replied(task, reply)
            self._asked.popleft()
        self._num_done += len(found)

    def _measure(self) -> None:
        """Make the next batch as large as the last tasks were quick."""
        if self._num_done:
            now = time.perf_counter()
            at_that_pace = _BATCH_SECONDS * self._num_done / (now - self._since)
            self._batch_size = min(max((self._batch_size + at_that_pace) / 2, 1), _LARGEST_BATCH)
            self._num_done, self._since = 0, now

    def _blame(self, error: TimedOutError | WorkerDiedError) -> None:
        """Replace the worker; give up the task that ended it, ask the others again."""
        num_held = 0 if self._process is None else self._process.num_held
        self._retire()
        at = min(num_held, len(self._asked) - 1)
        task = self._asked[at]
        if isinstance(error, TimedOutError):
            del self._asked[at]
            self._crew.reception.timed_out(task)
        else:
            task.deaths += (str(error),)
            if len(task.deaths) == 2 and not self._crew.is_cancelled:
                del self._asked[at]
                self._crew.reception.killed(task)
        self._left, self._asked = self._asked, deque()

    def _all_given_up(self) -> list[Task]:
        tasks = [*self._asked, *self._left]
        self._asked.clear()
        self._left.clear()
        return tasks

    def _retire(self) -> None:
        if self._process is not None:
            self._crew.retire(self._process)
            self._process = None
