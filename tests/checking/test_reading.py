import pytest

from evalharness.checking.reading import read
from evalharness.checking.tokens import UnreadableError
from evalharness.checking.values import describe

READINGS = [
    ("\\frac12+\\sqrt2", "1/2 + sqrt(2)"),
    ("2\\frac{1}{3}", "2 + 1/3"),
    ("2 1/3", "2 + 1/3"),
    ("x^2 + 2*x - (-1)", "x^2 + 2*x + 1"),
    ("4.4 \\times 10^{7}", "22/5*10^7"),
    ("10,\\!080", "10080"),
    ("(1,1006),(3,331)", "(1, 1006), (3, 331)"),
    ("\\{x \\mid -2 < x \\le 3\\}", "(-2, 3]"),
    ("x < -2 \\text{ or } x > 3", "(-infty, -2) or (3, infty)"),
    ("\\left(0, 9\\right) \\cup [10,\\infty)", "(0, 9) or [10, infty)"),
    ("1 \\pm \\sqrt{19}", "1 + sqrt(19), 1 - sqrt(19)"),
    ("15000 \\text{ kcal m}^{-2} \\text{yr}^{-1}", "15000 [kcal m^-2 yr^-1]"),
    ("Minimum: 1, Maximum: 3", '"minimum" = 1, "maximum" = 3'),
    ("f(x) = -1 \\text{ for all } x \\in \\mathbb{Z}", "f(x) = -1"),
    ("\\begin{pmatrix} 1/5 \\\\ -18/5 \\end{pmatrix}", "[[1/5], [-(18/5)]]"),
    ("-\x0crac{7}{4}", "-(7/4)"),
    ("0.1\\overline{6}", "15/90"),
    ("I(0)e^{-\\frac{t}{RC}}", "I(0)*e^(-(t/(R*C)))"),
    ("\\text{The answer is } 42", "42"),
    ("6m", "6*m"),
    ("\\mho", "mho"),
]


@pytest.mark.parametrize(("text", "meaning"), READINGS)
def test_a_text_is_read_as_what_it_says(text: str, meaning: str) -> None:
    assert describe(read(text)[0].value) == meaning


def test_an_ambiguous_comma_has_two_readings() -> None:
    assert [describe(reading.value) for reading in read("58,500")] == ["58500", "58, 500"]


def test_a_clause_is_kept_beside_the_value() -> None:
    assert read("k\\pi, k \\in \\mathbb{Z}")[0].clause == "k in mathbb { Z }"


UNREADABLE = [
    "\\frac{",
    "(1, 2",
    "1)",
    "\\int_0^1 x dx",
    "\\unknown{3}",
    "\x00",
    "",
    "1 2",
    "(" * 200 + "1" + ")" * 200,
    "-" * 5000 + "1",
    "9" * 5000,
    "{" * 100_000,
]


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_can_not_be_read_whole_is_not_read_at_all(text: str) -> None:
    with pytest.raises(UnreadableError):
        read(text)
