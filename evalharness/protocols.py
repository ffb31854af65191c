"""Published evaluations as presets of `run`: one TOML each, and what a run did otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.definitions import Definition, suggestion
from evalharness.errors import InputError
from evalharness.paths import shipped_folder
from evalharness.store import SPEC, RunWriter, read_spec

_KEYS = ("description", "source", "average", "notes", "flags", "made-with")
_MADE_WITH = ("engine", "dtype", "vllm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A published way to evaluate."""

    name: str
    description: str
    source: str
    average: str
    """The benchmark column that holds the published average."""
    notes: tuple[str, ...]
    """What no flag can say, told with every run."""
    flags: dict[str, Any]
    """Flags of `run` without their dashes."""
    made_with: dict[str, str]
    """`engine`, `dtype` and `vllm` of the published numbers, where they are known."""
    definition: Definition

    def flag_deviations(self, given: Mapping[str, Any]) -> list[str]:
        """What the options of a run change, a line each.

        Args:
            given: the options by their names in Python (`max_tokens`).
        """
        lines = [
            f"--{flag} {_shown(given[name])} (the protocol: {_shown(value)})"
            for flag, value in self.flags.items()
            if given[name := flag.replace("-", "_")] != value
        ]
        if given.get("limit") is not None:
            lines.append(f"--limit {given['limit']} (the protocol: every problem)")
        return lines

    def run_deviations(self, spec: Mapping[str, Any]) -> list[str]:
        """What the models of a finished run were really run with, where it differs."""
        lines = []
        for model, record in spec["models"].items():
            for key in ("engine", "dtype"):
                wanted = self.made_with.get(key)
                if wanted is not None and record.get(key) != wanted:
                    lines.append(f"{model}: {key} {record.get(key)} (the protocol: {wanted})")
        now = spec["sessions"][-1]["versions"].get("vllm")
        wanted = self.made_with.get("vllm")
        if now is not None and now != wanted:
            lines.append(f"vllm {now} (the protocol: {wanted or 'a version that it does not say'})")
        return lines


def protocol_names() -> tuple[str, ...]:
    """The shipped protocols."""
    return tuple(sorted(path.stem for path in shipped_folder("protocols").glob("*.toml")))


def load_protocol(name: str) -> Protocol:
    """A shipped protocol by name, or one of the user's by the path of its TOML.

    Raises:
        InputError: no such protocol, or its file is wrong (with the line).
    """
    if name.endswith(".toml"):
        path = Path(name).expanduser()
    elif name in protocol_names():
        path = shipped_folder("protocols") / f"{name}.toml"
    else:
        names = protocol_names()
        raise InputError(
            f'unknown protocol "{name}"{suggestion(name, names)} '
            f"There are {', '.join(names)}; the path of a TOML file works too."
        )
    definition = Definition(path)
    table = definition.table
    definition.check_keys(table, _KEYS)
    made_with = definition.get(table, "made-with", dict, {})
    definition.check_keys(made_with, _MADE_WITH)
    return Protocol(
        name=path.stem,
        description=definition.get(table, "description", str, ""),
        source=definition.get(table, "source", str, ""),
        average=definition.get(table, "average", str, "macro"),
        notes=definition.strings(table, "notes"),
        flags=definition.need(table, "flags", dict),
        made_with={key: definition.need(made_with, key, str) for key in made_with},
        definition=definition,
    )


def record_protocol(folder: Path, protocol: Protocol, flag_deviations: list[str]) -> list[str]:
    """Write into run.json by which protocol it was run and what differs; all the deviations.

    Raises:
        StoreError: the folder is no run, or another process is writing it.
    """
    with RunWriter(folder) as writer:
        spec = read_spec(folder)
        deviations = [*flag_deviations, *protocol.run_deviations(spec)]
        spec["protocol"] = {
            "name": protocol.name,
            "source": protocol.source,
            "average": protocol.average,
            "flags": protocol.flags,
            "made_with": protocol.made_with,
            "notes": list(protocol.notes),
            "deviations": deviations,
        }
        writer.write_json(SPEC, spec)
    return deviations


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
