"""Problems that are not independent because their texts begin alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalharness.records import Problem

STEM_CHARACTERS = 100
"""Sub-questions of one published problem repeat its statement; unrelated problems do not share
this much."""


def stem_clusters(problems: Iterable[Problem], characters: int = STEM_CHARACTERS) -> dict[str, int]:
    """Problem id -> number of its cluster: those of a benchmark whose texts begin alike.

    Two problems are in one cluster when the first characters of their texts agree; a shorter
    problem is only with its own copies. Runs of white space count as one space, and what all
    problems of a benchmark begin with (an instruction) doesn't count.

    Args:
        problems: of any number of benchmarks; no cluster reaches across two of them.
        characters: how many must agree.
    """
    texts: dict[str, dict[str, str]] = {}
    for problem in problems:
        texts.setdefault(problem.benchmark, {})[problem.problem_id] = " ".join(problem.text.split())
    numbers: dict[tuple[str, str], int] = {}
    clusters = {}
    for benchmark, each in texts.items():
        shared = _common_start(each.values())
        for problem_id, text in each.items():
            stem = (benchmark, text[shared : shared + characters])
            clusters[problem_id] = numbers.setdefault(stem, len(numbers))
    return clusters


def cluster_numbers(
    problem_ids: Sequence[str], clusters: Mapping[str, int] | None
) -> NDArray[np.int64] | None:
    """The cluster of each problem; None where no two of these problems share one.

    Args:
        problem_ids: the problems.
        clusters: from `stem_clusters`; a problem that isn't there is alone.
    """
    if clusters is None:
        return None
    numbers = [clusters.get(each, -1 - at) for at, each in enumerate(problem_ids)]
    return np.array(numbers) if len(set(numbers)) < len(numbers) else None


def _common_start(texts: Collection[str]) -> int:
    """How many characters all texts begin with; 0 where they are all the same text."""
    first, last = min(texts), max(texts)
    if first == last:
        return 0
    return next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
