"""Checks answers in worker processes that are killed when they take too long or too much."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from evalharness.checking.checkers import DEFAULT_CHECKER, open_checker
from evalharness.checking.equivalence import Identity, identify_text, shorten
from evalharness.checking.extract import Extraction, check_answer_format
from evalharness.checking.judging import (
    Outcome,
    Readings,
    failure,
    judgement,
    outcome_of,
    without_comparison,
)
from evalharness.checking.messages import Comparison, Reply, Submission
from evalharness.checking.policy import Policy
from evalharness.checking.process import CheckerError
from evalharness.checking.serving import Crew, Reception, Task
from evalharness.checking.waiting import Gathering, Place, Waiter, drop, settle, settle_error
from evalharness.errors import InputError
from evalharness.records import Judgement, Status

_MOST_WORKERS = 8
_MOST_REMEMBERED = 100_000
_LONGEST_REMEMBERED = 10_000
_PLAIN_NUMBER = re.compile(r"[$ ]{0,2}[-+]?[\d.,]{1,20}(?:/\d{1,10})?(?:\\?%)?[$. ]{0,2}")
_FIRST_HERE = 64
_LONGEST_HERE = 1_000
_LONGEST_READ_HERE = 100_000
_DEFAULT_POLICY = Policy()


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
        self._crew = Crew(
            Reception(
                replied=self._finish,
                timed_out=self._give_up_late,
                killed=self._give_up_deadly,
                dismissed=self._dismiss,
                failed=self._fail,
            ),
            num_workers=num_workers,
            timeout_seconds=timeout_seconds,
            memory_limit_bytes=memory_limit_bytes,
            checker=checker,
        )
        self._lock = threading.Lock()
        self._outcomes: OrderedDict[Comparison, Future[Outcome]] = OrderedDict()
        self._num_submitted = 0
        self._is_closed = False

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
        self._submit([Submission(response, golds, answer_format, policy)], [future])
        return future

    def submit_all(self, submissions: Sequence[Submission]) -> Future[list[Judgement]]:
        """The judgements to come on many responses, in order; cheaper than a future for each.

        Raises:
            InputError: an answer format names an unknown place.
            CheckerError: the pool is closed. The future raises it where no worker can start.
        """
        gathering = Gathering[Judgement](len(submissions))
        self._submit(submissions, [Place(gathering, at) for at in range(len(submissions))])
        return gathering.future

    def _submit(
        self, submissions: Sequence[Submission], waiters: Sequence[Waiter[Judgement]]
    ) -> None:
        for answer_format in {each.answer_format for each in submissions}:
            check_answer_format(answer_format)
        self._refuse_if_closed()
        tasks = []
        for each, waiter in zip(submissions, waiters, strict=True):
            is_early = self._num_submitted < _FIRST_HERE
            if each.golds and not (is_early and len(each.response) <= _LONGEST_READ_HERE):
                tasks.append(Task(each, waiter))
                continue
            self._num_submitted += 1
            found = self._checker.find(each.response, each.answer_format)
            self._judge(Readings(*found, each.policy), each.golds, waiter)
        if tasks and not self._crew.put(tasks):
            raise _closed()

    def _judge(self, found: Readings, golds: tuple[str, ...], waiter: Waiter[Judgement]) -> None:
        """Settle the judgement on a response that was read, now or when it is compared."""
        known = without_comparison(found, golds)
        if known is not None:
            settle(waiter, known)
            return
        comparison = self._compare(Comparison(golds, found.answer, found.policy))
        comparison.add_done_callback(lambda done: _pass_on(done, found, waiter))

    def compare(self, golds: tuple[str, ...], answer: str, policy: Policy) -> Future[Outcome]:
        """The outcome to come of one comparison; all who ask the same get the same future.

        Raises:
            CheckerError: the pool is closed. The future raises it where no worker can start.
        """
        self._refuse_if_closed()
        return self._compare(Comparison(golds, answer, policy))

    def _compare(self, key: Comparison) -> Future[Outcome]:
        """The same, also for what was submitted before the pool was closed."""
        with self._lock:
            known = self._outcomes.get(key)
        if known is not None:
            return known
        cheap = self._judge_here(key)
        future: Future[Outcome] = Future()
        if cheap is not None:
            future.set_result(cheap)
        with self._lock:
            known = self._outcomes.get(key)
            if known is not None:
                return known
            self._remember(key, future)
        if cheap is None and not self._crew.put([Task(key, future)]):
            future.cancel()
        return future

    def close(self, *, wait: bool = True) -> None:
        """End every worker process; calling it twice is allowed.

        `wait` finishes what was submitted; without it what is queued is cancelled and what runs is
        killed and gets the status `error`.
        """
        self._is_closed = True
        for task in self._crew.close(wait=wait):
            drop(task.waiter)
        self._crew.join()

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
            raise _closed()

    def _remember(self, key: Comparison, future: Future[Outcome]) -> None:
        if len(key.answer) > _LONGEST_REMEMBERED:
            return
        self._outcomes[key] = future
        while len(self._outcomes) > _MOST_REMEMBERED:
            self._outcomes.popitem(last=False)

    def _give_up_late(self, task: Task) -> None:
        seconds = self.timeout_seconds
        reason = f"{_doing(task)} took more than {seconds:g} s"
        self._finish_with(task, "timeout", reason, seconds)

    def _give_up_deadly(self, task: Task) -> None:
        reason = f"the worker died twice {_doing(task)}: {' and '.join(task.deaths)}"
        self._finish_with(task, "error", reason)

    def _dismiss(self, task: Task) -> None:
        self._finish_with(task, "error", "the checker pool was closed")

    def _finish_with(self, task: Task, status: Status, reason: str, seconds: float = 0.0) -> None:
        """Finish a task about which nothing was found out."""
        outcome = failure(status, task.request.golds, reason, seconds)
        if isinstance(task.request, Comparison):
            self._finish(task, outcome)
        else:
            nothing = Extraction(answer=None, rule=None, start=0, end=0, note="")
            self._finish(task, judgement(Readings(nothing, nothing, task.request.policy), outcome))

    def _finish(self, task: Task, reply: Reply) -> None:
        if isinstance(reply, Readings):
            self._judge(reply, task.request.golds, task.waiter)
            return
        if isinstance(reply, Outcome) and reply.status == "error" and reply.method is None:
            self._forget(task)
        settle(task.waiter, reply)

    def _fail(self, task: Task, error: Exception) -> None:
        self._forget(task)
        settle_error(task.waiter, error)

    def _forget(self, task: Task) -> None:
        """A worker's death may not repeat, so it isn't remembered."""
        if not isinstance(task.request, Comparison):
            return
        with self._lock:
            if self._outcomes.get(task.request) is task.waiter:
                del self._outcomes[task.request]


def _pass_on(done: Future[Outcome], found: Readings, waiter: Waiter[Judgement]) -> None:
    """Settle the judgement the way that the comparison was settled."""
    if done.cancelled():
        drop(waiter)
    elif (error := done.exception()) is not None:
        settle_error(waiter, error)
    else:
        settle(waiter, judgement(found, done.result()))


def _closed() -> CheckerError:
    return CheckerError("the checker pool is closed: open a new one")


def _doing(task: Task) -> str:
    request = task.request
    if isinstance(request, Comparison):
        return f"comparing answer {shorten(request.answer)}"
    return f"reading response {shorten(request.response)}"
