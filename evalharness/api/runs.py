"""A run folder as frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.errors import InputError
from evalharness.records import GoldChoice

if TYPE_CHECKING:
    import pandas as pd

    from evalharness.report.tables import Table

_FORMATS = {
    ".html": "html",
    ".md": "markdown",
    ".tex": "latex",
    ".csv": "csv",
    ".json": "json",
    ".txt": "terminal",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """The responses and verdicts of a run folder; made by `evaluate`, `load_run` and `score`.

    Each frame is read when it is first asked for, and kept.
    """

    # Not slotted: cached_property keeps its value in the instance.
    folder: Path
    verdict_table: str
    """`<checker>@<version>`, with `+corrected` behind it for the corrected golds."""

    @cached_property
    def spec(self) -> dict[str, Any]:
        """run.json: models and their revisions, templates, benchmarks, sampling, versions."""
        from evalharness.store import read_spec

        return read_spec(self.folder)

    @cached_property
    def responses(self) -> pd.DataFrame:
        """One row a response: model, template, benchmark, problem_id, sample_index, ..., response.

        `run.responses.merge(run.verdicts)` lays its verdict beside each.
        """
        from evalharness.store import responses_frame

        return responses_frame(self.folder)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """One row a verdict of `verdict_table`: status, extracted, gold, method, reason, ..."""
        from evalharness.store import verdicts_frame

        return verdicts_frame(self.folder, self.verdict_table)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The rows of metrics.json: benchmark, model, template, metric, value, low, high, n, k."""
        import pandas as pd

        return pd.DataFrame(self._metric_rows)

    @cached_property
    def problems(self) -> pd.DataFrame:
        """One row a problem: benchmark, problem_id, text, golds, corrected_golds, ..."""
        import pandas as pd

        from evalharness.store import read_problems

        return pd.DataFrame(map(dataclasses.asdict, read_problems(self.folder).values()))

    def compare(
        self,
        baseline: str | None = None,
        *,
        models: Sequence[str] = (),
        common: bool = False,
    ) -> pd.DataFrame:
        """Every model and template of this run against one of them, paired by problem.

        See `evalharness.compare`, which takes several runs.
        """
        from evalharness.api.comparing import compared_frame, warn_left_out

        frame = compared_frame(
            self, baseline, models=models, common=common, verdicts=self.verdict_table
        )
        warn_left_out(frame)
        return frame

    def score(self, *, checker: str = "evalharness", golds: GoldChoice = "published") -> Run:
        """The same responses under new verdicts, without generating.

        Raises:
            InputError: no such checker or choice of golds.
            StoreError: another process is writing the run.
        """
        from evalharness.scoring import score_run

        if golds not in ("published", "corrected"):
            raise InputError(f"golds={golds!r}: choose published or corrected")
        return Run(folder=self.folder, verdict_table=score_run(self.folder, golds, checker=checker))

    def report(self, path: str | Path | None = None, *, details: bool = False) -> Path:
        """Write the report in the format of the path's suffix; the page in the folder without one.

        Args:
            path: .html, .md, .tex, .csv, .json or .txt.
            details: also lengths by verdict, budgets, texts and series; the page always has them.

        Raises:
            InputError: another suffix, or the file can't be written.
            MissingExtraError: a page without the extra [report].
        """
        from evalharness.report.runs import PAGE, ReportOptions, render_runs, write_report

        place = Path(path).expanduser() if path is not None else self.folder / PAGE
        if place.suffix not in _FORMATS:
            raise InputError(f"report {place}: the name must end in {', '.join(_FORMATS)}")
        about = ReportOptions(verdicts=self.verdict_table, with_details=details)
        write_report(place, render_runs([self.folder], _FORMATS[place.suffix], about))
        return place

    @cached_property
    def _metric_rows(self) -> list[dict[str, Any]]:
        from evalharness.measuring import metrics_of

        return metrics_of(self.folder, self.verdict_table)

    def _accuracy(self) -> Table:
        from evalharness.report.runs import run_notes
        from evalharness.report.tables import run_tables

        titles = {name: each["title"] for name, each in self.spec["benchmarks"].items()}
        titles |= {"macro": "macro", "micro": "micro"}
        notes = run_notes(self.spec, self.verdict_table)
        return run_tables(self._metric_rows, titles, notes)[0]

    def __repr__(self) -> str:
        from evalharness.report.terminal import visible

        counts = [
            f"{len(self.spec[kind])} {kind if len(self.spec[kind]) != 1 else kind[:-1]}"
            for kind in ("models", "templates", "benchmarks")
        ]
        counts += [f"{len(self.verdicts)} verdicts by {self.verdict_table}", self.spec["status"]]
        return visible(f"<Run {self.folder}: {', '.join(counts)}>")

    def __str__(self) -> str:
        from evalharness.report.terminal import as_terminal

        return as_terminal([self._accuracy()])

    def _repr_html_(self) -> str:
        from html import escape

        table = self._accuracy()
        head = "".join(f"<th>{escape(each)}</th>" for each in table.columns)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows
        )
        notes = "".join(f"<div><small>{escape(note)}</small></div>" for note in table.notes)
        return (
            f"<div><b>{escape(table.title)}</b> {escape(str(self.folder))}</div>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"
        )


def load_run(folder: str | Path, *, verdicts: str | None = None) -> Run:
    """The run in a folder, under its newest verdict table or a named one.

    Raises:
        StoreError: the folder is no run.
        InputError: it has no verdicts, or not the named ones.
    """
    from evalharness.report.runs import choose_verdicts
    from evalharness.store import read_spec

    if not isinstance(folder, str | Path):
        raise InputError(f"load_run: {folder!r} is no folder: give its path")
    place = Path(folder).expanduser()
    read_spec(place)
    return Run(folder=place, verdict_table=choose_verdicts(place, verdicts))
