import pytest

from evalharness.checking.equivalence import (
    cheap_judgement,
    equal,
    judge_answer,
    read_gold,
    same_answer,
)
from evalharness.checking.policy import Policy

SAME = [
    ("(-\\infty,2)\\cup(3,\\infty)", "x<2 \\text{ or } x>3"),
    ("x \\in (-\\infty,2)\\cup(3,\\infty)", "x<2 or x>3"),
    ("5", "m_{\\max}=5"),
    ("5", "m_max=5"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)"),
    ("[0,1)\\cup(1,\\infty)", "x \\ge 0, x \\ne 1"),
    ("\\mathbb{R} \\setminus \\{0\\}", "(-\\infty,0)\\cup(0,\\infty)"),
    ("(-\\infty,0)\\cup(0,\\infty)", "x \\in \\mathbb{R}, x\\neq 0"),
    ("(-\\infty,0)\\cup(0,\\infty)", "x \\neq 0"),
    ("k\\pi", "\\{k\\pi \\mid k\\in\\mathbb Z\\}"),
    ("\\frac{\\pi}{2} + k\\pi", "x = \\frac{\\pi}{2} + n\\pi, n \\in \\mathbb{Z}"),
    ("y=3x+2", "3x - y + 2 = 0"),
    ("2\\sqrt3", "2\\sqrt{3} cm^2"),
    ("12\\text{ cm}", "0.12\\text{ m}"),
    ("5", "$5.00"),
    ("3:2", "\\frac{3}{2}"),
    ("10^{-3}", "0.001"),
    ("1500", "1.5\\cdot10^{3}"),
    ("50\\%", "0.5"),
    ("50\\%", "50"),
    ("10", "\\binom{5}{2}"),
    ("10", "{5 \\choose 2}"),
    ("120", "5!"),
    ("\\langle 1,2,3\\rangle", "(1,2,3)"),
    ("2+3i", "3i+2"),
    ("\\frac13", "0.\\overline{3}"),
    ("\\frac16", "0.1\\overline{6}"),
    ("\\arctan(2)", "\\tan^{-1} 2"),
    ("x=3 \\text{ or } x=-2", "-2, 3"),
    ("Yes", "yes"),
    ("1\\frac12", "1.5"),
    ("\\frac{\\sqrt{2}}{2}", "1/\\sqrt2"),
    ("\\frac{\\sqrt{2}}{2}", "2^{-1/2}"),
    ("\\frac{\\pi}{2}", "pi/2"),
    ("4.4e7", "4.4 \\times 10^7"),
    ("44000000", "4.4 × 10⁷"),
    ("x^2+y^2=4", "x² + y² = 4"),
    ("\\sqrt{2}", "√2"),
    ("\\frac{1+a}{c}", "\\frac{1+a}c"),
    ("x=\\pm 2", "2, -2"),
    ("\\pm 2", "x = 2 \\text{ or } x = -2"),
    ("(\\pm 3, 0)", "(3,0),(-3,0)"),
    ("7", "7th"),
    ("\\frac{1}{2}", "\\\\frac{1}{2}"),
    ("n \\equiv 1 \\pmod 4", "n\\equiv 1 (mod 4)"),
    ("2^n", "a_n = 2^n"),
    ("[0, 2\\pi)", "0 \\le \\theta < 2\\pi"),
    ("12345", "12 345"),
    ("a_n = 2n-1", "a_{n}=2n-1, n \\ge 1"),
    ("f(x) = 2x", "f(x)=2x, x > 0"),
    ("5\\text{ km}", "5000 m"),
    ("\\frac{1}{3}", "0.333..."),
    ("\\frac{1}{6}", "0.1666\\ldots"),
    ("\\frac{1}{7}", "0.142857142857..."),
    ("\\mathbb{R}", "(-\\infty,\\infty)"),
    ("\\text{all real numbers}", "x \\in \\mathbb{R}"),
    ("2i", "2\\mathrm{i}"),
    ("\\overrightarrow{AB}", "\\vec{AB}"),
    ("\\max\\{a,b\\}", "\\max(b,a)"),
    ("(0,0,0)", "x=y=z=0"),
    ("5", "a=b=5"),
    ("f(x)=0, f(x)=1", "f(x) \\equiv 0 \\text{ or } f(x) \\equiv 1"),
    ("B", "\\textbf{(B)}\\ 12"),
    ("12", "\\textbf{(B)}\\ 12"),
    ("f(x)=cx, c \\in \\mathbb{R}", "f(x)=kx, k \\in \\mathbb{R}"),
    ("1234567.5", "x = 1 234 567.5"),
    ("9500", "9\\,500 \\text{ m}"),
    ("54_{10}", "204_5"),  # 2 * 25 + 4
    ("204_5", "204_{\\text{five}}"),
    ("1", "1^{2^{235423523}} = 1"),
    ("1", "\\sin^2 x + \\cos^2 x = 1"),
    ("x=2k, k \\in \\mathbb{Z}", "2n \\text{ for all integers } n"),
    (
        "3a+5b, a \\in \\mathbb{Z}, b \\in \\mathbb{Z}",
        "5m+3n \\text{ where } m \\text{ and } n \\text{ are integers}",
    ),
    ("(2, \\infty)", "x > 2"),
    ("\\{x \\mid x > 2\\}", "(2,\\infty)"),
    ("\\emptyset", "no solution"),
    ("3\\sqrt{2}\\text{ units}", "3\\sqrt{2}"),
    ("\\text{Monday}", "monday"),
    ("(A)", "A"),
    ("\\text{(C)}", "C"),
    ("1,234,567", "1234567"),
    ("(1,2,3)", "x=1, y=2, z=3"),
    ("\\frac{x^2-1}{x-1}", "x+1"),
    ("\\ln 8", "3\\ln 2"),
    ("\\log_2 8", "3"),
    ("\\frac{a}{b}", "a/b"),
    ("a^{2}b", "a^2 b"),
    ("-\\frac{1}{2}", "\\frac{-1}{2}"),
    ("-\\frac{1}{2}", "-1/2"),
    ("5", "x=5"),
    ("90^\\circ", "90"),
    ("90^\\circ", "\\frac{\\pi}{2}"),
    ("2:30", "2:30"),
    ("6 \\text{ hours}", "6 hr"),
    ("25", "25 \\text{ square meters}"),
    ("0.25", "25\\%"),
    ("\\frac{7}{3}", "2 \\frac{1}{3}"),
    ("\\frac{7}{3}", "2\\tfrac13"),
    ("x+y", "y+x"),
    ("\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}"),
    ("\\max(a,b)", "\\max(b,a)"),
    ("f(x,y)=x+y", "f(a,b)=a+b"),
    ("2^{10}", "1024"),
    ("100!", "100!"),
    ("i\\sqrt{3}", "\\sqrt{3} i"),
    ("\\{(1,2),(3,4)\\}", "(3,4), (1,2)"),
    ("-2 < x < 3", "(-2,3)"),
    ("x \\leq 3", "(-\\infty, 3]"),
    ("x>1 \\text{ and } x<5", "(1,5)"),
    ("1 < x < 5", "x>1, x<5"),
    ("3\\text{ or }5", "3, 5"),
    ("(1, 2]", "1 < x \\leq 2"),
    ("\\frac{5\\pi}{6}", "5\\pi/6"),
    ("\\sin^2 x", "(\\sin x)^2"),
    ("e^{i\\pi/4}", "\\frac{\\sqrt2}{2}+\\frac{\\sqrt2}{2}i"),
    ("\\frac{3}{4}x^2", "0.75x^2"),
    ("\\sqrt[3]{2}", "2^{1/3}"),
    ("10\\sqrt{2}\\approx 14.14", "10\\sqrt{2}"),
    ("a=1,b=2", "b=2,a=1"),
    ("a=1,b=2", "(1,2)"),
    ("\\$12", "12 dollars"),
    ("8\\%", "8"),
    ("6m", "6m"),
    ("221,8", "$221,$8$"),
    ("\\frac{d}{dx} f", "\\frac{d}{dx} f"),
    ("\\left(\\frac{1}{2},\\frac{3}{4}\\right)", "(0.5,0.75)"),
    ("\\text{2 and 3}", "2, 3"),
    ("3, 5", "5\\text{ and }3"),
    ("\\left\\{\\frac{1}{2}\\right\\}", "\\frac12"),
    ("-(x-1)", "1-x"),
    ("2x+1", "2\\cdot x+1"),
    ("y = 2x+1", "2x+1"),
    ("\\infty", "+\\infty"),
    ("x \\in \\{1,2\\}", "1, 2"),
    ("x = 1, 2", "\\{1,2\\}"),
    ("\\angle A = 60", "60"),
    ("AB = 5", "5"),
    ("|AB| = 5", "5"),
    ("\\triangle ABC", "\\triangle ABC"),
    ("S_{\\triangle ABC} = 6", "6"),
    ("P(A) = \\frac12", "0.5"),
    ("x:y = 2:3", "2:3"),
    ("2:3", "4:6"),
    ("1000000", "10^6"),
    ("7.0", "7"),
    ("5.10", "5.1"),
    ("(3,-2)", "(3, -2)"),
    ("12 \\text{ cm}^3", "12\\,\\mathrm{cm}^3"),
    ("60\\text{ km/h}", "60 km/h"),
    ("\\frac{\\pi}{6} \\text{ radians}", "\\frac{\\pi}{6}"),
    ("45^{\\circ}", "45 degrees"),
    ("x^{2}-2 x+1", "(x-1)^2"),
    ("\\frac{1}{x}+\\frac{1}{y}", "\\frac{x+y}{xy}"),
    ("A = \\begin{bmatrix}1&0\\\\0&1\\end{bmatrix}", "\\begin{pmatrix}1&0\\\\0&1\\end{pmatrix}"),
    ("(x-1)^2+(y+2)^2=9", "(x-1)^2 + (y+2)^2 = 3^2"),
    ("x-2y+z-1=0", "2x-4y+2z=2"),
    ("\\text{both } 3 \\text{ and } 5", "3, 5"),
    ("\\overline{AB}", "\\overline{AB}"),
    ("\\text{Yes, it is}", "Yes"),
    ("1 \\text{ hour } 30 \\text{ minutes}", "90 \\text{ minutes}"),
]

