"""The judged responses of a run as answers that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from evalharness.analysis.aligning import Answers
from evalharness.measuring import CORRECTED
from evalharness.records import GoldChoice, Problem

if TYPE_CHECKING:
    import pandas as pd

AnswersByCell = dict[tuple[str, str], dict[str, Answers]]
"""(model, template) -> benchmark -> what it answered, in the order of the run."""


def answers_by_cell(
    frame: pd.DataFrame,
    spec: Mapping[str, Any],
    problems: Mapping[str, Problem],
    verdicts: str,
) -> AnswersByCell:
    """The answers of every model and template of one run.

    Args:
        frame: its judged responses.
        spec: its run.json.
        problems: what it asked.
        verdicts: the name of the verdict table that judged.
    """
    choice: GoldChoice = "corrected" if verdicts.endswith(CORRECTED) else "published"
    texts = {each.problem_id: each.text for each in problems.values()}
    golds = {each.problem_id: each.golds_under(choice) for each in problems.values()}
    order = _places(spec["benchmarks"])
    models, templates = _places(spec["models"]), _places(spec["templates"])
    found: AnswersByCell = {}
    for (model, template, benchmark), part in frame.groupby(
        ["model", "template", "benchmark"], sort=False
    ):
        found.setdefault((model, template), {})[benchmark] = Answers(
            model=model,
            template=template,
            benchmark=benchmark,
            frame=part,
            texts=texts,
            golds=golds,
            checker=verdicts.removesuffix(CORRECTED),
            max_tokens=spec.get("identity", {}).get("sampling", {}).get("max_tokens"),
        )
    return {
        cell: dict(sorted(each.items(), key=lambda item: order[item[0]]))
        for cell, each in sorted(
            found.items(),
            key=lambda item: (models.get(item[0][0], len(models)), templates[item[0][1]]),
        )
    }


def _places(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}
