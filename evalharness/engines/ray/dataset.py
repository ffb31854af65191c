"""One round of Ray Data: rows of requests in, lines of completions out as they finish."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.engines.ray.actor import DrawBundles, Lease
from evalharness.engines.ray.cluster import Workers, keep_data_quiet, without_warnings

_LONGEST_ANSWER = 1000
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is handed out, and to whom."""

    rows: Sequence[str]
    """Bundles of requests, as JSON."""
    calls: int
    """Bundles that one actor works on at a time."""
    workers: Workers
    actor: tuple[Any, ...]
    """What makes a `DrawBundles`."""


def draw_lines(plan: Round) -> Iterator[str]:
    """Yield every line that an actor lived to give; what a lost one had is missing.

    Closing the generator ends the actors.
    """
    import ray.data

    keep_data_quiet()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A row is on its way as soon as it is made, not once there are 128 MiB of them.
    context.target_max_block_size = 1
    # What an actor takes with it when it is lost must not end the others.
    context.max_errored_blocks = -1
    compute = ray.data.ActorPoolStrategy(
        min_size=1,
        max_size=plan.workers.count,
        initial_size=plan.workers.count,
        max_tasks_in_flight_per_actor=plan.calls,
        max_concurrent_calls_per_actor=plan.calls,
        enable_true_multi_threading=True,
    )
    lease: Any = ray.remote(Lease).options(num_cpus=0).remote()
    items = [{"line": row} for row in plan.rows]
    with without_warnings():
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            DrawBundles,
            batch_size=None,
            compute=compute,
            fn_constructor_args=(*plan.actor, lease),
            max_restarts=-1,
            # Ray would take the rows of a second attempt for those of the first.
            max_task_retries=0,
            num_gpus=plan.workers.num_gpus,
            num_cpus=plan.workers.num_cpus,
        )
    batches: Any = iter(dataset.iter_batches(batch_size=None, prefetch_batches=0))
    try:
        for batch in batches:
            yield from map(str, batch["line"])
    finally:
        batches.close()
        ray.kill(lease)


class Coordinator:
    """Draws a round on the cluster for a process outside of it: Ray Data has no client mode."""

    def __init__(self, plan: Round) -> None:
        self._lines: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(plan,), daemon=True).start()

    def take(self) -> tuple[list[str], bool]:
        """The lines since the last call, after a short wait, and whether they were the last.

        Raises what drawing raised, once all lines before it are taken.
        """
        lines: list[str] = []
        try:
            while len(lines) < _LONGEST_ANSWER:
                line = self._lines.get(timeout=0 if lines else _LOOK_SECONDS)
                if isinstance(line, BaseException):
                    if lines:
                        self._lines.put(line)  # for the next call: these have come before it
                        return lines, False
                    raise line
                if line is None:
                    return lines, True
                lines.append(line)
        except queue.Empty:
            pass
        return lines, False

    def _work(self, plan: Round) -> None:
        try:
            for line in draw_lines(plan):
                self._lines.put(line)
            self._lines.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by take
            self._lines.put(error)


def draw_lines_from_outside(plan: Round) -> Iterator[str]:
    """The same for a process that isn't part of the cluster, as with `ray://`."""
    import ray

    coordinator: Any = ray.remote(Coordinator).options(num_cpus=0, max_concurrency=2).remote(plan)
    try:
        is_last = False
        while not is_last:
            lines, is_last = ray.get(coordinator.take.remote())
            yield from lines
    finally:
        # Its actors belong to it and end with it.
        ray.kill(coordinator)
