import json
import os
import signal
from pathlib import Path

import pytest

from evalharness.checking.equivalence import canonical, equal, judge_answer
from evalharness.checking.extract import DEFAULT_ANSWER_FORMAT, extract

needs_data = pytest.mark.skipif(
    "EVALHARNESS_DATA" not in os.environ, reason="EVALHARNESS_DATA is not set"
)

CASES = [
    ("25", "25", "correct", "exact"),
    ("$25$", "25.", "correct", "exact"),
    ("\\(x  + 1\\)", "x + 1", "correct", "exact"),
    ("25", "24", "incorrect", "number"),
    # AIME golds keep their leading zeros.
    ("025", "25", "correct", "number"),
    # AMC golds are floats.
    ("142.0", "142", "correct", "number"),
    ("\\frac{1}{2}", "0.5", "correct", "number"),
    ("\\frac{1}{2}", "\\dfrac12.", "correct", "number"),
    ("\\sqrt{2}", "\\sqrt{3}", "incorrect", "numeric"),
    # A space between digits is a mixed number: 3/2 isn't 11/2.
    ("1 1/2", "11/2", "incorrect", "number"),
    ("(1,2)", "(2,1)", "incorrect", "structure"),
    ("\\{1,2\\}", "\\{2,1\\}", "correct", "structure"),
    ("x + 1", "1 + x", "correct", "symbols"),
    ("x^2 - 1", "(x-1)(x+1)", "correct", "numeric"),
    ("25", "\\frac{", "unparsed", None),
    ("\\frac{", "25", "error", None),
]


@pytest.mark.parametrize(("gold", "answer", "status", "method"), CASES)
def test_an_answer_is_compared_with_a_gold(
    gold: str, answer: str, status: str, method: str | None
) -> None:
    result = equal(gold, answer)
    assert (result.status, result.method) == (status, method), result.reason


def test_the_reason_names_gold_and_answer() -> None:
    assert equal("25", "24").reason == "gold 25 and answer 24 differ"
    assert equal("\\frac{", "25").reason.startswith("the gold \\frac{ can't be read: ")
    assert equal("25", "\x00").reason.startswith("the answer \\x00 can't be read: ")


def test_any_gold_that_matches_is_enough() -> None:
    result = judge_answer(("1.6", "1.4"), "\\frac{7}{5}")
    assert (result.status, result.gold) == ("correct", "1.4")
    result = judge_answer(("1.6", "1.4"), "2")
    assert (result.status, result.gold) == ("incorrect", "1.6")


def test_an_unreadable_gold_does_not_hide_a_readable_one() -> None:
    assert judge_answer(("\\frac{", "1.4"), "1.4").status == "correct"
    assert judge_answer(("\\frac{", "1.4"), "2").status == "incorrect"
    assert judge_answer(("\\frac{", "\\sqrt{"), "2").status == "error"


def test_no_gold_is_an_error_and_never_correct() -> None:
    assert judge_answer((), "1").status == "error"


def test_canonical_text_keeps_what_has_a_meaning() -> None:
    assert canonical(" $$ x $$ ") == "x"
    assert canonical("$x$ and $y$") == "$x$ and $y$"
    assert canonical("1...") == "1..."
    assert canonical("1 1/2") == "1 1/2"


def test_no_alarm_is_set_so_that_any_thread_may_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a signal was used")

    monkeypatch.setattr(signal, "alarm", refuse)
    monkeypatch.setattr(signal, "signal", refuse)
    assert equal("\\frac{3}{4}", "0.75").status == "correct"


def labelled_pairs(name: str) -> list[tuple[str, str | None, bool]]:
    path = Path(os.environ["EVALHARNESS_DATA"]) / "checker" / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        (
            row["gold"],
            row["pred"]
            if row["kind"] == "pred"
            else extract(row["response"], DEFAULT_ANSWER_FORMAT).answer,
            row["label"],
        )
        for row in rows
    ]


# Right verdicts and false positives, as measured.
FLOORS = [
    ("bench_self", 1639, 0),
    ("bench_dot", 772, 0),
    ("bench_respell", 164, 0),
    ("bench_mutant", 812, 0),
    ("mr_gsm8k", 221, 0),
    ("qwen_math_responses", 352, 0),
    ("issues", 10, 0),
    ("unit_others", 100, 0),
    ("mathverify_tests", 109, 2),
    ("hardverify", 214, 0),
]


@needs_data
@pytest.mark.parametrize(("name", "num_right", "num_false_positives"), FLOORS)
def test_labelled_pairs_keep_the_measured_floor(
    name: str, num_right: int, num_false_positives: int
) -> None:
    verdicts = [
        (answer is not None and equal(gold, answer).status == "correct", label)
        for gold, answer, label in labelled_pairs(name)
    ]
    assert sum(is_correct == label for is_correct, label in verdicts) >= num_right
    assert sum(is_correct and not label for is_correct, label in verdicts) <= num_false_positives
