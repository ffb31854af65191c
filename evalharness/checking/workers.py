"""Checks answers in worker processes that are killed when they take too long or too much."""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict, deque
from concurrent.futures import Future
from types import TracebackType
from typing import NamedTuple, Self

from evalharness.checking.checkers import DEFAULT_CHECKER, open_checker
from evalharness.checking.equivalence import Equivalence, shorten
from evalharness.checking.extract import Extraction, extract, extract_leniently
from evalharness.checking.policy import Policy
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
_DEFAULT_POLICY = Policy()


_Key = tuple[tuple[str, ...], str, Policy]
"""Golds, answer and policy: all that a comparison depends on."""


class _Task(NamedTuple):
    """One comparison; everybody who waits for it waits for its future."""

    key: _Key
    future: Future[Outcome]


class _Readings(NamedTuple):
    """Both readings of one response; they differ only where the strict one has no answer."""

    strict: Extraction
    lenient: Extraction
    policy: Policy


class CheckerPool:
    """Judges responses: extraction and the cheap stages here, mathematics in worker processes.

    Safe to use from many threads. Equal (golds, answer, policy) are computed once. Workers start
    when they are first needed, and none outlives `close` or this process. Don't carry a pool over
    a fork.
    """

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        timeout_seconds: float = 2.0,
        memory_limit_bytes: int = 2 << 30,
        checker: str = DEFAULT_CHECKER,
    ) -> None:
        """Set the limits of one comparison; `num_workers` None is one a core, at most 8.

        Raises:
            InputError: a limit isn't positive, or there is no such checker.
        """
        self._cheap = open_checker(checker).cheap
        self.checker = checker
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
        self._outcomes: OrderedDict[_Key, Future[Outcome]] = OrderedDict()
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
        self,
        response: str,
        golds: tuple[str, ...],
        answer_format: tuple[str, ...],
        policy: Policy = _DEFAULT_POLICY,
    ) -> Future[Judgement]:
        """The judgement to come on `response`; the future never raises because of its content.

        Raises:
            InputError: `answer_format` names an unknown place.
            CheckerError: the pool is closed. The future raises it where no worker can start.
        """
        future: Future[Judgement] = Future()
        strict = extract(response, answer_format)
        found = _Readings(strict, extract_leniently(response, strict), policy)
        if not golds or found.lenient.answer is None:
            why = strict.note if golds else "the problem has no accepted answer"
            status: Status = "no_answer" if golds else "error"
            future.set_result(_judgement(found, _failure(status, golds, why)))
            return future
        comparison = self.compare(golds, found.lenient.answer, policy)
        comparison.add_done_callback(lambda done: _pass_on(done, found, future))
        return future

    def compare(self, golds: tuple[str, ...], answer: str, policy: Policy) -> Future[Outcome]:
        """The outcome to come of one comparison; all who ask the same get the same future.

        Raises:
            CheckerError: the pool is closed. The future raises it where no worker can start.
        """
        key = (golds, answer, policy)
        known = self._known(key)
        if known is not None:
            return known
        cheap = self._cheap(*key)
        future: Future[Outcome] = Future()
        if cheap is not None:
            future.set_result(_outcome(cheap))
        with self._changed:
            known = self._known(key)
            if known is not None:
                return known
            self._remember(key, future)
            if cheap is None:
                self._queue.append(_Task(key, future))
                self._start_thread_if_needed()
                self._changed.notify()
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
            task.future.cancel()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _known(self, key: _Key) -> Future[Outcome] | None:
        with self._changed:
            if self._is_closed:
                raise CheckerError("the checker pool is closed: open a new one")
            return self._outcomes.get(key)

    def _remember(self, key: _Key, future: Future[Outcome]) -> None:
        if len(key[1]) > _LONGEST_REMEMBERED:
            return
        self._outcomes[key] = future
        while len(self._outcomes) > _MOST_REMEMBERED:
            self._outcomes.popitem(last=False)

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
        golds, answer, policy = task.key
        shown = shorten(answer)
        deaths: list[str] = []
        while len(deaths) < 2 and not self._is_cancelled:
            if process is None:
                process = self._new_process()
            try:
                return process, process.compare(golds, answer, policy, self.timeout_seconds)
            except TimedOutError:
                self._retire(process)
                reason = f"comparing answer {shown} took more than {self.timeout_seconds:g} s"
                return None, _failure("timeout", golds, reason, self.timeout_seconds)
            except WorkerDiedError as error:
                self._retire(process)
                process = None
                deaths.append(str(error))
        if self._is_cancelled:
            return None, _failure("error", golds, "the checker pool was closed")
        reason = f"the worker died twice comparing answer {shown}: {' and '.join(deaths)}"
        return None, _failure("error", golds, reason)

    def _new_process(self) -> WorkerProcess:
        process = WorkerProcess(memory_limit_bytes=self.memory_limit_bytes, checker=self.checker)
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
        if outcome.status == "error" and outcome.method is None:
            self._forget(task)
        if task.future.set_running_or_notify_cancel():
            task.future.set_result(outcome)

    def _fail(self, task: _Task, error: Exception) -> None:
        self._forget(task)
        if task.future.set_running_or_notify_cancel():
            task.future.set_exception(error)

    def _forget(self, task: _Task) -> None:
        """A worker's death may not repeat, so it isn't remembered."""
        with self._changed:
            if self._outcomes.get(task.key) is task.future:
                del self._outcomes[task.key]


def _pass_on(done: Future[Outcome], found: _Readings, future: Future[Judgement]) -> None:
    if done.cancelled():
        future.cancel()
    if not future.set_running_or_notify_cancel():
        return
    error = done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(_judgement(found, done.result()))


def _outcome(cheap: Equivalence) -> Outcome:
    return Outcome(
        status=cheap.status,
        gold=cheap.gold,
        method=cheap.method,
        reason=cheap.reason,
        num_milliseconds=0,
        gold_read=getattr(cheap, "gold_read", None),
        answer_read=getattr(cheap, "answer_read", None),
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
    strict, lenient, policy = found
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
        gold_read=outcome.gold_read,
        answer_read=outcome.answer_read,
        policy=_described(policy),
        lenient_status=outcome.status,
        lenient_extracted=lenient.answer,
        lenient_extraction=lenient.rule,
    )


_described = functools.lru_cache(maxsize=1024)(str)
