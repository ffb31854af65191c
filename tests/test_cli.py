import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from evalharness.checking import DEFAULT_CHECKER
from evalharness.cli import build_parser, main
from evalharness.engines.base import Completion
from tests.scripted import ScriptedEngine

HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "pandas",
    "numpy",
    "pyarrow",
    "datasets",
    "sympy",
    "math_verify",
    "rich",
    "scipy",
)


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with three problems whose golds are 1, 2 and 3."""
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is 0+{gold}?", "answer": str(gold)} for gold in (1, 2, 3)]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_no_heavy_package(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from evalharness.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_shows_an_example_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    commands = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for name, parser in commands.items():  # type: ignore[union-attr]
        assert "example:" in parser.format_help(), name
        assert f"evalharness {name}" in parser.format_help(), name


def test_run_report_show_and_score_work_on_one_run(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ScriptedEngine().use(monkeypatch)
    run = ["run", "--model", "m=x", "--benchmark", "sums.jsonl", "--template", "no,qwen-math"]
    assert main([*run, "--out", "run"]) == 0
    table = capsys.readouterr().out
    assert "33.3 [6.1, 79.2]" in table  # Wilson for 1 of 3
    assert "n=3 k=1" in table
    assert main(["report", "run", "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("| m | no | "))
    assert "33.3 [6.1, 79.2]" in row
    assert main(["report", "run", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads(Path("run/metrics.json").read_text())
    assert {
        "benchmark",
        "model",
        "template",
        "metric",
        "value",
        "low",
        "high",
        "stderr",
        "n",
        "k",
    } <= set(metrics[0])
    assert main(["report", "run", "--format", "csv", "--out", "t.csv"]) == 0
    assert Path("t.csv").read_text().startswith("benchmark,model,template,metric,value")
    assert main(["show", "run"]) == 0
    assert "sums/1" in capsys.readouterr().out
    assert main(["show", "run", "sums/1", "--template", "no"]) == 0
    shown = capsys.readouterr().out
    assert "What is 0+2?" in shown
    assert "so \\boxed{2}" in shown
    assert "→ correct" in shown
    assert main(["score", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == metrics


def test_the_config_file_gives_flags_and_a_flag_wins(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = ScriptedEngine()
    engine.use(monkeypatch)
    Path("run.toml").write_text(
        'model = ["a=x", "b=y"]\nbenchmark = "sums.jsonl"\ntemplate = ["no"]\n'
        "max-tokens = 7\nlimit = 1\nquiet = true\n"
    )
    assert main(["run", "--config", "run.toml", "--out", "one"]) == 0
    assert [(each.key.model, each.max_tokens) for each in engine.asked] == [("a", 7), ("b", 7)]
    engine.asked.clear()
    assert (
        main(["run", "--config", "run.toml", "--out", "two", "--model", "c=z", "--limit", "2"]) == 0
    )
    assert [each.key.model for each in engine.asked] == ["c", "c"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('modle = "x"\n', 'run.toml:1: unknown key "modle"; did you mean "model"?'),
        ("seed = 1\nmax-tokens = 'many'\n", 'run.toml:2: "max-tokens" must be of type int'),
        ("golds = 'best'\n", 'run.toml:1: "golds" must be one of published, corrected'),
        ("\nmodel = [1]\n", 'run.toml:2: "model" must be a string or a list of strings'),
        ("quiet = 1\n", 'run.toml:1: "quiet" must be true or false'),
        ("a = \n", "run.toml:1: not valid TOML"),
    ],
)
def test_a_wrong_config_is_refused_with_its_line(
    sums: Path, capsys: pytest.CaptureFixture[str], config: str, message: str
) -> None:
    Path("run.toml").write_text(config)
    assert main(["run", "--config", "run.toml"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--benchmark", "math50"], 'did you mean "math500"?'),
        (["run", "--template", "qwen"], 'unknown template "qwen"'),
        (["run", "--engine", "vlm"], "vlm"),
        (["run", "--model", "no/such/folder", "--engine", "transformers"], "no/such/folder"),
        (["run", "--model", "tiny", "--samples", "4"], "at temperature 0"),
        (["run", "--model", "tiny", "--temperature", "nan"], "--temperature nan: give 0 for"),
        (["run", "--model", "tiny", "--temperature", "1e-45"], "give 0 for greedy, or 0.01 or"),
        (["run", "--model", "tiny", "--temperature", "-1"], "--temperature -1: give 0"),
        (["run", "--max-tokens", "0"], "--samples and --max-tokens must be at least 1"),
        (["run", "--batch-size", "0"], "--batch-size 0: give 1 or more"),
        (["run", "--max-model-len", "-5"], "--max-model-len -5: give 1 or more"),
        (["run", "--tensor-parallel-size", "0"], "--tensor-parallel-size 0: give 1 or more"),
        (["run", "--gpu-memory-utilization", "90"], "--gpu-memory-utilization 90: give a share"),
        (["run", "--engine-timeout", "0"], "--engine-timeout 0: give seconds above 0"),
        (
            ["run", "--engine", "openai", "--base-url", "http://h/v1", "--request-timeout", "nan"],
            "--request-timeout nan: give seconds above 0",
        ),
        (["run", "--replay-from", "x"], "--replay-from belongs to --engine replay, not to auto"),
        (["run", "--concurrency", "4"], "--concurrency belongs to --engine openai, not to auto"),
        (["run", "--benchmark", "empty.jsonl"], "empty.jsonl"),
        (["run", "--benchmark", "sums.jsonl", "--gold-column", "solution"], "solution"),
        (["score", "nowhere"], "nowhere is not a run: there is no such folder"),
        (["report", "."], "is not a run: it has no run.json"),
        (["import", "sums.jsonl", "--out", "x"], 'no column "benchmark"'),
        (["import", "sums.jsonl", "--out", "x", "--map", "golds=answer"], 'unknown column "golds"'),
        (["check", "2", "\\boxed{2}", "--template", "mine.toml"], "there is no such file"),
        (["templates", "no", "--benchmark", "sums.jsonl", "--problem", "3"], "rows 0 to 2"),
    ],
)
def test_bad_input_exits_2_with_one_clear_message(
    sums: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("empty.jsonl").write_text("")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert {path.name for path in Path().iterdir()} == {"empty.jsonl", "sums.jsonl"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("rum", """'completion'); did you mean "run"? (see `evalharness --help`)"""),
        ("", "evalharness: the following arguments are required: COMMAND"),
        ("run --modle tiny", 'evalharness run: there is no --modle; did you mean "--model"? (see'),
        ("run --benchmrk=x", 'there is no --benchmrk=x; did you mean "--benchmark"?'),
        ("run --model= --benchmark aime24", "evalharness run: argument --model: is empty (see"),
        ("run --config", "evalharness run: argument --config: expected one argument (see"),
        ("run --template ,", "argument --template: is empty (see"),
        ("run --samples four", "argument --samples: invalid int value: 'four' (see `evalharness"),
        ("report r --format htm", 'did you mean "html"? (see `evalharness report --help`)'),
        ("check 1 2 3", "evalharness check: there is no 3 (see"),
        ("check 1", "the following arguments are required: RESPONSE"),
        (
            "train rl --algoritm x --out y",
            'rl: there is no --algoritm; did you mean "--algorithm"?',
        ),
        ("train lr", """choose from 'toy', 'sft', 'rl', 'compare')"""),
    ],
)
def test_a_mistyped_command_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_show_prints_no_length_that_nobody_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"benchmark": "x", "problem_id": "x/0", "problem": "1+0?", "gold": "1", "model": "m"}
    row |= {"template": "no", "sample_index": 0, "response": "\\boxed{1}"}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["import", "rows.jsonl", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["show", "run"]) == 0
    assert capsys.readouterr().out.split() == ["x/0", "1/1", "–", "tokens", "1+0?"]


def test_a_response_that_is_no_text_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff 1"), "utf-8"))
    assert main(["check", "1", "-"]) == 2
    assert "evalharness: standard input is no text: 'utf-8' codec" in capsys.readouterr().err


def test_a_terminal_without_a_letter_gets_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["check", "1", "\\boxed{é}"]) == 0
    assert b"'\\xe9'" in terminal.buffer.getvalue()  # type: ignore[attr-defined]


def test_ctrl_c_exits_130(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(request: object) -> None:
        raise KeyboardInterrupt

    ScriptedEngine(interrupted).use(monkeypatch)  # type: ignore[arg-type]
    assert main(["run", "--model", "m=x", "--benchmark", "sums.jsonl"]) == 130
    assert "what was stored is kept" in capsys.readouterr().err


def test_templates_prints_the_exact_prompt(sums: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["templates", "qwen-math", "--benchmark", "sums.jsonl"]) == 0
    assert capsys.readouterr().out == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within "
        "\\boxed{}.<|im_end|>\n<|im_start|>user\nWhat is 0+1?<|im_end|>\n<|im_start|>assistant\n\n"
    )


def test_a_model_s_text_drives_no_terminal_and_no_spreadsheet(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from evalharness.engines.base import Completion

    ScriptedEngine(
        lambda request: Completion(
            key=request.key,
            text="\x1b[2J\x07 \\boxed{\x1b]0;t\x07}",
            num_tokens=3,
            finish_reason="stop",
        )
    ).use(monkeypatch)
    assert (
        main(["run", "--model", "=cmd|' /C calc'!A0=x", "--benchmark", "sums.jsonl", "--out", "r"])
        == 0
    )
    capsys.readouterr()
    assert main(["show", "r", "sums/0"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[2J" in shown
    assert main(["report", "r", "--format", "csv"]) == 0
    assert ",=cmd" not in capsys.readouterr().out


def test_another_checker_writes_a_table_of_its_own(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ScriptedEngine().use(monkeypatch)
    run = ["run", "--model", "m=x", "--benchmark", "sums.jsonl", "--template", "no"]
    assert main([*run, "--out", "run"]) == 0
    assert main(["score", "run", "--checker", "math-verify"]) == 0
    names = sorted(path.stem for path in Path("run/verdicts").iterdir())
    assert [name.partition("@")[0] for name in names] == ["evalharness", "math-verify"]
    assert main(["score", "run", "--checker", "mathverify"]) == 2
    assert 'did you mean "math-verify"?' in capsys.readouterr().err


def test_all_checkers_at_once_name_the_responses_on_which_they_disagree(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Golds 1, 2 and 3: the answers are 1 without a box, 4/2 in one, and a wrong 4.
    texts = iter(["The answer is 1.", "\\boxed{4/2}", "\\boxed{4}"])
    ScriptedEngine(
        lambda request: Completion(
            key=request.key, text=next(texts), num_tokens=3, finish_reason="stop"
        )
    ).use(monkeypatch)
    run = ["run", "--model", "m=x", "--benchmark", "sums.jsonl", "--template", "no"]
    assert main([*run, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["score", "run", "--checker", "all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [name.partition("@")[0] for name in found["graders"]]
    assert names == ["evalharness", "math-verify", "drgrpo", "drgrpo-fast", "qwen2.5-math"]
    (row,) = found["rows"]
    # Ours, math-verify and the slow grader take 4/2 only; the fast one nothing; Qwen's also the
    # answer without a box.
    thirds = [round(3 * share) for share in row["accuracy"].values()]
    assert thirds == [1, 1, 1, 0, 2]
    assert row["num_disagreements"] == 2
    assert [each["problem_id"] for each in found["disagreements"]] == ["sums/0", "sums/1"]
    assert found["disagreements"][0]["status"][found["graders"][0]] == "no_answer"
    # The run's own table stays ours.
    assert main(["report", "run", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    value = next(each["value"] for each in rows if each["metric"] == "accuracy")
    assert value == pytest.approx(1 / 3)


def test_the_command_line_and_the_checker_agree_on_the_default() -> None:
    for command in (["check", "1", "1"], ["score", "x"], ["run"]):
        assert build_parser().parse_args(command).checker == DEFAULT_CHECKER


def test_golds_that_cannot_be_read_are_told_before_a_run(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ScriptedEngine().use(monkeypatch)
    rows = [{"question": "a", "answer": "1"}, {"question": "b", "answer": "\\frac{1}{"}]
    Path("odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = ["run", "--model", "m=x", "--benchmark", "odd.jsonl", "--template", "no"]
    assert main([*run, "--out", "run"]) == 0
    told = capsys.readouterr().err
    assert "1 golds of odd can't be compared with an answer" in told
    assert "odd/1: \\frac{1}{" in told
    assert main(["benchmarks", "odd.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["problem_id"] for each in found["gold_problems"]] == ["odd/1"]
    assert found["policy"]["rounding"] == "none"


def test_a_run_folder_holds_the_policy_that_it_is_scored_under(
    sums: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ScriptedEngine().use(monkeypatch)
    Path("near.toml").write_text(
        'title = "Near"\nproblem_column = "question"\ngold_column = "answer"\n'
        "[policy]\nabsolute_tolerance = 0.5\n"
        "[[policy_rows]]\nrows = [0]\nreason = 'exact'\nabsolute_tolerance = 0\n"
        '[[sources]]\nfile = "near.jsonl"\n'
    )
    rows = [{"question": f"What is 0+{n}?", "answer": f"{n + 0.25}"} for n in (1, 2)]
    Path("near.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = ["run", "--model", "m=x", "--benchmark", "near.toml", "--template", "no"]
    assert main([*run, "--out", "run"]) == 0
    Path("near.toml").unlink()
    assert main(["score", "run"]) == 0
    (path,) = Path("run/verdicts").glob("evalharness@*.parquet")
    found = pd.read_parquet(path).set_index("problem_id")
    # The model says n, the gold is n + 0.25: within 0.5, but row 0 is compared exactly.
    assert found["status"].to_dict() == {"near/0": "incorrect", "near/1": "correct"}
    assert found["policy"].to_dict() == {"near/0": "", "near/1": "absolute_tolerance=0.5"}
    spec = json.loads(Path("run/run.json").read_text())
    assert spec["benchmarks"]["near"]["policy"]["absolute_tolerance"] == 0.5


def test_an_unknown_engine_is_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--engine", "vlm"]) == 2
    assert 'unknown engine "vlm"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
