"""Benchmarks: a TOML definition, a file or a hub data set becomes verified problems."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from evalharness import paths
from evalharness.benchmarks.defined import (
    Benchmark,
    fetched_rows,
    rows_here,
    verified_benchmark,
)
from evalharness.benchmarks.definition import definition_paths, known_name, read_definition
from evalharness.benchmarks.downloads import GITHUB
from evalharness.benchmarks.files import SUFFIXES, Row, read_file
from evalharness.benchmarks.golds import GOLD_RULES, fingerprint
from evalharness.benchmarks.hub_rows import read_hub
from evalharness.benchmarks.rows import canonical_rows, choose_columns, own_ids, problems_of
from evalharness.benchmarks.sources import HubDataset
from evalharness.definitions import display_path, suggestion
from evalharness.errors import InputError

_HUB_ID = re.compile(
    r"(?P<hub>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?::(?P<names>[\w.-]+(?::[\w.-]+)?))?"
)


def load_benchmark(
    name_or_path: str,
    *,
    problem_column: str | None = None,
    gold_column: str | None = None,
    gold_rule: str | None = None,
    limit: int | None = None,
    base_url: str = GITHUB,
) -> Benchmark:
    """The problems of a shipped benchmark, of a definition, of a data file or of a hub data set.

    `name_or_path` is a name or alias (`aime24`), a definition (`mine.toml`), a JSONL, JSON, Parquet
    or CSV file, or a hub id `owner/name[@revision][:[config:]split]`. Columns and the gold rule are
    for files and hub ids: a definition names its own. `limit` keeps the first problems.
    Problem ids are `<name>/<0-based row of the published file>`; a file or hub data set with a
    column `problem_id` uses that instead of the row.

    Raises:
        InputError: unknown name, or a definition, file, column or row that is wrong.
        DataError: the data can't be had, or isn't what the definition says; names the rows.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: the least is 1")
    options = _Options(problem_column, gold_column, gold_rule)
    path = Path(name_or_path).expanduser()
    name = known_name(name_or_path)
    if name or path.suffix == ".toml":
        if any(options):
            raise InputError(
                f"{name_or_path}: the definition names the columns and the gold rule; "
                "give them only with a data file or a hub id"
            )
        if name:
            path = paths.shipped_folder("benchmarks") / f"{name}.toml"
        benchmark = _load_defined(path, base_url)
    elif path.suffix.lower() in SUFFIXES:
        benchmark = _load_file(path, options)
    elif hub_id := _HUB_ID.fullmatch(name_or_path):
        benchmark = _load_hub(hub_id, options)
    else:
        raise _unknown(
            name_or_path,
            f"; a definition (.toml), a data file ({', '.join(SUFFIXES)}) "
            "or a hub id owner/name works too",
        )
    if limit is not None:
        benchmark = replace(benchmark, problems=benchmark.problems[:limit])
    return benchmark


def load_rows(name_or_path: str, *, base_url: str = GITHUB) -> list[Row]:
    """The rows behind a benchmark as published, with every column: solutions, levels, subjects.

    Takes what `load_benchmark` takes; nothing is verified.

    Raises:
        InputError: unknown name, or a definition or a file that is wrong.
        DataError: the data can't be had.
    """
    path = Path(name_or_path).expanduser()
    name = known_name(name_or_path)
    if name or path.suffix == ".toml":
        if name:
            path = paths.shipped_folder("benchmarks") / f"{name}.toml"
        definition = read_definition(path)
        return (rows_here(definition) or fetched_rows(definition, base_url)).rows
    if path.suffix.lower() in SUFFIXES:
        if not path.is_file():
            raise InputError(f"{display_path(path)}: no such file")
        return list(read_file(path))
    if hub_id := _HUB_ID.fullmatch(name_or_path):
        return read_hub(_hub_dataset(hub_id)).rows
    raise _unknown(name_or_path)


def fetch_benchmark(name: str, *, base_url: str = GITHUB) -> Benchmark:
    """Download a shipped benchmark ahead of time and verify it; `source` says where it lies.

    Raises:
        InputError: unknown name.
        DataError: it can't be had, or isn't what the definition says.
    """
    if known_name(name) is None:
        raise _unknown(name)
    return load_benchmark(name, base_url=base_url)


class _Options(NamedTuple):
    """What the user says of a file without a definition; None leaves it to the defaults."""

    problem_column: str | None
    gold_column: str | None
    gold_rule: str | None


def _unknown(name: str, more: str = "") -> InputError:
    names = [path.stem for path in definition_paths()]
    return InputError(
        f'unknown benchmark "{name}"{suggestion(name, names)} '
        f"The benchmarks are {', '.join(names)}{more}"
    )


def _load_defined(path: Path, base_url: str) -> Benchmark:
    if path.resolve() not in [shipped.resolve() for shipped in definition_paths()]:
        _check_own_name(path.stem, path)
    definition = read_definition(path)
    return verified_benchmark(
        definition, rows_here(definition) or fetched_rows(definition, base_url)
    )


def _load_file(path: Path, options: _Options) -> Benchmark:
    if not path.is_file():
        raise InputError(f"{display_path(path)}: no such file")
    _check_own_name(path.stem, path)
    return _load_undefined(path.stem, str(path), read_file(path), options)


def _load_hub(hub_id: re.Match[str], options: _Options) -> Benchmark:
    hub = _hub_dataset(hub_id)
    rows, commit = read_hub(hub)
    commit = commit or hub.revision
    names = f":{hub_id['names']}" if hub_id["names"] else ""
    described = f"hub data set {hub.hub}" + (f"@{commit}" if commit else "") + names
    # The whole id is the name: its last part is often that of a shipped benchmark.
    return _load_undefined(hub.hub + names, described, rows, options)


def _hub_dataset(hub_id: re.Match[str]) -> HubDataset:
    config, _, split = (hub_id["names"] or "").rpartition(":")
    return HubDataset(
        hub=hub_id["hub"],
        revision=hub_id["revision"],
        config=config or None,
        split=split or None,
    )


def _load_undefined(name: str, described: str, rows: Sequence[Row], options: _Options) -> Benchmark:
    """A file or hub data set without a definition: nothing to verify it against."""
    rule = options.gold_rule or "plain"
    if rule not in GOLD_RULES:
        raise InputError(
            f'unknown gold rule "{rule}"{suggestion(rule, GOLD_RULES)} '
            f"The rules are {', '.join(GOLD_RULES)}"
        )
    columns = choose_columns(rows, options.problem_column, options.gold_column)
    canonical = canonical_rows(rows, columns, rule, InputError)
    return Benchmark(
        name=name,
        title=name,
        problems=problems_of(name, canonical, own_ids(name, rows)),
        fingerprint=fingerprint(canonical),
        source=described,
        num_published=len(canonical),
        verified=False,
    )


def _check_own_name(name: str, path: Path) -> None:
    """A user's file mustn't take the name under which a shipped benchmark's scores are kept."""
    known = known_name(name)
    if known is not None:
        raise InputError(
            f'{display_path(path)}: "{name}" is the shipped benchmark {known}: rename the file, '
            f"or take the shipped one with --benchmark {known}"
        )
