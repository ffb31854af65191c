"""What a model writes is data: it runs nowhere, hangs nothing, and drives no terminal or page."""

import csv
import json
import resource
from pathlib import Path

import pytest

from evalharness.analysis.text import continuation, format_rates
from evalharness.benchmarks import load_benchmark
from evalharness.cli import main
from evalharness.engines.base import Completion, Request
from evalharness.pipeline import run
from evalharness.plan import RunPlan
from evalharness.records import Sampling
from evalharness.store import read_responses, read_verdicts
from evalharness.templates import load_template
from tests.hostile import NAMES, attacks, catastrophes
from tests.scripted import ScriptedEngine, SilentProgress

DRIVING = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n", "\t"}
DRIVING |= {chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F))}
DRIVING |= {chr(code) for code in range(0x2066, 0x206A)}
"""Both blocks of control characters, and what turns the direction of writing."""


def hostile_rows(canary: Path) -> list[dict[str, object]]:
    """All attacks under the first name, three of them under every other."""
    texts = [f"so \\boxed{{{text}}}" for text in attacks(canary).values()]
    texts += catastrophes().values()
    return [
        {
            "benchmark": "mine",
            "problem_id": str(number),
            "problem": f"\x1b[2J\x9b2J\u202e<script>{number}</script>",
            "gold": str(number + 20),
            "response": text,
            "model": name,
            "template": "=t",
            "n_tokens": 5,
        }
        for place, name in enumerate(NAMES)
        for number, text in enumerate(texts[: 3 if place else None])
    ]


def largest_child() -> int:
    """KiB of memory."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


@pytest.mark.slow
def test_hostile_files_are_imported_checked_and_reported_without_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    largest_before = largest_child()
    canary = tmp_path / "canary"
    rows = hostile_rows(canary)
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    printed = {}

    def call(*arguments: str) -> str:
        assert main(arguments) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        for text in (said.out, said.err):
            assert not DRIVING & set(text)
        return said.out

    printed["import"] = call("import", "in.jsonl", "--out", "run")
    for form in ("terminal", "markdown", "latex", "csv", "json"):
        printed[form] = call("report", "run", "--format", form)
    call("report", "run", "--format", "html", "--out", "page.html")
    call("show", "run")
    call("show", "run", "mine/0")
    call("compare", "run", "--baseline", NAMES[0], "--common")
    assert json.loads(call("show", "run", "mine/1", "--json"))["responses"]

    verdicts = list(read_verdicts(tmp_path / "run", next((tmp_path / "run").rglob("ev*@*")).stem))
    assert len(verdicts) == len(rows)
    # None of these answers is a right one.
    assert {each.status for each in verdicts} <= {"incorrect", "no_answer", "unparsed", "timeout"}
    cells = [cell for row in csv.reader(printed["csv"].splitlines()) for cell in row]
    formulas = [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t")]
    assert "'=t" in cells
    assert formulas == []
    names = {name.encode("utf-8", "replace").decode() for name in NAMES}
    assert names <= {row["model"] for row in json.loads(printed["json"])}
    page = Path("page.html").read_text()
    for tag in ("<script>alert", "<script>fetch", "<svg/onload", "<img src=x"):
        assert tag not in page
    assert not canary.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "page.html", "run"}
    assert not (tmp_path.parent / "outside").exists()
    # Two GiB is what one worker may take; none came near it. The counter knows the largest child of
    # the whole test run, so one that was larger before says nothing of these.
    assert largest_child() <= max(largest_before, 2 << 20)


def test_a_run_stores_and_checks_whatever_its_engine_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    texts = [f"\\boxed{{{text}}}" for text in attacks(canary).values()] + [*catastrophes().values()]
    path = tmp_path / "sums.jsonl"
    rows = [{"problem": f"What is {row}+20?", "gold": str(row + 20)} for row in range(len(texts))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(request: Request) -> Completion:
        number = int(request.key.problem_id.rpartition("/")[2])
        return Completion(key=request.key, text=texts[number], num_tokens=9, finish_reason="stop")

    ScriptedEngine(answer).use(monkeypatch)
    plan = RunPlan(
        models={"../../m": "m"},
        benchmarks=(load_benchmark(str(path)),),
        templates=(load_template("no"),),
        sampling=Sampling(max_tokens=64),
    )
    result = run(plan, tmp_path / "out", SilentProgress())
    stored = {each.problem_id: each.response for each in read_responses(tmp_path / "out")}
    # Only half of a character can't be stored.
    expected = [text.encode("utf-8", "replace").decode() for text in texts]
    assert [stored[f"sums/{number}"] for number in range(len(texts))] == expected
    verdicts = list(read_verdicts(tmp_path / "out", result.verdicts))
    assert len(verdicts) == len(texts)
    assert "correct" not in {each.status for each in verdicts}
    assert not canary.exists()
    assert {each.name for each in tmp_path.iterdir()} == {"sums.jsonl", "out"}


# Under the patterns of before 100,000 newlines took minutes, not milliseconds.
def test_long_runs_of_blanks_and_tags_are_read_in_one_pass() -> None:
    blanks = "\n" * 100_000 + "Question: 2"
    assert continuation("\\boxed{1}" + blanks).starts_new_question
    assert not continuation("\n" * 100_000).starts_new_question
    assert not continuation("\nquestion" + " " * 100_000).starts_new_question
    assert continuation("\nQuestion 12 : x").starts_new_question
    assert continuation("a\n \n\t## Problem 3.").starts_new_question
    tags = "<answer>" * 12_000
    found = format_rates([tags, tags + "</answer>"], [None, None], [False, False], ["box"])
    assert found is not None
    assert found.tagged == 0.5
    assert continuation("<answer>1</answer> 234").characters_after_answer == 3
