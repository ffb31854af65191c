"""The main job through the command line, in processes of their own, with real engines."""

import json
import os
import random
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from evalharness.store import read_responses

ROOT = Path(__file__).parent.parent
ENGINES = [
    "transformers",
    pytest.param(
        "vllm",
        marks=[
            pytest.mark.vllm,
            pytest.mark.skipif(not find_spec("vllm"), reason="vllm is not installed"),
        ],
    ),
]


def evalharness(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evalharness", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def texts(run: Path) -> dict[tuple[object, ...], tuple[str, int | None, str | None]]:
    return {
        row.key: (row.response, row.num_tokens, row.finish_reason) for row in read_responses(run)
    }


@pytest.mark.slow
def test_the_run_without_arguments_measures_length_inflation(tmp_path: Path) -> None:
    done = evalharness("run", "--engine", "transformers", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    frame = pd.read_parquet(run / "responses.parquet")
    # 120 problems, 4 samples each.
    names = ["tiny-base", "tiny-dr_grpo", "tiny-grpo"]
    assert dict(frame.groupby("model").size()) == dict.fromkeys(names, 480)
    compared = evalharness(
        "compare", str(run), "--baseline", "tiny-base", "--json", folder=tmp_path
    )
    assert compared.returncode == 0, compared.stderr
    rows = {
        row["model"]: row
        for row in json.loads(compared.stdout)
        if row["benchmark"] == "practice-sums"
    }
    grpo, dr_grpo = rows["tiny-grpo"], rows["tiny-dr_grpo"]
    # Both got better; only the wrong responses of GRPO are longer on the same problems.
    assert grpo["low"] > 0 < dr_grpo["low"]
    assert grpo["inflation_wrong"]["low"] > 1.1
    assert dr_grpo["inflation_wrong"]["high"] < 1.3


@pytest.mark.slow
def test_the_tiny_checkpoint_works_practice_problems_out(tmp_path: Path) -> None:
    command = ("run", "--model", "tiny", "--engine", "transformers", "--limit", "24")
    done = evalharness(*command, "--max-tokens", "256", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    frame = pd.read_parquet(run / "responses.parquet")
    assert dict(frame.groupby("template").size()) == {"no": 24, "qwen-math": 24}
    metrics = json.loads((run / "metrics.json").read_text())
    accuracy = {row["template"]: row["value"] for row in metrics if row["metric"] == "accuracy"}
    assert accuracy["no"] > 0.5
    assert f"{100 * accuracy['no']:.1f} [" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_is_killed_again_and_again_ends_like_an_undisturbed_one(
    engine: str, tmp_path: Path
) -> None:
    command = ["run", "--engine", engine, "--benchmark", "practice", "--template", "no,qwen-math"]
    command += ["--max-tokens", "48", "--samples", "2", "--temperature", "1", "--batch-size", "16"]
    whole = evalharness(*command, "--out", "whole", folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    path = tmp_path / "killed" / "responses.jsonl"
    chance = random.Random(1)
    acknowledged: set[bytes] = set()
    for _ in range(2):  # the second falls on a run that has gone on already
        wanted = len(acknowledged) + chance.randint(1, 100)
        process = subprocess.Popen(
            [sys.executable, "-m", "evalharness", *command, "--out", "killed"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and len(_lines(path)) < wanted:
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = _lines(path)
        assert acknowledged <= set(lines)
        acknowledged = set(lines)
    assert 0 < len(acknowledged) < 480
    again = evalharness(*command, "--out", "killed", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{len(acknowledged)} of 480 responses are there already" in again.stderr
    assert len(_lines(path)) == 480  # nothing was drawn twice
    assert texts(tmp_path / "killed") == texts(tmp_path / "whole")
    metrics = [
        json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("whole", "killed")
    ]
    assert metrics[0] == metrics[1]


def _lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


@pytest.mark.slow
def test_a_stored_run_is_replayed_with_the_same_metrics(tmp_path: Path) -> None:
    command = ["run", "--benchmark", "practice", "--limit", "12", "--max-tokens", "48"]
    first = evalharness(*command, "--engine", "transformers", "--out", "first", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    replay = ["--engine", "replay", "--replay-from", "first", "--model", "tiny"]
    again = evalharness(*command, *replay, "--out", "again", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert texts(tmp_path / "again") == texts(tmp_path / "first")
    assert json.loads((tmp_path / "again" / "metrics.json").read_text()) == json.loads(
        (tmp_path / "first" / "metrics.json").read_text()
    )


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(not find_spec("vllm"), reason="vllm is not installed")
def test_greedy_runs_of_vllm_and_transformers_agree_token_for_token(tmp_path: Path) -> None:
    command = ["run", "--benchmark", "practice", "--limit", "40", "--max-tokens", "64"]
    for engine in ("transformers", "vllm"):
        done = evalharness(
            *command, "--engine", engine, "--dtype", "float32", "--out", engine, folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
    assert texts(tmp_path / "vllm") == texts(tmp_path / "transformers")


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(not find_spec("vllm"), reason="vllm is not installed")
@pytest.mark.skipif(not os.environ.get("EVALHARNESS_DATA"), reason="EVALHARNESS_DATA is not set")
def test_vllm_takes_every_prompt_of_the_five_benchmarks(tmp_path: Path) -> None:
    # The longest prompts around every problem; one token of an answer shows that they were taken.
    done = evalharness(
        "run",
        *("--model", "tiny", "--engine", "vllm", "--template", "r1", "--max-tokens", "1"),
        *("--benchmark", "aime24,amc,math500,minerva,olympiadbench", "--out", "five"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "five" / "responses.parquet")
    sizes = {"aime24": 30, "amc": 83, "math500": 500, "minerva": 272, "olympiadbench": 675}
    assert dict(frame.groupby("benchmark").size()) == sizes
    assert set(frame["finish_reason"]) <= {"stop", "length"}
    metrics = json.loads((tmp_path / "five" / "metrics.json").read_text())
    assert {row["benchmark"] for row in metrics} == {*sizes, "macro", "micro"}
