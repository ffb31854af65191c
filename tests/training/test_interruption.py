"""Ctrl-C and SIGTERM: what is said to be kept is there, and the command that is told goes on."""

import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalharness.cli import main

pytest.importorskip("torch", reason="needs the extra [local]")

from evalharness.training import sft, trainer

SFT = "train sft --model tiny --problems practice-sums --rows-per-step 2 --steps 5 --save-every 2"
RL = (
    "train rl --algorithm grpo --model tiny-base --problems practice-sums --problems-per-step 2 "
    "--group-size 2 --max-tokens 8 --steps 5 --save-every 2"
)
LOOPS = {"sft": (SFT, sft), "rl": (RL, trainer)}


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Have Ctrl-C interrupt, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _signal_after(
    monkeypatch: pytest.MonkeyPatch, loop: Any, written: int, number: signal.Signals
) -> None:
    """Send this process a signal when the loop has written that many lines of metrics."""
    write: Callable[..., None] = loop.write_metrics
    lines: list[int] = []

    def writing(*arguments: Any) -> None:
        write(*arguments)
        lines.append(1)
        if len(lines) == written:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(loop, "write_metrics", writing)


def _steps(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["step"] for line in lines]


@pytest.mark.parametrize("kind", ["sft", "rl"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_a_signal_leaves_is_said_and_the_command_told_goes_on(
    kind: str,
    number: signal.Signals,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, loop = LOOPS[kind]
    out = tmp_path / "a run"  # with a blank, which the command told must quote
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        _signal_after(patched, loop, 3, number)
        assert main([*command.split(), "--out", str(out)]) == status
    assert signal.getsignal(signal.SIGTERM) is before
    *_, said, told = capsys.readouterr().err.splitlines()
    assert said == (
        f"evalharness: interrupted after step 3; {out}/checkpoint-000002 is kept. The same command "
        "goes on after it, and takes step 3 again"
    )
    assert (out / "checkpoint-000002" / "model.safetensors").is_file()
    assert _steps(out) == [1, 2, 3]
    assert not [path.name for path in out.iterdir() if path.name.startswith(".check")]
    assert shlex.split(told)[0] == "evalharness"
    assert main(shlex.split(told)[1:]) == 0
    assert f"going on after step 2 of {out}" in capsys.readouterr().err
    assert _steps(out) == [1, 2, 3, 4, 5]
    whole = tmp_path / "whole"
    assert main([*command.split(), "--out", str(whole)]) == 0
    found, expected = (
        next(folder.rglob("model.safetensors")).read_bytes() for folder in (out, whole)
    )
    assert found == expected


def test_before_the_first_checkpoint_nothing_is_said_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        _signal_after(patched, sft, 1, signal.SIGINT)
        assert main([*SFT.split(), "--out", str(out)]) == 130
    said = capsys.readouterr().err.splitlines()[-2]
    assert said == (
        "evalharness: interrupted after step 1, before the first checkpoint (--save-every 2): no "
        "step is kept, and the same command begins again"
    )
    assert not list(out.glob("**/*.safetensors"))
    assert main([*SFT.split(), "--out", str(out)]) == 0
    assert _steps(out) == [1, 2, 3, 4, 5]


def test_an_interruption_while_loading_says_that_nothing_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*SFT.split(), "--out", str(out)]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def load(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(sft, "TrainingRows", load)
    capsys.readouterr()
    assert main([*SFT.split(), "--out", str(out)]) == 143
    assert capsys.readouterr().err.splitlines() == [
        "evalharness: interrupted before its first step: no weights have changed",
        f"  evalharness {SFT} --out {out}",
    ]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
