"""What a run folder holds, gone through without holding it."""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalharness.errors import StoreError
from evalharness.records import Response
from evalharness.store import JSONL, PARQUET, RunWriter, StoredResponses, read_responses
from evalharness.store.index import LineIndex
from evalharness.store.rows import by_problem
from tests.test_store import response


def stored(folder: Path) -> list[Response]:
    return list(StoredResponses(folder))


def failed(row: int) -> Response:
    return dataclasses.replace(response(row), response="", finish_reason="error", error="died")


def shuffle(folder: Path) -> None:
    table = pq.read_table(folder / PARQUET)
    backwards = table.take(pa.array(range(len(table))[::-1]))
    pq.write_table(backwards.replace_schema_metadata(table.schema.metadata), folder / PARQUET)


@pytest.mark.parametrize("shape", ["lines", "table", "both", "overlap", "shuffled", "shuffled+"])
def test_every_response_comes_once_and_sorted_however_it_is_stored(
    tmp_path: Path, shape: str
) -> None:
    rows = [response(row) for row in (3, 11, 0, 7, 2, 5)]
    with RunWriter(tmp_path) as writer:
        writer.append([*rows[:4], failed(2)])
        if shape != "lines":
            writer.compact()
        writer.append(rows[4:])
        if shape in ("table", "shuffled"):
            writer.compact()
    if shape in ("table", "both"):
        # What the table holds already may be gone from the file.
        lines = (tmp_path / JSONL).read_bytes().splitlines(keepends=True)
        (tmp_path / JSONL).write_bytes(b"".join(lines[5:]) if shape == "both" else b"")
    if shape.startswith("shuffled"):
        shuffle(tmp_path)
    expected = sorted(rows, key=by_problem)
    assert stored(tmp_path) == expected
    assert sorted(read_responses(tmp_path), key=by_problem) == expected
    assert list(StoredResponses(tmp_path).places()) == [by_problem(each) for each in expected]
    assert StoredResponses(tmp_path).finished() == {each.key for each in rows}


def test_what_failed_is_not_finished_wherever_it_stands(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append([failed(0), failed(1), response(2), response(3)])
        writer.compact()
        writer.append([response(1), failed(3), failed(4)])
        assert writer.recover().finished == {response(row).key for row in (1, 2)}
        writer.compact()
        assert writer.recover().finished == {response(row).key for row in (1, 2)}
    assert len(stored(tmp_path)) == 5


def test_a_file_that_changes_under_its_index_is_noticed(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append([response(0), response(1)])
    responses = StoredResponses(tmp_path)
    lines = (tmp_path / JSONL).read_bytes().splitlines(keepends=True)
    (tmp_path / JSONL).write_bytes(b"".join(reversed(lines)))
    with pytest.raises(StoreError, match="another program changed it"):
        list(responses)


def test_an_index_does_not_hold_what_the_model_said(tmp_path: Path) -> None:
    import tracemalloc

    long = "x" * 100_000
    with RunWriter(tmp_path) as writer:
        writer.append([dataclasses.replace(response(row), response=long) for row in range(200)])
    tracemalloc.start()
    try:
        responses = StoredResponses(tmp_path)
        num_letters = sum(len(each.response) for each in responses)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert num_letters == 20_000_000
    assert peak < 2_000_000


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert stored(tmp_path) == []
    assert LineIndex(tmp_path / JSONL).places() == []
