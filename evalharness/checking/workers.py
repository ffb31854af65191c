"""Checks answers in worker processes that are killed when they take too long or too much."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from evalharness.checking.checkers import DEFAULT_CHECKER, open_checker
from evalharness.checking.equivalence import Identity, identify_text, shorten
from evalharness.checking.judging import (
    failure,
    find_answers,
    outcome_of,
    pass_on,
    without_comparison,
)
from evalharness.checking.policy import Policy
from evalharness.checking.process import (
    CheckerError,
    Comparison,
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
_BATCH_SECONDS = 0.02
"""Of work that a worker is given at once: more costs waiting, less costs messages."""
_LARGEST_BATCH = 32
_PLAIN_NUMBER = re.compile(r"[$ ]{0,2}[-+]?[\d.,]{1,20}(?:/\d{1,10})?(?:\\?%)?[$. ]{0,2}")
_FIRST_HERE = 64
_LONGEST_HERE = 1_000
_DEFAULT_POLICY = Policy()


@dataclass(slots=True, kw_only=True)
class _Task:
    """One comparison; everybody who waits for it waits for its future."""

    key: Comparison
    future: Future[Outcome]
    deaths: list[str] = field(default_factory=list)
    """How workers ended over it."""


class CheckerPool:
    """Judges responses: extraction, equal texts and numbers here, the rest in worker processes.

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
        self._checker = open_checker(checker)
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
        self._outcomes: OrderedDict[Comparison, Future[Outcome]] = OrderedDict()
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
        found = find_answers(response, answer_format, policy)
        known = without_comparison(found, golds)
        if known is not None:
            future.set_result(known)
            return future
        comparison = self.compare(golds, found.answer, policy)
        comparison.add_done_callback(lambda done: pass_on(done, found, future))
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
        cheap = self._judge_here(key)
        future: Future[Outcome] = Future()
        if cheap is not None:
            future.set_result(cheap)
        with self._changed:
            known = self._known(key)
            if known is not None:
                return known
            self._remember(key, future)
            if cheap is None:
                self._queue.append(_Task(key=key, future=future))
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

    def identify(self, answer: str, policy: Policy) -> Identity:
        """What is known of an answer without comparing it; takes no worker."""
        try:
            return self._checker.identify(answer, policy)
        except Exception:  # noqa: BLE001 - the worker meets it too, and its message is kept
            return identify_text(answer, policy)

    def compare_here(self, golds: tuple[str, ...], answer: str, policy: Policy) -> Outcome | None:
        """The outcome where the checker's bounded stages decide, without a worker."""
        if len(answer) > _LONGEST_HERE:
            return None
        try:
            found = self._checker.cheap(golds, answer, policy)
        except Exception:  # noqa: BLE001 - the worker meets it too, and its message is kept
            return None
        return None if found is None else outcome_of(found)

    def _judge_here(self, key: Comparison) -> Outcome | None:
        """What this process decides itself: equal texts, numbers, and all cheap pairs at first.

        Starting a worker isn't worth a few pairs; many would keep this one thread busy.
        """
        golds, answer, _ = key
        is_plain = answer in golds or all(map(_PLAIN_NUMBER.fullmatch, (answer, *golds)))
        is_early = len(self._outcomes) < _FIRST_HERE
        return self.compare_here(*key) if is_plain or is_early else None

    def _known(self, key: Comparison) -> Future[Outcome] | None:
        with self._changed:
            if self._is_closed:
                raise CheckerError("the checker pool is closed: open a new one")
            return self._outcomes.get(key)

    def _remember(self, key: Comparison, future: Future[Outcome]) -> None:
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
        batch_size = 1.0
        while True:
            tasks = self._take(int(batch_size))
            if not tasks:
                break
            began, number = time.perf_counter(), len(tasks)
            try:
                process = self._compare_all(process, tasks)
            except Exception as error:  # noqa: BLE001 - who waits gets it; the thread goes on
                process = None
                for task in tasks:
                    self._fail(task, error)
            each = (time.perf_counter() - began) / number
            batch_size = min(max((batch_size + _BATCH_SECONDS / each) / 2, 1), _LARGEST_BATCH)
        if process is not None:
            self._retire(process)

    def _take(self, most: int) -> deque[_Task]:
        """The next tasks, no more than this thread's share; empty when the pool is closed."""
        with self._changed:
            self._num_idle += 1
            while not self._queue and not self._is_closed:
                self._changed.wait()
            self._num_idle -= 1
            share = -(-len(self._queue) // self.num_workers)
            return deque(self._queue.popleft() for _ in range(min(most, share)))

    def _compare_all(
        self, process: WorkerProcess | None, tasks: deque[_Task]
    ) -> WorkerProcess | None:
        """Finish and remove every task; the worker that is still good for the next ones."""
        while tasks and not self._is_cancelled:
            if process is None:
                process = self._new_process()
            try:
                for outcome in process.compare([task.key for task in tasks], self.timeout_seconds):
                    self._finish(tasks.popleft(), outcome)
            except TimedOutError:
                self._retire(process)
                process = None
                self._give_up(tasks.popleft(), "timeout")
            except WorkerDiedError as error:
                self._retire(process)
                process = None
                tasks[0].deaths.append(str(error))
                if len(tasks[0].deaths) == 2 and not self._is_cancelled:
                    self._give_up(tasks.popleft(), "error")
        while tasks:
            task = tasks.popleft()
            self._finish(task, failure("error", task.key[0], "the checker pool was closed"))
        return process

    def _give_up(self, task: _Task, status: Status) -> None:
        golds, answer, _ = task.key
        shown = shorten(answer)
        if status == "timeout":
            reason = f"comparing answer {shown} took more than {self.timeout_seconds:g} s"
            self._finish(task, failure(status, golds, reason, self.timeout_seconds))
        else:
            how = " and ".join(task.deaths)
            reason = f"the worker died twice comparing answer {shown}: {how}"
            self._finish(task, failure(status, golds, reason))

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
