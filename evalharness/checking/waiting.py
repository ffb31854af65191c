"""Who waits for a result: the future of one, or the place of one among many."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError, wait
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Gathering(Generic[T]):
    """Results that are waited for together: a future a result costs more than most verdicts."""

    def __init__(self, number: int) -> None:
        """Wait for so many."""
        self.future: Future[list[T]] = Future()
        """Of the results in order; fails or is cancelled with the first of them that is."""
        self._found: dict[int, T] = {}
        self._number = number
        self._lock = threading.Lock()
        if not number:
            self.future.set_result([])

    def put(self, index: int, found: T) -> None:
        """One result; the last one ends the waiting."""
        with self._lock:
            self._found[index] = found
            is_last = len(self._found) == self._number
        if is_last:
            settle(self.future, [self._found[at] for at in range(self._number)])


class Place(Generic[T]):
    """One result of a gathering."""

    __slots__ = ("gathering", "index")

    def __init__(self, gathering: Gathering[T], index: int) -> None:
        self.gathering = gathering
        self.index = index


Waiter = Future[T] | Place[T]


def settle(waiter: Waiter[T], found: T) -> None:
    """Give the result to those who wait for it, unless they have stopped waiting."""
    if isinstance(waiter, Place):
        waiter.gathering.put(waiter.index, found)
        return
    try:
        waiter.set_result(found)
    except InvalidStateError:
        _notify(waiter)


def settle_error(waiter: Waiter[T], error: BaseException) -> None:
    """Raise `error` where the result is waited for, unless there is one or nobody waits."""
    future = waiter.gathering.future if isinstance(waiter, Place) else waiter
    try:
        future.set_exception(error)
    except InvalidStateError:
        _notify(future)


def drop(waiter: Waiter[T]) -> None:
    """Tell those who wait that no result will come."""
    future = waiter.gathering.future if isinstance(waiter, Place) else waiter
    future.cancel()
    _notify(future)


def pass_on(done: Future[T], waiter: Waiter[T]) -> None:
    """Settle `waiter` the way that another future was settled."""
    error = CancelledError() if done.cancelled() else done.exception()
    if isinstance(error, CancelledError):
        drop(waiter)
    elif error is not None:
        settle_error(waiter, error)
    else:
        settle(waiter, done.result())


def gathered(futures: Sequence[Future[T]]) -> Future[list[T]]:
    """The results of several futures as those of one."""
    gathering = Gathering[T](len(futures))
    for index, each in enumerate(futures):
        each.add_done_callback(partial(pass_on, waiter=Place(gathering, index)))
    return gathering.future


def _notify(future: Future[Any]) -> None:
    """Tell `concurrent.futures.wait` that a cancelled future is done; the first time only."""
    if future.cancelled() and not wait([future], timeout=0).done:
        with suppress(RuntimeError):  # another thread was faster
            future.set_running_or_notify_cancel()
