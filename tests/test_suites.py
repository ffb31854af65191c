"""Many checkpoints from one file."""

import json
from pathlib import Path

import pytest

from evalharness.cli import main, parse
from evalharness.errors import InputError
from evalharness.suites import load_suite
from tests.scripted import ScriptedEngine

TABLES = Path(__file__).parent.parent / "reports" / "suites" / "drgrpo-tables.toml"


def test_the_suite_of_the_paper_has_its_models_templates_and_caps() -> None:
    suite = load_suite(TABLES)
    found = {run.name: parse(["run", *run.arguments]) for run in suite.runs}
    assert len(found) == 8
    assert sum(len(each.template) for each in found.values()) == 11
    first = found["Qwen2.5-Math-1.5B"]
    assert first.template == ["no", "qwen-math", "r1"]
    assert (first.max_tokens, first.checker, len(first.benchmark)) == (3000, "drgrpo", 5)
    long = found["OpenReasoner-Zero-7B@8k"]
    assert (long.max_tokens, long.max_model_len, long.checker) == (8000, 9096, "drgrpo-orz")
    assert long.model == ["OpenReasoner-Zero-7B@8k=Open-Reasoner-Zero/Open-Reasoner-Zero-7B"]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


SMALL = """
title = "Two steps"
benchmark = ["sums.jsonl"]
template = ["no"]
flags = { max-tokens = 20 }

[[checkpoint]]
name = "early"
model = "x"
step = 10

[[checkpoint]]
name = "late"
model = "y"
step = 20
flags = { max-tokens = 30 }
"""


def test_a_suite_runs_every_checkpoint_and_prints_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is 0+{gold}?", "answer": str(gold)} for gold in (1, 2, 3)]
    write(Path("sums.jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    write(Path("two.toml"), SMALL)
    ScriptedEngine().use(monkeypatch)
    command = ["suite", "two.toml", "--out", "all", "--json", "--", "--limit", "2", "--quiet"]
    assert main(command) == 0
    metrics = json.loads(capsys.readouterr().out)
    values = {row["model"]: row["value"] for row in metrics if row["metric"] == "accuracy"}
    # Every answer is 2, which is the gold of the second of two problems.
    assert values == {"early": 0.5, "late": 0.5}
    limits = {
        name: json.loads(Path(f"all/{name}/run.json").read_text())["identity"]["sampling"]
        for name in ("early", "late")
    }
    assert {name: each["max_tokens"] for name, each in limits.items()} == {"early": 20, "late": 30}
    # The same command again has nothing to draw.
    again = ScriptedEngine()
    again.use(monkeypatch)
    assert main(command) == 0
    assert again.asked == []


def test_two_checkpoints_of_one_step_are_no_series_and_still_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("sums.jsonl"), json.dumps({"question": "What is 0+2?", "answer": "2"}) + "\n")
    write(Path("two.toml"), SMALL.replace("step = 10", "step = 20"))
    ScriptedEngine().use(monkeypatch)
    assert main(["suite", "two.toml", "--out", "all"]) == 0
    told = capsys.readouterr()
    assert "two checkpoints have the same step: no series of them" in told.err
    assert {"early", "late"} <= set(told.out.split())


def test_a_checkpoint_that_fails_is_told_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("sums.jsonl"), json.dumps({"question": "What is 0+2?", "answer": "2"}) + "\n")
    write(Path("two.toml"), SMALL.replace('model = "x"', 'model = "x"\ntemplate = ["nothing"]'))
    ScriptedEngine().use(monkeypatch)
    assert main(["suite", "two.toml", "--out", "all"]) == 2
    told = capsys.readouterr()
    assert '1 of 2 checkpoints failed: early: unknown template "nothing"' in told.err
    assert "late" in told.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "x"', r"at least one \[\[checkpoint\]\]"),
        ('[[checkpoint]]\nmodel = "a"\nsteps = 3', 's.toml:3: unknown key "steps"; did you mean'),
        ('[[checkpoint]]\nmodel = "a"\n[[checkpoint]]\nmodel = "a"', 'two .* are called "a"'),
        ('[[checkpoint]]\nname = "a"', 'the key "model" is missing'),
        ('[[checkpoint]]\nname = "x/y"\nmodel = "a"', 'the name "x/y" must not be empty or hold'),
        ('[[checkpoint]]\nname = "GRPO, 7B"\nmodel = "a"', "must be models without a comma"),
        ('[[checkpoint]]\nmodel = ""', "must be models without a comma"),
    ],
)
def test_a_wrong_suite_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_suite(write(tmp_path / "s.toml", text))


def test_a_dry_run_prints_the_commands_and_runs_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["suite", str(TABLES), "--dry-run", "--only", "Oat-Zero-7B", "--out", "o"]
    assert main([*command, "--", "--limit", "2"]) == 0
    (words,) = json.loads(capsys.readouterr().out).values()
    assert words == [
        "run", "--model", "Oat-Zero-7B=sail/Qwen2.5-Math-7B-Oat-Zero", "--protocol", "drgrpo-2025",
        "--template", "qwen-math", "--limit", "2", "--out", str(Path("o/Oat-Zero-7B")),
    ]  # fmt: skip
