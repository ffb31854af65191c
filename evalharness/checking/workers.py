"""Checks answers in worker processes that are killed when they take too long or too much."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from evalharness.checking.equivalence import canonical, equal_text, shorten
from evalharness.checking.extract import Extraction, extract, extract_leniently
from evalharness.checking.process import (
    CheckerError,
    Outcome,
    TimedOutError,
    WorkerDiedError,
    WorkerProcess,
)
from evalharness.errors import InputError
from evalharness.records import Judgement, Status

_MOST_WORKERS = 8
_MOST_REMEMBERED = 100_000
_LONGEST_REMEMBERED = 10_000


class _Readings(NamedTuple):
    """Both readings of one response; they differ only where the strict one has no answer."""

    strict: Extraction
    lenient: Extraction


@dataclass(slots=True, kw_only=True)
class _Task:
    """One comparison and everybody who waits for it."""

    golds: tuple[str, ...]
    answer: str
    waiting: list[tuple[Future[Judgement], _Readings]] = field(default_factory=list)
    outcome: Outcome | None = None


class CheckerPool:
    """Judges responses: extraction and exact text here, mathematics in worker processes.

    Safe to use from many threads. Equal (golds, answer) pairs are computed once. Workers start
    when they are first needed, and none outlives `close` or this process. Don't carry a pool over
    a fork.
    """

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        timeout_seconds: float = 5.0,
        memory_limit_bytes: int = 2 << 30,
    ) -> None:
        """Set the limits of one comparison; `num_workers` None is one a core, at most 8.

        Raises:
            InputError: a limit isn't positive.
        """
        if num_workers is None:
            num_workers = min(os.cpu_count() or 1, _MOST_WORKERS)
        if num_workers < 1 or not timeout_seconds > 0 or memory_limit_bytes < 1:
            raise InputError(
                f"a checker pool needs a positive number of workers, timeout and memory limit, not "
                f"{num_workers}, {timeout_seconds} and {memory_limit_bytes}"
            )
        self.num_workers = num_workers
        self.timeout_seconds = timeout_seconds
        self.memory_limit_bytes = memory_limit_bytes
        self._changed = threading.Condition()
        self._queue: deque[_Task] = deque()
        self._tasks: OrderedDict[tuple[tuple[str, ...], str], _Task] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self._processes: set[WorkerProcess] = set()
        self._num_idle = 0
        self._is_closed = False
        self._is_cancelled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(wait=error is None)

    def submit(
        self, response: str, golds: tuple[str, ...], answer_format: tuple[str, ...]
    ) -> Future[Judgement]:
        """The judgement to come on `response`; the future never raises because of its content.

        Raises:
            InputError: `answer_format` names an unknown place.
            CheckerError: the pool is closed. The future raises it where no worker can start.
        """
        future: Future[Judgement] = Future()
        strict = extract(response, answer_format)
        found = _Readings(strict, extract_leniently(response, strict))
        outcome = _judge_without_mathematics(golds, found.lenient)
        if outcome is not None:
            future.set_result(_judgement(found, outcome))
            return future
        answer = found.lenient.answer or ""
        with self._changed:
            if self._is_closed:
                raise CheckerError("the checker pool is closed: open a new one")
            key = (golds, answer)
            task = self._tasks.get(key)
            if task is not None and task.outcome is not None:
                future.set_result(_judgement(found, task.outcome))
                return future
            if task is None:
                task = _Task(golds=golds, answer=answer)
                self._remember(key, task)
                self._queue.append(task)
                self._start_thread_if_needed()
                self._changed.notify()
            task.waiting.append((future, found))
        return future

    def close(self, *, wait: bool = True) -> None:
        """End every worker process; calling it twice is allowed.

        `wait` finishes what was submitted; without it what is queued is cancelled and what runs is
        killed and gets the status `error`.
        """
        with self._changed:
            self._is_closed = True
            cancelled: list[_Task] = []
            if not wait:
                self._is_cancelled = True
                cancelled = list(self._queue)
                self._queue.clear()
                for process in self._processes:
                    process.kill()
            self._changed.notify_all()
        for task in cancelled:
            for future, _ in task.waiting:
                future.cancel()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _remember(self, key: tuple[tuple[str, ...], str], task: _Task) -> None:
        if len(task.answer) > _LONGEST_REMEMBERED:
            return
        self._tasks[key] = task
        while len(self._tasks) > _MOST_REMEMBERED:
            self._tasks.popitem(last=False)

    def _start_thread_if_needed(self) -> None:
        if len(self._queue) > self._num_idle and len(self._threads) < self.num_workers:
            thread = threading.Thread(target=self._serve, name="checker", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        """Take tasks until the pool closes, with one worker process at a time."""
        process: WorkerProcess | None = None
        while True:
            with self._changed:
                self._num_idle += 1
                while not self._queue and not self._is_closed:
                    self._changed.wait()
                self._num_idle -= 1
                if not self._queue:
                    break
                task = self._queue.popleft()
            try:
                process, outcome = self._compare(process, task)
            except Exception as error:  # noqa: BLE001 - who waits gets it; the thread goes on
                process = None
                self._fail(task, error)
            else:
                self._finish(task, outcome)
        if process is not None:
            self._retire(process)

    def _compare(
        self, process: WorkerProcess | None, task: _Task
    ) -> tuple[WorkerProcess | None, Outcome]:
        """The outcome, and the worker that is still good for the next task."""
        shown = shorten(task.answer)
        deaths: list[str] = []
        while len(deaths) < 2 and not self._is_cancelled:
            if process is None:
                process = self._new_process()
            try:
                return process, process.compare(task.golds, task.answer, self.timeout_seconds)
            except TimedOutError:
                self._retire(process)
                reason = f"comparing answer {shown} took more than {self.timeout_seconds:g} s"
                return None, _failure("timeout", task.golds, reason, self.timeout_seconds)
            except WorkerDiedError as error:
                self._retire(process)
                process = None
                deaths.append(str(error))
        if self._is_cancelled:
            return None, _failure("error", task.golds, "the checker pool was closed")
        reason = f"the worker died twice comparing answer {shown}: {' and '.join(deaths)}"
        return None, _failure("error", task.golds, reason)

    def _new_process(self) -> WorkerProcess:
        process = WorkerProcess(memory_limit_bytes=self.memory_limit_bytes)
        with self._changed:
            self._processes.add(process)
            if self._is_cancelled:
                process.kill()
        try:
            process.wait_until_ready()
        except CheckerError:
            self._retire(process)
            raise
        return process

    def _retire(self, process: WorkerProcess) -> None:
        process.close()
        with self._changed:
            self._processes.discard(process)

    def _finish(self, task: _Task, outcome: Outcome) -> None:
        with self._changed:
            task.outcome = outcome
            waiting, task.waiting = task.waiting, []
            if outcome.status == "error" and outcome.method is None:
                self._forget(task)
        for future, found in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(_judgement(found, outcome))

    def _fail(self, task: _Task, error: Exception) -> None:
        with self._changed:
            self._forget(task)
            waiting, task.waiting = task.waiting, []
        for future, _ in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _forget(self, task: _Task) -> None:
        """A worker's death may not repeat, so it isn't remembered."""
        key = (task.golds, task.answer)
        if self._tasks.get(key) is task:
            del self._tasks[key]


def _judge_without_mathematics(golds: tuple[str, ...], found: Extraction) -> Outcome | None:
    """The outcome where no worker is needed: no answer, nothing to compare, or the gold's text."""
    if not golds:
        return _failure("error", golds, "the problem has no accepted answer")
    if found.answer is None:
        return _failure("no_answer", golds, found.note)
    if not canonical(found.answer):
        return _failure("no_answer", golds, "the answer is empty")
    same = equal_text(golds, found.answer)
    if same is None:
        return None
    return Outcome(
        status="correct", gold=same.gold, method=same.method, reason=same.reason, num_milliseconds=0
    )


def _failure(status: Status, golds: tuple[str, ...], reason: str, seconds: float = 0.0) -> Outcome:
    return Outcome(
        status=status,
        gold=golds[0] if golds else None,
        method=None,
        reason=reason,
        num_milliseconds=1000 * seconds,
    )


def _judgement(found: _Readings, outcome: Outcome) -> Judgement:
    """The verdict on both readings; `outcome` is of the lenient one, which has the only answer."""
    strict, lenient = found
    status, method, reason = outcome.status, outcome.method, outcome.reason
    if strict.answer is None and lenient.answer is not None:
        status, method, reason = "no_answer", None, strict.note
    elif strict.note and strict.answer is not None:
        reason = f"{reason} ({strict.note})"
    return Judgement(
        status=status,
        extracted=strict.answer,
        extraction=strict.rule,
        gold=outcome.gold,
        method=method,
        reason=reason,
        num_milliseconds=outcome.num_milliseconds,
        note=strict.note,
        start=None if strict.answer is None else strict.start,
        end=None if strict.answer is None else strict.end,
        lenient_status=outcome.status,
        lenient_extracted=lenient.answer,
        lenient_extraction=lenient.rule,
    )
