"""Parquet files read and written in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from evalharness.errors import StoreError
from evalharness.store.files import (
    JSONL,
    PARQUET,
    disk_in_words,
    rename_for_good,
    sync,
    temporary_beside,
)

BATCH_ROWS = 4096


def write_table(
    path: Path, rows: Iterable[dict[str, Any]], schema: Any, about: dict[bytes, bytes]
) -> None:
    """Replace a table whole, its rows in the order in which they come.

    Raises:
        StoreError: the disk is full or gone; the old table is as before.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schema.with_metadata(about) if about else schema
    remaining = iter(rows)
    with disk_in_words(path), temporary_beside(path) as temporary:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as table:
            while batch := list(islice(remaining, BATCH_ROWS)):
                table.write_table(pa.Table.from_pylist(batch, schema=schema))
        sync(temporary)
        rename_for_good(temporary, path)


def table_rows(
    path: Path, columns: list[str] | None = None, start: int = 0
) -> Iterator[dict[str, Any]]:
    """The rows of a table from a 0-based one on, in its order.

    Raises:
        StoreError: the file is damaged.
    """
    import pyarrow.parquet as pq

    # With a buffer a large row group is read bit by bit, and not whole.
    with (
        damage_in_words(path),
        pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file,
    ):
        groups = list(range(file.num_row_groups))
        while groups and start >= file.metadata.row_group(groups[0]).num_rows:
            start -= file.metadata.row_group(groups.pop(0)).num_rows
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns, row_groups=groups):
            yield from batch.slice(min(start, batch.num_rows)).to_pylist()
            start = max(0, start - batch.num_rows)


def table_metadata(path: Path) -> dict[bytes, bytes]:
    """What is said about a table in its file, without reading the rows.

    Raises:
        StoreError: the file is damaged.
    """
    import pyarrow.parquet as pq

    with damage_in_words(path):
        return dict(pq.read_schema(path).metadata or {})


@contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Turns a table that can't be read into words: another program cut or changed it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise StoreError(f"{path}: can't be read: {reason}; {_remedy(path)}") from error


def _remedy(path: Path) -> str:
    if path.name != PARQUET:
        return "delete it, and `evalharness score` makes it again"
    if path.with_name(JSONL).exists():
        return f"delete it: {JSONL} has all that it had"
    return f"take it again from where this folder came from: there is no {JSONL} to make it of"
