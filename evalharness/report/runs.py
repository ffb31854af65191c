"""A report of one or several runs, in any format."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from evalharness.errors import InputError, MissingExtraError
from evalharness.report.gather import (
    Gathered,
    choose_verdicts,
    folder_labels,
    gather_runs,
    run_notes,
)
from evalharness.report.options import ReportOptions
from evalharness.report.tables import Table, as_markdown, metrics_csv
from evalharness.report.terminal import as_json, as_terminal, visible
from evalharness.store import write_atomically

__all__ = [
    "PAGE",
    "ReportOptions",
    "choose_verdicts",
    "render_runs",
    "run_notes",
    "try_write_page",
    "write_page",
    "write_report",
    "write_run_figures",
]

PAGE = "report.html"


def render_runs(folders: Sequence[Path], form: str, options: ReportOptions | None = None) -> str:
    """Some runs as `terminal`, `markdown`, `latex`, `csv`, `json` or `html`.

    A model and template that stand in several runs are told apart by the run's name.

    Raises:
        StoreError: a folder is no run.
        InputError: a run has no verdicts, or not the named ones.
        MissingExtraError: HTML without the extra [report].
    """
    options = options or ReportOptions()
    gathered = gather_runs(folders, options.verdicts)
    options = options.for_models([model for model, _ in gathered.cells])
    if form == "json":
        return as_json(gathered.metrics) + "\n"
    if form == "csv":
        return visible(metrics_csv(gathered.metrics))
    if form == "html":
        return _page(gathered, options)
    if form == "latex":
        from evalharness.report.latex import as_latex

        return visible(as_latex(_tables(gathered, options)))
    tables = _tables(gathered, options)
    return visible(as_markdown(tables)) if form == "markdown" else as_terminal(tables)


def write_page(folder: Path, options: ReportOptions | None = None) -> Path:
    """`report.html` in the folder of a run.

    Raises:
        MissingExtraError: the extra [report] isn't installed.
        InputError: it can't be written.
    """
    path = folder / PAGE
    write_report(path, render_runs([folder], "html", options))
    return path


def try_write_page(folder: Path) -> str:
    """`report.html` in the folder of a run, where that is possible; what became of it."""
    from importlib.util import find_spec

    if find_spec("altair") is None or find_spec("vl_convert") is None:
        why = MissingExtraError("The HTML report", "report")
        return f"no {PAGE}: {why}, then `evalharness report {folder} --format html`"
    return f"report: {write_page(folder)}"


def write_report(path: Path, text: str) -> None:
    """Replace a file whole.

    Raises:
        InputError: it can't be written.
    """
    try:
        write_atomically(path, text)
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror}") from error


def write_run_figures(
    folders: Sequence[Path], options: ReportOptions, into: Path, forms: Sequence[str]
) -> list[Path]:
    """The charts of the HTML report as files.

    Raises:
        MissingExtraError: the extra [report] isn't installed.
        InputError: the baseline isn't in these runs.
    """
    from evalharness.report.figures import write_figures
    from evalharness.report.sections import report_sections

    gathered = gather_runs(folders, options.verdicts)
    options = options.for_models([model for model, _ in gathered.cells])
    sections = report_sections(gathered, options)
    return write_figures([each for section in sections for each in section.figures], into, forms)


def _tables(gathered: Gathered, options: ReportOptions) -> list[Table]:
    from evalharness.report.comparisons import Compared, main_tables
    from evalharness.report.glance import glance_table

    compared = Compared(gathered)
    tables = main_tables(gathered, compared.leaders())
    against = compared.with_baseline(options.baseline)
    troubles = tuple(f"Not compared: {each}." for each in against.troubles)
    tables[0] = dataclasses.replace(tables[0], notes=(*tables[0].notes, *troubles))
    if glance := glance_table(against.rows, gathered.titles, gathered.cells):
        tables.insert(1, glance)
    if options.with_details:
        from evalharness.report.details import detail_tables

        tables += detail_tables(gathered, options)
    if options.published:
        from evalharness.report.published import published_table

        tables.append(published_table(gathered, options.published))
    return tables


def _page(gathered: Gathered, options: ReportOptions) -> str:
    from evalharness.report.html import html_report

    names = folder_labels([run.folder for run in gathered.runs])
    return html_report(gathered, title=", ".join(names), options=options)
