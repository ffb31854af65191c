"""Which harness wrote a file: seen from its content, or said by the user, never guessed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalharness.benchmarks.files import SUFFIXES, read_file
from evalharness.definitions import display_path
from evalharness.errors import InputError
from evalharness.importing import inspect_log, lighteval, lm_eval, qwen_math
from evalharness.importing.cells import parse_object
from evalharness.importing.columns import SourceFile, Wanted
from evalharness.importing.plain import check_columns, missing_columns, read_plain
from evalharness.store import SPEC

EVAL = ".eval"
READABLE = (*SUFFIXES, ".arrow", EVAL)
_MOST_NAMED = 5


class Format(NamedTuple):
    """A kind of file with its reader."""

    name: str
    title: str
    keys: tuple[frozenset[str], ...]
    """A file whose rows have all names of one of these sets is of this format."""
    read: Callable[[Path, Wanted], SourceFile]


FORMATS = (
    Format("lm-eval", "samples of lm-eval", (lm_eval.KEYS,), lm_eval.read_lm_eval),
    Format(
        "lighteval",
        "details of lighteval",
        (lighteval.KEYS, lighteval.OLDER_KEYS),
        lighteval.read_lighteval,
    ),
    Format(
        "inspect",
        "a log of Inspect",
        (inspect_log.KEYS, inspect_log.JSON_KEYS),
        inspect_log.read_inspect,
    ),
    Format(
        "qwen-math",
        "outputs of the Qwen2.5-Math harness",
        (qwen_math.KEYS,),
        qwen_math.read_qwen_math,
    ),
)
PLAIN = Format("plain", "rows with named columns", (), read_plain)
FORMAT_NAMES = tuple(each.name for each in (*FORMATS, PLAIN))

_WITHOUT_RESPONSES = (
    (
        frozenset({"results", "configs"}),
        "the results of lm-eval without the responses: run lm_eval with --log_samples and import "
        "the samples_*.jsonl",
    ),
    (
        frozenset({"config_general", "results"}),
        "the results of lighteval without the responses: run lighteval with --save-details and "
        "import the details_*.parquet",
    ),
    (
        frozenset({"num_samples", "num_scores", "acc"}),
        "the metrics of the Qwen2.5-Math harness without the responses: import the JSONL beside it",
    ),
)


def read_sources(
    paths: Sequence[Path], wanted: Wanted, format_name: str | None = None
) -> tuple[list[SourceFile], list[str]]:
    """Every file, and of every folder all files that are of a known format; notes on the others.

    Raises:
        InputError: a file can't be read or is of no known format, or a folder holds none.
    """
    found: list[SourceFile] = []
    notes: list[str] = []
    for path in paths:
        if not path.is_dir():
            found.append(_reader(path, wanted, format_name).read(path, wanted))
            continue
        if (path / SPEC).is_file():
            raise InputError(
                f"{display_path(path)} is a run already: score, compare and report take it as it is"
            )
        left_out = []
        before = len(found)
        for inner in sorted(each for each in path.rglob("*") if each.is_file()):
            if inner.suffix.lower() not in READABLE:
                continue
            try:
                reader = _inner_reader(inner, wanted, format_name)
            except _WithoutResponsesError:
                continue  # it stands beside the responses and has nothing else to import
            except _UnknownFormatError:
                left_out.append(display_path(inner))
                continue
            found.append(reader.read(inner, wanted))
        if len(found) == before:
            raise InputError(
                f"{display_path(path)}: no file in this folder holds responses in a known form: "
                f"name one by itself to see what it lacks. {_known_forms()}"
            )
        if left_out:
            more = f" and {len(left_out) - _MOST_NAMED} more" if left_out[_MOST_NAMED:] else ""
            form = (
                "in no known form" if format_name is None else f"of another form than {format_name}"
            )
            notes.append(
                f"left out, {form}: {', '.join(left_out[:_MOST_NAMED])}{more}: name one "
                "by itself to see what it lacks"
            )
    return found, notes


class _UnknownFormatError(InputError):
    """Says what the file has and what it lacks."""


class _WithoutResponsesError(_UnknownFormatError):
    """A harness's summary."""


def _inner_reader(path: Path, wanted: Wanted, format_name: str | None) -> Format:
    """The reader of a file of a folder: a named format is for those that are of no other one."""
    if format_name is None:
        return _reader(path, wanted, None)
    named = _reader(path, wanted, format_name)
    try:
        seen = _reader(path, wanted, None)
    except _WithoutResponsesError:
        raise
    except _UnknownFormatError:
        return named
    if seen not in (named, PLAIN):
        raise _UnknownFormatError(f"{display_path(path)}: is {seen.title}")
    return named


def _reader(path: Path, wanted: Wanted, format_name: str | None) -> Format:
    """The reader of one file."""
    if format_name is not None:
        return next(each for each in (*FORMATS, PLAIN) if each.name == format_name)
    keys = _peek(path)
    if not wanted.columns:
        for each in FORMATS:
            if any(keys >= names for names in each.keys):
                return each
    if not missing_columns(keys, wanted):
        return PLAIN
    if path.suffix.lower() == EVAL:
        raise _UnknownFormatError(f"{display_path(path)}: {inspect_log.BROKEN_OFF}")
    for names, what in _WITHOUT_RESPONSES:
        if keys >= names:
            raise _WithoutResponsesError(f"{display_path(path)}: these are {what}")
    try:
        check_columns(path, keys, wanted)
    except InputError as error:
        raise _UnknownFormatError(f"{error}. {_known_forms()}") from error
    return PLAIN


def _known_forms() -> str:
    kinds = ", ".join(f"{each.title} ({each.name})" for each in FORMATS)
    return f"Known without a map: {kinds}; --from names one"


def _peek(path: Path) -> frozenset[str]:
    """The names in the first row, in the one object, or of a zip's members."""
    name = display_path(path)
    kind = path.suffix.lower()
    try:
        if kind == EVAL or zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return frozenset(archive.namelist())
        if kind == ".jsonl":
            with path.open(encoding="utf-8-sig") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        return frozenset(parse_object(f"{name}:{number}", line))
            raise InputError(f"{name}: there are no rows in it")
        if kind == ".json":
            value = json.loads(path.read_text(encoding="utf-8-sig"))
            return frozenset(value) if isinstance(value, dict) else _of_rows(path)
        if kind == ".parquet":
            import pyarrow.parquet as pq

            return frozenset(pq.read_schema(path).names)
    except zipfile.BadZipFile as error:
        raise InputError(f"{name}: not a valid zip archive: {error}") from error
    except (OSError, ValueError, RecursionError, NotImplementedError) as error:
        raise InputError(f"{name}: can't be read: {error}") from error
    return _of_rows(path)


def _of_rows(path: Path) -> frozenset[str]:
    return frozenset(column for row in read_file(path) for column in row.cells)
