"""Training problems: never those that are evaluated, and the same at every step."""

import json
from pathlib import Path

import pytest

from evalharness.errors import InputError
from evalharness.records import Problem
from evalharness.training.practice import practice_problems
from evalharness.training.problems import check_contamination, load_problems


def _problem(text: str, number: int = 0) -> Problem:
    return Problem(benchmark="b", problem_id=f"b/{number}", text=text, golds=("1",))


def test_practice_training_holds_no_problem_of_the_benchmark() -> None:
    training = load_problems("practice", kinds=("small-sum", "maximum"))
    texts = {problem.text for problem in practice_problems()}
    assert len(training.problems) > 200
    assert not texts & {problem.text for problem in training.problems}
    # Not by another order of the numbers either: 81 sums of two digits, 10 of the 45 unordered
    # ones are held out.
    sums = {
        tuple(sorted(int(word) for word in problem.text.strip(".?").split() if word.isdecimal()))
        for problem in training.problems
        if "+" in problem.text
    }
    assert len(sums) == 35


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match='no kind of practice problem "sums": choose from small-'):
        load_problems("practice", kinds=("sums",))


def test_a_step_draws_the_same_problems_however_many_steps_came_before() -> None:
    problems = load_problems("practice", kinds=("small-sum",))
    size = len(problems.problems)
    drawn = [problems.draw(30, seed=1, step=step) for step in range(40)]
    assert drawn[7] == problems.draw(30, seed=1, step=7)
    assert drawn != [problems.draw(30, seed=2, step=step) for step in range(40)]
    flat = [number for step in drawn for number in step]
    # An epoch holds every problem once, in an order of its own.
    assert sorted(flat[:size]) == sorted(flat[size : 2 * size]) == list(range(size))
    assert flat[:size] != flat[size : 2 * size]


def test_contamination_is_found_whatever_the_white_space_and_case() -> None:
    training = [_problem("What is  $2+3$?"), _problem("What is 2 - 3?", 1)]
    with pytest.raises(InputError, match=r"1 training problems are in an evaluated .*: b/9 is b/0"):
        check_contamination(training, [_problem("what is 2 + 3", 9), _problem("What is 2*3?", 8)])


def test_an_operator_makes_another_problem() -> None:
    assert check_contamination([_problem("What is 2 - 3?")], [_problem("What is 2 + 3?")]) == []


def test_contamination_can_be_allowed_and_is_told() -> None:
    same = [_problem("Compute 1 + 1.", 4)]
    assert check_contamination(same, same, allowed=True) == ["b/4 is b/4"]


def test_a_file_brings_its_own_problems_and_golds(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"problem": "1+1?", "gold": "2"}, {"problem": "2+2?", "gold": "4"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = load_problems(str(path))
    assert [problem.golds for problem in found.problems] == [("2",), ("4",)]
    with pytest.raises(InputError, match="kinds are for the practice problems"):
        load_problems(str(path), kinds=("sum",))
