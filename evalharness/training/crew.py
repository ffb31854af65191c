"""The processes that train a comparison: several at a time, all ended when one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evalharness.errors import InputError, TrainingError
from evalharness.plan import identity_changes
from evalharness.store import write_atomically
from evalharness.training.comparing import Comparison, Job
from evalharness.training.state import is_finished, parent_of

_LAST_LINES = 12


def train_all(
    comparison: Comparison, output: Path, *, num_jobs: int, note: Callable[[str], None]
) -> None:
    """Train everything that isn't trained yet, `num_jobs` at a time, each in its own process.

    A training that was interrupted goes on where it stopped. Each has a log beside its settings in
    `<output>/jobs`.

    Raises:
        InputError: `num_jobs` is below 1, or the base that is there was made with other settings.
        TrainingError: a training failed; the others were ended and go on with the same command.
    """
    if num_jobs < 1:
        raise InputError(f"--jobs is {num_jobs}: it must be at least 1")
    folder = output / "jobs"
    with parent_of(folder):
        folder.mkdir(exist_ok=True)
    for stage in comparison.stages:
        _make_stage(stage, folder, note)
    _Crew(folder, num_jobs, note).train(comparison.jobs)


def _make_stage(stage: Job, folder: Path, note: Callable[[str], None]) -> None:
    """Train a stage of the base, or take the one that was made with the same settings."""
    record = folder / f"{stage.name}.json"
    flags = dict(stage.flags)
    if "model" in flags:  # the stage before, however --out was spelled
        flags["model"] = str(flags["model"]).removeprefix(f"{stage.folder.parent}{os.sep}")
    if not is_finished(stage.folder):  # one that was interrupted goes on
        _Crew(folder, 1, note).train([stage])
        write_atomically(record, json.dumps(flags, indent=1) + "\n")
    elif record.exists():
        changes = identity_changes(json.loads(record.read_text(encoding="utf-8")), flags)
        if changes:
            raise InputError(
                f"{stage.folder} was made with other settings. What changed:\n"
                + "\n".join(changes)
                + "\nName another --out, or take the settings back."
            )


class _Crew:
    """Processes that train; when one fails, all end."""

    def __init__(self, folder: Path, num_jobs: int, note: Callable[[str], None]) -> None:
        self._folder, self._num_jobs, self._note = folder, num_jobs, note
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._is_ending = False

    def train(self, jobs: Sequence[Job]) -> None:
        with ThreadPoolExecutor(self._num_jobs) as threads:
            futures: list[Future[None]] = []
            try:  # around the start too: the first may be interrupted before the last is there
                for job in jobs:
                    futures.append(threads.submit(self._train, job))
                for future in futures:
                    future.result()
            except BaseException:
                self._end()
                for future in futures:
                    future.cancel()
                raise

    def _train(self, job: Job) -> None:
        log = self._folder / f"{job.name}.log"
        with log.open("ab") as file:
            with self._lock:
                if self._is_ending:
                    return
                process = subprocess.Popen(
                    self._command(job),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    env=self._environment(),
                )
                self._running[job.name] = process
            self._note(f"training {job.name} (log: {log})")
            status = process.wait()
        with self._lock:
            del self._running[job.name]
            is_ending = self._is_ending
        if status != 0 and not is_ending:
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
            raise TrainingError(
                f"training {job.name} failed with status {status}; its log {log} ends with:\n"
                + "\n".join(f"  {line}" for line in last)
            )

    def _command(self, job: Job) -> list[str]:
        if job.kind != "rl":
            flags = [part for key, value in job.flags.items() for part in _flag(key, value)]
        else:
            config = self._folder / f"{job.name}.toml"
            lines = [
                f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
                for key, value in job.flags.items()
            ]
            config.write_text("".join(lines), encoding="utf-8")
            flags = ["--config", str(config)]
        start = [sys.executable, "-m", "evalharness", "train", job.kind]
        return [*start, *flags, "--out", str(job.folder)]

    def _environment(self) -> dict[str, str]:
        """Threads are shared out: more of them than cores make every training slower."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        threads = str(max(1, cores // self._num_jobs))
        return {"OMP_NUM_THREADS": threads} | os.environ

    def _end(self) -> None:
        with self._lock:
            self._is_ending = True
            running = list(self._running.values())
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _flag(key: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{key}"] if value else []
    values = value if isinstance(value, list) else [value]
    return [part for each in values for part in (f"--{key}", str(each))]
