"""Templates: from a problem to a prompt, with the stop strings and the place of the answer.

One TOML a template holds all of it, because they are one contract: a prompt that asks for tags, a
generation that runs past them and a grader that looks for a box give a wrong baseline together.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalharness.checking import ANSWER_PLACES
from evalharness.definitions import Definition, suggestion
from evalharness.errors import InputError
from evalharness.paths import shipped_folder
from evalharness.records import Message, Problem, Prompt

PLACEHOLDER = "{{problem}}"
_KEYS = (
    "description",
    "source",
    "mode",
    "text",
    "system",
    "user",
    "stop",
    "keep_stop",
    "answer_format",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One way to ask a question."""

    name: str
    description: str
    source: str
    mode: Literal["raw", "chat"]
    text: str
    """Holds `{{problem}}`; in chat mode the user's turn."""
    system: str | None
    """Only in chat mode."""
    stop: tuple[str, ...]
    keep_stop: bool
    answer_format: tuple[str, ...]
    """Where an answer may stand, the first place that has one wins; of `ANSWER_PLACES`."""

    @property
    def sha256(self) -> str:
        """Of everything that changes a response or its reading; not of the description."""
        parts = (
            self.mode,
            self.text,
            self.system,
            self.stop,
            self.keep_stop,
            self.answer_format,
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def render(self, problem: Problem) -> Prompt:
        """The prompt for one problem, its text verbatim."""
        body = self.text.replace(PLACEHOLDER, problem.text)
        if self.mode == "raw":
            return Prompt(template=self.name, problem_id=problem.problem_id, text=body)
        system = (Message("system", self.system),) if self.system is not None else ()
        return Prompt(
            template=self.name,
            problem_id=problem.problem_id,
            messages=(*system, Message("user", body)),
        )


def template_names() -> tuple[str, ...]:
    """The shipped templates."""
    return tuple(sorted(path.stem for path in shipped_folder("templates").glob("*.toml")))


def load_template(name: str) -> Template:
    """A shipped template by name, or one of the user's by the path of its TOML.

    Raises:
        InputError: no such template, or its file is wrong (with the line).
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"template {name}: there is no such file")
        return _read(path)
    names = template_names()
    if name not in names:
        raise InputError(
            f'unknown template "{name}"{suggestion(name, names)} '
            f"There are {', '.join(names)}; the path of a TOML file works too."
        )
    return _read(shipped_folder("templates") / f"{name}.toml")


def _read(path: Path) -> Template:
    definition = Definition(path)
    table = definition.table
    definition.check_keys(table, _KEYS)
    mode = definition.need(table, "mode", str)
    if mode not in ("raw", "chat"):
        raise definition.wrong(f'"mode" must be "raw" or "chat", not "{mode}"', "mode")
    key, foreign = ("text", ("user", "system")) if mode == "raw" else ("user", ("text",))
    for other in foreign:
        if other in table:
            raise definition.wrong(f'"{other}" has no place in mode "{mode}": use "{key}"', other)
    text = definition.need(table, key, str)
    if text.count(PLACEHOLDER) != 1:
        raise definition.wrong(
            f'"{key}" must hold {PLACEHOLDER} once; it has it {text.count(PLACEHOLDER)} times', key
        )
    answer_format = definition.strings(table, "answer_format")
    if not answer_format:
        raise definition.wrong(
            f'"answer_format" must list where the answer stands: of {", ".join(ANSWER_PLACES)}',
            "answer_format",
        )
    for place in answer_format:
        if place not in ANSWER_PLACES:
            raise definition.wrong(
                f'unknown answer place "{place}"{suggestion(place, ANSWER_PLACES)} '
                f"There are {', '.join(ANSWER_PLACES)}.",
                "answer_format",
            )
    stop = definition.strings(table, "stop")
    if "" in stop:
        raise definition.wrong("an empty stop string would end every response at once", "stop")
    return Template(
        name=path.stem,
        description=definition.get(table, "description", str, ""),
        source=definition.get(table, "source", str, ""),
        mode="raw" if mode == "raw" else "chat",
        text=text,
        system=definition.need(table, "system", str) if "system" in table else None,
        stop=stop,
        keep_stop=definition.get(table, "keep_stop", bool, False),
        answer_format=answer_format,
    )