DIFFERENT = [
    ("5 \\text{ cm}", "5 \\text{ m}"),
    ("8.224e-19", "3.1e-19"),
    ("1/2006!", "1/2004!"),
    ("\\sqrt[4]{7}", "\\sqrt[3]{7}"),
    ("13536", "13535"),
    ("(1,2)", "[1,2]"),
    ("(1,2)", "(2,1)"),
    ("a+b", "c+b"),
    ("x<2", "x \\le 2"),
    ("(-\\infty,2)", "x \\le 2"),
    ("x>2", "x<2"),
    ("1,2", "1,2,3"),
    ("2,2", "2"),
    ("0.333", "\\frac13"),
    ("3.14", "\\pi"),
    ("x^2", "x^3"),
    ("\\{1,2\\}", "\\{1,3\\}"),
    ("k\\pi", "2k\\pi"),
    ("a", "b"),
    ("\\frac{\\pi}{6}", "60^\\circ"),
    ("5\\%", "0.5"),
    ("2:3", "3:2"),
    ("f(x)", "f(y)"),
    ("12:00", "1:00"),
    ("\\text{east}", "west"),
    ("1", "1,000"),
    ("100200", "(100,201)"),
    ("(1,2),(3,4)", "(1,2,3,4)"),
    ("52_8", "52_9"),
    ("204_5", "209_5"),  # no digit 9
    ("\\pi", "3.141..."),
    ("x = 2", "x = 2, y > 1"),
    ("a_n = n, n \\ge 1", "a_n = n, n \\ge 2"),
    ("0.333", "0.333..."),
    ("(A)", "(A) \\text{ and } (B)"),
    ("A", "(A) + (B)"),
    ("6 m", "6"),
    ("\\mathbb{R}", "(0,\\infty)"),
    ("x^2 \\equiv 1 \\pmod 8", "x^2 = 1"),
    ("(0,1)", "x=y=0"),
    ("f(x)=cx, c \\in \\mathbb{R}", "f(x)=kx, k \\in \\mathbb{Z}"),
    ("2k, k \\in \\mathbb{Z}", "2n, n \\in \\mathbb{N}"),
    ("2k, k \\in \\mathbb{Z}", "n+k, n \\in \\mathbb{Z}"),
    ("2k, k \\in \\mathbb{Z}", "3n, n \\in \\mathbb{Z}"),
    ("2k", "2n"),
    ("1234", "12 34"),
    ("123456", "(123 456)"),
    ("1", "1^{2^{235423523}} = 2"),
    ("16", "1^{2^{235423523}} = 1"),
    ("10^{-3}", "10^{-4}"),
    ("x=5", "y=6"),
    ("y=3x+2", "3x + y + 2 = 0"),
    ("\\sqrt{x^2}", "x"),
    ("n!", "(n+1)!"),
    ("\\lfloor x\\rfloor", "x"),
    ("\\max(a,b)", "\\min(a,b)"),
    ("6m", "6"),
    ("\\text{Yes}", "No"),
    ("(0,1)\\cup(2,3)", "(0,1)"),
    ("3 \\text{ hours}", "3 \\text{ minutes}"),
    ("\\text{A}", "B"),
    ("x \\ne 2", "x = 2"),
    ("1.5", "1.50001"),
    ("\\infty", "-\\infty"),
    # An imaginary part is a difference, however small it is at most points.
    ("1-e^{-at}", "1-i e^{-at}"),
    ("\\cos t", "e^{it}"),
    # A product with what stands on the right names nothing.
    ("y=-2x", "xy=-2x"),
    ("y=2x", "x=2x"),
]


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_in_another_form_is_equal_both_ways(gold: str, answer: str) -> None:
    assert equal(gold, answer).status == "correct", equal(gold, answer)
    assert equal(answer, gold).status == "correct", equal(answer, gold)


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_what_differs_is_never_equal(gold: str, answer: str) -> None:
    assert equal(gold, answer).status != "correct", equal(gold, answer)
    assert equal(answer, gold).status != "correct", equal(answer, gold)


