"""Stores responses from a thread of its own, so that the disk never holds up the engine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType

from evalharness.records import Response
from evalharness.store import RunWriter

_MOST_IN_A_BATCH = 1024


class Sink:
    """Takes responses, appends them batch by batch, and hands each on once it is on the disk.

    A batch is whatever has come while the last one was being flushed: few responses a second are
    flushed one by one, many of them together.
    """

    def __init__(self, writer: RunWriter, stored: Callable[[Response], None]) -> None:
        self._writer = writer
        self._stored = stored
        self._queue: queue.Queue[Response | None] = queue.Queue(maxsize=8 * _MOST_IN_A_BATCH)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="sink", daemon=True)
        self._thread.start()

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._join()
        if value is None:
            self._raise()

    def put(self, response: Response) -> None:
        """Take one response.

        Raises:
            StoreError: an earlier one couldn't be written.
        """
        self._raise()
        self._queue.put(response)

    def close(self) -> None:
        """Return when everything is on the disk.

        Raises:
            StoreError: something couldn't be written.
        """
        self._join()
        self._raise()

    def _join(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error:
            error, self._error = self._error, None
            raise error

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            while len(batch) < _MOST_IN_A_BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            is_open = None not in batch
            responses = [response for response in batch if response is not None]
            if responses and self._error is None:
                try:
                    self._writer.append(responses)
                    for response in responses:
                        self._stored(response)
                except Exception as error:  # noqa: BLE001 - raised again by put() and close()
                    self._error = error
