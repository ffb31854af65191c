"""The rules of published evaluations: each quirk that a published score depends on."""

from pathlib import Path

import pytest

from evalharness.benchmarks import load_benchmark
from evalharness.checking.boxes import find_drgrpo, find_drgrpo_tags, find_qwen, last_box
from evalharness.checking.checkers import PUBLISHED, checker_version, open_checker
from evalharness.checking.policy import Policy
from evalharness.checking.rewriting import (
    mathd,
    plain_text,
    prm800k,
    same_spelling,
    without_last_text,
)
from evalharness.checking.unit_words import without_unit_words
from evalharness.checking.workers import CheckerPool

SLOW, FAST, ORZ, QWEN = PUBLISHED
BOX = ("box",)
TAG = ("answer-tag",)


def says(checker: str, gold: str, answer: str) -> str:
    return open_checker(checker).judge((gold,), answer, Policy()).status


# (gold, answer, slow, fast, Qwen): what each grader makes of the pair.
QUIRKS = [
    # Unit stripping takes single letters for units.
    ("a+b", "c+b", True, True, True),
    ("5\\text{ cm}", "5\\text{ m}", True, True, True),
    # The percent sign goes; only math-verify and the Qwen tolerance know its value.
    ("50\\%", "50", True, True, True),
    ("50\\%", "0.5", True, False, True),
    # Lists have no order for math-verify.
    ("1,2", "2,1", True, False, False),
    ("(1,2)", "(2,1)", False, False, False),
    # LaTeX that forgets how it was grouped: a root loses its index, a fraction its brackets.
    ("\\sqrt[3]{7}", "\\sqrt[4]{7}", True, True, False),
    ("\\frac{1+a}{c}", "1+\\frac{a}{c}", True, True, False),
    # An integer only beside an integer, a fraction only reduced, until math-verify is asked.
    ("2", "4/2", True, False, True),
    ("\\frac12", "\\frac{2}{4}", True, False, True),
    ("0.5", "\\frac12", True, True, True),
    # A left side of one or two characters goes, a longer one doesn't.
    ("5", "x = 5", True, True, True),
    ("5", "abc=5", True, False, False),
    # Case goes.
    ("X", "x", True, True, True),
    # A relative tolerance of 1e-4.
    ("13536", "13535", False, False, True),
    # Algebra with one letter; more than two, or a power of two digits, isn't tried.
    ("(x+1)^2", "x^2+2x+1", True, True, True),
    ("(x+y)z", "xz+yz", True, False, True),
    ("x^{12}+1", "1+x^{12}", True, False, True),
    ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt2}", True, True, True),
    # An option by its letter.
    ("B", "B: 12", False, False, True),
    # Degrees are their number.
    ("30", "30^\\circ", True, True, True),
    ("10{,}000", "10000", True, True, True),
]


@pytest.mark.parametrize(("gold", "answer", "slow", "fast", "qwen"), QUIRKS)
def test_a_quirk_of_the_published_graders(
    gold: str, answer: str, slow: bool, fast: bool, qwen: bool
) -> None:
    found = {name: says(name, gold, answer) == "correct" for name in (SLOW, FAST, QWEN)}
    assert found == {SLOW: slow, FAST: fast, QWEN: qwen}


def test_any_gold_of_a_list_is_right_and_the_verdict_names_it() -> None:
    for name in PUBLISHED:
        found = open_checker(name).judge(("7", "\\frac{3}{4}"), "3/4", Policy())
        assert (found.status, found.gold) == ("correct", "\\frac{3}{4}")


def test_a_gold_in_a_box_is_what_stands_in_it() -> None:
    assert says(FAST, "so \\boxed{7}", "7") == "correct"


def test_what_cannot_be_read_is_wrong_and_not_unparsed() -> None:
    for name in PUBLISHED:
        assert says(name, "5", "\\frac{") == "incorrect"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{1} then \\boxed{2", None),
        ("\\boxed{1}, write it in \\boxed{}", ""),
        ("\\boxed 42", None),
        ("\\boxed {42}", None),
        ("\\fbox{42}", None),
        ("the answer is 42", None),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    ],
)
def test_only_the_last_box_counts(response: str, answer: str | None) -> None:
    found = last_box(response)
    assert found.answer == answer
    assert found.answer is None or response[found.start : found.end] == answer


