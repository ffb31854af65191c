"""Reads TOML files that people write, and names file and line in every complaint."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from evalharness.errors import InputError

T = TypeVar("T")

_SYNTAX_LINE = re.compile(r"\(at line (\d+), column (\d+)\)")


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean "stop"?`, or a full stop where no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else "."


def display_path(path: Path) -> str:
    """Relative to the current folder where that is shorter to read."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class Definition:
    """One TOML file, with typed access that says file and line when something is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{display_path(path)}: can't be read: {error}") from error
        try:
            self.table: dict[str, Any] = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            found = _SYNTAX_LINE.search(str(error))
            line = found[1] if found else len(self.text.splitlines())
            what = _SYNTAX_LINE.sub("", str(error)).strip()
            raise InputError(f"{display_path(path)}:{line}: not valid TOML: {what}") from error

    def line_of(self, key: str) -> int | None:
        """The first line that assigns `key` or opens it as a table, 1-based."""
        quoted = re.escape(key)
        pattern = rf"^\s*(?:\[+\s*(?:[\w.\-\"]+\.)?)?[\"']?{quoted}[\"']?\s*(?:=|\]|\.)"
        for number, line in enumerate(self.text.splitlines(), start=1):
            if re.match(pattern, line):
                return number
        return None

    def wrong(self, message: str, key: str | None = None) -> InputError:
        """The error to raise about `key`, with its place."""
        line = self.line_of(key) if key else None
        where = f"{display_path(self.path)}:{line}" if line else display_path(self.path)
        return InputError(f"{where}: {message}")

    def check_keys(self, table: Mapping[str, Any], known: Iterable[str]) -> None:
        """Refuse a key that nobody reads: it is a typo."""
        known = list(known)
        for key in table:
            if key not in known:
                raise self.wrong(f'unknown key "{key}"{suggestion(key, known)}', key)

    def get(self, table: Mapping[str, Any], key: str, kind: type[T], default: T) -> T:
        """The value of an optional key, of the type of its default."""
        return self.need(table, key, kind) if key in table else default

    def need(self, table: Mapping[str, Any], key: str, kind: type[T]) -> T:
        """The value of a required key.

        Raises:
            InputError: missing, or of another type.
        """
        if key not in table:
            raise self.wrong(f'the key "{key}" is missing')
        value = table[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(
                f'"{key}" must be of type {kind.__name__}, not {type(value).__name__}', key
            )
        return value

    def strings(self, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """A list of strings; empty where the key is absent."""
        values = table.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.wrong(f'"{key}" must be a list of strings', key)
        return tuple(values)

    def tables(self, key: str) -> list[dict[str, Any]]:
        """An array of tables at the top of the file; empty where the key is absent."""
        entries = self.get(self.table, key, list, [])
        if not all(isinstance(entry, dict) for entry in entries):
            raise self.wrong(f'"{key}" must be tables, each opened by [[{key}]]', key)
        return entries
