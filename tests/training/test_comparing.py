"""Several trainings from one file: what they are, what is wrong with it, that they happen."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.cli import main
from evalharness.errors import InputError, TrainingError
from evalharness.training.comparing import read_comparison
from evalharness.training.crew import train_all
from evalharness.training.interruption import Terminated, ended_by_sigterm
from evalharness.training.state import checkpoints

ROOT = Path(__file__).parents[2]
SMALL = """
description = "two algorithms"

[[base]]
kind = "toy"
hidden-size = 32
layers = 1
heads = 1
context-length = 256
word = [" so", " hmm"]

[[base]]
kind = "sft"
problems = "practice-sums"
steps = 4
rows-per-step = 8

[train]
problems = "practice-sums"
steps = 2
problems-per-step = 2
group-size = 2
max-tokens = 8

[[runs]]
algorithm = "grpo"
seeds = [0, 1]

[[runs]]
algorithm = "ppo"
name = "ppo-fast"
learning-rate = 1e-3

[evaluate]
benchmark = ["practice-sums"]
samples = 2
max-tokens = 8
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "compare.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_algorithm_and_seed_is_a_training_from_the_last_stage(tmp_path: Path) -> None:
    found = read_comparison(_file(tmp_path, SMALL), tmp_path / "out")
    assert [job.name for job in found.stages] == ["base-1", "base"]
    assert found.stages[1].flags["model"] == str(tmp_path / "out" / "base-1")
    assert [job.name for job in found.jobs] == ["grpo-0", "grpo-1", "ppo-fast-0"]
    assert found.base == str(tmp_path / "out" / "base")
    fast = found.jobs[2].flags
    assert (fast["model"], fast["seed"], fast["learning-rate"]) == (found.base, 0, 1e-3)
    assert fast["group-size"] == 2  # shared
    assert "learning-rate" not in found.jobs[0].flags


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('algorithm = "ppo"', 'algorithm = "pop"', 'unknown algorithm "pop"; did you mean "ppo"'),
        ("seeds = [0, 1]", 'seeds = ["a"]', r'toml:\d+: "seeds" must be a list of whole numbers'),
        ("learning-rate = 1e-3", 'model = "x"', r'toml:\d+: "model" is set for every run'),
        ('kind = "sft"', 'kind = "rl"', '"kind" must be one of toy, sft'),
        ("[train]", "[trains]", 'unknown key "trains"; did you mean "train"'),
        ('benchmark = ["practice-sums"]', "", r'\[evaluate\] needs "benchmark"'),
        ("seeds = [0, 1]", "seeds = 3", r'toml:\d+: "seeds" must be a list of whole numbers'),
        ("seeds = [0, 1]", "seeds = [true]", '"seeds" must be a list of whole numbers'),
        ('name = "ppo-fast"', 'name = "a/b"', r'toml:\d+: "name" is a folder.*not "a/b"'),
        ('name = "ppo-fast"', "name = 5", '"name" must be of type str, not int'),
        ("group-size = 2", "grup-size = 2", 'unknown key "grup-size"; did you mean "group-size"'),
        ("group-size = 2", "group-size = 1", "grpo: .*group_size is 1, give at least 2"),
        ("group-size = 2", 'group-size = "a"', "grpo: a value is of the wrong type"),
        ("samples = 2", 'temperature = "hot"', '"temperature" must be of type float, not str'),
        ("samples = 2", "template = 3", '"template" must be of type str, not int'),
        ('benchmark = ["practice-sums"]', "benchmark = [3]", "must be a list of strings"),
        ('name = "ppo-fast"', 'name = "grpo"', 'two trainings are called "grpo-0"'),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SMALL
    with pytest.raises(InputError, match=message):
        read_comparison(_file(tmp_path, SMALL.replace(old, new)), tmp_path / "out")


def test_one_benchmark_may_stand_without_its_list(tmp_path: Path) -> None:
    text = SMALL.replace('benchmark = ["practice-sums"]', 'benchmark = "practice-sums"')
    found = read_comparison(_file(tmp_path, text), tmp_path / "out")
    assert found.evaluation.benchmarks == ("practice-sums",)


