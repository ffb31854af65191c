"""Benchmarks: a TOML definition, a data file or a hub data set becomes verified problems."""

from evalharness.benchmarks.defined import Benchmark, row_hashes
from evalharness.benchmarks.definition import (
    definition_paths,
    known_name,
    load_policies,
    shipped_policies,
)
from evalharness.benchmarks.listing import BenchmarkInfo, benchmarks_at_hand, list_benchmarks
from evalharness.benchmarks.loading import fetch_benchmark, load_benchmark, load_rows
from evalharness.benchmarks.matching import ProblemIndex
from evalharness.benchmarks.policies import Policies

__all__ = [
    "Benchmark",
    "BenchmarkInfo",
    "Policies",
    "ProblemIndex",
    "benchmarks_at_hand",
    "definition_paths",
    "fetch_benchmark",
    "known_name",
    "list_benchmarks",
    "load_benchmark",
    "load_policies",
    "load_rows",
    "row_hashes",
    "shipped_policies",
]
