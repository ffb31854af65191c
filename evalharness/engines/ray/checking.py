"""Checking as tasks of a Ray cluster, by the same pool as everywhere inside each of them."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from functools import partial
from typing import Any

from evalharness.checking import DEFAULT_CHECKER, CheckerPool, Policy
from evalharness.checking.extract import check_answer_format
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
        self._refuse_if_closed()
        future: Future[Judgement] = Future()
        self._waiting.put(((response, golds, answer_format, policy), future))
        return future

    def close(self, *, wait: bool = True) -> None:
        """End; `wait` finishes what was submitted."""
        if not wait:
            self._is_ended.set()
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        super().close(wait=wait)
        self._cluster.leave()

    def _work(self) -> None:
        """Hand out batches and take judgements in, until told to end."""
        running: dict[Any, _Batch] = {}
        try:
            self._use_cluster(running)
        except Exception as error:  # noqa: BLE001 - without the cluster this machine goes on
            self.lost = first_line(error)
        if self._is_ended.is_set():
            for batch in running.values():
                for _, future in batch:
                    future.cancel()
            return
        for batch in running.values():
            self._judge_locally(batch)
        while self.lost and (given := self._waiting.get()) is not None:
            self._judge_locally([given])

    def _use_cluster(self, running: dict[Any, _Batch]) -> None:
        import ray

        # No cores are asked for: those of a cluster without GPUs are all taken by the engines.
        task = ray.remote(judge).options(num_cpus=0, scheduling_strategy="SPREAD")
        cluster_resources: Any = ray.cluster_resources
        most = max(1, int(cluster_resources().get("CPU", 1)))
        is_open = True
        while (is_open or running) and not self._is_ended.is_set():
            batch: _Batch = []
            while is_open and len(running) < most and len(batch) < _LARGEST_BATCH:
                try:
                    given = self._waiting.get(timeout=0 if running or batch else None)
                except queue.Empty:
                    break
                if given is None:
                    is_open = False
                else:
                    batch.append(given)
            if batch:
                running[task.remote(self.checker, [each for each, _ in batch])] = batch
            if running:
                done, _ = ray.wait(list(running), timeout=_LOOK_SECONDS)
                for each in done:
                    self._take_in(each, running[each])
                    del running[each]

    def _take_in(self, done: Any, batch: _Batch) -> None:
        import ray
        import ray.exceptions

        try:
            judgements: list[Judgement] = ray.get(done)
        except ray.exceptions.RayError:
            self._judge_locally(batch)
            return
        for judgement, (_, future) in zip(judgements, batch, strict=True):
            future.set_result(judgement)

    def _judge_locally(self, batch: _Batch) -> None:
        for given, future in batch:
            super().submit(*given).add_done_callback(partial(_pass_on, future))


_pools: dict[str, CheckerPool] = {}


def judge(checker: str, batch: list[Submitted]) -> list[Judgement]:
    """One judgement a response, by a pool that this process keeps for the next batch."""
    if checker not in _pools:
        _pools[checker] = CheckerPool(num_workers=1, checker=checker)
    futures = [_pools[checker].submit(*each) for each in batch]
    return [future.result() for future in futures]


def _pass_on(future: Future[Judgement], done: Future[Judgement]) -> None:
    if done.cancelled():
        future.cancel()
    elif (error := done.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
