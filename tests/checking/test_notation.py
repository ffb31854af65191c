"""Notation that looks alike and says something else, and the same in another notation."""

import pytest

from evalharness.checking.equivalence import judge_answer, read_gold
from evalharness.checking.policy import Policy

EQUAL = [
    # Sets: braces in braces are a set in a set, but LaTeX's own braces are none.
    ("\\{\\emptyset\\}", "\\{\\{\\}\\}"),
    ("\\emptyset", "\\{\\}"),
    ("{\\{1,2\\}}", "\\{1,2\\}"),
    ("\\{\\{1,2\\},\\{3\\}\\}", "\\{\\{3\\},\\{2,1\\}\\}"),
    ("\\{3\\}", "3"),
    # Sets of reals by their points.
    ("\\mathbb{R}^+", "(0,\\infty)"),
    ("\\mathbb{R}_{>0}", "x > 0"),
    ("\\mathbb{R}_{\\geq 0}", "[0,\\infty)"),
    ("x\\in\\mathbb{R}^-", "x<0"),
    ("(0,1]\\cup(1,2)", "(0,2)"),
    ("(0,1)\\cup\\{1\\}\\cup(1,2)", "(0,2)"),
    ("(1,3)\\cup(0,2)", "(0,3)"),
    ("[0,1]\\cup[1,2]", "[0,2]"),
    ("(0,5)\\setminus\\{2\\}", "(0,2)\\cup(2,5)"),
    ("\\mathbb{R}\\setminus\\{0,1\\}", "x\\neq 0, 1"),
    ("\\mathbb{R}-\\{0\\}", "x\\ne 0"),
    # Congruences by residue.
    ("n\\equiv 3\\pmod 7", "n\\equiv 10\\pmod{7}"),
    ("x\\equiv 3 (mod 7)", "x \\equiv -4 \\mod 7"),
    ("x\\equiv 3 \\pmod{7}", "3 \\text{ mod } 7"),
    ("n \\equiv 2k+1 \\pmod 4", "n\\equiv 1+2k \\pmod{4}"),
    ("2", "17 \\bmod 5"),
    ("n\\equiv 3\\pmod 7", "n = 7k + 3"),
    ("3 \\pmod 7", "7k - 4, k \\in \\mathbb{Z}"),
    # Determinants, factorials, derivatives.
    ("-2", "\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}"),
    ("\\begin{vmatrix}a&b\\\\c&d\\end{vmatrix}", "ad-bc"),
    ("\\begin{vmatrix}1&0&2\\\\0&3&0\\\\4&0&5\\end{vmatrix}", "-9"),
    ("15", "5!!"),
    ("48", "6!!"),
    ("(2n-1)!!", "\\frac{(2n)!}{2^n n!}"),
    ("\\frac{d^2y}{dx^2}", "\\frac{d^2 y}{d x^2}"),
    ("\\frac{dy}{dx}=2x", "2x"),
    ("\\frac{ad}{bd}", "\\frac ab"),
    # Whole numbers of an interval, pieces of a set, a system, an index, a sentence.
    ("\\{x \\in \\mathbb{Z} \\mid 1\\le x\\le3\\}", "\\{1,2,3\\}"),
    ("\\{x \\in \\mathbb{N} \\mid 0<x<4\\}", "\\{1,2,3\\}"),
    ("\\{x \\in \\mathbb{Z} : x>2\\}", "x>2, x\\in\\mathbb{Z}"),
    ("\\{x \\in \\mathbb{Z} : x>2\\}", "\\{n \\in \\mathbb{Z} : n>2\\}"),
    ("\\{x \\in (0,5) : x > 2\\}", "(2,5)"),
    ("\\begin{cases}x=1\\\\y=2\\end{cases}", "(1,2)"),
    ("a_n=2n-1", "a_k=2k-1"),
    ("x_t=2t, t \\ge 0", "x_t=2t"),
    ("f(x,y)=x-y", "f(y,x)=y-x"),
    ("f(x)=x \\text{ or } f(x)=0", "f(x)=0, f(x)=x"),
    ("f(x) = x^2, g(x) = x^3", "x^2, x^3"),
    ("f(x) = x^2, g(x) = x^3", "g(n) = n^3, f(n) = n^2"),
    ("5", "x \\text{ is } 5"),
    ("n \\text{ is even}", "\\text{n is even}"),
    ("\\text{(B)}", "b"),
    ("B", "\\text{Option B}"),
    ("(B)", "choice (b)"),
    ("3.2 \\times 10^5", "3.2 x 10^5"),
    ("320000", "3.2x10^{5}"),
    ("x^2+C", "x^2+c"),
    ("1/3", "0.33333333333333331"),
    ("a \\not= b", "a \\neq b"),
    ("x \\not\\in A", "x \\notin A"),
    # Relations that are symmetric.
    ("AB \\parallel CD", "CD \\parallel AB"),
    # Money, angles, thousands, labels, words.
    ("50\\text{ cents}", "\\$0.50"),
    ("5¢", "5 \\text{ cents}"),
    ("5", "\\$5"),
    ("\\$1,000", "1000"),
    ("90^\\circ", "\\frac{\\pi}{2}\\text{ radians}"),
    ("(1000,2000)", "(1,000, 2,000)"),
    ("\\text{Max: } 5, \\text{Min: } 3", "5, 3"),
    ("a=1, b=2", "(1,2)"),
    ("x=1, x=2", "2, 1"),
    ("x_1=-2, x_2=3", "3, -2"),
    ("\\text{ellipse}", "\\text{an ellipse}"),
    ("\\text{undefined}", "\\text{DNE}"),
]

