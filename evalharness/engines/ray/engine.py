"""The engine over a Ray cluster: Ray Data hands requests to actors with an engine each."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evalharness.engines import wire
from evalharness.engines.base import (
    Completion,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
)
from evalharness.engines.parallel import room_of
from evalharness.engines.ray.actor import OPENER, Scout
from evalharness.engines.ray.cluster import (
    LOCAL_RAY,
    Membership,
    Workers,
    in_words,
    is_outside,
    plan_workers,
)
from evalharness.engines.ray.dataset import Round, draw_lines, draw_lines_from_outside
from evalharness.errors import EngineError, InputError
from evalharness.records import Prompt, ResponseKey, Sampling

_ENGINES = ("auto", "transformers", "vllm")
_LARGEST_BUNDLE = 32
_MOST_BUNDLES = 20_000
_MOST_CALLS = 64
_ROUNDS_TOGETHER = 2


class RayEngine:
    """Runs `options.ray_engine` in actors of a Ray cluster.

    What is finished is known here by its key and nowhere else: whatever a lost actor leaves is
    handed out again in the next round, and what comes twice counts once.
    """

    def __init__(self, options: EngineOptions, opener: str = OPENER) -> None:
        if options.ray_engine not in _ENGINES:
            raise InputError(
                f'--ray-engine "{options.ray_engine}": choose one of {", ".join(_ENGINES)}'
            )
        self.options = options
        self.name = "ray"
        self.tell: Callable[[str], None] = _say
        """What is told of actors that were lost."""
        message = wire.options_message(options) | {"engine_timeout": options.engine_timeout}
        self._arguments = (options.ray_engine, message, opener)
        self._scout: Any = None
        self._model: str | None = None
        self._room = 1
        self._running: Any = None
        self._cluster = Membership(options.ray_address)
        try:
            self.workers = self._plan()
        except BaseException:
            self.close()
            raise

    def load(self, model: str) -> ModelRecord:
        """Have one actor load `model` and say what it is; the pool starts with the first request.

        Raises:
            EngineError: it can't be run there.
        """
        import ray

        self._model = str(Path(model).resolve()) if Path(model).is_dir() else model
        with in_words(f"an actor loaded {model}"):
            if self._scout is None:
                self._scout = (
                    ray.remote(Scout).options(**self._resources()).remote(*self._arguments)
                )
            found = _accepted(ray.get(self._scout.load.remote(self._model)))
        record = wire.record_of(found["record"])
        self.name = found["name"]
        self._room = room_of(record, self.options)
        address = self.options.ray_address or LOCAL_RAY
        return dataclasses.replace(
            record,
            model=model,
            details=record.details
            | {"ray": ray.__version__, "ray_address": address, "ray_actors": str(self.workers)},
            notes=(*record.notes, f"Ray at {address}: {self.workers}"),
        )

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        """Render and tokenize one prompt on the cluster, where the tokenizer is."""
        import ray

        if self._scout is None:
            raise EngineError("the ray engine has no model: call load first")
        with in_words("an actor prepared a prompt"):
            reply = ray.get(self._scout.prepare.remote(dataclasses.asdict(prompt)))
        return wire.prepared_of(_accepted(reply))

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, as they finish.

        After two rounds with lost actors every prompt goes alone; one whose actor is lost even
        then becomes an error.
        """
        self._dismiss_scout()
        left = {request.key: request for request in requests}
        number = 0
        while left:
            number += 1
            is_alone = number > _ROUNDS_TOGETHER
            bundle, calls = (1, 1) if is_alone else self._bundles(len(left))
            for completion in self._draw(list(left.values()), bundle, calls, sampling):
                if left.pop(completion.key, None) is not None:
                    yield completion
            if left and is_alone:
                for request in left.values():
                    yield _lost(request, number)
                return
            if left:
                self.tell(f"actors of the Ray cluster were lost with {len(left)} responses; again")

    def close(self) -> None:
        """End the actors and leave the cluster; calling it twice is allowed."""
        self._stop_drawing()
        self._dismiss_scout()
        self._cluster.leave()

    def _plan(self) -> Workers:
        import ray

        cluster_resources: Any = ray.cluster_resources
        with in_words("it was asked what it has"):
            total = cluster_resources()
        return plan_workers(self.options, int(total.get("GPU", 0)), int(total.get("CPU", 1)))

    def _resources(self) -> dict[str, Any]:
        return {"num_gpus": self.workers.num_gpus, "num_cpus": self.workers.num_cpus}

    def _dismiss_scout(self) -> None:
        """Free its GPU for the pool."""
        import ray

        if self._scout is not None and ray.is_initialized():
            ray.kill(self._scout)
        self._scout = None

    def _stop_drawing(self) -> None:
        """End the actors of the pool."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _bundles(self, num_requests: int) -> tuple[int, int]:
        """How many requests travel together, and how many such bundles an actor has at a time."""
        each = -(-num_requests // self.workers.count)
        bundle = max(1, min(each // 8, _LARGEST_BUNDLE), num_requests // _MOST_BUNDLES)
        calls = min(-(-self._room // bundle), -(-each // bundle), _MOST_CALLS)
        return bundle, calls

    def _draw(
        self, requests: list[Request], bundle: int, calls: int, sampling: Sampling
    ) -> Iterator[Completion]:
        """One round: every completion that an actor lived to give."""
        rows = [
            json.dumps(wire.requests_message(requests[at : at + bundle], sampling))
            for at in range(0, len(requests), bundle)
        ]
        actor = (*self._arguments, self._model, sampling)
        plan = Round(rows=rows, calls=calls, workers=self.workers, actor=actor)
        with in_words("it drew responses"):
            # An execution has threads of its own, which must end before the cluster is left.
            self._running = draw_lines_from_outside(plan) if is_outside() else draw_lines(plan)
            try:
                for line in self._running:
                    yield wire.completion_of(_accepted(json.loads(line))["completion"])
            finally:
                self._stop_drawing()


def _accepted(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply; what was refused in an actor is raised here."""
    if "refused" in reply:
        raise wire.refusal_of(*reply["refused"])
    return reply


def _lost(request: Request, rounds: int) -> Completion:
    key: ResponseKey = request.key
    return Completion(
        key=key,
        text="",
        num_tokens=None,
        finish_reason="error",
        error=f"{rounds} actors were lost over this prompt (sha256 {request.prompt.sha256}), the "
        "last with nothing else to do",
    )


def _say(loss: str) -> None:
    print(f"evalharness: {loss}", file=sys.stderr)
