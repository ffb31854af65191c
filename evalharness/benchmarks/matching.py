"""Finds the problem of a known benchmark that a foreign output file means."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Collection, Iterable

from evalharness.benchmarks.defined import Benchmark
from evalharness.benchmarks.definition import folded
from evalharness.records import Problem

_SAME_WORDS = 0.9
"""Copies of AIME 2024 that lack the figures or misstate row 22 keep at least 0.98 of the words."""


_LEAST_LETTERS = 25
"""A shorter problem may stand in another text by chance."""


class ProblemIndex:
    """Looks problems up by benchmark, then by text, then by row."""

    def __init__(self, benchmarks: Iterable[Benchmark]) -> None:
        self._benchmarks: dict[str, Benchmark] = {}
        self._by_text: dict[str, dict[str, list[Problem]]] = {}
        for benchmark in benchmarks:
            for name in (benchmark.name, *benchmark.aliases):
                self._benchmarks[folded(name)] = benchmark
            texts: dict[str, list[Problem]] = defaultdict(list)
            for problem in benchmark.problems:
                texts[_squeezed(problem.text)].append(problem)
            self._by_text[benchmark.name] = texts

    def find(self, benchmark_name: str, problem_id: str | None, text: str | None) -> Problem | None:
        """The problem, or None where the file has to bring its own.

        `benchmark_name` is a name or an alias. The text decides, whitespace aside. Without a match,
        an id `<name or alias>/<row>` of the same benchmark counts, unless the text is that of
        another problem: ids of other files (`amc/41` for `amc23`) count other rows.
        """
        benchmark = self._benchmarks.get(folded(benchmark_name))
        if benchmark is None:
            return None
        by_id = self._by_id(benchmark, problem_id) if problem_id else None
        if text and text.strip():
            same = self._by_text[benchmark.name].get(_squeezed(text), [])
            if same:
                return by_id if by_id in same else same[0]
            if by_id is not None and not _is_same_problem(by_id.text, text):
                return None
        return by_id

    def holding(self, texts: Collection[str]) -> Benchmark | None:
        """The smallest benchmark that has all of these problems, whitespace aside; None for none.

        Two benchmarks may share problems (`amc23` is a part of `amc`).
        """
        wanted = {_squeezed(text) for text in texts}
        found = [
            benchmark
            for benchmark in dict.fromkeys(each.name for each in self._benchmarks.values())
            if wanted and wanted <= self._by_text[benchmark].keys()
        ]
        name = min(found, key=lambda name: len(self._by_text[name]), default=None)
        return None if name is None else self._benchmarks[folded(name)]

    def find_in_prompt(self, benchmark_name: str, text: str) -> Problem | None:
        """The one problem whose text stands in a prompt; None where several do, or none."""
        benchmark = self._benchmarks.get(folded(benchmark_name))
        if benchmark is None:
            return None
        prompt = _squeezed(text)
        found = [
            known
            for known in self._by_text[benchmark.name]
            if len(known) >= _LEAST_LETTERS and known in prompt
        ]
        longest = max(found, key=len, default="")
        if not found or any(known not in longest for known in found):
            return None
        return self._by_text[benchmark.name][longest][0]

    def _by_id(self, benchmark: Benchmark, problem_id: str) -> Problem | None:
        name, _, row = problem_id.rpartition("/")
        if self._benchmarks.get(folded(name)) is not benchmark:
            return None
        wanted = f"{benchmark.name}/{row}"
        # The problems are in the order of the rows, unless a file brought ids of its own.
        if row.isdecimal() and int(row) < len(benchmark.problems):
            problem = benchmark.problems[int(row)]
            if problem.problem_id == wanted:
                return problem
        return next((each for each in benchmark.problems if each.problem_id == wanted), None)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _is_same_problem(known: str, given: str) -> bool:
    """Whether nearly all words of the shorter text stand in the other, in the same order."""
    ours, theirs = known.split(), given.split()
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    num_common = sum(block.size for block in matcher.get_matching_blocks())
    return num_common >= _SAME_WORDS * min(len(ours), len(theirs))
