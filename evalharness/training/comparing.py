"""Several algorithms and seeds from one base: what to train, read and checked before it begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evalharness.definitions import Definition, suggestion
from evalharness.errors import InputError
from evalharness.training.algorithms import Algorithm, algorithm
from evalharness.training.config import RLConfig

BASE = "base"
_KEYS = ("description", "base", "train", "runs", "evaluate")
_STAGES = ("toy", "sft")
_EVALUATION_KEYS = ("benchmark", "template", "samples", "temperature", "max-tokens", "seed")
_PER_RUN = ("algorithm", "name", "seeds")
_SET_BY_COMPARE = ("out", "model", "config", "seed", "json")
_NAME = re.compile(r"\w[\w.-]*")
_NO_FLAGS = frozenset({"name", "advantage", "value_clip", "process_reward", "output", "algorithm"})
_OF_TRL = frozenset({"backend", "lora_rank"})


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
class Evaluation:
    """What is measured of every model."""

    benchmarks: tuple[str, ...]
    template: str = "no"
    samples: int = 1
    temperature: float = 1.0
    max_tokens: int = 3000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison is made of."""

    description: str
    base: str
    """Where every training starts: a model, or what the last of `stages` makes."""
    stages: tuple[Job, ...]
    """Make the base first, one after the other; empty where it is there already."""
    jobs: tuple[Job, ...]
    evaluation: Evaluation

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
    runs = definition.tables("runs")
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
    return Comparison(
        description=definition.get(table, "description", str, ""),
        base=base,
        stages=stages,
        jobs=tuple(jobs),
        evaluation=_evaluation(definition),
    )


def _evaluation(definition: Definition) -> Evaluation:
    table = definition.get(definition.table, "evaluate", dict, {})
    definition.check_keys(table, _EVALUATION_KEYS)
    if isinstance(table.get("benchmark"), str):
        table = table | {"benchmark": [table["benchmark"]]}
    benchmarks = definition.strings(table, "benchmark")
    if not benchmarks:
        raise definition.wrong('[evaluate] needs "benchmark", a list of benchmarks', "evaluate")
    return Evaluation(
        benchmarks=benchmarks,
        template=definition.get(table, "template", str, "no"),
        samples=definition.get(table, "samples", int, 1),
        temperature=definition.get(table, "temperature", float, 1.0),
        max_tokens=definition.get(table, "max-tokens", int, 3000),
        seed=definition.get(table, "seed", int, 0),
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
    name = definition.need(run, "algorithm", str)
    seeds = run.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise definition.wrong('"seeds" must be a list of whole numbers', "seeds")
    own = {key: value for key, value in run.items() if key not in _PER_RUN}
    for key in (*shared, *own):
        if key in _SET_BY_COMPARE:
            raise definition.wrong(f'"{key}" is set for every run: leave it out', key)
    called = definition.get(run, "name", str, name)
    if not _NAME.fullmatch(called):
        raise definition.wrong(
            f'"name" is a folder: letters, digits, ".", "-"; not "{called}"', "name"
        )
    _check_flags(definition, {**shared, **own, "algorithm": name, "model": base})
    return [
        Job(
            name=f"{called}-{seed}",
            folder=output / "trained" / f"{called}-{seed}",
            kind="rl",
            flags={**shared, **own, "algorithm": name, "model": base, "seed": seed},
        )
        for seed in seeds
    ]


def _check_flags(definition: Definition, flags: Mapping[str, Any]) -> None:
    """Refuse what `train rl` would refuse, before the base is trained."""
    switches = {field.name for field in fields(Algorithm)} - _NO_FLAGS
    settings = {field.name for field in fields(RLConfig)} - _NO_FLAGS
    chosen: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for key, value in flags.items():
        name = "num_steps" if key == "steps" else key.replace("-", "_")
        if name in switches:
            chosen[name] = value
        elif name in settings and key != "num-steps":
            given[name] = value
        elif name not in _OF_TRL | {"algorithm"}:
            known = [each.replace("_", "-") for each in (*switches, *settings, *_OF_TRL)]
            raise definition.wrong(f'unknown key "{key}"{suggestion(key, known)}', key)
    try:
        method = algorithm(flags["algorithm"], **chosen)
        RLConfig(output=Path(), algorithm=method, **given)
    except InputError as error:
        raise definition.wrong(f"{flags['algorithm']}: {error}", "runs") from error
    except TypeError as error:
        raise definition.wrong(
            f"{flags['algorithm']}: a value is of the wrong type: {error}", "runs"
        ) from error
