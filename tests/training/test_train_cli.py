"""`evalharness train` as a person types it."""

import json
from pathlib import Path

import pytest

from evalharness.cli import main

pytest.importorskip("torch", reason="needs the extra [local]")

SMALL = ["--problems-per-step", "2", "--group-size", "4", "--max-tokens", "32"]
RL = ["train", "rl", "--algorithm", "dr_grpo", "--model", "tiny-base"]


def test_rl_prints_a_line_a_step_and_leaves_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    command = [*RL, "--problems", "practice-sums", "--steps", "2", *SMALL, "--out", out]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == f"{out}/checkpoint-000002"
    assert "step 1/2: reward 0." in shown.err
    assert "Writing model" not in shown.err
    # The same command has nothing left to do; more steps go on.
    assert main([*command, "--json"]) == 0
    assert capsys.readouterr().out == ""
    command[command.index("--steps") + 1] = "3"
    assert main([*command, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["step"] == 3


def test_a_config_s_keys_are_flags_and_the_flag_wins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "rl.toml"
    config.write_text(
        'algorithm = "grpo"\nmodel = "tiny-base"\nproblems = "practice-sums"\nsteps = 1\n'
        "std-normalisation = false\nproblems-per-step = 2\ngroup-size = 2\nmax-tokens = 16\n",
        encoding="utf-8",
    )
    out = tmp_path / "run"
    assert main(["train", "rl", "--config", str(config), "--seed", "5", "--out", str(out)]) == 0
    identity = json.loads((out / "training.json").read_text("utf-8"))["identity"]
    assert (identity["seed"], identity["group_size"]) == (5, 2)
    assert identity["algorithm"]["std_normalisation"] is False
    config.write_text("grup-size = 2\n", encoding="utf-8")
    assert main(["train", "rl", "--config", str(config), "--out", str(out)]) == 2
    assert 'rl.toml:1: unknown key "grup-size"; did you mean "group-size"' in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algorithm", "dr_gpo", "--model", "tiny-base"], 'did you mean "dr_grpo"'),
        (["--algorithm", "grpo"], "--model is missing"),
        (["--algorithm", "grpo", "--model", "no/where/here"], "no/where/here"),
        (["--algorithm", "grpo", "--model", "tiny-base", "--group-size", "1"], "give at least 2"),
        (["--algorithm", "ppo", "--model", "tiny-base", "--backend", "trl"], "no PPO trainer"),
        (["--algorithm", "prime", "--model", "tiny-base", "--backend", "trl"], "prime"),
        (
            [
                "--algorithm",
                "prime",
                "--model",
                "tiny-base",
                "--accuracy-low",
                "0.9",
                "--accuracy-high",
                "0.8",
            ],
            "they must be shares, the first not above the second",
        ),
        (
            [
                "--algorithm",
                "prime",
                "--model",
                "tiny-base",
                "--accuracy-low",
                "0.2",
                "--updates-per-step",
                "2",
            ],
            "set updates_per_step to 1",
        ),
        (
            [
                "--algorithm",
                "grpo",
                "--model",
                "tiny-base",
                "--accuracy-low",
                "0.2",
                "--backend",
                "trl",
            ],
            "TRL learns from every problem",
        ),
        (
            ["--algorithm", "grpo", "--model", "tiny-base", "--learning-rate", "inf"],
            "learning_rate is inf: it must be a number above 0",
        ),
        (
            ["--algorithm", "grpo", "--model", "tiny-base", "--filter-threshold", "nan"],
            "filter_threshold is nan: it must be a number of at least 0",
        ),
        (
            ["--algorithm", "ppo", "--model", "tiny-base", "--critic-learning-rate", "-1"],
            "critic_learning_rate is -1.0: it must be a number above 0",
        ),
        (
            ["--algorithm", "grpo", "--model", "tiny-base", "--critic-learning-rate", "1"],
            "critic_learning_rate: grpo has no critic",
        ),
        (
            ["--algorithm", "grpo", "--model", "tiny-base", "--lora-rank", "4"],
            "needs --backend trl",
        ),
        (
            ["--algorithm", "grpo", "--model", "tiny-base", "--problems", "gsm8"],
            'unknown benchmark "gsm8"; did you mean "gsm8k"',
        ),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "rl", *arguments, "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_a_model_from_nothing_is_trained_on_solutions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank, trained = str(tmp_path / "blank"), str(tmp_path / "trained")
    sizes = ["--hidden-size", "32", "--layers", "1", "--heads", "1", "--context-length", "256"]
    assert main(["train", "toy", *sizes, "--word", " so", "--out", blank]) == 0
    command = ["train", "sft", "--model", blank, "--problems", "practice-sums", "--steps", "3"]
    assert main([*command, "--rows-per-step", "4", "--out", trained]) == 0
    assert capsys.readouterr().out.split() == [blank, trained]
    record = json.loads((Path(trained) / "training.json").read_text("utf-8"))
    assert (record["config"]["start"], record["config"]["model"]) == (blank, None)
    assert main(["train", "toy", "--out", blank]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sft", "--steps", "0"], "num_steps is 0: it must be at least 1"),
        (["sft", "--learning-rate", "-1"], "learning_rate is -1.0: it must be a number above 0"),
        (["toy", "--intermediate-size", "-5"], "sizes must be at least 1"),
        (["toy", "--intermediate-size", "0"], "sizes must be at least 1"),
        (["toy", "--word", ""], "--word: an empty text is no word"),
    ],
)
def test_a_size_or_a_rate_that_makes_no_model_is_said_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments, "--out", str(tmp_path / "model")]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["toy", "sft", "rl", "compare"])
def test_a_folder_that_cannot_be_is_said_in_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.toml"
    file.write_text(
        'base = "tiny-base"\n[[runs]]\nalgorithm = "grpo"\n'
        '[evaluate]\nbenchmark = "practice-sums"\n',
        encoding="utf-8",
    )
    more = {"toy": [], "sft": [], "rl": RL[2:], "compare": [str(file)]}[kind]
    assert main(["train", kind, *more, "--out", str(file / "model")]) == 2
    assert "can't be written (" in capsys.readouterr().err


@pytest.mark.slow
def test_the_backend_trl_takes_the_same_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl", reason="needs the extra [train]")
    out = str(tmp_path / "run")
    command = [*RL, "--problems", "practice-sums", "--steps", "1", *SMALL, "--out", out]
    assert main([*command, "--backend", "trl"]) == 0
    last = Path(capsys.readouterr().out.split()[-1])
    assert (last / "model.safetensors").is_file()
