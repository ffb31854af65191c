"""All metrics of a run as flat rows: benchmark, model, template, metric, value and its error."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from evalharness.analysis.accuracy import Estimate, clustered_mean, macro_average, proportion

if TYPE_CHECKING:
    import pandas as pd

SHARES = ("no_answer", "unparsed", "timeout", "error")
"""Statuses whose share is reported apart: none of them is a wrong answer that was read."""


def join_verdicts(responses: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row a judged response, with the columns that metrics need."""
    key = ["model", "template", "problem_id", "sample_index"]
    left = responses[["benchmark", *key, "num_tokens", "finish_reason", "token_limit"]]
    return left.merge(verdicts[[*key, "status"]], on=key, how="inner", validate="one_to_one")


def run_metrics(frame: pd.DataFrame, benchmarks: list[str]) -> list[dict[str, Any]]:
    """Every metric of every model, template and benchmark, and `macro` and `micro` over benchmarks.

    Args:
        frame: from `join_verdicts`, also of several runs one under the other.
        benchmarks: the order to report them in.
    """
    rows: list[dict[str, Any]] = []
    for (model, template), group in frame.groupby(["model", "template"], sort=False):
        accuracies: list[Estimate] = []
        for benchmark in benchmarks:
            part = group[group["benchmark"] == benchmark]
            if len(part) == 0:
                continue
            metrics = _part_metrics(part)
            accuracies.append(metrics.accuracy)
            rows += _rows(benchmark, model, template, metrics)
        if len(accuracies) > 1:
            macro = _Metrics(accuracy=macro_average(accuracies), others={})
            rows += _rows("macro", model, template, macro)
            rows += _rows("micro", model, template, _part_metrics(group))
    return rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Metrics:
    accuracy: Estimate
    others: dict[str, Estimate | str]
    """By name; a text says why there is no value."""


def _part_metrics(part: pd.DataFrame) -> _Metrics:
    problem_N = part["problem_id"].astype("category").cat.codes.to_numpy(np.int64)
    correct_N = (part["status"] == "correct").to_numpy(bool)
    tokens_N = part["num_tokens"].to_numpy(float, na_value=np.nan)
    metrics: dict[str, Estimate | str] = {}
    known_N = ~np.isnan(tokens_N)
    for name, chosen_N in [
        ("tokens_mean", known_N),
        ("tokens_correct", known_N & correct_N),
        ("tokens_incorrect", known_N & ~correct_N),
    ]:
        if chosen_N.any():
            metrics[name] = clustered_mean(tokens_N[chosen_N], problem_N[chosen_N])
        else:
            metrics[name] = "there is no such response with a known length"
    finish = part["finish_reason"]
    if finish.notna().all():
        metrics["truncated"] = proportion((finish == "length").to_numpy(bool), problem_N)
    else:
        metrics["truncated"] = "the responses don't say how they ended"
    for status in SHARES:
        metrics[status] = proportion((part["status"] == status).to_numpy(bool), problem_N)
    return _Metrics(accuracy=proportion(correct_N, problem_N), others=metrics)


def _rows(benchmark: str, model: Any, template: Any, metrics: _Metrics) -> list[dict[str, Any]]:
    empty = dict.fromkeys(("value", "low", "high", "stderr", "n", "k"))
    rows = []
    for metric, estimate in [("accuracy", metrics.accuracy), *metrics.others.items()]:
        numbers = (
            {**empty, "notes": estimate}
            if isinstance(estimate, str)
            else dataclasses.asdict(estimate)
        )
        where = {"benchmark": benchmark, "model": model, "template": template, "metric": metric}
        rows.append(where | numbers)
    return rows
