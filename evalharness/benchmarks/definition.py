"""Reads and validates the TOML definition of a benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness import paths
from evalharness.benchmarks.golds import GOLD_RULES
from evalharness.benchmarks.policies import Policies, read_policies
from evalharness.benchmarks.sources import HubDataset, LocalFile, PublishedFile, Source
from evalharness.definitions import Definition, display_path, suggestion
from evalharness.errors import InputError

_KEYS = (
    "title",
    "description",
    "aliases",
    "num_problems",
    "fingerprint",
    "licence",
    "problem_column",
    "gold_column",
    "gold_rule",
    "policy",
    "policy_rows",
    "sources",
    "errata",
)
_COLUMN_KEYS = ("problem_column", "gold_column")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ROW_HASHES = re.compile(r"[0-9a-f]{8} [0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erratum:
    """A correction of one row's golds; empty golds say that the row can't be answered."""

    row: int
    golds: tuple[str, ...]
    reason: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkDefinition:
    """What a TOML file says of a benchmark."""

    name: str
    """The file's stem."""
    path: Path
    title: str
    description: str
    aliases: tuple[str, ...]
    licence: str
    num_problems: int | None
    """None, like an absent fingerprint: not checked."""
    fingerprint: str | None
    problem_column: str
    gold_column: str
    gold_rule: str
    sources: tuple[Source, ...]
    errata: Mapping[int, Erratum]
    """By row."""
    policies: Policies
    row_hashes: tuple[str, ...] | None
    """From `<name>.rows` beside the definition, to name the rows in which a copy differs."""