@pytest.mark.parametrize(("gold", "answer"), SAME + DIFFERENT)
def test_a_cheap_verdict_is_the_verdict(gold: str, answer: str) -> None:
    cheap = cheap_judgement((gold,), answer)
    assert cheap is None or cheap.status == judge_answer((gold,), answer).status


POLICIES = [
    (Policy(), Policy(order="given"), "1, 2", "2, 1"),
    (Policy(tuple_order="any"), Policy(), "(1, 2)", "(2, 1)"),
    (Policy(), Policy(brackets="strict"), "(1, 2, 3)", "1, 2, 3"),
    (Policy(), Policy(units="compare"), "5\\text{ cm}", "5"),
    (Policy(), Policy(percent="strict"), "50\\%", "50"),
    (Policy(), Policy(degrees="strict"), "30^\\circ", "30"),
    (Policy(), Policy(assignment="strict"), "5", "x = 5"),
    (Policy(), Policy(rename="strict"), "f(x) = x", "f(z) = z"),
    # 1587/52 = 30.519...
    (Policy(rounding="gold-digits"), Policy(), "30.52", "\\frac{1587}{52}"),
    (Policy(rounding="gold-digits"), Policy(), "41.4\\%", "\\sqrt{2} - 1"),
    (Policy(relative_tolerance=0.01), Policy(), "2.88 \\times 10^{-19}", "2.89e-19"),
    (Policy(absolute_tolerance=0.1), Policy(), "\\pi", "3.2"),
]


