"""The end of a training from outside: in order, and with the truth about what is kept."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from evalharness.training.metrics import METRICS
from evalharness.training.state import checkpoints, is_finished


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a training as Ctrl-C does."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM a `Terminated` in the block, so that locks and unfinished files go.

    A second one doesn't break that off. Only the main thread can; in another the block runs as it
    is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_signal: int, _frame: FrameType | None) -> None:
        # Not SIG_IGN, which a process started from here on would inherit.
        signal.signal(signal.SIGTERM, lambda *_: None)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def telling_what_is_kept(output: Path, save_every: int) -> Iterator[None]:
    """Give an interruption of the block, in which an open run trains, what is kept as its text."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise type(error)(what_is_kept(output, save_every)) from None


@contextmanager
def telling_what_trl_keeps(output: Path) -> Iterator[None]:
    """The same of a block in which TRL's trainer trains."""
    try:
        yield
    except KeyboardInterrupt as error:
        saved = checkpoints(output)
        last = f"the last checkpoint in it is {saved[max(saved)].name}" if saved else "it has none"
        raise type(error)(
            f". {output} holds a run by TRL, which isn't continued, and {last}; to train again, "
            "name another --out"
        ) from None


def what_is_kept(output: Path, save_every: int) -> str:
    """What a run that ends now has on the disk, and what its command does when repeated."""
    if is_finished(output):
        return f" at the end of the training: {output} holds the whole model"
    kept = checkpoints(output)
    last_taken = _last_step(output / METRICS)
    if not kept:
        return (
            f" after step {last_taken}, before the first checkpoint (--save-every {save_every}): "
            "no step is kept, and the same command begins again"
        )
    last = max(kept)
    text = f" after step {last_taken}; {kept[last]} is kept. The same command goes on after it"
    if last_taken == last:
        return text
    steps = f"step {last_taken}" if last_taken == last + 1 else f"steps {last + 1} to {last_taken}"
    return f"{text}, and takes {steps} again"


def _last_step(metrics: Path) -> int:
    """The last step that metrics.jsonl has; 0 where it has none."""
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue  # torn by the interruption
    return 0
