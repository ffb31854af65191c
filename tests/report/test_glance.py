from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalharness.report.comparisons import Compared
from evalharness.report.gather import gather_runs
from evalharness.report.runs import ReportOptions, render_runs
from tests.report.made import Said, make_run, problem

PROBLEMS = [problem("aime", row, f"problem {row}") for row in range(24)]
Answer = Callable[[int], tuple[bool, int]]
"""From the row of a problem to whether it is solved and in how many tokens."""


def _said(model: str, answer: Answer, template: str = "no") -> Iterator[Said]:
    for row, each in enumerate(PROBLEMS):
        is_right, tokens = answer(row)
        status = "correct" if is_right else "incorrect"
        yield Said(model, template, each, 0, "text", status, tokens)


def _base(row: int) -> tuple[bool, int]:
    return row < 12, 8 + row // 3


def _line(folder: Path, answer: Answer) -> list[str]:
    run = make_run(folder / "run", [*_said("base", _base), *_said("new", answer)])
    text = render_runs([run], "markdown")
    found = next(line for line in text.splitlines() if line.startswith("| new ") and "×" in line)
    return [part.strip() for part in found.strip("|").split("|")]


@pytest.mark.parametrize(
    ("answer", "points", "words"),
    [
        # about twice as long everywhere, and solves the same
        (
            lambda row: (row < 12, 2 * _base(row)[1] + row % 2),
            "+0.0",
            "accuracy unresolved; longer",
        ),
        # 8 of 24 more, none less: McNemar 2/2^8 = 0.008
        (lambda row: (row < 20, _base(row)[1]), "+33.3", "better; length unresolved"),
        (lambda row: (row < 4, 4 + row // 6), "-33.3", "worse; shorter"),
        (
            lambda row: (row < 12, _base(row)[1] if row < 12 else 3 * _base(row)[1] + row % 2),
            "+0.0",
            "accuracy unresolved; wrong ones longer",
        ),
        (
            lambda row: (row < 12, _base(row)[1] * (2 if row < 12 else 6) + row % 2),
            "+0.0",
            "accuracy unresolved; longer, wrong ones more so",
        ),
        (_base, "+0.0", "no difference shown"),
    ],
)
def test_a_line_says_in_words_what_the_data_show(
    tmp_path: Path, answer: Answer, points: str, words: str
) -> None:
    line = _line(tmp_path, answer)
    assert line[3].startswith(points)
    assert line[-1] == words


def test_falling_only_because_more_are_correct_is_not_called_shorter(tmp_path: Path) -> None:
    # Correct ones have 40 tokens and wrong ones 80, in both; 8 more are correct in the new one.
    runs = [
        *_said("base", lambda row: (row < 12, 40 if row < 12 else 80)),
        *_said("new", lambda row: (row < 20, 40 if row < 20 else 80)),
    ]
    text = render_runs([make_run(tmp_path / "run", runs)], "markdown")
    line = next(line for line in text.splitlines() if line.startswith("| new ") and "×" in line)
    # exp(8/24 ln(1/2)) = 0.79
    assert "0.79×" in line
    assert line.endswith("| better; length unresolved |")


def test_each_template_is_compared_with_the_first_model_under_it(tmp_path: Path) -> None:
    said = [
        *_said("base", _base, "no"),
        *_said("base", _base, "r1"),
        *_said("new", _base, "no"),
        *_said("new", _base, "r1"),
    ]
    compared = Compared(gather_runs([make_run(tmp_path / "run", said)], None))
    found = {(row.model, row.template): row.baseline for row in compared.with_baseline(None).rows}
    assert found == {("new", "no"): "base:no", ("new", "r1"): "base:r1"}


def test_templates_of_one_model_are_compared_with_its_first(tmp_path: Path) -> None:
    said = [*_said("base", _base, "no"), *_said("base", _base, "r1")]
    compared = Compared(gather_runs([make_run(tmp_path / "run", said)], None))
    assert [row.baseline for row in compared.with_baseline(None).rows] == ["base:no"]


def test_a_model_without_a_counterpart_is_named(tmp_path: Path) -> None:
    said = [*_said("base", _base, "no"), *_said("new", _base, "r1"), *_said("base", _base, "qwen")]
    run = make_run(tmp_path / "run", said)
    text = render_runs([run], "markdown", ReportOptions(baseline="base:no"))
    assert "Not compared" not in text
    text = render_runs([run], "markdown", ReportOptions(baseline="base"))
    assert "Not compared: new:r1: nothing in common with base." in text
