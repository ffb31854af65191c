"""The harness from Python: frames, the same run as the command's, one error for a wrong call."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evalharness
from evalharness import EvalHarnessError, Run, compare, evaluate, load_run
from evalharness.cli import main
from evalharness.cli.config import flag_actions
from evalharness.engines.base import Completion, Request
from evalharness.errors import InputError, StoreError
from tests.scripted import ScriptedEngine

ROOT = Path(__file__).parent.parent


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """Says 2 in five tokens; in its folder are three problems whose golds are 1, 2 and 3."""
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is 0+{gold}?", "answer": str(gold)} for gold in (1, 2, 3)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scripted = ScriptedEngine()
    scripted.use(monkeypatch)
    return scripted


def better(request: Request) -> Completion:
    """Model `b` is right on the first two problems, in ten tokens; any other says 2 in five."""
    number = int(request.key.problem_id.rpartition("/")[2])
    answer = min(number + 1, 2) if request.key.model == "b" else 2
    return Completion(
        key=request.key,
        text=f"\\boxed{{{answer}}}",
        num_tokens=10 if request.key.model == "b" else 5,
        finish_reason="stop",
    )


def evaluated(**more: Any) -> Run:
    arguments: dict[str, Any] = {"models": {"a": "x", "b": "y"}, "benchmarks": "sums.jsonl"}
    return evaluate(**(arguments | {"templates": "no", "out": "run", "quiet": True} | more))


def test_a_run_has_frames_with_the_columns_of_its_files(engine: ScriptedEngine) -> None:
    run = evaluated()
    # The engine says 2 three times; one gold of three is 2.
    accuracy = run.metrics[run.metrics["metric"] == "accuracy"].set_index("model")
    assert dict(accuracy["value"]) == {"a": pytest.approx(1 / 3), "b": pytest.approx(1 / 3)}
    assert set(accuracy["n"]) == {3}
    stored = json.loads(Path("run/metrics.json").read_text())
    assert list(run.metrics["value"].dropna()) == [
        row["value"] for row in stored if row["value"] is not None
    ]
    assert list(run.problems["golds"]) == [("1",), ("2",), ("3",)]
    # The frames join on the columns that name a response.
    both = run.responses.merge(run.verdicts)
    assert len(both) == 6
    right = both[both["status"] == "correct"]
    assert set(right["problem_id"]) == {"sums/1"}
    assert set(right["num_tokens"]) == {5}
    assert run.spec["identity"]["sampling"]["num_samples"] == 1


def test_evaluate_and_the_command_make_the_same_run(
    engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evaluated(max_tokens=7, out=None, models=["x", Path("ckpt/200")])
    recorded = run.spec["sessions"][0]["command"]
    assert recorded.startswith("evalharness run --model x --model ckpt/200 --benchmark sums.jsonl")
    asked = len(engine.asked)
    # The command that the run records finds the same folder, and nothing is left to draw.
    assert main(recorded.split()[1:]) == 0
    assert len(engine.asked) == asked == 6
    assert f"report: {run.folder}/report.html" in capsys.readouterr().err
    command = ["run", "--model", "x", "--benchmark", "sums.jsonl", "--template", "no"]
    assert main([*command, "--out", "theirs"]) == 0
    assert load_run("theirs").metrics.equals(evaluated(models="x").metrics)


def test_every_flag_of_run_is_a_keyword_of_evaluate_and_the_other_way_round() -> None:
    keywords = set(inspect.signature(evaluate).parameters)
    flags = {name.replace("-", "_") for name in flag_actions("run")} - {"json"}
    plural = {name: f"{name}s" for name in ("model", "benchmark", "template")}
    assert keywords == {plural.get(name, name) for name in flags}


def test_a_protocol_and_a_config_stand_behind_the_keywords(engine: ScriptedEngine) -> None:
    Path("run.toml").write_text("seed = 5\nmax-tokens = 9\nlimit = 1\n")
    sampling = evaluated(config="run.toml", max_tokens=8).spec["identity"]["sampling"]
    assert (sampling["seed"], sampling["max_tokens"]) == (5, 8)
    by_protocol = evaluated(
        config=Path("run.toml"), protocol="drgrpo-2025", out="p", max_tokens=None
    )
    assert by_protocol.spec["protocol"]["name"] == "drgrpo-2025"
    assert by_protocol.spec["identity"]["sampling"]["max_tokens"] == 9


def test_numbers_of_numpy_are_numbers(engine: ScriptedEngine) -> None:
    import numpy as np

    run = evaluated(samples=np.int64(2), temperature=np.float32(0.5), top_p=1, concurrency="auto")
    sampling = run.spec["identity"]["sampling"]
    assert (sampling["num_samples"], sampling["temperature"]) == (2, 0.5)


def test_compare_has_the_rows_of_the_command(
    engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = better
    run = evaluated()
    capsys.readouterr()
    assert main(["compare", "run", "--baseline", "a", "--json"]) == 0
    (theirs,) = json.loads(capsys.readouterr().out)
    (ours,) = run.compare().to_dict("records")
    # b is right on problems 0 and 1, a on problem 1 only: a third of the problems more.
    assert ours["difference"] == theirs["difference"] == pytest.approx(1 / 3)
    assert (ours["model"], ours["baseline"], ours["fixed"]) == ("b", "a:no", ["sums/0"])
    # Ten tokens against five, on each problem.
    assert ours["inflation"] == theirs["inflation"]["value"] == pytest.approx(2)
    assert ours["inflation_n"] == theirs["inflation"]["n"] == 3
    flat = {f"inflation_{part}" for part in ("low", "high", "n")}
    assert flat < set(ours)
    assert set(theirs) < set(ours)


def test_runs_are_compared_with_each_other_and_what_is_left_out_is_told(
    engine: ScriptedEngine,
) -> None:
    engine.answer = better
    first = evaluated(models={"a": "x"}, templates=["no", "r1"], out="one")
    evaluated(models={"b": "y"}, templates=["no", "qwen-math"], out="two")
    # Each template against the baseline's own answers to it: it has none to qwen-math.
    with pytest.warns(
        UserWarning, match="left out: b:qwen-math: a was not run under qwen-math"
    ) as told:
        frame = compare([first, "two"], "a", models=["b"])
    assert [each.filename for each in told] == [__file__]  # the line that asked
    assert list(frame["template"]) == ["no"]
    assert frame.attrs["left_out"] == ["b:qwen-math: a was not run under qwen-math"]


def test_a_single_model_is_compared_with_its_first_template(engine: ScriptedEngine) -> None:
    run = evaluated(models="x", templates=["no", "qwen-math"])
    assert list(run.compare()["baseline"]) == ["x:no"]
    assert list(run.compare()["template"]) == ["qwen-math"]


def test_other_verdicts_are_another_run_object_and_the_first_stays(engine: ScriptedEngine) -> None:
    run = evaluated()
    by_other = run.score(checker="math-verify")
    assert by_other.verdict_table.startswith("math-verify@")
    assert run.verdict_table.startswith("evalharness@")
    assert len(by_other.verdicts) == len(run.verdicts) == 6
    with pytest.raises(InputError, match="score them alike"):
        compare([run, by_other])


def test_a_report_has_the_format_of_its_suffix(engine: ScriptedEngine) -> None:
    run = evaluated(models="x")
    beginnings = {
        "r.md": "Accuracy in %",
        "r.csv": "benchmark,model,template,metric",
        "r.json": "[\n",
        "r.tex": "%",
        "r.txt": "Accuracy in %",
    }
    for name, beginning in beginnings.items():
        assert run.report(name) == Path(name)
        assert beginning in Path(name).read_text()[:200]


def test_a_run_shows_itself(engine: ScriptedEngine) -> None:
    run = evaluated(models={"<b>a": "x"})
    assert repr(run) == (
        f"<Run run: 1 model, 1 template, 1 benchmark, 3 verdicts by {run.verdict_table}, complete>"
    )
    assert "33.3 [6.1, 79.2]" in str(run)  # Wilson for 1 of 3
    page = run._repr_html_()
    assert "<td>&lt;b&gt;a</td>" in page
    assert "<b>a<" not in page


def test_print_and_progress_are_plain_text_in_a_notebook(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # There rich would display a block of HTML for each line, and leave the text empty.
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    print(evaluated(models="x", quiet=False))
    printed = capsys.readouterr()
    assert "33.3 [6.1, 79.2]" in printed.out
    assert "generating with x" in printed.err


def wrong_calls() -> list[tuple[Callable[[], object], type[EvalHarnessError], str]]:
    return [
        (
            lambda: evaluated(samples="4"),
            InputError,
            "samples='4': \"samples\" must be of type int",
        ),
        (lambda: evaluated(samples=2.5), InputError, "must be of type int"),
        (lambda: evaluated(samples=True), InputError, "must be of type int"),
        (lambda: evaluated(samples=4), InputError, "at temperature 0"),
        (lambda: evaluated(temperature="hot"), InputError, '"temperature" must be of type float'),
        (lambda: evaluated(golds="best"), InputError, "must be one of published, corrected"),
        (lambda: evaluated(quiet=1), InputError, '"quiet" must be true or false'),
        (lambda: evaluated(concurrency="many"), InputError, "neither auto nor a number"),
        (lambda: evaluated(benchmarks="math50"), InputError, 'did you mean "math500"?'),
        (lambda: evaluated(templates=[]), InputError, "templates is empty"),
        (lambda: evaluated(models=5), InputError, "models=5: give a name or a path"),
        (lambda: evaluated(models={"a/b": "x"}), InputError, "'a/b' can't be a name"),
        (lambda: evaluated(models=["a=x", "a=y"]), InputError, "a is both x and y"),
        (lambda: evaluated(checker="math"), InputError, "math"),
        (lambda: evaluated(config="none.toml"), InputError, "none.toml: can't be read"),
        (lambda: evaluated(protocol="paper"), InputError, 'unknown protocol "paper"'),
        (lambda: evaluated(limit=0), InputError, "--limit must be at least 1"),
        (lambda: load_run("nowhere"), StoreError, "there is no such folder"),
        (lambda: load_run("run", verdicts="mine"), InputError, 'no verdicts "mine"; it has'),
        (lambda: load_run("run").report("r.doc"), InputError, "the name must end in .html"),
        (lambda: load_run("run").compare("z"), InputError, "no such model in these runs"),
        (lambda: load_run("run").compare(models=["z"]), InputError, "z: no such model"),
        (lambda: load_run("run").score(checker="x"), InputError, 'unknown checker "x"'),
        (lambda: load_run("run").score(golds="x"), InputError, "golds='x'"),  # type: ignore[arg-type]
        (lambda: compare([]), InputError, "no run is named"),
        (lambda: compare([3]), InputError, "compare: [3] is no run: give a run, a folder"),  # type: ignore[list-item]
        (lambda: compare(None), InputError, "compare: None is no run"),  # type: ignore[arg-type]
        (lambda: load_run(3), InputError, "load_run: 3 is no folder"),  # type: ignore[arg-type]
        (lambda: evaluated(temperature=float("nan")), InputError, "--temperature nan: give 0"),
        (lambda: evaluated(temperature=float("inf")), InputError, "--temperature inf: give 0"),
    ]


def test_a_wrong_call_raises_one_clear_error(engine: ScriptedEngine) -> None:
    evaluated()
    asked = len(engine.asked)
    for call, kind, message in wrong_calls():
        with pytest.raises(kind) as caught:
            call()
        assert message in str(caught.value)
    assert len(engine.asked) == asked


def test_failed_responses_raise_and_the_others_are_in_the_folder(engine: ScriptedEngine) -> None:
    engine.answer = lambda request: Completion(
        key=request.key,
        text="\\boxed{2}",
        num_tokens=1,
        finish_reason="error" if request.key.problem_id == "sums/2" else "stop",
        error="the server went away",
    )
    with pytest.raises(EvalHarnessError, match="1 responses failed and count as wrong"):
        evaluated(models="x")
    assert list(load_run("run").verdicts["status"]) == ["incorrect", "correct", "error"]


def test_evaluate_works_where_an_event_loop_runs_as_in_a_notebook(engine: ScriptedEngine) -> None:
    async def cell() -> Run:
        return evaluated()

    run = asyncio.run(cell())
    assert list(run.verdicts["status"]).count("correct") == 2


def test_the_openai_engine_works_where_an_event_loop_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp", reason="the extra [openai] isn't installed")
    from tests.engines.served import Scripted, serve

    monkeypatch.chdir(tmp_path)
    Path("one.jsonl").write_text(
        '{"problem": "1+1?", "gold": "2"}\n{"problem": "x", "gold": "1"}\n'
    )
    with serve(Scripted(choice={"text": "\\boxed{2}"})) as script:

        async def cell() -> Run:
            return evaluate(
                "served", "one.jsonl", "no", engine="openai", base_url=script.url, quiet=True
            )

        assert list(asyncio.run(cell()).verdicts["status"]) == ["correct", "incorrect"]


def test_the_package_imports_no_heavy_package_before_it_is_used() -> None:
    code = (
        "import sys\n"
        "from evalharness import Run, compare, evaluate, load_run\n"
        "print(sorted({'pandas', 'numpy', 'sympy', 'torch', 'rich', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"
    assert {"evaluate", "check", "Run"} <= set(dir(evalharness))


@pytest.mark.slow
def test_a_user_s_script_type_checks_and_a_wrong_keyword_does_not(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from typing import assert_type\n"
        "from evalharness import Run, compare, evaluate, load_run\n"
        "run = evaluate({'a': 'x'}, ['math500'], samples=4, temperature=1)\n"
        "assert_type(run, Run)\n"
        "assert_type(load_run('runs/a').score(golds='corrected'), Run)\n"
        "frame = compare([run, 'runs/b'], baseline='a')\n"
        "path = run.report('x.md').resolve()\n"
        "evaluate(sample=4)\n"
        "evaluate(golds='best')\n"
    )
    # Only the script and what it imports of ours: reading torch's types takes minutes.
    Path(tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nfollow_imports = skip\n"
        "[mypy-evalharness.*]\nfollow_imports = silent\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
    )
    errors = [
        line for line in done.stdout.splitlines() if "script.py" in line and ": error" in line
    ]
    assert [line.split(":")[1] for line in errors] == ["8", "9"], done.stdout + done.stderr
    assert '"sample"' in errors[0]
    assert "Literal['published', 'corrected']" in errors[1]
