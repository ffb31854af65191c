from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalharness.benchmarks import load_benchmark
from evalharness.engines.base import Completion, Request
from evalharness.pipeline import RunPlan, run
from evalharness.records import Sampling
from evalharness.scoring import score_run
from evalharness.store import read_verdicts, verdict_versions
from evalharness.templates import load_template
from tests.scripted import ScriptedEngine, SilentProgress

SAID = ("so \\boxed{0.5}", "so \\boxed{\\frac{1}{2}}", "so \\boxed{7}", "The answer is 7.")


def four_samples(request: Request) -> Completion:
    text = SAID[request.key.sample_index]
    return Completion(key=request.key, text=text, num_tokens=5, finish_reason="stop")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One problem with the gold 7 and four samples, the last without a box."""
    path = tmp_path / "sums.jsonl"
    path.write_text(json.dumps({"problem": "What is 3+4?", "gold": "7"}) + "\n")
    plan = RunPlan(
        models={"m": "some/where"},
        benchmarks=(load_benchmark(str(path)),),
        templates=(load_template("no"),),
        sampling=Sampling(max_tokens=64, num_samples=4, temperature=1.0),
    )
    ScriptedEngine(four_samples).use(monkeypatch)
    run(plan, tmp_path / "run", SilentProgress())
    return tmp_path / "run"


def metrics(folder: Path) -> dict[str, float]:
    rows = json.loads((folder / "metrics.json").read_text())
    return {row["metric"]: row["value"] for row in rows}


def test_two_spellings_of_a_wrong_answer_vote_together(folder: Path) -> None:
    table = score_run(folder, "published")
    verdicts = sorted(read_verdicts(folder, table), key=lambda each: each.sample_index)
    assert [each.answer_group for each in verdicts] == [1, 1, 0, None]
    # One half has two of three votes. By text each answer had one, and 7 a third of the win.
    assert metrics(folder)["maj@4"] == 0


def test_the_lenient_accuracy_counts_the_answer_in_any_place(folder: Path) -> None:
    assert metrics(folder)["accuracy"] == 1 / 4
    assert metrics(folder)["accuracy_lenient"] == 2 / 4


def test_a_verdict_table_says_which_libraries_it_depends_on(folder: Path) -> None:
    table = score_run(folder, "published", checker="math-verify")
    assert {"python", "math-verify", "latex2sympy2-extended", "sympy", "mpmath"} <= set(
        verdict_versions(folder, table)
    )
