"""The pages that a newcomer types off: every file is written and every command is run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from evalharness.cli import main
from evalharness.store import read_problems, verdict_names, verdicts_frame

pytest.importorskip("torch", reason="needs the extra [local]")

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def run_cells(cells: list[str]) -> dict[str, object]:
    """One after the other in one namespace, with an event loop running, as Jupyter does."""
    names: dict[str, object] = {"__name__": "__main__"}

    async def notebook() -> None:
        for cell in cells:
            code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)  # noqa: S307 - a page of our own
            if inspect.iscoroutine(result):
                await result

    asyncio.run(notebook())
    return names


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("altair", reason="needs the extra [report]")
    monkeypatch.chdir(tmp_path)
    cells = blocks("docs/notebook.md", "python")
    assert len(cells) == 7
    names = run_cells(cells)
    printed = capsys.readouterr().out
    # 60 problems: the trained one is right on many more, whatever was drawn.
    assert re.match(r"\+\d\d\.\d points \[\+", printed)
    assert 'did you mean "math500"?' in printed
    accuracy = names["accuracy"]
    assert isinstance(accuracy, pd.DataFrame)
    assert list(accuracy["n"]) == [60, 60]
    assert Path("table.md").read_text().startswith("**Accuracy in %")
    assert (names["run"].folder / "report.html").stat().st_size > 100_000  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (cell,) = blocks("README.md", "python")
    run_cells([cell])
    assert "Practice sums" in capsys.readouterr().out
    assert "| tiny-grpo | no |" in Path("table.md").read_text()


def write_files(page: str, folder: Path) -> list[str]:
    """The files that a page shows, by name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^<!-- file (\S+) -->\n```\w+\n(.*?)^```", text, re.M | re.S)
    for name, content in found:
        (folder / name).write_text(content, encoding="utf-8")
    return [name for name, _ in found]


def run_commands(page: str) -> list[str]:
    """Run the blocks that are marked so, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^<!-- run -->\n```bash\n(.*?)^```", text, re.M | re.S)
    commands = [line for block in found for line in block.splitlines()]
    for command in commands:
        assert main(shlex.split(command, comments=True)[1:]) == 0, command
    return commands


@pytest.mark.slow
def test_every_step_of_the_page_about_own_data_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = write_files("docs/guide/own-data.md", tmp_path)
    assert names == ["exam.jsonl", "our-exam.toml", "brief.toml", "settings.toml"]
    commands = run_commands("docs/guide/own-data.md")
    page = (ROOT / "docs/guide/own-data.md").read_text(encoding="utf-8")
    assert len(commands) == page.count("\nevalharness ") == 12
    printed = capsys.readouterr().out
    assert "1 errata, applied with --golds corrected" in printed
    assert "Question: Work out 8 + 3." in printed
    (problem,) = [p for p in read_problems(Path("runs/ours")).values() if p.erratum]
    assert (problem.golds, problem.corrected_golds) == (("61",), ("16",))
    (table,) = verdict_names(Path("runs/ours"))
    assert table.endswith("+corrected")
    assert set(verdicts_frame(Path("runs/ours"), table)["gold"]) == {"11", "14", "16"}


def test_the_benchmark_that_the_readme_adds_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = write_files("README.md", tmp_path)
    assert names == ["exam.jsonl", "our-exam.toml"]
    assert main(["benchmarks", "our-exam.toml"]) == 0
    assert "our-exam: Our exam, 2 problems" in capsys.readouterr().out
    command = "run --model tiny --benchmark our-exam.toml --template no --max-tokens 32 --quiet"
    assert main(command.split()) == 0
    assert "n=2 k=1" in capsys.readouterr().out
