"""The metrics of a run arrive in the tracker that was asked for, and in none otherwise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from evalharness.cli import main
from evalharness.commands.tracking import values_by_step
from tests.scripted import ScriptedEngine


class Recorder(ModuleType):
    """Stands for wandb and for trackio, which have the same three calls."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: dict[str, object] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.num_finished = 0

    def init(self, **settings: object) -> None:
        self.started = settings

    def log(self, values: dict[str, float], *, step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.num_finished += 1


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """Says 2; of the two golds one is 2."""
    monkeypatch.chdir(tmp_path)
    Path("two.jsonl").write_text(
        '{"problem": "a", "gold": "2"}\n{"problem": "b", "gold": "3"}\n', encoding="utf-8"
    )
    scripted = ScriptedEngine()
    scripted.use(monkeypatch)
    return scripted


RUN = ["run", "--benchmark", "two.jsonl", "--template", "no", "--out", "mine", "--quiet"]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_metrics_of_checkpoints_arrive_at_their_steps(
    name: str, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, name, recorder)
    models = ["--model", "r/step-200,r/step-100,plain"]
    assert main([*RUN, *models, "--tracker", name]) == 0
    assert [step for step, _ in recorder.logged] == [0, 100, 200]
    at_zero, at_100, _ = (values for _, values in recorder.logged)
    # One of two is right, each time.
    assert at_zero["two/plain/no/accuracy"] == 0.5
    assert at_100["two/r/no/accuracy"] == 0.5
    assert at_100["two/r/no/accuracy_low"] < 0.5 < at_100["two/r/no/accuracy_high"]
    assert recorder.num_finished == 1
    spec = json.loads(Path("mine/run.json").read_text())
    assert (recorder.started["project"], recorder.started["name"]) == ("evalharness", "mine")
    config = recorder.started["config"]
    assert isinstance(config, dict)
    assert config["run_id"] == spec["run_id"]
    assert config["sampling"] == spec["identity"]["sampling"]


def test_no_tracker_is_imported_where_none_is_asked_for(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, recorder)
    assert main([*RUN, "--model", "m"]) == 0
    assert (recorder.started, recorder.logged) == ({}, [])


@pytest.mark.parametrize("name", ["wandb", "trackio", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_told_before_anything_is_generated(
    name: str,
    engine: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = "torch.utils.tensorboard" if name == "tensorboard" else name
    monkeypatch.setitem(sys.modules, module, None)
    assert main([*RUN, "--model", "m", "--tracker", name]) == 2
    told = capsys.readouterr().err
    assert f"--tracker {name}: the package {module} isn't installed: pip install {name}" in told
    assert engine.asked == []
    assert not Path("mine").exists()


def test_a_tracker_that_refuses_to_start_is_told_before_anything_is_generated(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**settings: object) -> None:
        raise RuntimeError("api_key not configured\nmore")

    recorder = Recorder()
    monkeypatch.setattr(recorder, "init", refuse)
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    assert main([*RUN, "--model", "m", "--tracker", "wandb"]) == 2
    assert "it doesn't start: api_key not configured; log in" in capsys.readouterr().err
    assert engine.asked == []


def test_a_run_that_fails_still_closes_its_tracker(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    engine.context_length = 1  # no prompt fits
    assert main([*RUN, "--model", "m", "--tracker", "wandb"]) == 2
    assert (recorder.logged, recorder.num_finished) == ([], 1)


def test_two_checkpoints_of_one_step_keep_their_names() -> None:
    row = {"benchmark": "b", "template": "no", "metric": "accuracy", "low": None, "high": 0.9}
    rows = [row | {"model": model, "value": 0.5} for model in ("step-1", "step_1", "step-2")]
    assert values_by_step(rows) == {
        0: {
            "b/step-1/no/accuracy": 0.5,
            "b/step-1/no/accuracy_high": 0.9,
            "b/step_1/no/accuracy": 0.5,
            "b/step_1/no/accuracy_high": 0.9,
        },
        2: {"b/no/accuracy": 0.5, "b/no/accuracy_high": 0.9},
    }
