"""The engine that asks an OpenAI-compatible server: vLLM, SGLang or a hosted API."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from evalharness.engines.base import (
    Completion,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
    chat_as_lines,
)
from evalharness.engines.openai.client import Client, RowError
from evalharness.engines.openai.limits import AdaptiveLimit, FixedLimit, Slots
from evalharness.engines.openai.requests import (
    check_sendable,
    completion_of,
    kind_of,
    request_body,
    unsent_fields,
)
from evalharness.engines.openai.retries import RetryPolicy
from evalharness.engines.openai.server import PATHS, Server, find_server
from evalharness.engines.pulse import beat
from evalharness.errors import EngineError
from evalharness.records import Prompt, Sampling

T = TypeVar("T")
_BEAT_SECONDS = 0.5


class OpenAIEngine:
    """One request a sample, so that its length is the server's own count.

    An event loop of its own runs while `generate` is asked for the next completion; between two
    completions nothing is sent, so that a slow consumer meets no growing queue.
    """

    name = "openai"

    def __init__(self, options: EngineOptions, policy: RetryPolicy) -> None:
        self.options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._steps: ThreadPoolExecutor | None = None
        self._server: Server | None = None
        self._flight: _Flight | None = None
        limit = options.concurrency
        self.slots = Slots(AdaptiveLimit() if limit is None else FixedLimit(limit))
        self.client = Client(
            options.base_url or "",
            options.api_key_env,
            self.slots,
            policy,
            options.request_timeout,
        )

    def load(self, model: str) -> ModelRecord:
        """Find `model` among those that the server has.

        Raises:
            EngineError: nothing answers, the key is refused, the server has other models, or less
                context than is asked for.
        """
        server = self._run(find_server(self.client, model))
        context, wanted = server.context_length, self.options.max_model_len
        if context is not None and wanted is not None and wanted > context:
            raise EngineError(
                f"--max-model-len {wanted} is more than the {context} tokens of {model} at "
                f"{self.client.base_url}: give {context} or less"
            )
        self._server = server
        unsent = unsent_fields(server)
        notes = []
        if self.options.deterministic:
            notes.append(
                "--deterministic can't reach into a server: start vLLM with "
                "VLLM_BATCH_INVARIANT=1; each request's seed is sent"
            )
        if unsent:
            notes.append(
                f"{server.owner} at {self.client.base_url} takes no {', '.join(unsent)} "
                f"({server.fields_from}): the server's own values hold"
            )
        if server.counts_eos is None:
            notes.append(
                f"whether {server.owner} counts the end token among a response's tokens isn't "
                "known: lengths may be one too long"
            )
        return ModelRecord(
            model=model,
            revision=f"served as {server.root}",
            context_length=wanted or context,
            dtype="the server's",
            device="a server",
            details={
                "base_url": self.client.base_url,
                "server": server.owner,
                "server_version": server.version,
                "fields_from": server.fields_from,
                "fields_not_sent": list(unsent),
                "counts_eos": server.counts_eos,
                "concurrency": self.options.concurrency or "auto",
            },
            notes=tuple(notes),
        )

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """The prompt as it is sent; only the server has the tokenizer."""
        if prompt.messages is None:
            return PreparedPrompt(text=prompt.text or "", token_ids=None)
        text = chat_as_lines(prompt.messages)
        return PreparedPrompt(text=text, token_ids=None, messages=prompt.messages)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they come; a request that the server refuses is an error completion.

        Raises:
            EngineError: no request can be answered any more; what was yielded stays.
        """
        server = self._require()
        for request in requests:
            check_sendable(server, request, sampling)
        flight = self._flight = _Flight(self, server, sampling)
        num_taken = 0
        try:
            while num_taken < len(requests) or flight.num_flying:
                # Rows that wait for their next attempt hold no slot; they are bounded too.
                window = 2 * self.slots.limit.limit + 1
                while num_taken < len(requests) and flight.num_flying < window:
                    flight.start(requests[num_taken])
                    num_taken += 1
                self._run(flight.wait())
                yield from flight.landed()
        finally:
            self._land(flight)

    def close(self) -> None:
        """Give up what is under way and close the connections."""
        if self._loop:
            if self._flight:
                self._land(self._flight)
            self._run(self.client.close())
            self._loop.close()
            self._loop = None
        if self._steps:
            self._steps.shutdown()
            self._steps = None
        self._server = None

    async def answer(self, server: Server, request: Request, sampling: Sampling) -> Completion:
        """What the server says to one request, an error completion where it can't be had."""
        body = request_body(server, request, sampling)
        try:
            answer = await self.client.ask(PATHS[kind_of(request)], body)
        except RowError as error:
            return Completion(
                key=request.key, text="", num_tokens=None, finish_reason="error", error=str(error)
            )
        return completion_of(server, request, answer)

    def _land(self, flight: _Flight) -> None:
        """End a flight, once: its generator may be closed after the engine is."""
        if self._flight is flight and self._loop:
            self._flight = None
            self._run(flight.cancel())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._loop.run_until_complete(work)
        # A thread runs one loop at a time: in a notebook ours takes its steps in another one.
        if self._steps is None:
            self._steps = ThreadPoolExecutor(1, thread_name_prefix="openai-engine")
        return self._steps.submit(self._loop.run_until_complete, work).result()

    def _require(self) -> Server:
        if self._server is None:
            raise EngineError("the openai engine has no model: call load first")
        return self._server


class _Flight:
    """The requests that are under way, and those that have come back."""

    def __init__(self, engine: OpenAIEngine, server: Server, sampling: Sampling) -> None:
        self._engine = engine
        self._server = server
        self._sampling = sampling
        self._new: list[Request] = []
        self._tasks: set[asyncio.Task[Completion]] = set()
        self._landed: deque[asyncio.Task[Completion]] = deque()
        self._news: asyncio.Event = asyncio.Event()

    @property
    def num_flying(self) -> int:
        """Started and not yet given out."""
        return len(self._new) + len(self._tasks) + len(self._landed)

    def start(self, request: Request) -> None:
        """Send a request as soon as the loop runs."""
        self._new.append(request)

    async def wait(self) -> None:
        """Return when something has landed; waiting for a server is no hang."""
        for request in self._new:
            work = self._engine.answer(self._server, request, self._sampling)
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._land)
        self._new.clear()
        while not self._landed:
            beat()
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _BEAT_SECONDS)

    def landed(self) -> Iterator[Completion]:
        """What has come back since the last call.

        Raises:
            EngineError: no request can be answered any more; what came with it is given first.
        """
        # Stable: answers keep their order, and none is thrown away for a failure beside it.
        self._landed = deque(sorted(self._landed, key=lambda task: task.exception() is not None))
        while self._landed:
            yield self._landed.popleft().result()

    async def cancel(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in self._landed:
            if not task.cancelled():
                task.exception()  # somebody has looked: no warning about it
        self._landed.clear()

    def _land(self, task: asyncio.Task[Completion]) -> None:
        self._tasks.discard(task)
        self._landed.append(task)
        self._news.set()