def test_what_cannot_be_evaluated_is_said_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for old, new, message in (
        ('benchmark = ["practice-sums"]', 'benchmark = ["nope"]', 'unknown benchmark "nope"'),
        ("samples = 2", 'template = "nope"', "nope"),
        ("samples = 2", "samples = 0", "--samples and --max-tokens must be at least 1"),
    ):
        path = _file(tmp_path, SMALL.replace(old, new))
        assert main(["train", "compare", str(path), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_a_base_that_was_made_with_other_settings_is_not_taken_for_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    output = tmp_path / "out"

    def make(text: str) -> None:
        found = read_comparison(_file(tmp_path, text), output)
        train_all(replace(found, jobs=()), output, num_jobs=1, note=lambda _: None)

    make(SMALL)
    before = (output / "base" / "model.safetensors").read_bytes()
    make(SMALL)  # the same settings take it as it is
    with pytest.raises(InputError, match=r"base was made with (?s:.*)rows-per-step: 8 -> 9"):
        make(SMALL.replace("rows-per-step = 8", "rows-per-step = 9"))
    assert (output / "base" / "model.safetensors").read_bytes() == before


def test_a_stage_that_was_interrupted_is_not_taken_for_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    output = tmp_path / "out"
    found = replace(read_comparison(_file(tmp_path, SMALL), output), jobs=())
    train_all(found, output, num_jobs=1, note=lambda _: None)
    weights = output / "base" / "model.safetensors"
    whole = weights.read_bytes()
    # As it stands while it trains: a folder of a run, with no model in it.
    (output / "base" / "config.json").unlink()
    weights.write_bytes(b"")
    told: list[str] = []
    train_all(found, output, num_jobs=1, note=told.append)
    assert [text.split(" (log")[0] for text in told] == ["training base"]
    assert weights.read_bytes() == whole


def test_sigterm_ends_the_trainings_of_a_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    found = read_comparison(_file(tmp_path, SMALL), tmp_path / "out")
    with pytest.raises(Terminated), ended_by_sigterm():
        train_all(
            replace(found, stages=()),
            tmp_path / "out",
            num_jobs=2,
            note=lambda _: os.kill(os.getpid(), signal.SIGTERM),
        )
    # They end themselves, or before they can.
    assert {process.returncode for process in started} <= {143, -signal.SIGTERM}
    assert started


def test_a_training_that_fails_is_named_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = SMALL.replace("max-tokens = 8\n\n[[runs", "max-tokens = 300\n\n[[runs")
    found = read_comparison(_file(tmp_path, text), tmp_path / "out")
    with pytest.raises(
        TrainingError, match=r"grpo-\d failed with status 2(?s:.*)don't fit the model"
    ):
        train_all(found, tmp_path / "out", num_jobs=2, note=lambda _: None)


@pytest.mark.slow
def test_the_whole_comparison_trains_evaluates_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path = _file(tmp_path, SMALL)
    command = ["train", "compare", str(path), "--out", "out", "--jobs", "2", "--json"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "evalharness", *command],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run()
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    compared = [row["model"] for row in rows if row["benchmark"] == "practice-sums"]
    assert compared == ["grpo-0", "grpo-1", "ppo-fast-0"]
    weights = {
        name: (checkpoints(tmp_path / "out" / "trained" / name)[2] / "model.safetensors")
        for name in compared
    }
    written = {name: path.stat().st_mtime_ns for name, path in weights.items()}
    records = {
        name: json.loads((tmp_path / "out" / "trained" / name / "training.json").read_text())
        for name in compared
    }
    identities = {name: record["identity"] for name, record in records.items()}
    assert [identities[name]["seed"] for name in compared] == [0, 1, 0]
    assert identities["ppo-fast-0"]["algorithm"]["advantage"] == "gae"
    assert identities["ppo-fast-0"]["learning_rate"] == 1e-3
    again = run()
    assert again.returncode == 0, again.stderr
    assert "720 of 720 responses" in again.stderr or "960 of 960 responses" in again.stderr
    assert {name: path.stat().st_mtime_ns for name, path in weights.items()} == written
