import json
from pathlib import Path
from typing import Any

import pytest

from evalharness.cli import main
from evalharness.engines.base import Completion, Request
from tests.scripted import ScriptedEngine


def _answer(request: Request) -> Completion:
    """The model named `good` solves 1 to 5 and the base 1 to 3; `long` writes twice as much."""
    number = int(request.key.problem_id.rpartition("/")[2]) + 1
    model = request.key.model
    is_right = number <= (3 if model == "base" else 5)
    return Completion(
        key=request.key,
        text=f"so \\boxed{{{number if is_right else 0}}}",
        num_tokens=(20 if model == "long" else 10) + number,
        finish_reason="stop",
        stop_reason=None,
    )


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`all`: three models under `no`; `few`: the good one on fewer problems and a smaller cap."""
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is 0+{gold}?", "answer": str(gold)} for gold in range(1, 9)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ScriptedEngine(_answer).use(monkeypatch)
    run = ["run", "--benchmark", "sums.jsonl", "--template", "no", "--quiet"]
    assert main([*run, "--model", "base=x,good=y,long=z", "--out", "all"]) == 0
    few = [*run, "--model", "new=y", "--out", "few"]
    assert main([*few, "--limit", "6", "--max-tokens", "500"]) == 0
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["compare", *arguments, "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_compare_finds_the_difference_the_problems_and_the_inflation(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _json(capsys, ["all", "--baseline", "base"])
    assert [row["model"] for row in rows] == ["good", "long"]
    good, long = rows
    assert good["baseline"] == "base:no"
    assert (good["n"], good["difference"]) == (8, 0.25)
    assert good["fixed"] == ["sums/3", "sums/4"]
    assert good["broken"] == []
    assert good["p_value"] == 0.5  # 2 of 2 changed: 2/4
    assert good["p_holm"] == 1
    assert good["inflation"]["value"] == pytest.approx(1)
    # wrong in both: 6, 7, 8: (26*27*28 / (16*17*18))^(1/3); its error is small but not 0
    assert long["inflation_wrong"]["value"] == pytest.approx((19656 / 4896) ** (1 / 3))
    assert long["inflation_wrong"]["n"] == 3
    # naive: mean(26, 27, 28) - mean(14..18) = 27 - 16; matched 10; newly right: 17 - 16
    assert long["naive_wrong_tokens"] == pytest.approx(11)
    assert long["matched_wrong_tokens"] == pytest.approx(10)
    assert long["newly_wrong_tokens"] == 0
    assert long["newly_right_tokens"] == pytest.approx(1)


def test_compare_prints_tables_and_what_cannot_be_resolved(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["compare", "all", "--baseline", "base:no", "--model", "good"]) == 0
    text = capsys.readouterr().out
    assert "Accuracy against base:no" in text
    assert "+25.0 [" in text
    assert "These 8 problems cannot resolve less than" in text
    assert "long" not in text.replace("longer", "")
    assert main(["compare", "all", "--baseline", "base", "--format", "markdown"]) == 0
    assert "| good | no | " in capsys.readouterr().out


def test_other_problems_and_caps_are_refused_and_common_compares_the_rest(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["all", "few", "--baseline", "base", "--model", "new"]
    capsys.readouterr()
    assert main(["compare", *arguments]) == 2
    message = capsys.readouterr().err
    assert "2 problems only the baseline answered" in message
    assert "token limits of 3000 and 500" in message
    assert "--common" in message
    (row,) = _json(capsys, [*arguments, "--common"])
    assert (row["n"], row["difference"]) == (6, pytest.approx(2 / 6))
    assert "only what both share" in row["notes"]


def test_a_cell_of_two_runs_is_told_apart_by_the_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--benchmark", "sums.jsonl", "--template", "no", "--quiet", "--model", "base=y"]
    assert main([*run, "--out", "again"]) == 0
    (row,) = _json(capsys, ["all", "again", "--baseline", "base", "--model", "base (again)"])
    assert (row["model"], row["difference"]) == ("base (again)", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["all", "--baseline", "bose"], 'did you mean "base"?'),
        (["all", "--baseline", "base:r1"], "base was run under no"),
        (["all", "--baseline", "base", "--model", "other"], "they have base, good, long"),
        (["few", "--baseline", "new"], "nothing to compare with the baseline: it is alone"),
        (["nowhere", "--baseline", "base"], "nowhere is not a run"),
        (["all", "--baseline", "base", "--verdicts", "x"], 'no verdicts "x"'),
    ],
)
def test_a_wrong_compare_exits_2_with_one_clear_message(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    capsys.readouterr()
    assert main(["compare", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_templates_are_compared_with_the_baseline_under_the_same_template(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--benchmark", "sums.jsonl", "--template", "no,qwen-math", "--quiet"]
    assert main([*run, "--model", "base=x,good=y", "--out", "two"]) == 0
    rows = _json(capsys, ["two", "--baseline", "base"])
    assert [(row["template"], row["baseline"]) for row in rows] == [
        ("no", "base:no"),
        ("qwen-math", "base:qwen-math"),
    ]
    rows = _json(capsys, ["two", "--baseline", "base:no"])
    assert {(row["model"], row["template"]) for row in rows} == {
        ("base", "qwen-math"),
        ("good", "no"),
        ("good", "qwen-math"),
    }
