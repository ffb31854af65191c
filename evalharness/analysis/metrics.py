"""All metrics of a run as flat rows: benchmark, model, template, metric, value and its error."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.accuracy import (
    Estimate,
    clustered_mean,
    detectable_difference,
    macro_average,
    proportion,
    share_of_means,
)
from evalharness.analysis.clusters import cluster_numbers
from evalharness.analysis.length import tokens_per_correct
from evalharness.analysis.samples import (
    MOST_SAMPLES,
    equal_text_groups,
    maj_at_each,
    mean_g_pass_at_k,
    pass_at_k,
)

if TYPE_CHECKING:
    import pandas as pd

GroupAnswers = Callable[[list[str | None], NDArray[np.bool_]], NDArray[np.int64]]
"""From the answers of one problem and whether each is correct to the number of its group."""
ASSUMED_BETWEEN = 0.15
"""How much a true difference between two models is taken to vary over problems."""
SHARES = ("no_answer", "unparsed", "timeout", "error")
"""Statuses whose share is reported apart: none of them is a wrong answer that was read."""


def join_verdicts(
    responses: pd.DataFrame, verdicts: pd.DataFrame, more: Sequence[str] = ()
) -> pd.DataFrame:
    """One row a judged response, with the columns that metrics need.

    What the engine could not give has no length, also where 0 is stored.

    `more` are columns of the verdicts to take along where they are there.
    """
    key = ["model", "template", "problem_id", "sample_index"]
    left = responses[["benchmark", *key, "num_tokens", "finish_reason", "token_limit"]]
    left = left.assign(num_tokens=left["num_tokens"].mask(left["finish_reason"].isin(["error"])))
    right = verdicts[[*key, "status", "extracted", *(name for name in more if name in verdicts)]]
    return left.merge(right, on=key, how="inner", validate="one_to_one")


def run_metrics(
    frame: pd.DataFrame,
    benchmarks: list[str],
    clusters: Mapping[str, int] | None = None,
    group_answers: GroupAnswers = equal_text_groups,
) -> list[dict[str, Any]]:
    """Every metric of every model, template and benchmark, and `macro` and `micro` over benchmarks.

    Args:
        frame: from `join_verdicts`, also of several runs one under the other.
        benchmarks: the order to report them in.
        clusters: problem id -> cluster of problems that are not independent of each other.
        group_answers: for maj@k, which answers of one problem are the same.
    """
    rows: list[dict[str, Any]] = []
    for (model, template), group in frame.groupby(["model", "template"], sort=False):
        accuracies: list[Estimate] = []
        shares: list[_SampleShares] = []
        for benchmark in benchmarks:
            part = group[group["benchmark"] == benchmark]
            if len(part) == 0:
                continue
            shares.append(_sample_shares(part, group_answers))
            metrics = _part_metrics(part, clusters, shares[-1])
            accuracies.append(metrics.accuracy)
            rows += _rows(benchmark, model, template, metrics)
        if len(accuracies) > 1:
            macro = _Metrics(accuracy=macro_average(accuracies), others={})
            rows += _rows("macro", model, template, macro)
            micro = _part_metrics(group, clusters, _joined(shares))
            rows += _rows("micro", model, template, micro)
    return rows


def accuracy_rows(
    frame: pd.DataFrame, benchmarks: list[str], clusters: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """Of `run_metrics` only the accuracies."""
    rows: list[dict[str, Any]] = []
    for (model, template), group in frame.groupby(["model", "template"], sort=False):
        found: dict[str, Estimate] = {}
        for benchmark in benchmarks:
            part = group[group["benchmark"] == benchmark]
            if len(part):
                found[benchmark] = _accuracy(part, clusters)
        if len(found) > 1:
            found["macro"] = macro_average(list(found.values()))
            found["micro"] = _accuracy(group, clusters)
        for benchmark, accuracy in found.items():
            rows += _rows(benchmark, model, template, _Metrics(accuracy=accuracy, others={}))
    return rows


def _accuracy(part: pd.DataFrame, clusters: Mapping[str, int] | None) -> Estimate:
    problem_N, ids = _problem_numbers(part)
    cluster_P = cluster_numbers(ids, clusters)
    cluster_N = None if cluster_P is None else cluster_P[problem_N]
    return proportion(part["status"].to_numpy(str) == "correct", problem_N, cluster_N)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Metrics:
    accuracy: Estimate
    others: dict[str, Estimate | str]
    """By name; a text says why there is no value."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _SampleShares:
    """pass@K, maj@K and mG-Pass@K of each problem."""

    problem_ids: list[str]
    num_responses: int
    by_metric: dict[str, NDArray[np.float64] | str]
    """A value a problem; a text says why there is none."""


