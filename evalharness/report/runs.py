"""One text for one or several runs, in any format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.errors import InputError
from evalharness.report.tables import as_markdown, metrics_csv, run_tables
from evalharness.report.terminal import as_terminal
from evalharness.scoring import CORRECTED, metrics_of
from evalharness.store import read_spec, verdict_names


def render_runs(folders: Sequence[Path], verdicts: str | None, form: str) -> str:
    """The tables of some runs as `terminal`, `markdown`, `csv` or `json`.

    A model and template that stand in several runs are told apart by the run's name.

    Raises:
        StoreError: a folder is no run.
        InputError: a run has no verdicts, or not the named ones.
    """
    metrics: list[dict[str, Any]] = []
    titles: dict[str, str] = {"macro": "macro", "micro": "micro"}
    notes: dict[str, None] = {}
    seen: set[tuple[str, str, str]] = set()
    for folder in folders:
        spec = read_spec(folder)
        name = choose_verdicts(folder, verdicts)
        rows = metrics_of(folder, name)
        cells = {(row["model"], row["template"], row["benchmark"]) for row in rows}
        if cells & seen:
            for row in rows:
                row["model"] = f"{row['model']} ({folder.resolve().name})"
        seen |= cells
        metrics += rows
        titles |= {key: value["title"] for key, value in spec["benchmarks"].items()}
        for note in run_notes(spec, name):
            notes[note] = None
    if form == "json":
        return json.dumps(metrics, indent=1, ensure_ascii=False) + "\n"
    if form == "csv":
        return metrics_csv(metrics)
    tables = run_tables(metrics, titles, notes)
    return as_markdown(tables) if form == "markdown" else as_terminal(tables)


def choose_verdicts(folder: Path, name: str | None) -> str:
    """The named verdict table of a run, else its newest.

    Raises:
        InputError: there is none.
    """
    names = verdict_names(folder)
    if not names:
        raise InputError(f"{folder} has no verdicts yet: run `evalharness score {folder}`")
    if name is None:
        return names[-1]
    if name not in names:
        raise InputError(f'{folder} has no verdicts "{name}"; it has {", ".join(names)}')
    return name


def run_notes(spec: dict[str, Any], verdicts: str) -> list[str]:
    """What a reader of the numbers must know."""
    golds = "corrected" if verdicts.endswith(CORRECTED) else "published"
    notes = [f"Checked by {verdicts.removesuffix(CORRECTED)} against the {golds} golds."]
    if spec["status"] != "complete":
        notes.append(f"This run is {spec['status']}.")
    return notes
