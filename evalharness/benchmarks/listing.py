"""The shipped benchmarks, and what of them is on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalharness import paths
from evalharness.benchmarks.defined import Benchmark, rows_here, verified_benchmark
from evalharness.benchmarks.definition import definition_paths, read_definition
from evalharness.errors import DataError, InputError


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


def list_benchmarks() -> list[BenchmarkInfo]:
    """The shipped benchmarks, each really loaded and checked where its data is on this machine.

    Raises:
        InputError: a shipped definition is broken, or `EVALHARNESS_DATA` names no folder.
    """
    paths.data_folder()  # Said once, not as the trouble of every benchmark.
    return [_describe(path) for path in definition_paths()]


def benchmarks_at_hand() -> list[Benchmark]:
    """The shipped benchmarks whose data is on this machine; nothing is fetched.

    Raises:
        InputError: a shipped definition is broken, or `EVALHARNESS_DATA` names no folder.
        DataError: data on this machine isn't what its definition says.
    """
    found = []
    for path in definition_paths():
        definition = read_definition(path)
        here = rows_here(definition)
        if here is not None:
            found.append(verified_benchmark(definition, here))
    return found


def _describe(path: Path) -> BenchmarkInfo:
    definition = read_definition(path)
    source, verified, trouble = "not fetched", False, ""
    try:
        found = rows_here(definition)
        if found is not None:
            benchmark = verified_benchmark(definition, found)
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
