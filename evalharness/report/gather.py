"""Everything that a report of one or several runs is made from, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalharness.analysis.checks import impossible_accuracies
from evalharness.analysis.clusters import cluster_numbers, stem_clusters
from evalharness.analysis.length import Lengths
from evalharness.errors import InputError
from evalharness.measuring import CORRECTED, frame_metrics, judged_frame, num_unjudged
from evalharness.records import Problem
from evalharness.report.copies import copied_sample_notes
from evalharness.store import METRICS, read_problems, read_spec, verdict_names

if TYPE_CHECKING:
    import pandas as pd


Cell = tuple[str, str]
"""Model and template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSource:
    """One run of a report."""

    folder: Path
    spec: dict[str, Any]
    verdicts: str
    """The name of the verdict table in use."""
    renamed: dict[str, str]
    """Model -> its name in the report, where another run has the same cell."""

    @property
    def is_corrected(self) -> bool:
        """Whether the corrected golds count."""
        return self.verdicts.endswith(CORRECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The judged responses of all runs, and what follows from them."""

    runs: tuple[RunSource, ...]
    frame: pd.DataFrame
    """One row a judged response: benchmark, model, template, problem_id, sample_index, num_tokens,
    finish_reason, token_limit, status, and `run`, the index of its run."""
    metrics: list[dict[str, Any]]
    titles: dict[str, str]
    """Benchmark, `macro` or `micro` -> its title for people."""
    notes: tuple[str, ...]
    warnings: frozenset[str] = frozenset()
    """Those of the notes that put the numbers in doubt."""
    clusters: Mapping[str, int] = field(default_factory=dict)
    """Problem id -> cluster of problems that are not independent of each other."""

    @property
    def benchmarks(self) -> list[str]:
        """In the order of the runs, without the averages."""
        return [name for name in self.titles if name not in ("macro", "micro")]

    @property
    def columns(self) -> list[str]:
        """The benchmarks, then the averages where there are any."""
        averages = {row["benchmark"] for row in self.metrics} & {"macro", "micro"}
        return self.benchmarks + sorted(averages)

    def is_comparable(self, column: str) -> bool:
        """Whether an average is over the same benchmarks for every model and template."""
        if column not in ("macro", "micro"):
            return True
        found: dict[tuple[str, str], set[str]] = {}
        for row in self.metrics:
            if row["metric"] == "accuracy":
                found.setdefault((row["model"], row["template"]), set()).add(row["benchmark"])
        return len({frozenset(names) for names in found.values()}) == 1

    @property
    def cells(self) -> list[Cell]:
        """(model, template) in the order of the runs."""
        found = dict.fromkeys((row["model"], row["template"]) for row in self.metrics)
        return list(found)


def gather_runs(folders: Sequence[Path], verdicts: str | None) -> Gathered:
    """Read the runs; a model and template that stand in several are told apart by the run's name.

    Raises:
        StoreError: a folder is no run.
        InputError: a run has no verdicts, not the named ones, or none in them.
    """
    import pandas as pd

    runs, frames = [], []
    titles = {"macro": "macro", "micro": "micro"}
    metrics: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    warnings: set[str] = set()
    seen: set[tuple[str, str, str]] = set()
    problems: dict[str, Problem] = {}
    labels = folder_labels(folders)
    for index, folder in enumerate(folders):
        spec = read_spec(folder)
        name = choose_verdicts(folder, verdicts)
        frame = judged_frame(folder, name)
        problems |= read_problems(folder)
        rows = frame_metrics(folder, frame)
        if len(frame) == 0:
            why = f"none of its responses has a verdict under {name}"
            raise InputError(f"{folder}: {why}: run `evalharness score {folder}`")
        doubts = [*copied_sample_notes(folder, frame), *_stored_doubts(folder, frame)]
        if missing := num_unjudged(folder, name, frame):
            what = f"{missing} responses have no verdict under {name}"
            doubts.append(f"{what}: evalharness score {folder} gives them one.")
        cells = {(row["model"], row["template"], row["benchmark"]) for row in rows}
        renamed: dict[str, str] = {}
        if cells & seen:
            renamed = {model: f"{model} ({labels[index]})" for model in frame["model"].unique()}
            frame["model"] = frame["model"].map(renamed)
            for row in rows:
                row["model"] = renamed[row["model"]]
        seen |= cells
        metrics += rows
        frames.append(frame.assign(run=index))
        runs.append(RunSource(folder=folder, spec=spec, verdicts=name, renamed=renamed))
        titles |= {key: value["title"] for key, value in spec["benchmarks"].items()}
        notes |= dict.fromkeys([*run_notes(spec, name), *doubts])
        warnings |= set(doubts)
        if spec["status"] != "complete":
            warnings.add(_status_note(spec))
    return Gathered(
        runs=tuple(runs),
        frame=pd.concat(frames, ignore_index=True),
        metrics=metrics,
        titles=titles,
        notes=tuple(notes),
        warnings=frozenset(warnings),
        clusters=stem_clusters(problems.values()),
    )


def cell_lengths(part: pd.DataFrame, clusters: Mapping[str, int]) -> Lengths:
    """The lengths of the judged responses of one model, template and benchmark."""
    finish, problems = part["finish_reason"], part["problem_id"].astype("category").cat
    problem_N = problems.codes.to_numpy(np.int64)
    cluster_P = cluster_numbers(problems.categories.tolist(), clusters)
    return Lengths(
        problem_N=problem_N,
        status_N=part["status"].to_numpy(str),
        tokens_N=part["num_tokens"].to_numpy(float, na_value=np.nan),
        truncated_N=(finish == "length").to_numpy(bool) if finish.notna().all() else None,
        cluster_N=None if cluster_P is None else cluster_P[problem_N],
    )


def folder_labels(folders: Sequence[Path]) -> list[str]:
    """The end of each path that tells it from the others; the same folder again has a number."""
    paths = [folder.resolve() for folder in folders]
    labels = []
    for at, path in enumerate(paths):
        others = [other for other in paths if other != path]
        depth = 1
        while depth < len(path.parts) and any(
            other.parts[-depth:] == path.parts[-depth:] for other in others
        ):
            depth += 1
        again = paths[:at].count(path)
        name = "/".join(path.parts[-depth:])
        labels.append(f"{name} #{again + 1}" if again else name)
    return labels


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
        notes.append(_status_note(spec))
    return notes


def _status_note(spec: dict[str, Any]) -> str:
    return f"This run is {spec['status']}."


def _stored_doubts(folder: Path, frame: pd.DataFrame) -> list[str]:
    """What can't be true of the accuracies in metrics.json, which other tools read.

    Where problems have unequal numbers of samples an accuracy is no count over n k.
    """
    path = folder / METRICS
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        cell = ["model", "template", "benchmark"]
        samples = frame.groupby([*cell, "problem_id"], sort=False).size()
        is_even = samples.groupby(level=cell, sort=False).nunique() == 1
        even = set(is_even[is_even].index)
        found = impossible_accuracies(
            row for row in rows if (row["model"], row["template"], row["benchmark"]) in even
        )
    except (ValueError, KeyError, TypeError) as error:
        return [f"{path} can't be read ({error!r}): evalharness score {folder} writes it again"]
    return [f"{path}: {sentence}; evalharness score {folder} writes it again" for sentence in found]