def _part_metrics(
    part: pd.DataFrame, clusters: Mapping[str, int] | None, shares: _SampleShares
) -> _Metrics:
    problem_N, ids = _problem_numbers(part)
    cluster_P = cluster_numbers(ids, clusters)
    cluster_N = None if cluster_P is None else cluster_P[problem_N]
    status_N = part["status"].to_numpy(str)
    correct_N = status_N == "correct"
    accuracy = _accuracy(part, clusters)
    metrics = _sample_metrics(shares, clusters)
    metrics["detectable"] = _detectable(accuracy)
    tokens_N = part["num_tokens"].to_numpy(float, na_value=np.nan)
    known_N = ~np.isnan(tokens_N)
    for name, chosen_N in [
        ("tokens_mean", known_N),
        ("tokens_correct", known_N & correct_N),
        ("tokens_incorrect", known_N & ~correct_N),
    ]:
        if chosen_N.any():
            among_N = None if cluster_N is None else cluster_N[chosen_N]
            metrics[name] = clustered_mean(tokens_N[chosen_N], problem_N[chosen_N], among_N)
        else:
            metrics[name] = "there is no such response with a known length"
    per_correct = None
    if known_N.any():
        per_correct = tokens_per_correct(tokens_N, correct_N, problem_N, cluster_N)
    metrics["tokens_per_correct"] = per_correct or "no correct response with a known length"
    finish = part["finish_reason"]
    if finish.notna().all():
        is_cut_N = (finish == "length").to_numpy(bool)
        metrics["truncated"] = proportion(is_cut_N, problem_N, cluster_N)
    else:
        metrics["truncated"] = "the responses don't say how they ended"
    for status in SHARES:
        metrics[status] = proportion(status_N == status, problem_N, cluster_N)
    return _Metrics(accuracy=accuracy, others=metrics)


def _problem_numbers(part: pd.DataFrame) -> tuple[NDArray[np.int64], list[str]]:
    """The number of each response's problem, and the ids in the order of the numbers."""
    problems = part["problem_id"].astype("category").cat
    return problems.codes.to_numpy(np.int64), problems.categories.tolist()


def _sample_shares(part: pd.DataFrame, group_answers: GroupAnswers) -> _SampleShares:
    """For K = 2, 4, 8, ... as far as every problem has the samples."""
    problem_N, ids = _problem_numbers(part)
    correct_N = (part["status"] == "correct").to_numpy(bool)
    counts_P = np.bincount(problem_N)
    found: dict[str, NDArray[np.float64] | str] = {}
    sizes = tuple(2**power for power in range(1, int(counts_P.min()).bit_length()))
    if sizes:
        num_correct_P = np.bincount(problem_N, weights=correct_N).astype(np.int64)
        votes: NDArray[np.float64] | list[str] = [f"more than {MOST_SAMPLES} samples"] * len(sizes)
        if counts_P.max() <= MOST_SAMPLES:
            groups_N = _answer_groups(
                part["extracted"].tolist(), correct_N, problem_N, group_answers
            )
            votes = maj_at_each(groups_N, correct_N, problem_N, sizes)
        for size, vote in zip(sizes, votes, strict=True):
            found[f"pass@{size}"] = pass_at_k(num_correct_P, counts_P, size)
            found[f"maj@{size}"] = vote
            found[f"mg-pass@{size}"] = mean_g_pass_at_k(num_correct_P, counts_P, size)
    return _SampleShares(problem_ids=ids, num_responses=len(part), by_metric=found)


