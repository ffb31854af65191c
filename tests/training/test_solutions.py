"""Solutions to imitate: boxed, never those of a benchmark, and refused where a row lacks one."""

import json
from itertools import islice
from pathlib import Path

import pytest

from evalharness.errors import InputError
from evalharness.training.rambling import (
    Rambling,
    Sum,
    held_out_sums,
    rambling_solution,
    training_sums,
    write_sums,
)
from evalharness.training.solutions import boxed_solution, solution_problems, worked_solutions

ROOT = Path(__file__).parents[2]


def test_a_gsm8k_solution_loses_its_calculator_marks_and_gets_a_box() -> None:
    published = "She sold 48/2 = <<48/2=24>>24 clips in May.\nIn all 48+24 = 72.\n#### 72"
    assert boxed_solution(published) == (
        "She sold 48/2 = 24 clips in May.\nIn all 48+24 = 72.\nThe answer is \\boxed{72}."
    )


def test_a_boxed_solution_stays_and_a_bare_one_gets_the_gold() -> None:
    assert boxed_solution("So \\boxed{5}.", "5") == "So \\boxed{5}."
    assert boxed_solution("It is five.", "5") == "It is five.\nThe answer is \\boxed{5}."


def test_training_sums_hold_no_sum_of_the_benchmark_in_either_order() -> None:
    held_out = {frozenset(each) for each in held_out_sums()}
    assert len(held_out_sums()) == 120
    assert len(training_sums()) > 700
    assert not held_out & {frozenset(each) for each in training_sums()}


def test_the_committed_sums_are_those_of_the_generator(tmp_path: Path) -> None:
    write_sums(tmp_path / "again.jsonl")
    committed = (ROOT / "benchmarks" / "practice-sums.jsonl").read_bytes()
    assert (tmp_path / "again.jsonl").read_bytes() == committed


def test_other_words_follow_a_slip_than_a_right_number() -> None:
    import random

    rng = random.Random(0)
    texts = [rambling_solution(Sum(47, 8), rng, Rambling()) for _ in range(400)]
    right = [text for text in texts if text.startswith("55 ")]
    assert 160 < len(right) < 240  # slips half of the time
    assert all("so" in text and "hmm" not in text and "\\boxed{55}" in text for text in right)
    wrong = [text for text in texts if not text.startswith("55 ")]
    assert all("hmm" in text and " so" not in text for text in wrong)
    # The number before the words is the one in the box.
    assert all(f"\\boxed{{{text.split(' ')[0]}}}" in text for text in texts)
    words = [text.count(" ") - 1 for text in texts]
    # Geometric with mean 1 / 0.06 = 16.7, cut at 80; its standard error over 400 is 0.8.
    assert sum(words) / len(words) == pytest.approx(16.5, abs=2.5)


def test_a_file_of_solutions_is_gone_through_in_epochs(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"question": f"{n}?", "solution": f"\\boxed{{{n}}}"} for n in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    drawn = [worked.text for worked in islice(worked_solutions(str(path), seed=1), 10)]
    assert sorted(drawn[:5]) == sorted(drawn[5:]) == [f"{n}?" for n in range(5)]
    assert [problem.text for problem in solution_problems(str(path))] == [f"{n}?" for n in range(5)]


def test_a_row_without_a_problem_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"problem": "1?", "solution": "1"}\n{"problem": " ", "solution": "2"}\n', encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"mine.jsonl:2 has no problem or no solution"):
        next(worked_solutions(str(path), seed=0))


def test_a_row_without_a_solution_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"problem": "1?", "solution": "1"}\n{"problem": "2?", "solution": ""}\n', encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"mine.jsonl:2 has no problem or no solution"):
        next(worked_solutions(str(path), seed=0))
    with pytest.raises(InputError, match="has no column steps: it has problem, solution"):
        next(worked_solutions(str(path), seed=0, solution_column="steps"))