def folded(name: str) -> str:
    """A benchmark's name without case and punctuation: `AIME-2024` and `aime_2024` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def definition_paths() -> list[Path]:
    """The shipped definitions, by name."""
    return sorted(paths.shipped_folder("benchmarks").glob("*.toml"))


def known_name(name: str) -> str | None:
    """The canonical name of a shipped benchmark or of one of its aliases; None for any other.

    Raises:
        InputError: a definition that ships with the harness is broken.
    """
    if "/" in name:
        return None
    for path in definition_paths():
        if folded(path.stem) == folded(name):
            return path.stem
    for path in definition_paths():
        definition = Definition(path)
        if folded(name) in map(folded, definition.strings(definition.table, "aliases")):
            return path.stem
    return None


def shipped_policies(name: str) -> Policies | None:
    """The policies of the shipped benchmark of that canonical name; None where there is none.

    Raises:
        InputError: a definition that ships with the harness is broken.
    """
    for path in definition_paths():
        if path.stem == name:
            return read_definition(path).policies
    return None


def load_policies(name_or_path: str) -> Policies:
    """The policies of a shipped benchmark, by name or alias, or of a definition's path.

    Raises:
        InputError: no such benchmark, or its definition is broken.
    """
    if name_or_path.endswith(".toml"):
        return read_definition(Path(name_or_path).expanduser()).policies
    found = shipped_policies(known_name(name_or_path) or "")
    if found is None:
        names = [path.stem for path in definition_paths()]
        raise InputError(
            f'unknown benchmark "{name_or_path}"{suggestion(name_or_path, names)} '
            f"The benchmarks are {', '.join(names)}; the path of a definition works too."
        )
    return found


def read_definition(path: Path) -> BenchmarkDefinition:
    """The definition of a benchmark.

    Raises:
        InputError: a key is unknown, missing or wrong, with file and line.
    """
    file = Definition(path)
    table = file.table
    file.check_keys(table, _KEYS)
    num_problems = file.get(table, "num_problems", int, -1) if "num_problems" in table else None
    if num_problems is not None and num_problems < 1:
        raise file.wrong('"num_problems" must be at least 1', "num_problems")
    if "fingerprint" in table:
        _check_hex(file, table, "fingerprint", _SHA256)
    rule = file.get(table, "gold_rule", str, "plain")
    if rule not in GOLD_RULES:
        known = ", ".join(GOLD_RULES)
        raise file.wrong(f'unknown gold rule "{rule}": the rules are {known}', "gold_rule")
    found = [_source(file, entry) for entry in file.tables("sources")]
    if not found:
        raise file.wrong("there is no [[sources]] table: say where the rows come from")
    return BenchmarkDefinition(
        name=path.stem,
        path=path,
        title=file.get(table, "title", str, path.stem),
        description=file.get(table, "description", str, ""),
        aliases=file.strings(table, "aliases"),
        licence=file.get(table, "licence", str, ""),
        num_problems=num_problems,
        fingerprint=file.need(table, "fingerprint", str) if "fingerprint" in table else None,
        problem_column=file.get(table, "problem_column", str, "problem"),
        gold_column=file.get(table, "gold_column", str, "gold"),
        gold_rule=rule,
        sources=tuple(found),
        errata=_errata(file, rule, num_problems),
        policies=read_policies(file, num_problems),
        row_hashes=_row_hashes(path, num_problems),
    )


def _check_hex(
    file: Definition, table: Mapping[str, Any], key: str, pattern: re.Pattern[str]
) -> str:
    value = file.need(table, key, str)
    if not pattern.fullmatch(value):
        raise file.wrong(f'"{key}" must be hex digits, {pattern.pattern}, not "{value}"', key)
    return value


def _source(file: Definition, entry: Mapping[str, Any]) -> Source:
    columns = {key: file.need(entry, key, str) for key in _COLUMN_KEYS if key in entry}
    kinds = [key for key in ("repository", "file", "hub") if key in entry]
    if len(kinds) != 1:
        raise file.wrong('a source has exactly one of "repository", "file" and "hub"', "sources")
    if kinds == ["repository"]:
        file.check_keys(entry, ("repository", "commit", "path", "sha256", *_COLUMN_KEYS))
        place = file.need(entry, "path", str)
        repository = file.need(entry, "repository", str)
        if place.startswith("/") or ".." in f"{repository}/{place}".split("/"):
            raise file.wrong('"path" must stay inside the repository', "path")
        return PublishedFile(
            repository=repository,
            commit=_check_hex(file, entry, "commit", _COMMIT),
            path=place,
            sha256=_check_hex(file, entry, "sha256", _SHA256),
            columns=columns,
        )
    if kinds == ["file"]:
        file.check_keys(entry, ("file", *_COLUMN_KEYS))
        return LocalFile(path=file.path.parent / file.need(entry, "file", str), columns=columns)
    file.check_keys(entry, ("hub", "config", "split", "revision", "where", *_COLUMN_KEYS))
    where = file.get(entry, "where", dict, {})
    if not all(isinstance(text, str) for text in where.values()):
        raise file.wrong('"where" must give a text for each column', "where")
    return HubDataset(
        hub=file.need(entry, "hub", str),
        config=file.need(entry, "config", str) if "config" in entry else None,
        split=file.need(entry, "split", str) if "split" in entry else None,
        revision=file.need(entry, "revision", str) if "revision" in entry else None,
        where=where,
        columns=columns,
    )


def _errata(file: Definition, rule: str, num_problems: int | None) -> dict[int, Erratum]:
    errata: dict[int, Erratum] = {}
    for entry in file.tables("errata"):
        file.check_keys(entry, ("row", "golds", "unanswerable", "reason", "source"))
        row = file.need(entry, "row", int)
        if row < 0 or (num_problems is not None and row >= num_problems):
            last = "" if num_problems is None else f" to {num_problems - 1}"
            raise file.wrong(f"erratum of row {row}: the rows go from 0{last}", "errata")
        if row in errata:
            raise file.wrong(f"two errata for row {row}: put them together", "errata")
        unanswerable = file.get(entry, "unanswerable", bool, False)
        golds = file.strings(entry, "golds")
        if unanswerable == bool(golds):
            raise file.wrong(
                f'erratum of row {row}: give either "golds" or "unanswerable = true"', "errata"
            )
        reason, source = (file.need(entry, key, str).strip() for key in ("reason", "source"))
        if not reason or not source:
            raise file.wrong(f"erratum of row {row}: needs its reason and its source", "errata")
        if golds:
            try:
                # A correction is written as an answer, whatever the column of the source holds.
                golds = GOLD_RULES["integer" if rule == "integer" else "plain"](golds)
            except ValueError as error:
                raise file.wrong(f"erratum of row {row}: {error}", "errata") from error
        errata[row] = Erratum(row=row, golds=golds, reason=reason, source=source)
    return errata


def _row_hashes(path: Path, num_problems: int | None) -> tuple[str, ...] | None:
    beside = path.with_suffix(".rows")
    if not beside.is_file():
        return None
    try:
        lines = tuple(beside.read_text(encoding="ascii").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{display_path(beside)}: can't be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not _ROW_HASHES.fullmatch(line):
            raise InputError(
                f"{display_path(beside)}:{number}: must be the hashes of a problem and its golds, "
                f"8 hex digits each, not {line[:40]!r}"
            )
    if num_problems is not None and len(lines) != num_problems:
        raise InputError(f"{display_path(beside)}: {len(lines)} lines for {num_problems} problems")
    return lines
