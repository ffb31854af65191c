import os

import pytest

from evalharness.benchmarks import load_benchmark
from evalharness.checking.audit import audit_golds
from evalharness.checking.equivalence import judge_answer, read_gold
from evalharness.checking.policy import Policy
from evalharness.records import Problem

needs_data = pytest.mark.skipif(
    "EVALHARNESS_DATA" not in os.environ, reason="EVALHARNESS_DATA is not set"
)


def problem(*golds: str, corrected: tuple[str, ...] | None = None) -> Problem:
    return Problem(
        benchmark="own", problem_id="own/0", text="", golds=golds, corrected_golds=corrected
    )


def test_a_gold_that_cannot_be_read_is_named() -> None:
    found = audit_golds([problem("1", "\\frac{1}{"), problem("\\sqrt{2}", corrected=("2)+(",))])
    assert [each.gold for each in found] == ["\\frac{1}{", "2)+("]
    assert all(each.reason for each in found)
    assert audit_golds([problem("1"), problem("(1,2)"), problem("\\text{Monday}")]) == []


@needs_data
@pytest.mark.parametrize(
    "name", ["aime24", "amc", "math500", "minerva", "olympiadbench", "aime25", "amc23"]
)
def test_every_gold_of_the_benchmarks_is_read_and_equals_itself(name: str) -> None:
    assert audit_golds(load_benchmark(name).problems) == []


@needs_data
@pytest.mark.parametrize(
    ("name", "row", "right", "wrong"),
    [
        # A letter that is a factor, not a unit.
        ("olympiadbench", 117, "6 m", "6"),
        ("minerva", 119, "\\frac{t}{m}", "\\frac{1}{m}"),
        ("minerva", 125, "c/\\sqrt{2}", "\\frac{1}{\\sqrt{2}}"),
        # Dollar signs in the middle, and unpaired ones.
        ("olympiadbench", 76, "(-\\infty,0)\\cup\\{1\\}", "(-\\infty,0]\\cup\\{1\\}"),
        ("olympiadbench", 194, "8, 221", "8, 222"),
        ("olympiadbench", 285, "-2, -2", "-2, 2"),
        # Functions of one variable under any name.
        ("olympiadbench", 17, "f(x)=x, g(x)=1", "f(x)=x, g(x)=2"),
        # An interval with its variable before it; a list in any order; an ordered pair.
        ("olympiadbench", 96, "(0,4]", "(0,4)"),
        ("olympiadbench", 199, "1, 16, 1, 3", "1, 16, 3, 3"),
        ("olympiadbench", 341, "(1/4, 1/27)", "(1/27, 1/4)"),
        # e-notation, and a value far below any absolute rounding.
        ("minerva", 9, "4.5 \\times 10^{33}", "4.5 \\times 10^{32}"),
        ("minerva", 47, "2.7778e-6", "2.7779e-6"),
        # A value that rounds to the gold, and one that doesn't.
        ("minerva", 8, "4.4903", "4.4803"),
    ],
)
def test_difficult_golds_accept_what_they_mean_and_nothing_else(
    name: str, row: int, right: str, wrong: str
) -> None:
    asked = load_benchmark(name).problems[row]
    policy = Policy.from_table(asked.policy or {})
    shown = [read_gold(gold, policy).read_as for gold in asked.golds]
    assert judge_answer(asked.golds, right, policy).status == "correct", shown
    assert judge_answer(asked.golds, wrong, policy).status == "incorrect", shown
