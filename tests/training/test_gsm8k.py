"""GSM8K: the committed configs run on the tiny model, and no test problem is trained on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from evalharness.benchmarks import load_benchmark
from evalharness.cli import main
from evalharness.errors import InputError
from evalharness.training.problems import check_contamination, load_problems

pytestmark = pytest.mark.skipif(
    not os.environ.get("EVALHARNESS_DATA"), reason="EVALHARNESS_DATA is not set"
)
pytest.importorskip("torch", reason="needs the extra [local]")

CONFIGS = Path(__file__).parents[2] / "reports" / "gsm8k"


def _data(pattern: str) -> Path:
    found = sorted(Path(os.environ["EVALHARNESS_DATA"]).rglob(pattern))
    if not found:
        pytest.skip(f"EVALHARNESS_DATA has no {pattern}")
    return found[0]


def _metrics(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_no_training_problem_of_gsm8k_is_a_test_problem() -> None:
    training = load_problems("gsm8k-train").problems
    assert len(training) == 7473
    assert check_contamination(training, load_benchmark("gsm8k").problems, allowed=True) == []


def test_a_training_file_that_is_the_test_set_is_refused_by_sft_and_rl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test_set = _data("grade_school_math/data/test.jsonl")
    golds = tmp_path / "leaked.jsonl"
    golds.write_text(
        "".join(
            json.dumps({"problem": problem.text, "gold": problem.golds[0]}) + "\n"
            for problem in load_benchmark("gsm8k").problems
        ),
        encoding="utf-8",
    )
    shared = ["--model", "tiny", "--evaluate-on", "gsm8k", "--out", str(tmp_path / "run")]
    for command in (
        ["sft", "--problems", str(test_set)],
        ["rl", "--problems", str(golds), "--algorithm", "grpo"],
    ):
        assert main(["train", *command, *shared]) == 2
        # All of them.
        assert "1319 training problems are in an evaluated benchmark" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_a_published_math_training_set_holds_rows_without_gold_and_none_of_math500(
    tmp_path: Path,
) -> None:
    # SimpleRL's 8,523 problems of levels 3 to 5. Without signs one seems to be math500/46, but it
    # has z^4 - z^2 + 1 where that has z^4 + z^2 + 1.
    published = _data("math_lvl3to5_8523_simplerl.jsonl")
    columns = {"problem_column": "question", "gold_column": "gt_answer"}
    with pytest.raises(InputError, match=r"simplerl.jsonl:5055: .*the gold is empty"):
        load_problems(str(published), **columns)
    lines = published.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = tmp_path / "whole.jsonl"
    whole.write_text(
        "".join(line for line in lines if json.loads(line)["gt_answer"]), encoding="utf-8"
    )
    training = load_problems(str(whole), **columns).problems
    assert len(training) == 8521
    evaluated = load_benchmark("math500").problems
    assert check_contamination(training, evaluated, allowed=True) == []
    assert any("z^4 - z^2 + 1 = 0" in problem.text for problem in training)


@pytest.mark.slow
def test_the_supervised_config_runs_on_the_tiny_model(tmp_path: Path) -> None:
    arguments = ["train", "sft", "--config", str(CONFIGS / "sft.toml"), "--model", "tiny"]
    arguments += ["--steps", "3", "--rows-per-step", "4", "--learning-rate", "1e-3"]
    assert main([*arguments, "--warmup-steps", "0", "--out", str(tmp_path / "sft")]) == 0
    record = json.loads((tmp_path / "sft" / "training.json").read_text())
    assert record["config"]["problems"] == "gsm8k-train"
    assert record["config"]["evaluate_on"] == ["gsm8k"]
    # The flag wins over the file's 374.
    assert record["config"]["num_steps"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grpo", "dr_grpo"])
def test_the_reinforcement_config_runs_on_the_tiny_model(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    arguments = ["train", "rl", "--config", str(CONFIGS / f"{name}.toml"), "--model", "tiny"]
    arguments += ["--rollout-engine", "transformers", "--steps", "2", "--problems-per-step", "2"]
    arguments += ["--group-size", "2", "--max-tokens", "24", "--evaluate-every", "0"]
    assert main([*arguments, "--out", str(folder)]) == 0
    rows = _metrics(folder)
    assert [row["step"] for row in rows] == [1, 2]
    identity = json.loads((folder / "training.json").read_text())["identity"]
    assert identity["algorithm"]["name"] == name
    assert identity["problems"] == "gsm8k-train"