def _joined(parts: list[_SampleShares]) -> _SampleShares:
    """Of all problems of several benchmarks, what every benchmark has."""
    found: dict[str, NDArray[np.float64] | str] = {}
    for name in parts[0].by_metric:
        values = [part.by_metric[name] for part in parts if name in part.by_metric]
        arrays = [value for value in values if not isinstance(value, str)]
        if len(values) == len(parts):
            whole = len(arrays) == len(parts)
            found[name] = np.concatenate(arrays) if whole else "a benchmark has none"
    return _SampleShares(
        problem_ids=[each for part in parts for each in part.problem_ids],
        num_responses=sum(part.num_responses for part in parts),
        by_metric=found,
    )


def _sample_metrics(
    shares: _SampleShares, clusters: Mapping[str, int] | None
) -> dict[str, Estimate | str]:
    cluster_P = cluster_numbers(shares.problem_ids, clusters)
    k = shares.num_responses / len(shares.problem_ids)
    return {
        name: each if isinstance(each, str) else share_of_means(each, k, cluster_P)
        for name, each in shares.by_metric.items()
    }


def _answer_groups(
    answers: list[str | None],
    correct_N: NDArray[np.bool_],
    problem_N: NDArray[np.int64],
    group_answers: GroupAnswers,
) -> NDArray[np.int64]:
    """Groups of equal answers within each problem; the numbers start again at every problem."""
    groups_N = np.empty(len(answers), dtype=np.int64)
    order_N = np.argsort(problem_N, kind="stable")
    _, starts_P = np.unique(problem_N[order_N], return_index=True)
    for chosen in np.split(order_N, starts_P[1:]):
        texts = [answers[at] if isinstance(answers[at], str) else None for at in chosen]
        groups_N[chosen] = group_answers(texts, correct_N[chosen])
    return groups_N


def _detectable(accuracy: Estimate) -> Estimate:
    """What a second run of the same size could show to differ from this one.

    The spread of the true differences isn't known from one run: `ASSUMED_BETWEEN`. With one sample
    a problem neither is the sampling variance: half of p(1-p) is taken.
    """
    n, k = accuracy.n, accuracy.k
    if accuracy.stderr_sampling is None:
        variance = accuracy.value * (1 - accuracy.value) / 2
        assumed = "half of p(1-p) taken as sampling variance, "
    else:
        variance, assumed = accuracy.stderr_sampling**2 * n * k, ""
    value = detectable_difference(
        n=n,
        k_a=k,
        k_b=k,
        sampling_a=math.sqrt(variance),
        sampling_b=math.sqrt(variance),
        between=ASSUMED_BETWEEN,
    )
    notes = (
        f"smallest true difference to another run of this size found in 4 of 5 repetitions; "
        f"{assumed}true differences taken to vary by {100 * ASSUMED_BETWEEN:g} points over problems"
    )
    return Estimate(value=value, low=None, high=None, stderr=None, n=n, k=k, notes=notes)


def _rows(benchmark: str, model: Any, template: Any, metrics: _Metrics) -> list[dict[str, Any]]:
    empty = dict.fromkeys(("value", "low", "high", "stderr", "n", "k"))
    rows = []
    for metric, estimate in [("accuracy", metrics.accuracy), *metrics.others.items()]:
        numbers = (
            {**empty, "notes": estimate, "stderr_sampling": None}
            if isinstance(estimate, str)
            else dataclasses.asdict(estimate)
        )
        where = {"benchmark": benchmark, "model": model, "template": template, "metric": metric}
        rows.append(where | numbers)
    return rows
