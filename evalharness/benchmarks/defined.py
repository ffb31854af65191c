"""The rows that a definition names, found or fetched, and verified to be the published ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from evalharness.benchmarks.definition import BenchmarkDefinition
from evalharness.benchmarks.downloads import download, find_local
from evalharness.benchmarks.files import Row, read_file
from evalharness.benchmarks.golds import CanonicalRow, fingerprint
from evalharness.benchmarks.hub_rows import read_hub
from evalharness.benchmarks.policies import Policies
from evalharness.benchmarks.rows import (
    Columns,
    canonical_rows,
    in_published_order,
    published_problems,
)
from evalharness.benchmarks.sources import (
    HubDataset,
    LocalFile,
    PublishedFile,
    Source,
    SourceUnavailableError,
)
from evalharness.definitions import display_path
from evalharness.errors import DataError
from evalharness.records import Problem


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


class FoundRows(NamedTuple):
    """Rows, and the source that they came from."""

    source: Source
    described: str
    rows: list[Row]


def rows_here(definition: BenchmarkDefinition) -> FoundRows | None:
    """The rows of the first source that lies on this machine."""
    for source in definition.sources:
        if isinstance(source, LocalFile) and source.path.is_file():
            return FoundRows(source, str(source.path), read_file(source.path))
        if isinstance(source, PublishedFile):
            path = find_local(source)
            if path is not None:
                return _published(source, path)
    return None


def fetched_rows(definition: BenchmarkDefinition, base_url: str) -> FoundRows:
    """The rows of the first source that answers."""
    reasons = []
    for source in definition.sources:
        try:
            if isinstance(source, LocalFile):
                reasons.append(f"{display_path(source.path)}: no such file")
            if isinstance(source, PublishedFile):
                return _published(source, download(source, base_url))
            if isinstance(source, HubDataset):
                rows, commit = read_hub(source)
                commit = commit or source.revision
                described = f"hub data set {source.hub}" + (f"@{commit}" if commit else "")
                return FoundRows(source, described, rows)
        except SourceUnavailableError as error:
            reasons.append(str(error))
    raise DataError(f"{definition.name}: {'; '.join(reasons)}")


def _published(source: PublishedFile, path: Path) -> FoundRows:
    described = f"{source.repository}@{source.commit[:7]} {source.path} ({path})"
    return FoundRows(source, described, read_file(path, Path(source.path).suffix))


def verified_benchmark(definition: BenchmarkDefinition, found: FoundRows) -> Benchmark:
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


def row_hashes(benchmark: Benchmark) -> str:
    """The content of the `.rows` file of a benchmark that was loaded without a limit."""
    rows = (CanonicalRow(problem.text, problem.golds) for problem in benchmark.problems)
    return "".join(f"{row.hashes}\n" for row in rows)
