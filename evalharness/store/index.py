"""Where each response stands in a run folder, so that a run of any size can be gone through."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from evalharness.errors import StoreError
from evalharness.records import Response, ResponseKey
from evalharness.store.files import JSONL, PARQUET, size_of
from evalharness.store.rows import COVERED, ORDER, by_problem, parse_line
from evalharness.store.tables import table_metadata, table_rows

Place = tuple[str, str, str, str, int]
"""Benchmark, problem, model, template, sample: what responses.parquet is sorted by."""


class LineIndex:
    """The whole lines of a responses.jsonl; of a key that was written twice the later one counts.

    Holds a few hundred bytes a line, whatever its response is.
    """

    def __init__(self, path: Path | None) -> None:
        """Read the file once. A last line without its end is no line yet; None has no lines."""
        self.damaged: dict[int, bytes] = {}
        """Lines in the middle that hold no response, by their number."""
        self.num_good_bytes = 0
        self.failed: set[Place] = set()
        """Responses that the engine couldn't give."""
        self._path = path
        self._offsets: dict[Place, int] = {}
        if path is not None and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        # Most names are said again and again: one string of each is enough.
        names: dict[str, str] = {}
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                response = parse_line(line)
                if response is None:
                    self.damaged[number] = line
                else:
                    *texts, sample_index = by_problem(response)
                    benchmark, problem, model, template = (
                        names.setdefault(text, text) for text in texts
                    )
                    place = (benchmark, problem, model, template, sample_index)
                    self._offsets[place] = offset
                    self.num_good_bytes += len(line)
                    if response.finish_reason == "error":
                        self.failed.add(place)
                    else:
                        self.failed.discard(place)
                offset += len(line)

    def __contains__(self, place: object) -> bool:
        return place in self._offsets

    def places(self) -> list[Place]:
        """Those of all responses, sorted."""
        return sorted(self._offsets)

    def responses(self, places: Iterable[Place]) -> Iterator[Response]:
        """The responses at some places, each read when it is asked for.

        Raises:
            StoreError: the file was changed meanwhile.
        """
        if self._path is None or not self._offsets:
            return
        with self._path.open("rb") as file:
            for place in places:
                file.seek(self._offsets[place])
                response = parse_line(file.readline())
                if response is None or by_problem(response) != place:
                    raise StoreError(f"{self._path}: another program changed it; start again")
                yield response


class StoredResponses:
    """All responses of a run folder, each once, without holding their texts.

    They are in responses.jsonl, in responses.parquet or in both; a line counts more than a row.
    """

    def __init__(self, folder: Path, lines: LineIndex | None = None) -> None:
        """Find them; `lines` is the index of the file, where the caller has one.

        Raises:
            StoreError: a line in the middle of responses.jsonl is damaged.
        """
        self._table = folder / PARQUET
        self._has_table = self._table.exists()
        if is_compact(folder):
            self._lines = LineIndex(None)
        else:
            self._lines = lines or LineIndex(folder / JSONL)
        _refuse_damaged(folder / JSONL, self._lines)
        # A table of another program may be in any order.
        self._is_sorted = all(before < after for before, after in pairwise(self._table_places()))

    def __iter__(self) -> Iterator[Response]:
        """Sorted by place."""
        rows = (Response(**row) for row in self._rows())
        alone: Iterator[Response] = (row for row in rows if by_problem(row) not in self._lines)
        if not self._is_sorted:
            alone = iter(sorted({row.key: row for row in alone}.values(), key=by_problem))
        return heapq.merge(self._lines.responses(self._lines.places()), alone, key=by_problem)

    def places(self) -> Iterator[Place]:
        """The same, without the responses."""
        alone: Iterator[Place] = (
            place for place in self._table_places() if place not in self._lines
        )
        if not self._is_sorted:
            alone = iter(sorted(set(alone)))
        return heapq.merge(self._lines.places(), alone)

    def finished(self) -> set[ResponseKey]:
        """The keys of all but those that the engine couldn't give."""
        rows = self._rows([*ORDER, "finish_reason"])
        failed = {place_of(row) for row in rows if row["finish_reason"] == "error"}
        unfinished = self._lines.failed | {each for each in failed if each not in self._lines}
        finished = (place for place in self.places() if place not in unfinished)
        return {
            ResponseKey(model, template, problem, sample)
            for _, problem, model, template, sample in finished
        }

    def _rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        return table_rows(self._table, columns) if self._has_table else iter(())

    def _table_places(self) -> Iterator[Place]:
        return map(place_of, self._rows(list(ORDER)))


def place_of(row: dict[str, Any]) -> Place:
    """Of a row of a table."""
    benchmark, problem, model, template, sample = (row[field] for field in ORDER)
    return benchmark, problem, model, template, sample


def is_compact(folder: Path) -> bool:
    """Whether the Parquet file holds all that the JSONL holds.

    Raises:
        StoreError: the Parquet file is damaged.
    """
    table, lines = folder / PARQUET, folder / JSONL
    if not table.exists():
        return False
    covered = int(table_metadata(table).get(COVERED, b"-1"))
    return not lines.exists() or covered == size_of(lines)


def _refuse_damaged(path: Path, lines: LineIndex) -> None:
    for number in lines.damaged:
        raise StoreError(
            f"{path}:{number}: damaged line; run the same `evalharness run` command again: it "
            "moves the line aside and draws that response anew"
        )
