"""The practice problems: right, reproducible, and never trained on."""

import itertools
import json
import random
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from evalharness.errors import InputError
from evalharness.paths import shipped_folder
from evalharness.training.practice import (
    KINDS,
    PracticeProblem,
    latex_number,
    make_problem,
    practice_problems,
    training_problems,
    write_practice,
)
from evalharness.training.sft_rows import validation_problems

_NUMBER = r"(-?\d+)"
_FRACTION = r"\\frac\{(\d+)\}\{(\d+)\}"


def _numbers(pattern: str, text: str) -> list[int] | None:
    found = re.search(pattern, text)
    return [int(group) for group in found.groups()] if found else None


def _answer_from_the_text(problem: PracticeProblem) -> Fraction:
    """Solve the problem from its wording alone, without the generator's operands."""
    text = problem.text
    if found := _numbers(rf"{_FRACTION} ([+-]) {_FRACTION}".replace("([+-])", r"[+-]"), text):
        a, b, c, d = found
        second = Fraction(c, d) if "} + \\" in text else -Fraction(c, d)
        return Fraction(a, b) + second
    if found := _numbers(rf"{_FRACTION} of (\d+)", text):
        return Fraction(found[0], found[1]) * found[2]
    if found := _numbers(rf"(\d+)x \+ (\d+) = {_NUMBER}", text):
        return Fraction(found[2] - found[1], found[0])
    if found := _numbers(rf"x \+ (\d+) = {_NUMBER}", text):
        return Fraction(found[1] - found[0])
    if found := _numbers(rf"x - (\d+) = {_NUMBER}", text):
        return Fraction(found[1] + found[0])
    if found := _numbers(r"\((\d+) \+ (\d+)\) \* (\d+)", text):
        return Fraction((found[0] + found[1]) * found[2])
    if found := _numbers(r"(\d+) \+ (\d+) \* (\d+)", text):
        return Fraction(found[0] + found[1] * found[2])
    if found := _numbers(r"(\d+) - (\d+) \* (\d+)", text):
        return Fraction(found[0] - found[1] * found[2])
    if found := _numbers(r"(\d+) \* (\d+)", text):
        return Fraction(found[0] * found[1])
    if found := _numbers(r"(\d+) \+ (\d+)", text):
        return Fraction(found[0] + found[1])
    if found := _numbers(r"(\d+) - (\d+)", text):
        return Fraction(found[0] - found[1])
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if "remain" in text:
        return Fraction(numbers[0] % numbers[1])
    if re.search("largest|greatest|maximum", text):
        return Fraction(max(numbers))
    if "finds" in text:
        return Fraction(numbers[0] + numbers[1])
    if "lost" in text:
        return Fraction(numbers[0] - numbers[1] + numbers[2])
    if "bags" in text:
        return Fraction(numbers[0] * numbers[1] + numbers[2])
    if "evenly" in text:
        return Fraction(numbers[0], numbers[1])
    raise AssertionError(f"no reading of {text!r}")


def _value(gold: str) -> Fraction:
    found = re.fullmatch(r"(-?)\\frac\{(\d+)\}\{(\d+)\}", gold)
    if found is None:
        return Fraction(int(gold))
    value = Fraction(int(found[2]), int(found[3]))
    assert value.denominator == int(found[3]), "in lowest terms"
    return -value if found[1] else value


@pytest.mark.parametrize("kind", KINDS)
def test_gold_and_box_are_the_answer_to_the_wording(kind: str) -> None:
    rng = random.Random(5)
    for problem in [make_problem(kind, rng) for _ in range(300)]:
        assert _value(problem.gold) == _answer_from_the_text(problem), problem
        assert problem.solution.endswith(rf" \boxed{{{problem.gold}}}")
        assert problem.solution.count("boxed") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_equation_of_a_worked_line_holds(kind: str) -> None:
    checked = 0
    rng = random.Random(6)
    for problem in [make_problem(kind, rng) for _ in range(200)]:
        for left, sign, right, result in re.findall(
            r"(-?\d+) ([-+*/<>]) (\d+)(?: = (-?\d+))?", problem.solution
        ):
            a, b = int(left), int(right)
            if sign in "<>":
                assert (a < b) == (sign == "<"), problem
            else:
                # A division is checked backwards: 12 / 3 = 4 because 4 * 3 = 12.
                worked = {"+": a + b, "-": a - b, "*": a * b, "/": a}[sign]
                assert worked == int(result) * (b if sign == "/" else 1), problem
            checked += 1
    assert checked >= 200


