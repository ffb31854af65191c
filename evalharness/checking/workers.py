"""Checks answers in worker processes that are killed when they take too long or too much."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, Self

from evalharness.checking.checkers import DEFAULT_CHECKER, open_checker
from evalharness.checking.equivalence import Identity, identify_text, shorten
from evalharness.checking.extract import Extraction, check_answer_format
from evalharness.checking.judging import (
    Readings,
    failure,
    judgement,
    outcome_of,
    pass_on,
    settle,
    without_comparison,
)
from evalharness.checking.messages import Comparison, Found, Outcome, Request, Submission
from evalharness.checking.policy import Policy
from evalharness.checking.process import (
    CheckerError,
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
_LARGEST_BATCH = 64
_PLAIN_NUMBER = re.compile(r"[$ ]{0,2}[-+]?[\d.,]{1,20}(?:/\d{1,10})?(?:\\?%)?[$. ]{0,2}")
_FIRST_HERE = 64
_LONGEST_HERE = 1_000
_LONGEST_READ_HERE = 100_000
_DEFAULT_POLICY = Policy()


@dataclass(slots=True, kw_only=True)
class _Task:
    """One request to a worker; everybody who waits for it waits for its future."""

    request: Request
    future: Future[Any]
    """Of an `Outcome` for a comparison, of a `Judgement` for a submission."""
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
        self._num_submitted = 0
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
        check_answer_format(answer_format)
        future: Future[Judgement] = Future()
        is_early = self._num_submitted < _FIRST_HERE and len(response) <= _LONGEST_READ_HERE
        if golds and not is_early:
            request = Submission(response, golds, answer_format, policy)
            with self._changed:
                self._refuse_if_closed()
                self._queue_up(_Task(request=request, future=future))
            return future
        with self._changed:
            self._refuse_if_closed()
            self._num_submitted += 1
        readings = Readings(*self._checker.find(response, answer_format), policy)
        self._judge(readings, golds, future)
        return future

    def _judge(self, found: Readings, golds: tuple[str, ...], future: Future[Judgement]) -> None:
        """Settle the judgement on a response that was read, now or when it is compared."""
        known = without_comparison(found, golds)
        if known is not None:
            settle(future, known)
            return
        comparison = self._compare(Comparison(golds, found.answer, found.policy))
        comparison.add_done_callback(lambda done: pass_on(done, found, future))

    def compare(self, golds: tuple[str, ...], answer: str, policy: Policy) -> Future[Outcome]:
        """The outcome to come of one comparison; all who ask the same get the same future.

        Raises:
            CheckerError: the pool is closed. The future raises it where no worker can start.
        """
        with self._changed:
            self._refuse_if_closed()
        return self._compare(Comparison(golds, answer, policy))

    def _compare(self, key: Comparison) -> Future[Outcome]:
        """The same, also for what was submitted before the pool was closed."""
        known = self._known(key)
        if known is not None:
            return known
        cheap = self._judge_here(key)
        future: Future[Outcome] = Future()
        if cheap is not None:
            future.set_result(cheap)
        with self._changed:
            known = self._outcomes.get(key)
            if known is not None:
                return known
            self._remember(key, future)
            if cheap is None and self._is_cancelled:
                future.cancel()
            elif cheap is None:
                self._queue_up(_Task(request=key, future=future))
        return future

    def _queue_up(self, task: _Task) -> None:
        """Have a worker do it; the caller holds `_changed`."""
        self._queue.append(task)
        self._start_thread_if_needed()
        self._changed.notify()

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
        is_plain = key.answer in key.golds or all(
            map(_PLAIN_NUMBER.fullmatch, (key.answer, *key.golds))
        )
        is_early = len(self._outcomes) < _FIRST_HERE
        return self.compare_here(*key) if is_plain or is_early else None

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise CheckerError("the checker pool is closed: open a new one")

    def _known(self, key: Comparison) -> Future[Outcome] | None:
        with self._changed:
            return self._outcomes.get(key)

    def _remember(self, key: Comparison, future: Future[Outcome]) -> None:
        if len(key.answer) > _LONGEST_REMEMBERED:
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
        most = len(tasks)
        while tasks and not self._is_cancelled:
            if process is None:
                process = self._new_process()
            requests = [task.request for task in islice(tasks, most)]
            try:
                for reply in process.ask(requests, self.timeout_seconds):
                    self._finish(tasks.popleft(), reply)
            except (TimedOutError, WorkerDiedError) as error:
                self._retire(process)
                process = None
                # A reply to a submission may have been ready: now one at a time, to blame the right
                # one.
                is_sure = most == 1 or isinstance(tasks[0].request, Comparison)
                most = 1
                if isinstance(error, WorkerDiedError):
                    tasks[0].deaths.append(str(error))
                    if len(tasks[0].deaths) == 2 and not self._is_cancelled:
                        self._give_up(tasks.popleft(), "error")
                elif is_sure:
                    self._give_up(tasks.popleft(), "timeout")
        while tasks:
            self._fail_with(tasks.popleft(), "error", "the checker pool was closed")
        return process

    def _give_up(self, task: _Task, status: Status) -> None:
        request = task.request
        is_pair = isinstance(request, Comparison)
        what = "answer" if is_pair else "response"
        shown = shorten(request.answer if isinstance(request, Comparison) else request.response)
        doing = f"{'comparing' if is_pair else 'reading'} {what} {shown}"
        if status == "timeout":
            reason = f"{doing} took more than {self.timeout_seconds:g} s"
            self._fail_with(task, status, reason, self.timeout_seconds)
        else:
            self._fail_with(
                task, status, f"the worker died twice {doing}: {' and '.join(task.deaths)}"
            )

    def _fail_with(self, task: _Task, status: Status, reason: str, seconds: float = 0.0) -> None:
        """Finish a task about which nothing was found out."""
        outcome = failure(status, task.request.golds, reason, seconds)
        if isinstance(task.request, Comparison):
            self._finish(task, outcome)
        else:
            nothing = Extraction(answer=None, rule=None, start=0, end=0, note="")
            self._finish(task, Found(nothing, nothing, outcome))

    def _new_process(self) -> WorkerProcess:
        """A worker that is ready; one that is killed while it starts gets a second chance."""
        try:
            return self._start_process()
        except CheckerError:
            if self._is_cancelled:
                raise
            return self._start_process()

    def _start_process(self) -> WorkerProcess:
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

    def _finish(self, task: _Task, reply: Outcome | Found) -> None:
        if isinstance(reply, Found):
            found = Readings(reply.strict, reply.lenient, task.request.policy)
            if reply.outcome is None:
                self._judge(found, task.request.golds, task.future)
            else:
                settle(task.future, judgement(found, reply.outcome))
            return
        if reply.status == "error" and reply.method is None:
            self._forget(task)
        settle(task.future, reply)

    def _fail(self, task: _Task, error: Exception) -> None:
        self._forget(task)
        if task.future.set_running_or_notify_cancel():
            task.future.set_exception(error)

    def _forget(self, task: _Task) -> None:
        """A worker's death may not repeat, so it isn't remembered."""
        if not isinstance(task.request, Comparison):
            return
        with self._changed:
            if self._outcomes.get(task.request) is task.future:
                del self._outcomes[task.request]
