"""Typed access to the cells of a foreign row; every complaint says where the cell stands."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.definitions import display_path
from evalharness.errors import InputError

_MOST_SHOWN = 80
_LARGEST = 2**63 - 1
"""What a column of whole numbers can hold."""


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
        return "a number of more than 19 digits"
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def need_text(place: str, name: str, value: Any, *, may_be_empty: bool = False) -> str:
    """A text; half a character, which no file can hold, becomes a question mark.

    Raises:
        InputError: it is something else, or empty where that means nothing.
    """
    if not isinstance(value, str) or (not value and not may_be_empty):
        raise InputError(f'{place}: "{name}" must be a text, not {shown(value)}')
    return value.encode("utf-8", "replace").decode("utf-8")


def whole_or_none(place: str, name: str, value: Any) -> int | None:
    """A whole number from 0; None where there is none, which Parquet also writes as NaN.

    Raises:
        InputError: it is something else.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or math.isinf(value) or value != int(value):
        raise InputError(f'{place}: "{name}" must be a whole number, not {shown(value)}')
    if not 0 <= value <= _LARGEST:
        what = "must not be negative" if value < 0 else "is too large"
        raise InputError(f'{place}: "{name}" {what}, not {shown(value)}')
    return int(value)


def identifier_or_none(place: str, name: str, value: Any) -> str | None:
    """A name or a number as text; None where there is none. Parquet writes 7 as 7.0 beside holes.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, float):
        value = whole_or_none(place, name, value)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise InputError(f'{place}: "{name}" must be a text or a whole number, not {shown(value)}')
    return None if value is None else need_text(place, name, str(value))


def need_table(place: str, name: str, value: Any) -> Mapping[str, Any]:
    """An object with named values.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise InputError(f'{place}: "{name}" must be an object, not {shown(value)}')
    return value


def need_list(place: str, name: str, value: Any) -> Sequence[Any]:
    """A list.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, list | tuple):
        raise InputError(f'{place}: "{name}" must be a list, not {shown(value)}')
    return value


def right_or_wrong(place: str, name: str, value: Any) -> bool | None:
    """A score as a verdict: 1 is right, 0 is wrong; None for one in between, or for no score.

    Raises:
        InputError: it is no number from 0 to 1.
    """
    if value is None:
        return None
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        raise InputError(f'{place}: "{name}" must be a score from 0 to 1, not {shown(value)}')
    return bool(value) if value in (0, 1) else None


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSONL file with their places.

    Raises:
        InputError: the file can't be read, or a line is no JSON object.
    """
    name = display_path(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{name}:{number}", parse_object(f"{name}:{number}", line)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: can't be read: {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """The one JSON object of a file.

    Raises:
        InputError: the file can't be read, or is something else.
    """
    name = display_path(path)
    try:
        return parse_object(name, path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: can't be read: {error}") from error


def parse_object(place: str, text: str | bytes) -> dict[str, Any]:
    """One JSON object.

    Raises:
        InputError: it is something else, nests too deeply, or has a number of thousands of digits.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise InputError(f"{place}: not valid JSON: it nests too deeply") from error
    except ValueError as error:
        raise InputError(f"{place}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{place}: must be an object, not {shown(value)}")
    return value
