"""Finds the same problem twice: in a benchmark, in two of them, in a training file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalharness.records import Problem

NEAR = 0.8
"""Problems are near duplicates when they share so large a part of their word triples."""

_MARKS = re.compile(r"[\s$]+")
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff"
"""Kana and Chinese characters, which are written without spaces: each is a word."""
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+|\d+(?:\.\d+)?|[^\w\s]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TRIPLE = 3
_MOST_COMMON = 200
"""A triple that so many problems hold finds nothing; it still counts in the comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two problems that are the same, or nearly."""

    first: str
    second: str
    """Problem ids, in the order in which they were given."""
    similarity: float
    """Common word triples over all of both; 1 where the texts are equal but for marks."""
    is_exact: bool


def bare_text(text: str) -> str:
    """The text without case, white space, dollar signs and the full stop at its end."""
    return _MARKS.sub("", text).casefold().rstrip(".?!:")


def find_shared(
    training: Iterable[Problem], evaluated: Iterable[Problem]
) -> list[tuple[Problem, Problem]]:
    """Evaluated problems that are in the training data, each with its first training problem.

    Texts are compared as `bare_text`.
    """
    by_text: dict[str, Problem] = {}
    for problem in training:
        by_text.setdefault(bare_text(problem.text), problem)
    return [
        (problem, by_text[bare])
        for problem in evaluated
        if (bare := bare_text(problem.text)) in by_text
    ]


def find_duplicates(problems: Sequence[Problem]) -> list[Overlap]:
    """Problems with equal texts as `bare_text`, each beside the first of its kind."""
    first: dict[str, Problem] = {}
    found = []
    for problem in problems:
        known = first.setdefault(bare_text(problem.text), problem)
        if known is not problem:
            found.append(
                Overlap(
                    first=known.problem_id,
                    second=problem.problem_id,
                    similarity=1.0,
                    is_exact=True,
                )
            )
    return found


def find_near(
    first: Sequence[Problem], second: Sequence[Problem], threshold: float = NEAR
) -> list[Overlap]:
    """Pairs across two collections that are nearly the same, but not equal as `bare_text`.

    Both have to name the same numbers: another number makes another problem. Similarity is the
    Jaccard index of the sets of word triples.
    """
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    triples = [_triples(each.text) for each in first]
    for place, each in enumerate(triples):
        for triple in each:
            index[triple].append(place)
    found = []
    for problem in second:
        mine = _triples(problem.text)
        shared = Counter(
            place
            for triple in mine
            if len(places := index.get(triple, [])) <= _MOST_COMMON
            for place in places
        )
        for place in sorted(shared):
            both = len(mine & triples[place])
            similarity = both / len(mine | triples[place])
            known = first[place]
            if similarity < threshold or not _may_be_same(known, problem):
                continue
            found.append(
                Overlap(
                    first=known.problem_id,
                    second=problem.problem_id,
                    similarity=similarity,
                    is_exact=False,
                )
            )
    return found


def _may_be_same(one: Problem, other: Problem) -> bool:
    """Whether both name the same numbers, and aren't equal outright."""
    numbers = [sorted(_NUMBER.findall(each.text)) for each in (one, other)]
    return numbers[0] == numbers[1] and bare_text(one.text) != bare_text(other.text)


def _triples(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORDS.findall(_MARKS.sub(" ", text).lower())
    count = max(len(words) - _TRIPLE + 1, 1)
    return frozenset(tuple(words[start : start + _TRIPLE]) for start in range(count))