@pytest.mark.parametrize(("loose", "strict", "gold", "answer"), POLICIES)
def test_a_convention_decides_only_where_the_policy_says_so(
    loose: Policy, strict: Policy, gold: str, answer: str
) -> None:
    assert equal(gold, answer, loose).status == "correct"
    assert equal(gold, answer, strict).status == "incorrect"


def test_a_base_may_be_left_out_beside_a_gold_that_names_it() -> None:
    assert equal("52_8", "52").status == "correct"
    assert equal("52_8", "42").status == "incorrect"
    assert equal("52", "52_8").status == "incorrect"
    assert equal("42", "52_8").status == "correct"  # 5 * 8 + 2


def test_only_the_parameter_of_a_periodic_solution_may_have_another_name() -> None:
    assert equal("\\frac{\\pi}{4} + n\\pi", "\\frac{\\pi}{4} + k\\pi").status == "correct"
    assert equal("n - 1", "k - 1").status == "incorrect"
    assert equal("n^2", "m^2").status == "incorrect"


def test_rounding_needs_two_decimals_and_the_right_ones() -> None:
    policy = Policy(rounding="gold-digits")
    assert equal("27.39", "27.3851", policy).status == "correct"
    assert equal("\\sqrt{2}", "1.414", policy).status == "correct"
    assert equal("\\sqrt{2}", "1.4", policy).status == "incorrect"
    # A gold says how precise an answer has to be, and one digit says nothing.
    assert equal("0.022", "0.02", policy).status == "incorrect"
    assert equal("0.01", "0.0122", policy).status == "incorrect"
    assert equal("3e-19", "3.4e-19", policy).status == "incorrect"
    assert equal("0.5", "0.46", policy).status == "incorrect"
    assert equal("30.52", "\\frac{1588}{52}", policy).status == "incorrect"  # 30.538...
    assert equal("35", "34.6", policy).status == "incorrect"


