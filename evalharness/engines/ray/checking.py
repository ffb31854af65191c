"""Checking as tasks of a Ray cluster, by the same pool as everywhere inside each of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain
from typing import Any

from evalharness.checking import DEFAULT_CHECKER, CheckerError, CheckerPool, Policy, Submission
from evalharness.checking.extract import check_answer_format
from evalharness.checking.waiting import gathered, pass_on, settle
from evalharness.engines.ray.cluster import Membership, first_line
from evalharness.records import Judgement

_LARGEST_BATCH = 256
_LOOK_SECONDS = 0.05
_DEFAULT_POLICY = Policy()

Submitted = tuple[str, tuple[str, ...], tuple[str, ...], Policy]
"""A response, its golds, the places of its answer and what counts as the same."""
_Batch = list[tuple[Submitted, "Future[Judgement]"]]


class RayCheckerPool(CheckerPool):
    """Judges responses in tasks of the cluster; single comparisons stay in this machine's workers.

    What a task can't give, because its machine was lost more often than Ray tries, is judged here.
    """

    def __init__(self, address: str | None, *, checker: str = DEFAULT_CHECKER) -> None:
        """Join the cluster.

        Raises:
            EngineError: no cluster answers.
        """
        super().__init__(checker=checker)
        self._waiting: queue.SimpleQueue[tuple[Submitted, Future[Judgement]] | None]
        self._waiting = queue.SimpleQueue()
        self.lost: str | None = None
        """Why the cluster is out of reach; what comes then is judged here."""
        self._batch: _Batch = []
        self._running: dict[Any, _Batch] = {}
        self._open = threading.Lock()
        self._is_closing = False
        self._is_last = False
        """Whether everything that was submitted has been taken from `_waiting`."""
        self._cluster = Membership(address)
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ray checks", daemon=True)
        self._thread.start()

    def submit(
        self,
        response: str,
        golds: tuple[str, ...],
        answer_format: tuple[str, ...],
        policy: Policy = _DEFAULT_POLICY,
    ) -> Future[Judgement]:
        """The judgement to come on `response`, from a task."""
        check_answer_format(answer_format)
        future: Future[Judgement] = Future()
        with self._open:
            self._refuse_if_closed()
            if self._is_closing:
                raise CheckerError("the checker pool is closed")
            self._waiting.put(((response, golds, answer_format, policy), future))
        return future

    def submit_all(self, submissions: Sequence[Submission]) -> Future[list[Judgement]]:
        """The judgements to come on many responses, from tasks."""
        return gathered([self.submit(*each) for each in submissions])

    def close(self, *, wait: bool = True) -> None:
        """End; `wait` finishes what was submitted, without it what isn't judged is cancelled."""
        if not wait:
            self._is_ended.set()
        with self._open:
            if not self._is_closing:
                self._is_closing = True
                self._waiting.put(None)
        self._thread.join()
        super().close(wait=wait)
        self._cluster.leave()

    def _work(self) -> None:
        """Hand out batches and take judgements in, until told to end."""
        try:
            self._use_cluster()
        except Exception as error:  # noqa: BLE001 - without the cluster this machine goes on
            self.lost = first_line(error)
        self._settle_here([*self._batch, *chain.from_iterable(self._running.values())])
        while not self._is_last:
            self._settle_here(self._next())

    def _next(self, seconds: float | None = None) -> _Batch:
        """One of those that wait, or none where none comes in time or will ever come."""
        try:
            given = self._waiting.get(timeout=seconds)
        except queue.Empty:
            return []
        self._is_last = given is None
        return [] if given is None else [given]

    def _use_cluster(self) -> None:
        import ray

        # No cores are asked for: those of a cluster without GPUs are all taken by the engines.
        task = ray.remote(judge).options(num_cpus=0, scheduling_strategy="SPREAD")
        cluster_resources: Any = ray.cluster_resources
        most = max(1, int(cluster_resources().get("CPU", 1)))
        while not (self._is_last and not self._running) and not self._is_ended.is_set():
            while not self._is_last and len(self._running) < most:
                taken = self._next(0 if self._running or self._batch else None)
                self._batch += taken
                if not taken or len(self._batch) == _LARGEST_BATCH:
                    break
            if self._batch:
                handed_out = task.remote(self.checker, [each for each, _ in self._batch])
                self._running[handed_out], self._batch = self._batch, []
            if self._running:
                done, _ = ray.wait(list(self._running), timeout=_LOOK_SECONDS)
                for each in done:
                    self._take_in(each, self._running[each])
                    del self._running[each]

    def _take_in(self, done: Any, batch: _Batch) -> None:
        import ray
        import ray.exceptions

        try:
            judgements: list[Judgement] = ray.get(done)
        except ray.exceptions.RayError:
            self._settle_here(batch)
            return
        for judgement, (_, future) in zip(judgements, batch, strict=True):
            settle(future, judgement)

    def _settle_here(self, batch: _Batch) -> None:
        """Judge in this machine's workers, or cancel where nobody waits any more."""
        for given, future in batch:
            if self._is_ended.is_set():
                future.cancel()
            else:
                super().submit(*given).add_done_callback(partial(pass_on, waiter=future))


_pools: dict[str, CheckerPool] = {}


def judge(checker: str, batch: list[Submitted]) -> list[Judgement]:
    """One judgement a response, by a pool that this process keeps for the next batch."""
    if checker not in _pools:
        _pools[checker] = CheckerPool(num_workers=1, checker=checker)
    return _pools[checker].submit_all([Submission(*each) for each in batch]).result()
