"""A run in the files of other tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evalharness.errors import InputError
from evalharness.exporting.gathering import ExportedRun, gather
from evalharness.exporting.hub import export_hub
from evalharness.exporting.inspect_log import export_inspect
from evalharness.exporting.lm_eval import export_lm_eval
from evalharness.exporting.places import Target
from evalharness.exporting.tables import export_csv, export_parquet
from evalharness.store import DAMAGED, JSONL, LOCK, METRICS, PARQUET, PROBLEMS, PROMPTS, SPEC
from evalharness.store.files import VERDICTS

__all__ = ["EXPORT_FORMATS", "ExportResult", "export_run"]

_WRITERS: dict[str, Callable[[ExportedRun, Target], list[str]]] = {
    "lm-eval": export_lm_eval,
    "inspect": export_inspect,
    "hf": export_hub,
    "csv": export_csv,
    "parquet": export_parquet,
}
EXPORT_FORMATS = tuple(_WRITERS)
_ENDINGS = {"csv": ".csv", "parquet": ".parquet"}
"""Of the formats that are one flat table."""


_RUN_FILES = (SPEC, JSONL, PARQUET, DAMAGED, PROBLEMS, PROMPTS, METRICS, LOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What an export wrote."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    """What the format can't carry."""


def export_run(
    folder: Path,
    form: str,
    out: Path | None = None,
    *,
    verdicts: str | None = None,
    force: bool = False,
) -> ExportResult:
    """Write the responses and verdicts of a run as another tool writes its own.

    Args:
        folder: the run.
        form: one of `EXPORT_FORMATS`.
        out: a file for `csv` and `parquet`, a folder for the others; None is beside the run, with
            the format in the name.
        verdicts: the verdict table; None takes the newest of ours.
        force: write over files that are there.

    Raises:
        InputError: unknown format, a file is there already or is one of the run, or the run has no
            verdicts.
        MissingExtraError: the format's own package isn't installed.
        StoreError: the folder isn't a run, or the files can't be written.
    """
    if form not in _WRITERS:
        raise InputError(f'no format "{form}": there are {", ".join(EXPORT_FORMATS)}')
    place = out or folder.resolve().with_name(
        f"{folder.resolve().name}{_ENDINGS.get(form, f'-{form}')}"
    )
    if _is_of_run(place.resolve(), folder):
        raise InputError(f"{place} is a file of the run itself: name another --out")
    target = Target(place, may_replace=force)
    run = gather(folder, verdicts, with_metrics=form not in _ENDINGS)
    notes = _WRITERS[form](run, target)
    if run.status != "complete":
        notes.append(f"the run is {run.status}: its numbers are those of the responses it has")
    return ExportResult(paths=tuple(target.written), notes=tuple(notes))


def _is_of_run(place: Path, folder: Path) -> bool:
    """Whether it is a file of the run, or would be taken for one of its verdict tables."""
    files = [(folder / name).resolve() for name in _RUN_FILES]
    return place in files or (folder / VERDICTS).resolve() in (place, *place.parents)
