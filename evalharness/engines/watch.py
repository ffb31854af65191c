"""Runs any engine in a process of its own and goes on with a fresh one when it dies or hangs."""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from evalharness.engines import wire
from evalharness.engines.base import (
    Completion,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
)
from evalharness.engines.child import EngineDeathError, EngineProcess
from evalharness.errors import EngineError, EvalHarnessError
from evalharness.records import Prompt, ResponseKey, Sampling

DEFAULT_TIMEOUT = 300.0
"""Seconds without a step after which a watched engine counts as hung."""
_LOAD_SECONDS = 3600.0
"""Loading makes no steps: reading a large checkpoint from a network disk may take so long."""
_MOST_DEATHS_IN_A_ROW = 10
_PARTS = 16

Take = Callable[[int], list[Request]]
"""Gives more requests to an engine that has so many unfinished; none where it has enough for now.
An engine that has none left and is given none has finished."""


class WatchedEngine:
    """The engine `name` in a child process; its death costs the unfinished responses, not the run.

    A process that ends is noticed within a second; one that makes no step for
    `options.engine_timeout` seconds is killed, with all that it started. What was unfinished is
    done again by a fresh process, in groups a sixteenth as large, so that a prompt that kills is
    soon alone: when a second death is certainly its own, its responses become errors.
    """

    def __init__(
        self,
        name: str,
        options: EngineOptions,
        opener: str = "evalharness.engines:open_engine",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process.

        `opener` is the `module:function` that makes the engine there, `environment` what its
        process finds besides what this one has.

        Raises:
            EvalHarnessError: what opening the engine raises.
        """
        self.options = options
        self.deaths: list[str] = []
        """How the processes ended before their time."""
        self.tell: Callable[[str], None] = _say
        """What is told of each death."""
        self._asked_for = name
        self._opener = opener
        self._environment = dict(environment or {})
        self._is_abandoned = False
        self._timeout = options.engine_timeout or DEFAULT_TIMEOUT
        self._process: EngineProcess | None = None
        self._model: str | None = None
        self._record: ModelRecord | None = None
        self.name = name
        self._open()

    def load(self, model: str) -> ModelRecord:
        """Load `model` in the child; where that dies, once more.

        Raises:
            EngineError: it can't be run, or two processes died over it.
        """
        self._model, self._record, self._is_abandoned = model, None, False
        return self._load()

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """Render and tokenize one prompt in the child."""
        message = {"do": "prepare", "prompt": dataclasses.asdict(prompt)}
        try:
            reply = self._require().ask(message, self._timeout)
        except EngineDeathError as death:
            self._bury(f"{death}, while it prepared {prompt.problem_id}")
            try:
                reply = self._require().ask(message, self._timeout)
            except EngineDeathError as second:
                raise EngineError(
                    f"the engine's process died twice while it prepared {prompt.problem_id} with "
                    f"template {prompt.template}: {death}, then {second}"
                ) from second
        return wire.prepared_of(reply["prepared"])

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request; an error completion for a prompt that kills the engine.

        Raises:
            EngineError: the process died too often without giving a single response between.
        """
        given = [list(requests)]

        def take(_: int) -> list[Request]:
            return given.pop() if given else []

        return self.draw(take, sampling)

    def draw(self, take: Take, sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion for every request that `take` gives, until it gives none.

        It is asked for more after each completion and each beat. Requests that a dead process
        leaves are this engine's to finish, and nothing new is taken while it does.

        Raises:
            EngineError: the process died too often without giving a single response between.
        """
        groups: deque[list[Request]] = deque()
        deaths: dict[str, list[str]] = {}
        num_in_a_row = 0
        self._is_abandoned = False
        while True:
            is_again = bool(groups)
            left = {each.key: each for each in (groups.popleft() if is_again else take(0))}
            if not left:
                return
            try:
                for completion in self._draw(left, None if is_again else take, sampling):
                    num_in_a_row = 0
                    yield completion
                continue
            except EngineDeathError as death:
                how = str(death)
            if self._is_abandoned:
                return
            num_in_a_row += 1
            self._bury(f"{how}, {len(left)} responses unfinished")
            if num_in_a_row == _MOST_DEATHS_IN_A_ROW:
                raise EngineError(
                    f"the engine's process died {num_in_a_row} times without giving a response "
                    f"between, last: {how}. What came before is stored"
                )
            by_prompt = _by_prompt(left.values())
            for sha256 in by_prompt:
                deaths.setdefault(sha256, []).append(how)
            if len(by_prompt) == 1 and len(deaths[next(iter(by_prompt))]) > 1:
                for request in left.values():
                    yield _killer(request, deaths[request.prompt.sha256])
            else:
                groups.extend(_parts(list(by_prompt.values())))

    def abandon(self) -> None:
        """Have the process killed and `draw` or `load` end, from another thread.

        Ask again until they have: a process that just starts is not seen yet.
        """
        self._is_abandoned = True
        process = self._process
        if process:
            process.kill()

    def close(self) -> None:
        """End the process; calling it twice is allowed."""
        if self._process:
            self._process.close()
        self._process = self._model = self._record = None

    def _open(self) -> EngineProcess:
        process = EngineProcess(self._asked_for, self.options, self._opener, self._environment)
        try:
            self.name = process.name(_LOAD_SECONDS)
        except EngineDeathError as death:
            process.close(at_once=True)
            raise EngineError(f"the engine's process can't start: {death}") from death
        except EvalHarnessError:
            process.close(at_once=True)
            raise
        self._process = process
        return process

    def _load(self) -> ModelRecord:
        message = {"do": "load", "model": self._model}
        try:
            reply = (self._process or self._open()).ask(message, _LOAD_SECONDS)
        except EngineDeathError as death:
            if self._is_abandoned:
                raise
            self._bury(f"{death}, while it loaded {self._model}")
            try:
                reply = self._open().ask(message, _LOAD_SECONDS)
            except EngineDeathError as second:
                raise EngineError(
                    f"{self._model}: the engine's process died twice while it loaded: {death}, "
                    f"then {second}. Without --watch its own message is seen"
                ) from second
        found = wire.record_of(reply["record"])
        known = self._record
        if known and (known.revision, known.dtype) != (found.revision, found.dtype):
            raise EngineError(
                f"{found.model} is not what it was before the engine died: {found.revision}, "
                f"{found.dtype}, then {known.revision}, {known.dtype}. Restore it, then run the "
                "same command again"
            )
        details = found.details | {"engine_timeout": self._timeout}
        self._record = dataclasses.replace(found, details=details)
        return self._record

    def _require(self) -> EngineProcess:
        """The process with the model loaded; a fresh one where the last is dead."""
        if self._model is None:
            raise EngineError(f"the {self.name} engine has no model: call load first")
        if self._process is None:
            self._load()
        return self._process or self._open()

    def _draw(
        self, left: dict[ResponseKey, Request], take: Take | None, sampling: Sampling
    ) -> Iterator[Completion]:
        """Yield completions; `left` gains what is taken and loses what is finished."""
        is_done = is_fed = False
        try:
            process = self._require()
            self._send(process, list(left.values()), sampling)
            while left:
                reply = process.receive(self._timeout, with_beats=True)
                if reply.get("done") == process.num_requested:
                    raise EngineError(
                        f"the {self.name} engine gave no response to {len(left)} requests, "
                        f"{next(iter(left))} first: report this"
                    )
                if "completion" in reply:
                    completion = wire.completion_of(reply["completion"])
                    del left[completion.key]
                    yield completion
                more = take(len(left)) if take else []
                if more:
                    is_fed = True
                    left |= {request.key: request for request in more}
                    self._send(process, more, sampling)
            while process.receive(self._timeout).get("done") != process.num_requested:
                pass
            is_done = True
        except EngineDeathError:
            raise
        except EvalHarnessError:
            # It refused and serves on, but what was sent meanwhile would be answered.
            is_done = not is_fed
            raise
        finally:
            if not is_done and self._process:
                # Nobody wants the rest, or it is dead.
                self._process.close(at_once=True)
                self._process = None

    def _send(self, process: EngineProcess, requests: list[Request], sampling: Sampling) -> None:
        process.num_requested += len(requests)
        message = {"do": "generate"} | wire.requests_message(requests, sampling)
        process.send(message, self._timeout)

    def _bury(self, how: str) -> None:
        if self._process:
            self._process.close(at_once=True)
            self._process = None
        self.deaths.append(how)
        self.tell(f"the engine's process died: {how}; a fresh one goes on")


def _say(death: str) -> None:
    print(f"evalharness: {death}", file=sys.stderr)


def _by_prompt(requests: Iterable[Request]) -> dict[str, list[Request]]:
    found: dict[str, list[Request]] = {}
    for request in requests:
        found.setdefault(request.prompt.sha256, []).append(request)
    return found


def _parts(prompts: list[list[Request]]) -> Iterator[list[Request]]:
    """The requests in sixteen groups, or up to 31 of one prompt; no prompt is in two of them."""
    width = max(1, len(prompts) // _PARTS)
    for start in range(0, len(prompts), width):
        yield [request for each in prompts[start : start + width] for request in each]


def _killer(request: Request, deaths: list[str]) -> Completion:
    fields: dict[str, Any] = {"text": "", "num_tokens": None, "finish_reason": "error"}
    return Completion(
        **fields,
        key=request.key,
        error=f"the engine died {len(deaths)} times over this prompt (sha256 "
        f"{request.prompt.sha256}), last with nothing else to do: {'; '.join(deaths)}",
    )
