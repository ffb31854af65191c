"""Benchmarks: a TOML definition, a file or a hub data set becomes verified problems."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from evalharness import paths
from evalharness.benchmarks import sources
from evalharness.benchmarks.definition import (
    BenchmarkDefinition,
    definition_paths,
    known_name,
    read_definition,
)
from evalharness.benchmarks.golds import GOLD_RULES, CanonicalRow, fingerprint
from evalharness.benchmarks.policies import Policies
from evalharness.benchmarks.rows import (
    Columns,
    canonical_rows,
    choose_columns,
    in_published_order,
    own_ids,
    problems_of,
    published_problems,
)
from evalharness.benchmarks.sources import HubDataset, LocalFile, PublishedFile, Row, Source
from evalharness.definitions import display_path, suggestion
from evalharness.errors import DataError, InputError
from evalharness.records import Problem

_HUB_ID = re.compile(
    r"(?P<hub>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?::(?P<names>[\w.-]+(?::[\w.-]+)?))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A loaded benchmark."""

    name: str
    title: str
    problems: tuple[Problem, ...]
    fingerprint: str
    """Of all published rows, whatever the limit; see `golds.fingerprint`."""
    source: str
    """Where the rows really came from."""
    num_published: int
    verified: bool
    """Whether count and fingerprint were given by a definition and agree."""
    definition: Path | None = None
    policies: Policies = field(default_factory=Policies)
    """What counts as the same answer; every problem carries its own."""
    description: str = ""
    licence: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkInfo:
    """One line of the list of benchmarks."""

    name: str
    title: str
    num_problems: int | None
    source: str
    """Where the data lies; `not fetched` where it isn't on this machine."""
    fingerprint: str | None
    verified: bool
    """Loaded from this machine just now, and found to be what the definition says."""
    aliases: tuple[str, ...]
    description: str
    licence: str
    trouble: str = ""
    """What is wrong with the data on this machine."""


