from typing import Any

import pandas as pd
import pytest

from evalharness.analysis.metrics import join_verdicts, run_metrics


def _frame(statuses: dict[str, list[str]], benchmark: str = "b") -> pd.DataFrame:
    """One row a sample; the extracted answer of a wrong one is "w", of a correct one "c"."""
    rows = [
        {
            "benchmark": benchmark,
            "model": "m",
            "template": "t",
            "problem_id": problem_id,
            "sample_index": index,
            "num_tokens": 10 * (index + 1),
            "token_limit": 100,
            "finish_reason": "stop",
            "status": status,
            "extracted": {"correct": "c", "incorrect": "w"}.get(status),
        }
        for problem_id, each in statuses.items()
        for index, status in enumerate(each)
    ]
    return pd.DataFrame(rows)


def _by_metric(rows: list[dict[str, Any]], benchmark: str = "b") -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in rows if row["benchmark"] == benchmark}


def test_pass_and_maj_rows_for_powers_of_two_that_every_problem_has() -> None:
    right, wrong, silent = "correct", "incorrect", "no_answer"
    rows = _by_metric(
        run_metrics(_frame({"b/0": [right, wrong, wrong, silent], "b/1": [right] * 4}), ["b"])
    )
    assert [name for name in rows if "@" in name] == [
        *("pass@2", "maj@2", "mg-pass@2"),
        *("pass@4", "maj@4", "mg-pass@4"),
    ]
    # b/0, pass@2: 1 - C(3,2)/C(4,2) = 0.5; b/1: 1
    assert rows["pass@2"]["value"] == pytest.approx(0.75)
    # b/0, maj@2 over six pairs: c-w twice 1/2, c-silent 1, the others 0: 2/6; b/1: 1
    assert rows["maj@2"]["value"] == pytest.approx((2 / 6 + 1) / 2)
    assert rows["maj@4"]["value"] == pytest.approx(0.5)
    assert rows["accuracy"]["stderr_sampling"] is not None


def test_a_response_that_the_engine_could_not_give_has_no_length() -> None:
    frame = _frame({f"b/{at}": ["incorrect"] for at in range(3)})  # 10 tokens each
    failed = frame["problem_id"] == "b/2"
    frame.loc[failed, ["num_tokens", "finish_reason", "status"]] = [0, "error", "error"]
    key = ["model", "template", "problem_id", "sample_index"]
    responses, verdicts = frame.drop(columns="status"), frame[[*key, "status", "extracted"]]
    rows = _by_metric(
        run_metrics(join_verdicts(responses.drop(columns="extracted"), verdicts), ["b"])
    )
    assert rows["tokens_mean"]["value"] == 10
    assert rows["tokens_incorrect"]["n"] == 2
    assert (rows["error"]["value"], rows["accuracy"]["n"]) == (pytest.approx(1 / 3), 3)


def test_one_sample_has_no_pass_at_k_row() -> None:
    rows = _by_metric(run_metrics(_frame({"b/0": ["correct"], "b/1": ["incorrect"]}), ["b"]))
    assert not [name for name in rows if "@" in name]
    assert rows["accuracy"]["stderr_sampling"] is None


def test_the_detectable_difference_of_a_run_of_thirty_is_about_21_points() -> None:
    # p = 0.2: sampling variance 0.08 each; 2.8016 sqrt((0.0225 + 0.16)/30) = 0.21851
    statuses = {f"b/{i}": ["correct" if i < 6 else "incorrect"] for i in range(30)}
    row = _by_metric(run_metrics(_frame(statuses), ["b"]))["detectable"]
    assert row["value"] == pytest.approx(0.21851, abs=1e-4)
    assert "taken" in row["notes"]


def test_related_problems_widen_the_interval_and_the_note_says_so() -> None:
    statuses = {f"b/{i}": ["correct" if i < 20 else "incorrect"] for i in range(40)}
    alone = _by_metric(run_metrics(_frame(statuses), ["b"], {f"b/{i}": i for i in range(40)}))
    pairs = _by_metric(run_metrics(_frame(statuses), ["b"], {f"b/{i}": i // 4 for i in range(40)}))
    assert alone["accuracy"]["notes"] == ""
    assert pairs["accuracy"]["notes"] == "error over 10 clusters of related problems"
    assert pairs["accuracy"]["low"] < alone["accuracy"]["low"]


def test_clusters_do_not_reach_across_benchmarks() -> None:
    frame = pd.concat(
        [
            _frame({"b/0": ["correct"], "b/1": ["incorrect"]}),
            _frame({"c/0": ["correct"], "c/1": ["correct"]}, "c"),
        ]
    )
    clusters = {"b/0": 0, "b/1": 1, "c/0": 2, "c/1": 2}
    rows = run_metrics(frame, ["b", "c"], clusters)
    assert _by_metric(rows, "b")["accuracy"]["notes"] == ""
    assert _by_metric(rows, "c")["accuracy"]["notes"] == "all problems are in one cluster"
    assert "3 clusters" in _by_metric(rows, "micro")["accuracy"]["notes"]
