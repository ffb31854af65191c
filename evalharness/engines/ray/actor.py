"""What runs inside a Ray actor: a watched engine that many calls feed at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

from evalharness.engines import wire
from evalharness.engines.base import Completion, Request
from evalharness.engines.watch import DEFAULT_TIMEOUT, WatchedEngine
from evalharness.errors import EvalHarnessError
from evalharness.records import ResponseKey, Sampling

_SETTLE_SECONDS = 0.05
OPENER = "evalharness.engines:open_engine"


def open_in_actor(engine: str, options: dict[str, Any], opener: str = OPENER) -> WatchedEngine:
    """The engine in a process of its own, so that its death isn't the actor's."""
    plain = wire.options_of(options)
    timeout = plain.engine_timeout or DEFAULT_TIMEOUT
    return WatchedEngine(engine, dataclasses.replace(plain, engine_timeout=timeout), opener)


class Scout:
    """Loads a model once to say what it is, and prepares prompts with its tokenizer."""

    def __init__(self, engine: str, options: dict[str, Any], opener: str) -> None:
        self._arguments = (engine, options, opener)
        self._engine: WatchedEngine | None = None

    def load(self, model: str) -> dict[str, Any]:
        """The engine's name and the model's record, or what was refused."""
        try:
            if self._engine is None:
                self._engine = open_in_actor(*self._arguments)
            record = dataclasses.asdict(self._engine.load(model))
        except EvalHarnessError as error:
            return {"refused": [type(error).__name__, str(error)]}
        return {"name": self._engine.name, "record": record}

    def prepare(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """One prompt as the model sees it, or what was refused."""
        try:
            if self._engine is None:
                raise ValueError("load comes first")
            prepared = self._engine.prepare(wire.prompt_of(prompt))
        except EvalHarnessError as error:
            return {"refused": [type(error).__name__, str(error)]}
        return dataclasses.asdict(prepared)


class Lease:
    """Is there as long as a round of drawing is; whoever draws for that round ends with it.

    Ray kills the actors of a round, but not one that is just being restarted: that one would keep
    its GPU from the next round for ever.
    """

    async def hold(self) -> None:
        """Return at once, if this is still there."""

    async def end(self) -> None:
        """Never return: who waits for it is told when this is gone."""
        await asyncio.Event().wait()


class DrawBundles:
    """For `map_batches`: rows of requests in, a row a completion out, each when it is finished.

    Calls come from several threads; all feed one engine, which so never runs dry between them.
    Whatever the engine refuses is a row too: an exception would cost Ray the rows beside it.
    """

    def __init__(
        self,
        engine: str,
        options: dict[str, Any],
        opener: str,
        model: str,
        sampling: Sampling,
        lease: Any,
    ) -> None:
        """Begin to load the model; an actor that fails here isn't started again.

        Raises:
            RayActorError: the round is over.
        """
        import ray

        ray.get(lease.hold.remote())
        threading.Thread(target=_end_with, args=(lease,), daemon=True).start()
        self._waiting: queue.SimpleQueue[list[Request]] = queue.SimpleQueue()
        self._askers: dict[ResponseKey, queue.SimpleQueue[Completion | None]] = {}
        self._error: str | None = None
        self._lock = threading.Lock()
        arguments = (engine, options, opener, model, sampling)
        threading.Thread(target=self._work, args=arguments, daemon=True).start()

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[str]]]:
        """Yield `{"line": [JSON]}` a completion."""
        asked = [each for line in batch["line"] for each in wire.requests_of(json.loads(line))[0]]
        answers: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()
        with self._lock:
            self._askers |= {request.key: answers for request in asked}
            if self._error is not None:
                answers.put(None)
        self._waiting.put(asked)
        for _ in asked:
            completion = answers.get()
            if completion is None:
                yield {"line": [self._error or ""]}
                return
            yield {"line": [json.dumps({"completion": wire.completion_message(completion)})]}

    def _work(
        self, engine: str, options: dict[str, Any], opener: str, model: str, sampling: Sampling
    ) -> None:
        """Draw for everybody until the actor ends."""
        try:
            watched = open_in_actor(engine, options, opener)
            watched.load(model)
            for completion in watched.draw(self._take, sampling):
                with self._lock:
                    asker = self._askers.pop(completion.key)
                asker.put(completion)
        except BaseException as error:  # noqa: BLE001 - goes to all who wait, and is raised there
            with self._lock:
                self._error = json.dumps({"refused": [type(error).__name__, str(error)[:2000]]})
                for asker in self._askers.values():
                    asker.put(None)

    def _take(self, num_left: int) -> list[Request]:
        """What is waiting; for an engine with nothing to do, once there is something."""
        taken: list[Request] = []
        if num_left == 0:
            taken += self._waiting.get()
        while True:
            try:
                # An idle engine begins with what comes together.
                taken += self._waiting.get(timeout=0 if num_left else _SETTLE_SECONDS)
            except queue.Empty:
                return taken


def _end_with(lease: Any) -> None:
    """End this process when the lease is gone."""
    import ray
    import ray.exceptions

    try:
        ray.get(lease.end.remote())
    except ray.exceptions.RayError:
        os._exit(0)
