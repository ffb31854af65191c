"""Rows with our columns, or with others that the user maps: JSONL, JSON, CSV, Parquet, Arrow."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from evalharness.benchmarks.files import Row, read_file
from evalharness.definitions import display_path, suggestion
from evalharness.errors import InputError
from evalharness.importing.columns import (
    COLUMNS,
    REQUIRED,
    SourceFile,
    Wanted,
    value_of_text,
)


def read_plain(path: Path, wanted: Wanted) -> SourceFile:
    """All rows of a file, its columns renamed.

    Raises:
        InputError: the file can't be read, a column that an import needs isn't there, or a score is
            named, of which these files have none.
    """
    if wanted.score is not None:
        raise InputError(
            f"{display_path(path)}: --score {wanted.score}: rows with named columns have one "
            "verdict, their label: --map label=... takes it from another column"
        )
    rows = read_file(path)
    check_columns(path, {column for row in rows for column in row.cells}, wanted)
    names = {ours: wanted.columns.get(ours, ours) for ours in COLUMNS}
    read = value_of_text if path.suffix.lower() == ".csv" else _value
    return SourceFile(
        path=path,
        format="plain",
        rows=[
            Row(row.place, {ours: read(ours, row.cells.get(name)) for ours, name in names.items()})
            for row in rows
        ],
    )


def _value(_: str, value: Any) -> Any:
    return value


def missing_columns(existing: Collection[str], wanted: Wanted) -> list[str]:
    """The columns that an import needs and that neither the file nor a flag gives."""
    return [
        ours
        for ours in REQUIRED
        if wanted.columns.get(ours, ours) not in existing and ours not in wanted.constants
    ]


def check_columns(path: Path, existing: Collection[str], wanted: Wanted) -> None:
    """Refuse a file that lacks a column.

    Raises:
        InputError: says which, what the file has, and which flags help.
    """
    missing = missing_columns(existing, wanted)
    if missing:
        theirs = wanted.columns.get(missing[0], missing[0])
        more = f"; {', '.join(missing[1:])} missing too" if missing[1:] else ""
        raise InputError(
            f'{display_path(path)}: no column "{theirs}"{suggestion(theirs, existing)} '
            f"It has {', '.join(sorted(existing))}{more}. "
            f"Rename one with --map {missing[0]}=..., or give "
            f"one value to all rows with --set {missing[0]}=..."
        )
    for ours, theirs in wanted.columns.items():
        if theirs not in existing:
            raise InputError(
                f'{display_path(path)}: --map {ours}={theirs}: no column "{theirs}"'
                f"{suggestion(theirs, existing)}"
            )