def load_benchmark(
    name_or_path: str,
    *,
    problem_column: str | None = None,
    gold_column: str | None = None,
    gold_rule: str | None = None,
    limit: int | None = None,
    base_url: str = sources.GITHUB,
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
    elif path.suffix.lower() in sources.SUFFIXES:
        benchmark = _load_file(path, options)
    elif hub_id := _HUB_ID.fullmatch(name_or_path):
        benchmark = _load_hub(hub_id, options)
    else:
        raise _unknown(
            name_or_path,
            f"; a definition (.toml), a data file ({', '.join(sources.SUFFIXES)}) "
            "or a hub id owner/name works too",
        )
    if limit is not None:
        benchmark = replace(benchmark, problems=benchmark.problems[:limit])
    return benchmark


def load_rows(name_or_path: str, *, base_url: str = sources.GITHUB) -> list[Row]:
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
        return (_here(definition) or _fetched(definition, base_url)).rows
    if path.suffix.lower() in sources.SUFFIXES:
        if not path.is_file():
            raise InputError(f"{display_path(path)}: no such file")
        return list(sources.read_file(path))
    if hub_id := _HUB_ID.fullmatch(name_or_path):
        return sources.read_hub(_hub_dataset(hub_id)).rows
    raise _unknown(name_or_path)


def benchmarks_at_hand() -> list[Benchmark]:
    """The shipped benchmarks whose data is on this machine; nothing is fetched.

    Raises:
        InputError: a shipped definition is broken, or `EVALHARNESS_DATA` names no folder.
        DataError: data on this machine isn't what its definition says.
    """
    found = []
    for path in definition_paths():
        definition = read_definition(path)
        here = _here(definition)
        if here is not None:
            found.append(_verified(definition, here))
    return found


def list_benchmarks() -> list[BenchmarkInfo]:
    """The shipped benchmarks, each really loaded and checked where its data is on this machine.

    Raises:
        InputError: a shipped definition is broken, or `EVALHARNESS_DATA` names no folder.
    """
    paths.data_folder()  # Said once, not as the trouble of every benchmark.
    return [_describe(path) for path in definition_paths()]


def fetch_benchmark(name: str, *, base_url: str = sources.GITHUB) -> Benchmark:
    """Download a shipped benchmark ahead of time and verify it; `source` says where it lies.

    Raises:
        InputError: unknown name.
        DataError: it can't be had, or isn't what the definition says.
    """
    if known_name(name) is None:
        raise _unknown(name)
    return load_benchmark(name, base_url=base_url)


def row_hashes(benchmark: Benchmark) -> str:
    """The content of the `.rows` file of a benchmark that was loaded without a limit."""
    rows = (CanonicalRow(problem.text, problem.golds) for problem in benchmark.problems)
    return "".join(f"{row.hashes}\n" for row in rows)


class _Options(NamedTuple):
    """What the user says of a file without a definition; None leaves it to the defaults."""

    problem_column: str | None
    gold_column: str | None
    gold_rule: str | None


class _Found(NamedTuple):
    """Rows, and the source that they came from."""

    source: Source
    described: str
    rows: list[Row]


def _unknown(name: str, more: str = "") -> InputError:
    names = [path.stem for path in definition_paths()]
    return InputError(
        f'unknown benchmark "{name}"{suggestion(name, names) or "."} '
        f"The benchmarks are {', '.join(names)}{more}"
    )


def _describe(path: Path) -> BenchmarkInfo:
    definition = read_definition(path)
    source, verified, trouble = "not fetched", False, ""
    try:
        found = _here(definition)
        if found is not None:
            benchmark = _verified(definition, found)
            source, verified = benchmark.source, benchmark.verified
    except (DataError, InputError) as error:
        source, trouble = "damaged", str(error)
    return BenchmarkInfo(
        name=definition.name,
        title=definition.title,
        num_problems=definition.num_problems,
        source=source,
        fingerprint=definition.fingerprint,
        verified=verified,
        aliases=definition.aliases,
        description=definition.description,
        licence=definition.licence,
        trouble=trouble,
    )


def _load_defined(path: Path, base_url: str) -> Benchmark:
    if path.resolve() not in [shipped.resolve() for shipped in definition_paths()]:
        _check_own_name(path.stem, path)
    definition = read_definition(path)
    return _verified(definition, _here(definition) or _fetched(definition, base_url))


def _here(definition: BenchmarkDefinition) -> _Found | None:
    """The rows of the first source that lies on this machine."""
    for source in definition.sources:
        if isinstance(source, LocalFile):
            return _Found(source, str(source.path), sources.read_file(source.path))
        if isinstance(source, PublishedFile):
            path = sources.find_local(source)
            if path is not None:
                return _published(source, path)
    return None


def _fetched(definition: BenchmarkDefinition, base_url: str) -> _Found:
    """The rows of the first source that answers."""
    reasons = []
    for source in definition.sources:
        try:
            if isinstance(source, PublishedFile):
                return _published(source, sources.download(source, base_url))
            if isinstance(source, HubDataset):
                rows, commit = sources.read_hub(source)
                commit = commit or source.revision
                described = f"hub data set {source.hub}" + (f"@{commit}" if commit else "")
                return _Found(source, described, rows)
        except sources.SourceUnavailableError as error:
            reasons.append(str(error))
    raise DataError(f"{definition.name}: {'; '.join(reasons)}")


def _published(source: PublishedFile, path: Path) -> _Found:
    described = f"{source.repository}@{source.commit[:7]} {source.path} ({path})"
    return _Found(source, described, sources.read_file(path, Path(source.path).suffix))


def _verified(definition: BenchmarkDefinition, found: _Found) -> Benchmark:
    """The benchmark, if the rows are those of its definition."""
    columns = Columns(
        found.source.columns.get("problem_column", definition.problem_column),
        found.source.columns.get("gold_column", definition.gold_column),
    )
    rows = canonical_rows(found.rows, columns, definition.gold_rule, DataError)
    rows = in_published_order(definition, rows, found.described)
    return Benchmark(
        name=definition.name,
        title=definition.title,
        problems=published_problems(definition, rows),
        fingerprint=fingerprint(rows),
        source=found.described,
        num_published=len(rows),
        verified=definition.fingerprint is not None,
        definition=definition.path,
        policies=definition.policies,
        description=definition.description,
        licence=definition.licence,
        aliases=definition.aliases,
    )


def _load_file(path: Path, options: _Options) -> Benchmark:
    if not path.is_file():
        raise InputError(f"{display_path(path)}: no such file")
    _check_own_name(path.stem, path)
    return _load_undefined(path.stem, str(path), sources.read_file(path), options)


def _load_hub(hub_id: re.Match[str], options: _Options) -> Benchmark:
    hub = _hub_dataset(hub_id)
    rows, commit = sources.read_hub(hub)
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
            f'unknown gold rule "{rule}"{suggestion(rule, GOLD_RULES) or "."} '
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
