"""From stored responses and a verdict table to the metrics of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.analysis.clusters import stem_clusters
from evalharness.analysis.metrics import accuracy_rows, join_verdicts, run_metrics
from evalharness.errors import StoreError
from evalharness.records import GoldChoice
from evalharness.store import read_problems, read_spec, responses_frame, verdicts_frame

if TYPE_CHECKING:
    import pandas as pd

CORRECTED = "+corrected"
"""Ends the name of a verdict table that used the corrected golds."""


def metrics_of(folder: Path, verdicts: str) -> list[dict[str, Any]]:
    """The metrics of a run under one verdict table, as flat rows."""
    return frame_metrics(folder, judged_frame(folder, verdicts))


def judged_frame(folder: Path, verdicts: str) -> pd.DataFrame:
    """One row a judged response, without its text.

    Raises:
        StoreError: a response answers a problem that the run doesn't have, or the table is damaged.
    """
    problems = read_problems(folder)
    columns = ["benchmark", "model", "template", "problem_id", "sample_index"]
    columns += ["num_tokens", "finish_reason", "token_limit"]
    judged = ["model", "template", "problem_id", "sample_index", "status", "extracted"]
    table = verdicts_frame(folder, verdicts, [*judged, *_YOUNGER])
    unknown = [name for name in _YOUNGER if table[name].isna().all()]
    responses = responses_frame(folder, columns)
    for name in responses["problem_id"].unique():
        if name not in problems:
            raise StoreError(f"{folder}: problems.jsonl has no {name}, which a response answers")
    return join_verdicts(responses, table.drop(columns=unknown), _YOUNGER)


def num_unjudged(folder: Path, verdicts: str, frame: pd.DataFrame) -> int:
    """Responses that a verdict table doesn't have, although their problem has an answer.

    Args:
        folder: of the run.
        verdicts: the name of the table.
        frame: from `judged_frame`.
    """
    golds: GoldChoice = "corrected" if verdicts.endswith(CORRECTED) else "published"
    answered = {name for name, each in read_problems(folder).items() if each.golds_under(golds)}
    stored = responses_frame(folder, ["problem_id"])["problem_id"]
    return int(stored.isin(answered).sum()) - int(frame["problem_id"].isin(answered).sum())


def frame_metrics(folder: Path, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The metrics of the judged responses of a run, models and templates as they were given.

    Answers are the same where the verdict table says so; in a table from before it did, where
    their texts are.
    """
    spec = read_spec(folder)
    clusters = stem_clusters(read_problems(folder).values())
    rows = run_metrics(_by_group(frame), list(spec["benchmarks"]), clusters)
    rows = _with_undecided(rows, frame)
    rows = _with_lenient(rows, frame, clusters)
    models = {name: place for place, name in enumerate(spec["models"])}
    templates = {name: place for place, name in enumerate(spec["templates"])}
    return sorted(rows, key=lambda row: (models[row["model"]], templates[row["template"]]))


_YOUNGER = ("lenient_status", "answer_group", "answer_group_undecided")
"""Columns that verdict tables from before don't have."""


def _by_group(frame: pd.DataFrame) -> pd.DataFrame:
    """With the name of its group in place of each answer, where groups are known."""
    if "answer_group" not in frame or frame["answer_group"].isna().all():
        return frame
    numbers = frame["answer_group"]
    return frame.assign(extracted=[None if n != n else f"group {n:.0f}" for n in numbers])


def _with_undecided(rows: list[dict[str, Any]], frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, with how many answers could not be compared in the notes of maj@K."""
    if "answer_group_undecided" not in frame:
        return rows
    counts = frame.groupby(["model", "template", "benchmark"])["answer_group_undecided"].sum()
    for (model, template, benchmark), count in counts[counts > 0].items():
        for row in rows:
            place = (row["model"], row["template"])
            is_vote = row["metric"].startswith("maj@") and row["benchmark"] in (benchmark, "micro")
            if is_vote and place == (model, template):
                what = f"{count:.0f} comparisons of {benchmark} answers took too long: different"
                row["notes"] = "; ".join(filter(None, (row["notes"], what)))
    return rows


def _with_lenient(
    rows: list[dict[str, Any]], frame: pd.DataFrame, clusters: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The rows, with `accuracy_lenient` behind each accuracy: the answer in any place counts."""
    if "lenient_status" not in frame or frame["lenient_status"].isna().any():
        return rows
    lenient = accuracy_rows(
        frame.assign(status=frame["lenient_status"]), list(frame["benchmark"].unique()), clusters
    )
    by_place = {(row["model"], row["template"], row["benchmark"]): row for row in lenient}
    both = []
    for row in rows:
        both.append(row)
        if row["metric"] == "accuracy":
            place = (row["model"], row["template"], row["benchmark"])
            both.append(by_place[place] | {"metric": "accuracy_lenient"})
    return both
