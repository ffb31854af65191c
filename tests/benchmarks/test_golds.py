import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.benchmarks.golds import (
    GOLD_RULES,
    CanonicalRow,
    canonical_text,
    fingerprint,
    without_dollars,
)


@pytest.mark.parametrize(
    ("rule", "cell", "golds"),
    [
        ("integer", "025", ("25",)),  # AIME 2024 row 1
        ("integer", 25, ("25",)),
        ("integer", 142.0, ("142",)),  # AMC row 0
        ("integer", "142.0", ("142",)),
        ("integer", -4.0, ("-4",)),
        ("integer", "000", ("0",)),
        ("integer", "-0", ("0",)),
        ("plain", "142.0", ("142.0",)),  # text stays text
        ("plain", 142.0, ("142",)),
        ("plain", 0.5, ("0.5",)),
        ("plain", 10**20, ("100000000000000000000",)),
        ("plain", 1e20, ("1e+20",)),  # above 2**53 a float names no one integer
        ("plain", " p - q\n", ("p - q",)),
        ("plain", ["a", "b"], ("a", "b")),
        ("list", ["9.6\n"], ("9.6",)),  # Minerva row 0
        ("list", ["188", "188\n"], ("188",)),  # Minerva row 153
        ("list", ["$\\frac{1}{2 n+2}$"], ("\\frac{1}{2 n+2}",)),  # OlympiadBench row 1
        ("list", ["$221,$8$"], ("221,8",)),  # OlympiadBench row 194
        ("gsm8k", "He makes 9 * 2 = <<9*2=18>>18.\n#### 18", ("18",)),
        ("gsm8k", "#### 1,080", ("1080",)),
        ("gsm8k", "#### -5", ("-5",)),
        ("gsm8k", "first #### 3\nthen #### 7.5 ", ("7.5",)),
    ],
)
def test_gold_rules_give_the_worked_values(rule, cell, golds):
    assert GOLD_RULES[rule](cell) == golds


@pytest.mark.parametrize(
    ("rule", "cell", "reason"),
    [
        ("plain", "", "empty"),
        ("plain", " \n", "empty"),
        ("plain", None, "missing"),
        ("plain", [], "empty list"),
        ("plain", ["1", ""], "empty"),
        ("plain", True, "True"),
        ("plain", {"a": 1}, "a"),
        ("plain", float("nan"), "nan"),
        ("plain", "6 + 3 = 9\n#### 9", "gsm8k"),
        ("list", "9.6", "must be a list"),
        ("integer", "1/2", "not an integer"),
        ("integer", 1.5, "not an integer"),
        ("integer", ["1"], "is"),
        ("gsm8k", "18", "####"),
        ("gsm8k", "####", "empty"),
    ],
)
def test_gold_rules_refuse_what_is_no_answer(rule, cell, reason):
    with pytest.raises(ValueError, match=reason):
        GOLD_RULES[rule](cell)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("$2$", "2"),
        ("$$x+1$$", "x+1"),
        (r"\(x\)", "x"),
        (r"\[x\]", "x"),
        ("$69$,$84$", "$69$,$84$"),  # OlympiadBench row 13
        (r"$f(x)=a x+b$, where $\mho(a)=0$", r"$f(x)=a x+b$, where $\mho(a)=0$"),  # like row 73
        (r"\(1\) and \(2\)", r"\(1\) and \(2\)"),
        (r"\$18.90", r"\$18.90"),
        (r"$\$5$", r"\$5"),
        ("$x$.", "$x$."),
        ("$", ""),
        ("$$", "$$"),
    ],
)
def test_only_delimiters_around_the_whole_answer_go(text, answer):
    assert without_dollars(text) == answer


@given(st.text())
def test_stripping_delimiters_keeps_everything_else(text):
    # What is left reads the same once delimiters and outer whitespace are put aside.
    def bare(value):
        for mark in ("$", r"\(", r"\)", r"\[", r"\]"):
            value = value.replace(mark, "")
        return "".join(value.split())

    assert bare(without_dollars(text)) == bare(text)


def test_fingerprint_is_the_sha256_of_the_documented_lines():
    rows = [CanonicalRow("  What is\r\n1+1? ", ("2",)), CanonicalRow("ünder $x$", ("a", "b"))]
    lines = '["What is\\n1+1?", "2"]\n["ünder $x$", "a", "b"]\n'
    assert fingerprint(rows) == hashlib.sha256(lines.encode("utf-8")).hexdigest()


def test_fingerprint_sees_inner_whitespace_gold_and_order():
    base = [CanonicalRow("a b", ("1",)), CanonicalRow("c", ("2",))]
    changed = [
        [CanonicalRow("a  b", ("1",)), base[1]],
        [CanonicalRow("a b", ("3",)), base[1]],
        [CanonicalRow("a b", ("1", "3")), base[1]],
        base[::-1],
    ]
    assert len({fingerprint(rows) for rows in [base, *changed]}) == 5


@given(st.text())
def test_line_ends_and_outer_whitespace_make_no_other_problem(text):
    assert canonical_text(canonical_text(text)) == canonical_text(text)
    assert canonical_text(f" {text}\r\n") == canonical_text(text)
