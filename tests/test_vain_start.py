"""A command that fails before anything was stored leaves the disk as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalharness import pipeline, store
from evalharness.cli import main
from evalharness.engines.base import Completion, ModelRecord, Request
from evalharness.errors import EngineError
from evalharness.store import LOCK, RunWriter
from tests.scripted import ScriptedEngine, answer_two


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with two problems and a folder that is no model."""
    monkeypatch.chdir(tmp_path)
    rows = [{"problem": f"What is {gold}?", "gold": str(gold)} for gold in (1, 2)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "no-model").mkdir()
    return tmp_path


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def run(*more: str) -> int:
    return main(["run", "--quiet", "--benchmark", "sums.jsonl", "--template", "no", *more])


class Unstartable(ScriptedEngine):
    """Fails where a model is loaded, for the models in `broken`."""

    def __init__(self, error: BaseException, broken: tuple[str, ...] = ("m",)) -> None:
        super().__init__()
        self.error = error
        self.broken = broken

    def load(self, model: str) -> ModelRecord:
        if model in self.broken:
            raise self.error
        return super().load(model)


@pytest.mark.parametrize("out", [[], ["--out", "a/b/run"], ["--out", "new", "--shard", "1/2"]])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no/such-model", "no/such-model"),
        ("no/such/folder", "no/such/folder: there is no such folder"),
        ("no-model", "no-model has no config.json"),
    ],
)
def test_a_model_that_is_none_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], model: str, message: str, out: list[str]
) -> None:
    before = tree(here)
    assert run("--model", model, "--engine", "transformers", *out) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert "Traceback" not in captured
    assert tree(here) == before


def test_an_engine_that_doesn_t_start_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Unstartable(EngineError("vLLM can't start: no memory")).use(monkeypatch)
    before = tree(here)
    assert run("--model", "m") == 2
    assert capsys.readouterr().err == "evalharness: vLLM can't start: no memory\n"
    assert tree(here) == before


def test_prompts_that_are_refused_leave_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ScriptedEngine(context_length=5).use(monkeypatch)
    before = tree(here)
    assert run("--model", "m") == 2
    assert "2 prompts leave no room for an answer" in capsys.readouterr().err
    assert tree(here) == before


def test_an_interruption_before_the_first_response_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(request: Request) -> Completion:
        raise KeyboardInterrupt

    before = tree(here)
    for engine in (Unstartable(KeyboardInterrupt()), ScriptedEngine(interrupted)):
        engine.use(monkeypatch)
        assert run("--model", "m") == 130
        assert tree(here) == before


def test_what_was_in_the_folder_before_stays_as_it_was(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Unstartable(EngineError("no")).use(monkeypatch)
    (here / "empty").mkdir()
    (here / "used").mkdir()
    (here / "used" / "notes.txt").write_text("mine")
    before = tree(here)
    assert run("--model", "m", "--out", "empty") == 2
    assert run("--model", "m", "--out", "used") == 2
    assert run("--model", "m", "--out", "used/deeper/run") == 2
    assert tree(here) == before


def test_what_another_process_puts_into_the_folder_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crowded(Unstartable):
        def load(self, model: str) -> ModelRecord:
            (here / "run" / "log.txt").write_text("theirs")
            return super().load(model)

    Crowded(EngineError("no")).use(monkeypatch)
    before = tree(here)
    assert run("--model", "m", "--out", "run") == 2
    assert tree(here) == before | {"run": None, "run/log.txt": b"theirs"}


def test_the_second_model_s_failure_leaves_the_first_one_s_responses(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Unstartable(EngineError("no"), broken=("b",)).use(monkeypatch)
    assert run("--model", "a,b", "--out", "run") == 2
    assert [row.model for row in store.read_responses(here / "run")] == ["a", "a"]
    assert store.read_spec(here / "run")["status"] == "unfinished"
    ScriptedEngine().use(monkeypatch)
    assert run("--model", "a,b", "--out", "run") == 0
    assert len(store.read_responses(here / "run")) == 4


def test_a_run_with_responses_stays_when_going_on_fails_at_once(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_at_the_second(request: Request) -> Completion:
        if len(engine.asked) == 2:
            raise EngineError("died")
        return answer_two(request)

    engine = ScriptedEngine(dies_at_the_second)
    engine.use(monkeypatch)
    assert run("--model", "m", "--out", "run") == 2
    stored = (here / "run" / "responses.jsonl").read_bytes()
    assert stored.count(b"\n") == 1
    Unstartable(EngineError("no")).use(monkeypatch)
    assert run("--model", "m", "--out", "run") == 2
    assert (here / "run" / "responses.jsonl").read_bytes() == stored
    assert len(store.read_spec(here / "run")["sessions"]) == 2


def test_a_folder_that_another_process_writes_is_not_touched(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ScriptedEngine().use(monkeypatch)
    with RunWriter(here / "run"):
        before = tree(here)
        assert run("--model", "m", "--out", "run") == 2
        assert "another process is writing this run" in capsys.readouterr().err
        assert tree(here) == before
    assert run("--model", "m", "--out", "run") == 0


def test_a_command_that_comes_while_a_failed_one_clears_up_gets_the_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The failed one removes lock and folder after the other has opened the old lock file.
    failed = store.FolderLock(here / "run")
    try_lock = store.lock._try_lock

    def clears_up_first(file: Any) -> bool | None:
        monkeypatch.setattr(store.lock, "_try_lock", try_lock)
        failed.retract([])
        assert not (here / "run").exists()
        return try_lock(file)

    monkeypatch.setattr(store.lock, "_try_lock", clears_up_first)
    with RunWriter(here / "run") as writer:
        assert (here / "run" / LOCK).exists()
        writer.write_json("run.json", {})
    assert (here / "run" / "run.json").exists()


def test_an_import_without_a_row_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "rows.jsonl").write_text("")
    before = tree(here)
    assert main(["import", "rows.jsonl", "--out", "run"]) == 2
    assert "rows.jsonl" in capsys.readouterr().err
    assert tree(here) == before


def test_a_suite_whose_models_fail_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "open_engine", lambda name, options: Unstartable(EngineError("")))
    (here / "s.toml").write_text(
        'benchmark = ["sums.jsonl"]\n[[checkpoint]]\nname = "m"\nmodel = "m"\ntemplate = "no"\n'
    )
    before = tree(here)
    assert main(["suite", "s.toml", "--out", "suite"]) == 2
    assert tree(here) == before
