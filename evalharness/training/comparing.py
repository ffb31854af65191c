"""Several algorithms and seeds from one base: what to train, and the processes that train it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.definitions import Definition
from evalharness.errors import InputError, TrainingError
from evalharness.training.algorithms import algorithm

BASE = "base"
_KEYS = ("description", "base", "train", "runs", "evaluate")
_STAGES = ("toy", "sft")
_EVALUATION_KEYS = ("benchmark", "template", "samples", "temperature", "max-tokens", "seed")
_PER_RUN = ("algorithm", "name", "seeds")
_SET_BY_COMPARE = ("out", "model", "config", "seed", "json")
_LAST_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training."""

    name: str
    folder: Path
    kind: str
    """`toy`, `sft` or `rl`: the subcommand of `train`."""
    flags: Mapping[str, Any]
    """Flag without its dashes -> value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison is made of."""

    description: str
    base: str
    """Where every training starts: a model, or what the last of `stages` makes."""
    stages: tuple[Job, ...]
    """Make the base first, one after the other; empty where it is there already."""
    jobs: tuple[Job, ...]
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    """`benchmark`, `template`, `samples`, `temperature`, `max-tokens`, `seed`."""

    def models(self) -> dict[str, str]:
        """Name -> checkpoint, the base first; for the evaluation, when all are trained."""
        from evalharness.training.state import checkpoints

        found = {BASE: self.base}
        for job in self.jobs:
            whole = checkpoints(job.folder)
            found[job.name] = str(whole[max(whole)])
        return found


def read_comparison(path: Path, output: Path) -> Comparison:
    """Read the TOML that says what to train.

    `base` is a model, or `[[base]]` lists the stages that make one: each has `kind`, `toy` or
    `sft`, and flags of that command. `[train]` holds flags of `train rl` for all runs, `[[runs]]`
    have `algorithm`, `seeds` and flags of their own, `[evaluate]` says what is measured.

    Raises:
        InputError: with the line.
    """
    definition = Definition(path)
    table = definition.table
    definition.check_keys(table, _KEYS)
    stages = _stages(definition, output)
    base = str(stages[-1].folder) if stages else definition.need(table, "base", str)
    runs = definition.get(table, "runs", list, [])
    if not runs:
        raise definition.wrong("there is nothing to train: add [[runs]] with an algorithm")
    shared = definition.get(table, "train", dict, {})
    jobs: list[Job] = []
    for run in runs:
        jobs += _jobs(definition, run, shared, base, output)
    names = [job.name for job in jobs]
    for name in names:
        if names.count(name) > 1 or name == BASE:
            raise definition.wrong(f'two trainings are called "{name}": give one a "name"', "runs")
    evaluation = definition.get(table, "evaluate", dict, {})
    definition.check_keys(evaluation, _EVALUATION_KEYS)
    if not evaluation.get("benchmark"):
        raise definition.wrong('[evaluate] needs "benchmark", a list of benchmarks', "evaluate")
    return Comparison(
        description=definition.get(table, "description", str, ""),
        base=base,
        stages=stages,
        jobs=tuple(jobs),
        evaluation=evaluation,
    )


def _stages(definition: Definition, output: Path) -> tuple[Job, ...]:
    if not isinstance(definition.table.get("base"), list):
        return ()
    jobs: list[Job] = []
    entries = definition.tables("base")
    for number, entry in enumerate(entries, start=1):
        kind = definition.need(entry, "kind", str)
        if kind not in _STAGES:
            raise definition.wrong(f'"kind" must be one of {", ".join(_STAGES)}', "kind")
        flags = {key: value for key, value in entry.items() if key != "kind"}
        if jobs:
            flags["model"] = str(jobs[-1].folder)
        name = BASE if number == len(entries) else f"{BASE}-{number}"
        jobs.append(Job(name=name, folder=output / name, kind=kind, flags=flags))
    return tuple(jobs)


def _jobs(
    definition: Definition,
    run: Mapping[str, Any],
    shared: Mapping[str, Any],
    base: str,
    output: Path,
) -> list[Job]:
    name = definition.need(dict(run), "algorithm", str)
    algorithm(name)
    seeds = run.get("seeds", [0])
    if not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise definition.wrong('"seeds" must be a list of whole numbers', "seeds")
    own = {key: value for key, value in run.items() if key not in _PER_RUN}
    for key in (*shared, *own):
        if key in _SET_BY_COMPARE:
            raise definition.wrong(f'"{key}" is set for every run: leave it out', key)
    called = run.get("name", name)
    return [
        Job(
            name=f"{called}-{seed}",
            folder=output / "trained" / f"{called}-{seed}",
            kind="rl",
            flags={**shared, **own, "algorithm": name, "model": base, "seed": seed},
        )
        for seed in seeds
    ]


def train_all(
    comparison: Comparison, output: Path, *, num_jobs: int, note: Callable[[str], None]
) -> None:
    """Train everything that isn't trained yet, `num_jobs` at a time, each in its own process.

    A training that was interrupted goes on where it stopped. Each has a log beside its settings in
    `<output>/jobs`.

    Raises:
        InputError: `num_jobs` is below 1.
        TrainingError: a training failed; the others were ended and go on with the same command.
    """
    if num_jobs < 1:
        raise InputError(f"--jobs is {num_jobs}: it must be at least 1")
    folder = output / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    for stage in comparison.stages:
        if not stage.folder.exists():
            _Crew(folder, 1, note).train([stage])
    _Crew(folder, num_jobs, note).train(comparison.jobs)


class _Crew:
    """Processes that train; when one fails, all end."""

    def __init__(self, folder: Path, num_jobs: int, note: Callable[[str], None]) -> None:
        self._folder, self._num_jobs, self._note = folder, num_jobs, note
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._is_ending = False

    def train(self, jobs: Sequence[Job]) -> None:
        with ThreadPoolExecutor(self._num_jobs) as threads:
            futures = [threads.submit(self._train, job) for job in jobs]
            try:
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
            lines = [f"{key} = {json.dumps(value)}\n" for key, value in job.flags.items()]
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
            for process in self._running.values():
                process.terminate()


def _flag(key: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{key}"] if value else []
    values = value if isinstance(value, list) else [value]
    return [part for each in values for part in (f"--{key}", str(each))]