@pytest.mark.parametrize(
    ("response", "literal", "tags"),
    [
        ("so </think> <answer>5</answer>", "5", "5"),
        # A line break between the tags scores 0 under the template of R1.
        ("so </think>\n<answer>5</answer>", None, "5"),
        ("so </think> <answer>it is \\boxed{6}</answer>", "6", "6"),
        ("so </think> <answer>5", None, None),
        ("\\boxed{5}", None, None),
    ],
)
def test_tags_need_their_literal_mark_but_for_open_reasoner_zero(
    response: str, literal: str | None, tags: str | None
) -> None:
    assert find_drgrpo(response, TAG).answer == literal
    assert find_drgrpo_tags(response, TAG).answer == tags
    assert find_drgrpo(response, BOX).answer == find_drgrpo_tags(response, BOX).answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("so \\boxed{1} and \\boxed{2", "2"),
        ("\\boxed 42$ and more", " 42"),
        ("the final answer is $7$. I hope it is correct", "7"),
        ("The answer is 12.", " 12."),
        ("it costs 3 or 1,234 in all", "1,234"),
        ("nothing", None),
    ],
)
def test_qwen_takes_a_box_a_saying_or_the_last_number(response: str, answer: str | None) -> None:
    assert find_qwen(response, BOX).answer == answer


def test_unit_stripping_alters_as_many_minerva_golds_as_were_counted() -> None:
    # 42 of 272 Minerva golds lose letters to the list of units.
    altered = sum(
        any(
            without_unit_words(before) != before
            for before in map(without_last_text, map(same_spelling, problem.golds))
        )
        for problem in load_benchmark("minerva").problems
    )
    assert altered == 42


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("\\dfrac12", "\\frac{1}{2}", "1/2"),
        ("3/4", "\\frac{3}{4}", "3/4"),
        # Not 03/4 and not 3/4 m: only what an integer would be printed as.
        ("03/4", "03/4", "03/4"),
        ("1\\frac{1}{2}", "1\\frac{1}{2}", "1+1/2"),
        (".25", "0.25", ".25"),
        # The one decimal that becomes a fraction.
        (".5", "\\frac{1}{2}", ".5"),
        ("2.0", "2.0", "2"),
        ("3 million", "3million", "3*10^6"),
        ("\\text{Yes}", "Yes", "yes"),
        ("\\sqrt2", "\\sqrt{2}", "sqrt(2)"),
        ("2^{10}", "2^{10}", "2^10"),
        ("12 \\text{ inches}", "12", "12"),
        # Where the published code fails it compares the text as it is.
        ("\\frac", "\\frac", "/"),
    ],
)
def test_the_two_rewritings(text: str, first: str, second: str) -> None:
    assert (mathd(text), prm800k(text)) == (first, second)


def test_plain_text_survives_braces_that_do_not_match() -> None:
    assert plain_text("a}b{c\\frac{1}") == "ab c".replace(" ", "") + " 1/"


def test_a_long_answer_that_repeats_itself_is_not_shown_to_math_verify() -> None:
    # 3 and 1+1+1: math-verify says equal. With 70 times "+0" behind it the text repeats itself.
    assert says(SLOW, "3", "2+1") == "correct"
    assert says(SLOW, "3", "3" + "+0" * 70) == "incorrect"


@pytest.mark.parametrize("checker", PUBLISHED)
def test_model_output_is_never_executed(checker: str, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    attacks = [
        f"__import__('pathlib').Path('{mark}').touch()",
        f're(\'open("{mark}","w")\')',
        f"lambda:open('{mark}','w')",
        f"exec('open(\\'{mark}\\',\\'w\\')')",
    ]
    with CheckerPool(checker=checker, num_workers=1) as pool:
        futures = [pool.submit(f"\\boxed{{{each}}}", ("5",), BOX) for each in attacks]
        assert all(future.result().status == "incorrect" for future in futures)
    assert not mark.exists()


@pytest.mark.parametrize("checker", PUBLISHED)
def test_hostile_answers_are_bounded_under_the_published_rules(checker: str) -> None:
    hostile = ["((9!)!)!", "3^{10^{10}}", "{" * 20_000 + "}" * 20_000, "ab" * 50_000, "1" * 100_000]
    with CheckerPool(checker=checker, num_workers=1, timeout_seconds=1) as pool:
        for answer in hostile:
            found = pool.submit(f"\\boxed{{{answer}}}", ("5",), BOX).result()
            assert found.status in {"incorrect", "timeout", "error"}, answer[:20]
        assert pool.submit("\\boxed{5}", ("5",), BOX).result().status == "correct"


def test_a_published_rule_has_no_lenient_reading() -> None:
    with CheckerPool(checker=FAST, num_workers=1) as pool:
        found = pool.submit("The answer is 5.", ("5",), BOX).result()
    assert (found.status, found.lenient_status) == ("no_answer", "no_answer")


def test_workers_find_the_answer_by_the_rule_as_the_parent_does() -> None:
    # The first 64 are read in this process, the others in a worker.
    response = "</think>\n<answer>5</answer>"
    with CheckerPool(checker=SLOW, num_workers=1) as pool:
        futures = [pool.submit(f"{n} {response}", ("5",), TAG) for n in range(70)]
        assert {future.result().status for future in futures} == {"no_answer"}


def test_a_version_names_all_that_decides() -> None:
    assert checker_version(FAST) == "1+4"
    assert checker_version(SLOW).startswith("1+4+0.9")