def test_a_machine_float_stands_for_the_value_that_it_prints() -> None:
    assert equal("\\sqrt{2}", "1.4142135623730951").status == "correct"
    assert equal("\\sqrt{2}", "1.4142135623830951").status == "incorrect"


def test_a_condition_with_other_numbers_is_not_the_same_answer() -> None:
    gold, answer = "2^n \\text{ for } n > 3", "2^n \\text{ for } n > 4"
    assert equal(gold, answer).status == "unparsed"
    assert equal(gold, "2^n").status == "correct"


def test_majority_votes_compare_answers_by_the_same_rules() -> None:
    assert same_answer("0.5", "\\frac{1}{2}")
    assert not same_answer("0.5", "\\frac{1}{3}")
    assert not same_answer("\\frac{", "0.5")


def test_both_sides_are_reported_as_read() -> None:
    result = equal("\\frac{1}{2}", "x = \\sqrt{2}")
    assert (result.gold_read, result.answer_read) == ("1/2", "x = sqrt(2)")


def test_a_gold_is_audited_by_its_reading() -> None:
    good = read_gold("(6,3),(9,3)")
    assert (good.is_readable, good.is_equal_to_itself) == (True, True)
    assert good.read_as == "(6, 3), (9, 3)"
    bad = read_gold("\\frac{")
    assert (bad.is_readable, bad.read_as) == (False, None)
    assert bad.reason


HOSTILE = [
    "9^{9^{9^9}}",
    "((9!)!)!",
    "(10^9)!",
    "10^{10^{10}}",
    "\\sqrt[10^{9}]{2^{10^{9}}}",
    "\\sin(10^{10^{6}})",
    "__import__('os').system('true')",
    "e^{e^{e^{e^{e}}}}",
    "9" * 100_000,
    "(" * 10_000,
    "\\frac{1}{" * 500 + "2" + "}" * 500,
    "1/" * 1_000 + "2",
    "\\binom{10^8}{10^7}",
    ",".join("1" * 300),
    "x^{" * 40 + "2" + "}" * 40,
    "\\begin{pmatrix}" * 5_000,
]


@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_answer_is_refused_before_it_is_computed(answer: str) -> None:
    assert equal("7", answer).status in {"incorrect", "unparsed"}
    assert equal("x + 7", answer).status in {"incorrect", "unparsed"}
