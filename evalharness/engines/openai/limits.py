"""How many requests a server is asked at a time: a fixed number, or one that follows the server."""

from __future__ import annotations

import asyncio
from collections import deque

_START = 32
_MOST = 1024
_TOLERANCE = 3.0
_FORGETTING = 1.02


class FixedLimit:
    """Always the same number."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.num_decreases = 0

    def succeeded(self, seconds: float, num_tokens: int, *, was_full: bool) -> None:
        """A request was answered."""

    def congested(self, num_decreases_then: int) -> None:
        """The server turned a request away."""


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, after a start that doubles.

    A window is as many answers as the limit. A window without trouble doubles the limit until the
    first trouble, and adds 1 later. A request that was turned away (429, 503, no answer) halves it,
    once for all that were under way together. A window whose seconds per token are more than three
    times those of the best one takes a quarter off: the server queues what it can't run.

    Source: the congestion control of RFC 5681, with latency per token in place of lost packets.
    """

    def __init__(self, start: int = _START, most: int = _MOST) -> None:
        self.limit = start
        self.num_decreases = 0
        self._most = most
        self._is_starting = True
        self._best: float | None = None
        self._clear_window()

    def succeeded(self, seconds: float, num_tokens: int, *, was_full: bool) -> None:
        """A request was answered; `was_full` says whether the limit held others back then."""
        self._num_answers += 1
        self._seconds += seconds
        self._num_tokens += max(num_tokens, 1)
        self._was_full |= was_full
        if self._num_answers >= self.limit:
            self._close_window()

    def congested(self, num_decreases_then: int) -> None:
        """The server turned a request away that began when `num_decreases` was this."""
        if num_decreases_then == self.num_decreases:
            self._decrease(0.5)

    def _close_window(self) -> None:
        latency = self._seconds / self._num_tokens
        best = latency if self._best is None else min(latency, self._best * _FORGETTING)
        self._best, was_full = best, self._was_full
        if latency > _TOLERANCE * best:
            self._decrease(0.75)
            return
        self._clear_window()
        # A limit that held nothing back says nothing about the server.
        if was_full:
            grown = 2 * self.limit if self._is_starting else self.limit + 1
            self.limit = min(grown, self._most)

    def _decrease(self, factor: float) -> None:
        self.limit = max(1, int(self.limit * factor))
        self.num_decreases += 1
        self._is_starting = False
        self._clear_window()

    def _clear_window(self) -> None:
        self._num_answers = self._num_tokens = 0
        self._seconds = 0.0
        self._was_full = False


class Slots:
    """Lets as many coroutines in as the limit says now, in the order in which they came."""

    def __init__(self, limit: FixedLimit | AdaptiveLimit) -> None:
        self.limit = limit
        self.num_active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting) or self.num_active >= self.limit.limit

    async def acquire(self) -> None:
        """Wait for a place and take it."""
        if not self.is_full:
            self.num_active += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place  # who wakes it has counted it
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give the place back."""
        self.num_active -= 1
        while self._waiting and self.num_active < self.limit.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.num_active += 1
                place.set_result(None)