def test_worked_example_of_a_sum() -> None:
    # 38 + 47: ones 8 + 7 = 15, tens 30 + 40 = 70, together 85.
    by_text = {
        problem.text: problem
        for problem in itertools.islice(training_problems(0, held_out=()), 60_000)
    }
    found = [problem for text, problem in by_text.items() if "38 + 47" in text]
    assert {problem.solution for problem in found} == {
        r"8 + 7 = 15, 30 + 40 = 70, 70 + 15 = 85. \boxed{85}"
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Fraction(7), "7"),
        (Fraction(-35), "-35"),
        (Fraction(6, 8), r"\frac{3}{4}"),
        (Fraction(-1, 4), r"-\frac{1}{4}"),
        (Fraction(8, 4), "2"),
    ],
)
def test_numbers_are_written_in_lowest_terms_with_the_sign_in_front(
    value: Fraction, expected: str
) -> None:
    assert latex_number(value) == expected


def test_committed_benchmark_is_what_the_generator_writes(tmp_path: Path) -> None:
    write_practice(tmp_path / "practice.jsonl")
    committed = shipped_folder("benchmarks") / "practice.jsonl"
    assert (tmp_path / "practice.jsonl").read_bytes() == committed.read_bytes()


def test_benchmark_has_120_different_problems_with_golds_of_every_shape() -> None:
    lines = (shipped_folder("benchmarks") / "practice.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert Counter(row["kind"] for row in rows) == dict.fromkeys(KINDS, 10)
    assert len({row["problem"] for row in rows}) == 120
    golds = [row["gold"] for row in rows]
    assert sum(gold.startswith("-") for gold in golds) >= 5
    assert sum("frac" in gold for gold in golds) >= 5
    assert sum(gold.isdigit() for gold in golds) >= 60


def test_training_and_validation_never_hold_a_problem_of_the_benchmark() -> None:
    benchmark = practice_problems()
    validation = validation_problems(10)
    held_out = {problem.key for problem in (*benchmark, *validation)}
    assert len(held_out) == 240
    training = list(itertools.islice(training_problems(3, held_out=held_out), 30_000))
    assert not held_out & {problem.key for problem in training}
    assert not {problem.text for problem in (*benchmark, *validation)} & {
        problem.text for problem in training
    }
    # Without the rule they would meet: a one-digit sum has only 45 different pairs.
    unruled = itertools.islice(training_problems(3, held_out=()), 2_000)
    assert held_out & {problem.key for problem in unruled}


def test_a_swapped_sum_is_the_same_problem_and_a_swapped_difference_is_not() -> None:
    def problem(kind: str, *operands: int) -> PracticeProblem:
        return PracticeProblem(kind=kind, operands=operands, text="", solution="", gold="")

    assert problem("sum", 12, 34).key == problem("sum", 34, 12).key
    assert problem("maximum", 9, 30, 12).key == problem("maximum", 12, 9, 30).key
    assert problem("difference", 12, 34).key != problem("difference", 34, 12).key
    assert problem("sum", 12, 34).key != problem("long-product", 12, 34).key


def test_same_seed_gives_the_same_stream_and_another_seed_another() -> None:
    def first(seed: int) -> list[PracticeProblem]:
        return list(itertools.islice(training_problems(seed, held_out=()), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match='no kind of practice problem "sums": choose from small'):
        make_problem("sums", random.Random(0))


def test_more_problems_than_a_kind_has_are_refused() -> None:
    # One-digit sums: 9 * 10 / 2 = 45 unordered pairs.
    assert len(practice_problems(num_per_kind=45)) == 45 * len(KINDS)
    with pytest.raises(InputError, match='"small-sum" doesn\'t have 46 different problems'):
        practice_problems(num_per_kind=46)
