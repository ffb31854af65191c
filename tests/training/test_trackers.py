"""Trackers: the numbers of metrics.jsonl arrive, and one that isn't installed says so."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from evalharness.cli import main
from evalharness.errors import InputError
from evalharness.trackers import open_tracker

pytest.importorskip("torch", reason="needs the extra [local]")

NAMES = {"wandb": "wandb", "trackio": "trackio", "tensorboard": "torch.utils.tensorboard"}


def _train(folder: Path, *more: str) -> int:
    arguments = ["train", "rl", "--model", "tiny", "--algorithm", "dr_grpo", "--steps", "2"]
    arguments += ["--problems-per-step", "2", "--group-size", "2", "--max-tokens", "16"]
    return main([*arguments, "--out", str(folder), *more])


def _metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class _Recorder:
    """Both kinds of tracker: module-level calls, and TensorBoard's writer."""

    def __init__(self) -> None:
        self.started: dict[str, object] = {}
        self.values: dict[tuple[int, str], float] = {}
        self.num_closed = 0

    def init(self, **settings: object) -> None:
        self.started = settings

    def log(self, values: dict[str, float], *, step: int) -> None:
        self.values |= {(step, name): value for name, value in values.items()}

    def finish(self) -> None:
        self.num_closed += 1

    def SummaryWriter(self, folder: str) -> _Recorder:  # noqa: N802 - TensorBoard's name
        self.started = {"folder": folder}
        return self

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.values[step, name] = value

    close = finish


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_step_arrives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = _Recorder()
    module = ModuleType(NAMES[name])
    module.__spec__ = ModuleSpec(NAMES[name], None)
    for call in ("init", "log", "finish", "SummaryWriter"):
        setattr(module, call, getattr(recorder, call))
    monkeypatch.setitem(sys.modules, NAMES[name], module)
    assert _train(tmp_path / "run", "--tracker", name) == 0
    expected = {
        (row["step"], key): value
        for row in _metrics(tmp_path / "run")
        for key, value in row.items()
        if isinstance(value, int | float) and key != "step"
    }
    assert recorder.values == expected
    assert (1, "reward") in expected
    assert recorder.num_closed == 1
    if name == "tensorboard":
        assert recorder.started == {"folder": str(tmp_path / "run" / "tensorboard")}
    else:
        assert (recorder.started["project"], recorder.started["name"]) == ("evalharness", "run")
        assert recorder.started["config"]["algorithm"]["name"] == "dr_grpo"  # type: ignore[index]


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_that_is_not_installed_is_named(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, NAMES[name], None)
    assert _train(tmp_path / "run", "--tracker", name) == 2
    assert f"isn't installed: pip install {name}, or leave" in capsys.readouterr().err


def test_tensorboard_without_torch_asks_for_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_torch(_: Path) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("evalharness.trackers._TensorBoard", without_torch)
    with pytest.raises(InputError, match="the package torch isn't installed: pip install torch"):
        open_tracker("tensorboard", folder=tmp_path, config={})


def test_an_unknown_tracker_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='"mlflow": choose from wandb, trackio, tensorboard'):
        open_tracker("mlflow", folder=tmp_path, config={})


def test_json_prints_the_lines_of_the_metrics_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path / "run", "--json") == 0
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == _metrics(tmp_path / "run")
    assert [line.split(":")[0] for line in printed.err.splitlines() if "step " in line] == [
        "step 1/2",
        "step 2/2",
    ]


def test_an_unknown_kind_of_problem_lists_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path / "run", "--kinds", "integrals") == 2
    error = capsys.readouterr().err
    assert 'no kind of practice problem "integrals": choose from ' in error
    assert "small-sum" in error
