"""Reads the rows of JSONL, JSON, Parquet, CSV and Arrow files."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.definitions import display_path
from evalharness.errors import InputError

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")


class Row(NamedTuple):
    """One row of a file or data set and how to say where it stands."""

    place: str
    cells: Mapping[str, Any]


def sha256_of(path: Path) -> str:
    """Of the file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_file(path: Path, suffix: str | None = None) -> list[Row]:
    """All rows of a JSONL, JSON, Parquet, CSV or Arrow file, in order, nothing skipped.

    Raises:
        InputError: it can't be read, isn't what its suffix says, or has no rows.
    """
    name = display_path(path)
    kind = suffix or path.suffix.lower()
    try:
        if kind == ".jsonl":
            rows = _read_jsonl(path, name)
        elif kind == ".json":
            rows = _read_json(path, name)
        elif kind == ".csv":
            rows = _read_csv(path, name)
        elif kind in (".parquet", ".arrow"):
            rows = _read_columns(path, name, kind)
        else:
            raise InputError(f"{name}: a benchmark file ends in one of {', '.join(SUFFIXES)}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: can't be read: {error}") from error
    if not rows:
        raise InputError(f"{name}: there are no rows in it")
    return rows


def _read_jsonl(path: Path, name: str) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{name}:{number}"
            try:
                cells = json.loads(line)
            # A ValueError is a syntax error, or a number of thousands of digits.
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place}: not valid JSON: {error}") from error
            rows.append(_row(place, cells))
    return rows


def _read_json(path: Path, name: str) -> list[Row]:
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{name}:{error.lineno}: not valid JSON: {error.msg}") from error
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not valid JSON: {error}") from error
    if not isinstance(table, list):
        raise InputError(f"{name}: must be a list of objects, one a problem")
    return [_row(f"{name}: row {index}", cells) for index, cells in enumerate(table)]


def _row(place: str, cells: object) -> Row:
    if not isinstance(cells, dict):
        raise InputError(f"{place}: a row must be an object with a problem and a gold")
    return Row(place, {_storable(name): _storable(value) for name, value in cells.items()})


def _storable(value: Any) -> Any:
    """JSON can name half of a character, which no file can hold: it becomes a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return [_storable(each) for each in value] if isinstance(value, list) else value


def _read_csv(path: Path, name: str) -> list[Row]:
    rows = []
    # A long response has more letters than a cell may have by default; the limit is the process's.
    limit = csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for cells in reader:
                place = f"{name}:{reader.line_num}"
                if None in cells or None in cells.values():
                    raise InputError(
                        f"{place}: the header has {len(reader.fieldnames or ())} "
                        "columns and this row doesn't"
                    )
                rows.append(Row(place, cells))
        except csv.Error as error:
            raise InputError(
                f"{name}: after line {reader.line_num}: not valid CSV: {error}"
            ) from error
        finally:
            csv.field_size_limit(limit)
    return rows


def _read_columns(path: Path, name: str, kind: str) -> list[Row]:
    import pyarrow

    try:
        if kind == ".parquet":
            from pyarrow import parquet

            table = parquet.read_table(path).to_pylist()
        else:
            from datasets import Dataset

            # from_file memory-maps where it lies: no copy goes into the hub's cache.
            table = Dataset.from_file(str(path)).to_list()
    except pyarrow.ArrowException as error:
        raise InputError(f"{name}: not a valid {kind[1:]} file: {error}") from error
    return [Row(f"{name}: row {index}", cells) for index, cells in enumerate(table)]
