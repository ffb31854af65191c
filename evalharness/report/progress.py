"""Progress of long work: a live line on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from evalharness.records import Response, Verdict
from evalharness.report.terminal import visible

_SECONDS_BETWEEN_LINES = 10.0


class RunProgress:
    """Counts responses, tokens and verdicts of a run and shows them."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = Console(
            stderr=True, quiet=quiet, soft_wrap=True, highlight=False, force_jupyter=False
        )
        self._status = self._console.status("") if self._console.is_terminal else None
        self._lock = threading.Lock()
        self._stage = ""
        self._total = self._done = self._kept = 0
        self._num_tokens = self._num_truncated = self._num_failed = 0
        self._num_judged = self._num_correct = 0
        self._began: float | None = None
        self._last_line = 0.0

    def __enter__(self) -> RunProgress:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()
        if self._began is not None:
            self._print(self.line())

    def stage(self, text: str) -> None:
        """What begins now."""
        self._stage = text
        if text.startswith("generating") and self._began is None:
            self._began = self._last_line = time.monotonic()
        if self._status:
            self._show()
        else:
            self._print(text)

    def expect(self, total: int, done: int) -> None:
        """How many responses there will be, and how many are there already."""
        self._total, self._kept = total, done
        if done:
            self.note(f"{done} of {total} responses are there already")

    def response(self, response: Response) -> None:
        """One more came from the engine."""
        with self._lock:
            self._done += 1
            self._num_tokens += response.num_tokens or 0
            self._num_truncated += response.finish_reason == "length"
            self._num_failed += response.finish_reason == "error"
        self._show()

    def judged(self, verdict: Verdict) -> None:
        """One more was checked; called from another thread."""
        with self._lock:
            self._num_judged += 1
            self._num_correct += verdict.status == "correct"

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self._print(text)

    def line(self) -> str:
        """The state in one line."""
        with self._lock:
            seconds = 0.0 if self._began is None else time.monotonic() - self._began
            parts = [f"{self._kept + self._done}/{self._total} responses"]
            if seconds > 1:
                parts.append(f"{self._num_tokens / seconds:,.0f} tokens/s")
            if self._num_judged:
                share = 100 * self._num_correct / self._num_judged
                parts.append(f"{share:.1f}% of {self._num_judged} correct")
            if self._done:
                parts.append(f"{self._num_truncated} truncated")
            if self._num_failed:
                parts.append(f"{self._num_failed} failed")
            left = self._total - self._kept - self._done
            if left > 0 and self._done:
                parts.append(f"{_clock(seconds / self._done * left)} left")
            elif self._done:
                parts.append(f"{_clock(seconds)} in all")
        return " · ".join(parts)

    def _show(self) -> None:
        now = time.monotonic()
        if self._status:
            if now - self._last_line > 0.1 or self._began is None:
                self._last_line = now
                text = self._stage if self._began is None else f"{self._stage} · {self.line()}"
                self._status.update(_plain(visible(text)))
        elif now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._print(self.line())

    def _print(self, text: str) -> None:
        self._console.print(visible(text), markup=False)
        if not self._status:
            sys.stderr.flush()


def _plain(text: str) -> str:
    """A status line reads markup; a model's name is text."""
    from rich.markup import escape

    return escape(text)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
