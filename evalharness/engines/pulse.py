"""A sign of life: engines call `beat` at every step; whoever watches them listens."""

from __future__ import annotations

from collections.abc import Callable

_listeners: list[Callable[[], None]] = []


def beat() -> None:
    """Say that the engine has got on; nothing happens where nobody listens."""
    for listener in _listeners:
        listener()


def listen(listener: Callable[[], None]) -> None:
    """Have `listener` called at every beat of this process, in the thread that beats."""
    _listeners.append(listener)
