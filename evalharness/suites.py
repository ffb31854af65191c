"""Suites: one TOML that lists checkpoints, and the run that each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.definitions import Definition

_KEYS = ("title", "source", "protocol", "benchmark", "template", "flags", "checkpoint")
_CHECKPOINT_KEYS = ("name", "model", "step", "benchmark", "template", "flags")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRun:
    """One checkpoint of a suite."""

    name: str
    """In the tables; unique in its suite."""
    arguments: tuple[str, ...]
    """Of `evalharness run`, without `--out`."""
    step: int | None

    @property
    def folder(self) -> str:
        """The name of its run folder."""
        safe = "".join(
            letter if letter.isalnum() or letter in "._-" else "-" for letter in self.name
        )
        return safe.strip(".") or "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A list of runs that belong in one table."""

    name: str
    title: str
    source: str
    runs: tuple[SuiteRun, ...]


def load_suite(path: Path) -> Suite:
    """Read a suite.

    The keys `benchmark`, `template` and `flags` of a checkpoint replace those of the suite, flag by
    flag; what neither says is the protocol's, or the default of `run`.

    Raises:
        InputError: the file can't be read, a key is missing or unknown, or a name stands twice.
    """
    definition = Definition(path)
    table = definition.table
    definition.check_keys(table, _KEYS)
    protocol = definition.get(table, "protocol", str, "")
    common = _flags(definition, table)
    entries = definition.tables("checkpoint")
    if not entries:
        raise definition.wrong("a suite needs at least one [[checkpoint]]")
    runs: list[SuiteRun] = []
    for entry in entries:
        definition.check_keys(entry, _CHECKPOINT_KEYS)
        model = definition.need(entry, "model", str)
        name = definition.get(entry, "name", str, model)
        _check_names(definition, name, model)
        flags = common | _flags(definition, entry)
        words = ["--model", model if name == model else f"{name}={model}"]
        words += ["--protocol", protocol] if protocol else []
        for flag, value in flags.items():
            words += _words(definition, flag, value)
        step = definition.need(entry, "step", int) if "step" in entry else None
        runs.append(SuiteRun(name=name, arguments=tuple(words), step=step))
    folders = [run.folder for run in runs]
    for run in runs:
        if folders.count(run.folder) > 1:
            raise definition.wrong(f'two checkpoints are called "{run.name}": give each a name')
    return Suite(
        name=path.stem,
        title=definition.get(table, "title", str, path.stem),
        source=definition.get(table, "source", str, ""),
        runs=tuple(runs),
    )


def _check_names(definition: Definition, name: str, model: str) -> None:
    """What `--model NAME=MODEL` would take apart at another place.

    Raises:
        InputError: a comma, which parts models, or a name that would be read as a path.
    """
    if "," in name + model or not model:
        raise definition.wrong(f'"{name}" and "{model}" must be models without a comma')
    if name != model and (not name or "/" in name or "=" in name):
        raise definition.wrong(f'the name "{name}" must not be empty or hold "/" or "="')


def _flags(definition: Definition, table: dict[str, Any]) -> dict[str, Any]:
    lists = {
        key: list(definition.strings(table, key))
        for key in ("benchmark", "template")
        if key in table
    }
    return {**lists, **definition.get(table, "flags", dict, {})}


def _words(definition: Definition, flag: str, value: Any) -> list[str]:
    """A flag as it stands on a command line."""
    if isinstance(value, bool):
        return [f"--{flag}"] if value else []
    if isinstance(value, list):
        return [word for each in value for word in (f"--{flag}", str(each))]
    if isinstance(value, str | int | float):
        return [f"--{flag}", str(value)]
    raise definition.wrong(f'"{flag}" must be a string, a number, true or a list', flag)
