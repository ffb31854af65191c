"""Verdicts beside the responses that they are on, without holding them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple

from evalharness.records import Response, ResponseKey, Verdict
from evalharness.store import read_verdicts, verdict_places

_HELD_ROWS = 4096
"""Of each model and template while a table is read along."""


class _Block(NamedTuple):
    """The rows of one model and template, which stand together."""

    start: int
    num_rows: int


class VerdictTable:
    """One verdict table of a run; of a key that stands in it twice the later row counts."""

    def __init__(self, folder: Path, name: str | None) -> None:
        """None is a table without a row."""
        self._folder = folder
        self._name = name
        self._all: dict[ResponseKey, Verdict] | None = None

    def get(self, key: ResponseKey) -> Verdict | None:
        """The verdict on one response, in any order: the first call reads the whole table.

        Raises:
            StoreError: the table is damaged.
        """
        if self._all is None:
            rows = () if self._name is None else read_verdicts(self._folder, self._name)
            self._all = {each.key: each for each in rows}
        return self._all.get(key)

    def along(self, responses: Iterable[Response]) -> Iterator[Verdict | None]:
        """The verdict on each of `responses`, which come in the order of responses.parquet.

        The table is sorted by model and template first. It is read at several places at once, one
        for each of them; a table in another order, or a small one, is read whole.

        Raises:
            StoreError: the table is damaged.
        """
        if self._name is None:
            yield from (None for _ in responses)
            return
        blocks = self._blocks()
        if blocks is None:
            yield from (self.get(each.key) for each in responses)
            return
        streams = {names: self._rows(block) for names, block in blocks.items()}
        ahead = {names: next(stream) for names, stream in streams.items()}
        for response in responses:
            names, place = (response.model, response.template), _place(response)
            verdict = ahead.get(names)
            while verdict is not None and _place(verdict) < place:
                verdict = ahead[names] = next(streams[names])
            yield verdict if verdict is not None and _place(verdict) == place else None

    def _rows(self, block: _Block) -> Iterator[Verdict | None]:
        """Those of a block, and None for ever after."""
        rows = read_verdicts(self._folder, self._name or "", start=block.start)
        yield from islice(rows, block.num_rows)
        yield from repeat(None)

    def _blocks(self) -> dict[tuple[str, str], _Block] | None:
        """Where each model and template stands; None if that doesn't help."""
        blocks: dict[tuple[str, str], _Block] = {}
        last = None
        num_rows = 0
        for benchmark, problem, model, template, sample in verdict_places(
            self._folder, self._name or ""
        ):
            names, place = (model, template), (benchmark, problem, sample)
            if last is None or last[0] != names:
                if names in blocks:
                    return None
                blocks[names] = _Block(num_rows, 0)
            elif last[1] >= place:
                return None
            blocks[names] = blocks[names]._replace(num_rows=blocks[names].num_rows + 1)
            last = (names, place)
            num_rows += 1
        return blocks if len(blocks) * _HELD_ROWS < num_rows else None


def _place(row: Response | Verdict) -> tuple[str, str, int]:
    """What the rows of one model and template are sorted by."""
    return row.benchmark, row.problem_id, row.sample_index
