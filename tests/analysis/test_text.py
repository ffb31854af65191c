import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.analysis.text import (
    continuation,
    count_reflections,
    find_loop,
    format_rates,
    reflection,
)


def _brute_force(text: str) -> int | None:
    """The definition, tried for every period."""
    tail = text[-2000:].rstrip()
    for period in range(1, len(tail) // 3 + 1):
        span = max(3 * period, 60)
        if len(tail) >= span and all(
            tail[-at] == tail[-at - period] for at in range(1, span - period + 1)
        ):
            return period
    return None


@pytest.mark.parametrize(
    ("text", "period", "repeats"),
    [
        ("so " + "ok " * 40, 3, None),
        ("The answer is 4. Wait, let me check again. " + "No, it is 5. " * 10, 13, None),
        ("0." + "3" * 60, 1, 60),
        ("x" + "abcdefghijklmnopqrst" * 3, 20, 3),
        ("y" * 5 + "\n".join(["I think the answer is 12 because of this."] * 4), 42, None),
        ("A" * 30 + ("line one is here\nline two is there\n" * 90), 35, None),
    ],
)
def test_a_text_that_ends_in_a_repetition_is_a_loop(
    text: str, period: int, repeats: float | None
) -> None:
    found = find_loop(text)
    assert found is not None
    assert found.period == period
    assert repeats is None or found.repeats == repeats


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "0." + "3" * 57,  # 57 threes and not 60
        "abcdefghijklmnopqrst" * 2 + "abcdefghijklmnopqrs",  # one short of three
        "No. " * 50 + "The answer is \\boxed{4}, as the sum of the first two numbers shows.",
        "First we add 1 and 2. Then we add 3 and 4. Then we add 5 and 6. Then we add 7 and 8.",
        "| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n| 7 | 8 |\n| 9 | 10 |\n| 11 | 12 |\n| 13 | 14 |",
    ],
)
def test_a_text_that_comes_to_its_end_is_no_loop(text: str) -> None:
    assert find_loop(text) is None


def test_white_space_at_the_end_does_not_hide_a_loop() -> None:
    assert find_loop("again and again " * 20 + "\n\n  ") is not None
    assert find_loop("done." + " " * 200) is None


@settings(max_examples=300)
@given(st.text("ab ", max_size=30), st.text("abc", min_size=1, max_size=30), st.integers(1, 80))
def test_a_loop_is_what_the_definition_says(start: str, unit: str, times: int) -> None:
    text = start + unit * times
    found = find_loop(text)
    assert (found.period if found else None) == _brute_force(text)


def test_loops_are_found_at_every_cut_of_the_period() -> None:
    rng = random.Random(0)
    for _ in range(50):
        unit = "".join(rng.choice("abcdefgh ,.") for _ in range(rng.randint(25, 500)))
        text = "Some steps before. " + unit * 4 + unit[: rng.randint(0, len(unit))]
        assert find_loop(text) is not None


def test_keywords_count_as_words_in_any_case() -> None:
    assert count_reflections("Wait, I should double-check. WAIT! The waiter waits.") == 3
    assert count_reflections("Let me re-examine this; reexamine it.") == 2
    assert count_reflections("Rechecking; I rechecked it and prechecked that.") == 2
    assert count_reflections("a.b", ["a.b"]) == 1
    assert count_reflections("axb", ["a.b"]) == 0  # a keyword is no pattern
    assert count_reflections("Hmm. Let me see.", ["hmm"]) == 1


def test_reflection_rates_by_hand() -> None:
    found = reflection(
        ["wait wait", "plain", "rethink", "plain"], ["a", "a", "b", "c"], [100, 200, None, 700]
    )
    assert found is not None
    assert found.per_response == 3 / 4
    assert found.share_of_responses == 2 / 4
    assert found.share_of_problems == 2 / 3
    assert found.per_1000_tokens == pytest.approx(2.0)  # 2 in 1000 tokens of known length
    assert reflection([], [], []) is None
    unknown = reflection(["wait"], ["a"], [None])
    assert unknown is not None
    assert unknown.per_1000_tokens is None


def test_strict_and_lenient_accuracy_by_hand() -> None:
    found = format_rates(
        ["\\boxed{4}", "<answer>4</answer>", "It is 4.", "<answer>\\boxed{5}"],
        ["box", "answer-tag", "last-number", None],
        [True, True, True, False],
        ["box"],
    )
    assert found is not None
    assert (found.answered, found.boxed, found.tagged) == (0.75, 0.5, 0.25)
    assert (found.accuracy_strict, found.accuracy_lenient) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("text", "after", "is_new"),
    [
        ("So \\boxed{4}.", 0, False),
        ("So $\\boxed{\\frac{1}{2}}$. Thus we are done", 16, False),
        ("So \\boxed{4}.\n\nQuestion: What is 2+2?\nAnswer: 4", 32, True),
        ("So \\boxed{4}.\n\n## Problem 2. Find x.", 20, True),
        ("\\boxed{1}\n<|im_start|>user\nhello", 22, True),
        ("<answer>4</answer> human: hi", 9, False),  # not at the start of a line
        ("Problem: we want x.\nThe problem is to find x. \\boxed{3}", 0, False),
        ("no answer here\nHuman: another one", None, True),
        ("\\boxed{unclosed", None, False),
    ],
)
def test_running_on_after_the_answer(text: str, after: int | None, is_new: bool) -> None:
    found = continuation(text)
    assert (found.characters_after_answer, found.starts_new_question) == (after, is_new)