DIFFERENT = [
    ("\\emptyset", "\\{\\emptyset\\}"),
    ("\\{1,2\\}", "\\{\\{1,2\\}\\}"),
    ("\\{1,2\\}", "\\{1,\\{2\\}\\}"),
    ("\\{3\\}", "\\{\\{3\\}\\}"),
    ("\\mathbb{R}^+", "[0,\\infty)"),
    ("\\mathbb{R}^+", "\\mathbb{R}"),
    ("(0,1)\\cup(1,2)", "(0,2)"),
    ("(0,5)\\setminus\\{2\\}", "(0,5)"),
    ("x\\neq 0,1", "x \\neq 1, 2"),
    ("x\\neq 0,1", "0,1"),
    ("n\\equiv 3\\pmod 7", "n\\equiv 3\\pmod 5"),
    ("n\\equiv 3\\pmod 7", "n\\equiv -3\\pmod 7"),
    ("3", "17 \\bmod 5"),
    ("n\\equiv 3\\pmod 7", "n = 7k + 4"),
    ("n\\equiv 3\\pmod 7", "14k + 3"),
    ("n\\equiv 3\\pmod 7", "4"),
    ("n\\equiv 3\\pmod 7", "4 mod 7"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}"),
    ("3!!", "(3!)!"),
    ("(2n-1)!!", "((2n-1)!)!"),
    ("\\frac{dy}{dx}", "\\frac{y}{x}"),
    ("\\frac{\\partial f}{\\partial x}", "\\frac{f}{x}"),
    ("AB \\parallel CD", "AB \\perp CD"),
    ("\\{x \\in \\mathbb{Z} \\mid 1\\le x\\le3\\}", "[1,3]"),
    ("\\begin{cases}x=1\\\\y=2\\end{cases}", "(2,1)"),
    ("v_x=2x", "v_y=2y"),
    ("6", "x \\text{ is } 5"),
    ("\\pi R^2", "\\pi r^2"),
    ("Kx", "kx"),
    ("\\Delta x", "\\delta x"),
    ("A+B", "a+b"),
    ("f(n)=n", "f(q)=n"),
    # Whatever the other item is, the 1 has none to go with.
    ("0, 0", "1, \\sqrt{(\\frac{0}{0})^{2}}"),
    ("1e-5", "e-5"),
    ("f(x) = x^2, g(x) = x^3", "f(x) = x^3, g(x) = x^2"),
    ("A=(1,2), B=(3,4)", "(3,4), (1,2)"),
    ("x\\notin A", "x \\in A"),
    ("5\\text{ cents}", "\\$5"),
    ("90^\\circ", "90\\text{ radians}"),
    ("1,000", "(1,0)"),
    ("\\text{Max: } 5, \\text{Min: } 3", "3, 5"),
    ("a=1, b=2", "2, 1"),
    ("A", "\\text{option B}"),
    ("32 \\cdot 10^5", "3.2 x 10^5"),
]


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_the_same_in_another_notation_is_correct(gold: str, answer: str) -> None:
    assert judge_answer((gold,), answer, Policy()).status == "correct"


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_what_only_looks_alike_is_incorrect_both_ways(gold: str, answer: str) -> None:
    assert judge_answer((gold,), answer, Policy()).status == "incorrect"
    if not gold.startswith(("a=1", "A=(", "\\text{Max")):  # nor does a list say what is which
        assert judge_answer((answer,), gold, Policy()).status == "incorrect"


@pytest.mark.parametrize(
    "pair",
    [
        ("3 \\pmod 7", "3"),
        ("n\\equiv 3\\pmod 7", "n = 10"),
        ("\\frac{d}{dx}x^2", "2x"),
        ("\\{x \\in \\mathbb{Z} : x>2\\}", "(2,\\infty)"),
        (
            "\\{n \\in \\mathbb{N} : n \\text{ is even}\\}",
            "\\{n \\in \\mathbb{N} : n \\text{ is odd}\\}",
        ),
        ("n \\text{ is even}", "n \\text{ is odd}"),
        ("\\sum_{n=0}^\\infty \\frac{1}{2^n}", "2"),
    ],
)
def test_what_is_not_known_is_left_undecided(pair: tuple[str, str]) -> None:
    gold, answer = pair
    assert judge_answer((gold,), answer, Policy()).status in ("unparsed", "error")
    assert judge_answer((answer,), gold, Policy()).status == "unparsed"


def test_a_reading_names_residues_and_factorials() -> None:
    assert read_gold("n \\equiv 3 \\pmod 7").read_as == "n equiv 3 mod 7"
    assert read_gold("7!!").read_as == "7!!"


def test_a_negated_name_is_no_name() -> None:
    pair = "MR=SRMC", "\\text{not } MR=SRMC"
    for gold, answer in (pair, pair[::-1]):
        assert judge_answer((gold,), answer, Policy()).status != "correct"
