import json
from pathlib import Path

import pandas as pd
import pytest

from evalharness.cli import main
from evalharness.engines.base import Completion, Request
from evalharness.report.gather import Gathered
from evalharness.report.published import published_table
from evalharness.report.tables import as_markdown
from tests.scripted import ScriptedEngine

LOOP = "wait, let me check. " * 10


def _answer(request: Request) -> Completion:
    """Problem 0 right in the box, 1 right without it, 2 in a loop up to the limit, 3 wrong."""
    number = int(request.key.problem_id.rpartition("/")[2])
    texts = [
        "so \\boxed{1}\n\nQuestion: What is 2+2?",
        "The final answer is 2.",
        LOOP,
        "so \\boxed{9}",
    ]
    return Completion(
        key=request.key,
        text=texts[number],
        num_tokens=[100, 300, 1000, 200][number],
        finish_reason="length" if number == 2 else "stop",
        stop_reason=None,
    )


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f'{{"question": "What is 0+{gold}?", "answer": "{gold}"}}\n' for gold in range(1, 5)]
    Path("sums.jsonl").write_text("".join(rows))


def _run(monkeypatch: pytest.MonkeyPatch, engine: ScriptedEngine, *arguments: str) -> None:
    engine.use(monkeypatch)
    run = ["run", "--benchmark", "sums.jsonl", "--template", "no", "--quiet", "--out", "run"]
    assert main([*run, *arguments]) == 0


def _row(text: str, *words: str) -> list[str]:
    """The cells of the first Markdown row whose cells begin with these words."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if tuple(cells[: len(words)]) == words:
            return cells[len(words) :]
    raise AssertionError(f"no row {words} in\n{text}")


@pytest.mark.usefixtures("sums")
def test_details_show_lengths_by_verdict_budgets_texts_and_series(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, ScriptedEngine(_answer), "--model", "step-10=x,step-20=y")
    capsys.readouterr()
    assert main(["report", "run", "--format", "markdown", "--details"]) == 0
    text = capsys.readouterr().out
    # the second response has no box: no answer under the template `no`, which asks for one
    assert _row(text, "step-10", "no", "sums", "correct")[:2] == ["1", "25.0"]
    assert _row(text, "step-10", "no", "sums", "no answer")[:2] == ["1", "25.0"]
    assert _row(text, "step-10", "no", "sums", "truncated") == [
        "1",
        "25.0",
        *["1,000", "–", "–"],
        "100.0",
    ]
    # all: 100, 200, 300, 1000: median 250, the 90th percentile is beyond the truncated quarter
    assert _row(text, "step-10", "no", "sums", "all")[3:] == ["250", "–", "25.0"]
    budgets = text[text.index("within a budget") :]
    assert _row(budgets, "step-10", "no", "sums") == ["25.0"] * 3  # at 256, 512, 1024
    texts = text[text.index("What the texts do") :]
    # answered 2 of 4, boxed 2, tagged 0, strict 1, lenient also the one without a box, loop 1,
    # goes on 1 with a new question, never stops 1, second thoughts 1 with 2 * 10 keywords, of 1600
    # tokens, in 1 of 4 problems
    assert _row(texts, "step-10", "no") == [
        *("4", "50.0", "50.0", "0.0", "25.0", "50.0", "25.0", "25.0", "25.0", "25.0"),
        *("25.0", "25.0", "5.00", "12.50"),
    ]
    series = text[text.index("Checkpoints of one training under no") :]
    assert _row(series, "sums", "10")[0].startswith("25.0")
    assert _row(series, "sums", "20")[1:] == ["400.0", "100.0", "500.0", "25.0"]


@pytest.mark.usefixtures("sums")
def test_two_models_of_one_step_are_told_and_not_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, ScriptedEngine(_answer), "--model", "step-10=x,checkpoint-10=y")
    capsys.readouterr()
    assert main(["report", "run", "--details"]) == 0
    assert "are both step 10 of a series" in capsys.readouterr().out


@pytest.mark.usefixtures("sums")
def test_samples_that_are_copies_are_flagged_in_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sampled = ["--model", "m=x", "--samples", "2", "--temperature", "1"]
    _run(monkeypatch, ScriptedEngine(_answer), *sampled)
    assert "4 of 4 problems have only copies of one response" in capsys.readouterr().out


@pytest.mark.usefixtures("sums")
def test_a_stored_accuracy_that_no_count_gives_is_flagged_in_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, ScriptedEngine(_answer), "--model", "m=x")
    path = Path("run/metrics.json")
    rows = json.loads(path.read_text())
    (accuracy,) = [r for r in rows if r["metric"] == "accuracy" and r["benchmark"] == "sums"]
    accuracy["value"] = 0.6  # of 4 problems: 2.4
    path.write_text(json.dumps(rows))
    capsys.readouterr()
    assert main(["report", "run"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "accuracy 60.000000% of 4 is impossible" in shown
    assert main(["score", "run"]) == 0
    assert "impossible" not in capsys.readouterr().out


@pytest.mark.usefixtures("sums")
def test_samples_of_one_length_that_differ_are_not_flagged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(request: Request) -> Completion:
        text = f"sample {request.key.sample_index}"
        return Completion(
            key=request.key, text=text, num_tokens=5, finish_reason="stop", stop_reason=None
        )

    sampled = ["--model", "m=x", "--samples", "2", "--temperature", "1"]
    _run(monkeypatch, ScriptedEngine(answer), *sampled)
    assert "copies" not in capsys.readouterr().out


def test_a_published_row_stands_beside_ours_with_its_source_and_errors() -> None:
    accuracy = {"value": 0.1, "low": 0.0346, "high": 0.2562, "n": 30, "k": 1}
    where = {"benchmark": "aime24", "model": "m", "template": "no", "metric": "accuracy"}
    gathered = Gathered(
        runs=(),
        frame=pd.DataFrame(),
        metrics=[where | accuracy],
        titles={"aime24": "AIME 2024"},
        notes=(),
    )
    text = as_markdown([published_table(gathered, "Qwen2.5-Math-7B:no")])
    # ours: Wilson of 3 in 30; published: of 0.2 in 30 [0.0951, 0.3731]:
    # low = -0.1 - sqrt(0.0654^2 + 0.1731^2) = -0.2850; high = -0.1 + sqrt(0.1562^2 + 0.1049^2)
    assert _row(text, "m", "no", "AIME 2024") == ["20.0", "10.0", "-10.0 [-28.5, +8.8]"]
    assert "0.2% of 30 is impossible" in text
    assert "arXiv 2503.20783" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Qwen2.5-Math-7B", "has several rows: write Qwen2.5-Math-7B:qwen-math or"),
        ("Oat-Zero-7B:no", 'no such row; did you mean "Oat-Zero-7B:qwen-math"?'),
        ("Oat-Zero-7B", "these runs have none of aime24, amc, math500, minerva, olympiadbench"),
    ],
)
@pytest.mark.usefixtures("sums")
def test_a_published_row_that_cannot_stand_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    _run(monkeypatch, ScriptedEngine(_answer), "--model", "m=x")
    assert main(["report", "run", "--published", name]) == 2
    assert message in capsys.readouterr().err
