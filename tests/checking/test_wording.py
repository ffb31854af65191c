"""Words around a number: those that change what it says, and those that only name it."""

import pytest

from evalharness.checking.equivalence import judge_answer
from evalharness.checking.policy import Policy

EQUAL = [
    # Multiples.
    ("5000000", "5 \\text{ million}"),
    ("2{,}500{,}000", "\\$2.5 \\text{ million}"),
    ("1200", "12 hundred"),
    ("36", "3 \\text{ dozen}"),
    ("\\$5 \\text{ million}", "5{,}000{,}000"),
    # Bounds.
    ("x\\ge 5", "\\text{at least } 5"),
    ("x\\ge 5", "\\ge 5"),
    ("x < 5", "\\text{fewer than } 5"),
    ("(-\\infty,5)", "<5"),
    ("x\\in(3,\\infty)", "x>3"),
    ("3 < x", "x \\in (3,\\infty)"),
    # Signs.
    ("-5", "\\text{negative } 5"),
    ("2", "\\text{5 minus 3}"),
    ("30", "5 \\text{ times } 6"),
    ("2/3", "2\\text{ out of }3"),
    ("36", "6 \\text{ squared}"),
    ("120", "5 \\text{ factorial}"),
    ("6", "6 \\text{ cm squared}"),
    # The time of day.
    ("\\text{10:30 a.m.}", "10:30 \\text{ AM}"),
    ("2:00 \\text{ p.m.}", "2:00 pm"),
    ("10:30", "10:30 \\text{ a.m.}"),
    # Numerals as the whole answer.
    ("5", "\\text{five}"),
    ("\\text{Twelve}", "12"),
    # Units.
    ("9.8", "9.8 m/s^2"),
    ("42", "42 kJ/kg"),
    ("42", "42 J/K"),
    ("9.8", "9.8 \\mathrm{\\ m \\cdot s^{-2}}"),
    ("9.8", "9.8\\,\\mathrm{m}\\,\\mathrm{s}^{-2}"),
    ("30", "30 \\text{ min}"),
    ("30", "30 min"),
    ("6\\text{ feet }2\\text{ inches}", "6\\text{ ft } 2\\text{ in}"),
    ("2", "\\min(2, 3)"),
    ("60", "60\\ \\frac{km}{h}"),
    ("9.8", "9.8\\,\\frac{\\mathrm{m}}{\\mathrm{s}^2}"),
    ("9.8 m/s^2", "9.8 \\frac{m}{s^2}"),
    ("1.5", "\\frac{3}{2}\\frac{m}{s}"),
    ("5.5\\text{ hours}", "5\\text{ hours and }30\\text{ minutes}"),
    ("125\\text{ min}", "2\\text{ h }5\\text{ min}"),
    ("5m^2", "5\\, m^2"),
    ("5\\text{ m}", "5 m"),
    ("2, 3", "2 \\text{ boys and } 3\\text{ girls}"),
    # What only announces or names.
    ("5", "\\text{about } 5"),
    ("5", "5 \\text{ more than Bob}"),
    ("5", "5 \\text{ times}"),
    ("7", "7 \\text{ apples}"),
    ("42", "42 (see above)"),
    ("5", "5 \\text{ (units)}"),
    # One number in two spellings, an option's letter, dots.
    ("0.5", "\\frac{1}{2} \\text{ or } 0.5"),
    ("B", "B)"),
    ("12", "B) 12"),
    ("1, 2, ..., 10", "1, 2, \\ldots, 10"),
]


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_words_that_say_the_same(gold: str, answer: str) -> None:
    for one, other in ((gold, answer), (answer, gold)):
        assert judge_answer((one,), other, Policy()).status == "correct"


@pytest.mark.parametrize("answer", ["5\\,m^2", "5~m", "5\\ cm^{3}", "5.0 \\, N"])
def test_a_letter_behind_a_blank_that_was_asked_for_may_be_a_unit(answer: str) -> None:
    for gold, other in (("5", answer), (answer, "5")):
        assert judge_answer((gold,), other, Policy()).status == "correct"


DIFFERENT = [
    ("9.8 m/s^2", "9.8 \\frac{m}{s}"),
    ("2", "2\\frac{m}{n}"),
    ("5\\text{ hours}", "5\\text{ hours and }30\\text{ minutes}"),
    ("5", "5 m"),
    ("5", "5\\,x"),
    ("5\\text{ m}", "5 s"),
    ("5", "5 \\text{ million}"),
    ("5", "5 \\text{ dozen}"),
    ("5", "\\text{not } 5"),
    ("5", "\\text{at least } 5"),
    ("5", "\\text{no more than } 5"),
    ("5", "\\text{The answer is less than } 5"),
    ("5", "<5"),
    ("5", "\\ge 5"),
    ("5", "\\neq 5"),
    ("x > 5", "\\ge 5"),
    ("x\\in(3,\\infty)", "y>3"),
    ("x\\in(3,\\infty)", "x\\ge 3"),
    ("5", "\\text{minus } 5"),
    ("2", "2\\text{ out of }3"),
    ("2:00 \\text{ p.m.}", "2:00 \\text{ a.m.}"),
    ("2 \\text{ p.m.}", "2 \\text{ a.m.}"),
    ("5 \\text{ feet above}", "5 \\text{ feet below}"),
    ("6\\text{ feet }2\\text{ inches}", "6\\text{ ft } 3\\text{ in}"),
    ("2", "2, 2"),
    ("2, 2", "2"),
    ("4 \\text{ erg}", "4 \\text{ J}"),
    ("3 \\text{ years}", "3 \\text{ months}"),
    ("5", "5 \\text{ or } 6"),
    ("6", "6 \\text{ squared}"),
]


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_words_that_change_a_number(gold: str, answer: str) -> None:
    for one, other in ((gold, answer), (answer, gold)):
        assert judge_answer((one,), other, Policy()).status == "incorrect"


@pytest.mark.parametrize(
    "answer",
    [
        "5 \\text{ remainder } 2",
        "5 \\text{ in base } 7",
        "5 \\text{ to } 6",
        "5 \\text{ mod } 7",
        "5 \\text{ less than } x",
        "5 \\text{ apples} - 2",
        "5 \\text{ of } 25",
        "5 \\text{ cm} *",
        "5 \\text{ (million)}",
        "5 \\text{ (base seven)}",
        "-5 \\text{ (negative five)}",
        "5]5 words)",
        "5 \\text{ cm}^2.5",
        "\\frac{1}{2} \\text{ million}",
        "\\frac{1}{2} \\text{ squared}",
        "\\text{half of } 5",
        "\\text{twice } 5",
        "\\text{the square root of } 5",
        "\\text{It cannot be } 5",
    ],
)
def test_what_words_may_make_of_a_number_is_not_guessed(answer: str) -> None:
    gold = "\\frac{1}{2}" if "frac" in answer else "5"
    assert judge_answer((gold,), answer, Policy()).status == "unparsed"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5\\text{ cm}^2", "5 \\text{ cm}^{2}"),
        ("5 \\text{ kg m}^{-2}", "5 \\mathrm{kg\\,m^{-2}}"),
        ("5", "5 \\text{ units}^2"),
        ("5", "5 \\text{ cm2}"),
        ("5", "5 \\text{ atoms}/m"),
        ("16\\text{ oz}", "1\\text{ lb}"),
        ("3\\text{ years}", "36\\text{ months}"),
        ("2\\text{ kWh}", "7200\\text{ kJ}"),
        ("4.5e33", "4.5 \\times 10^{33} \\text{ erg/s}"),
    ],
)
def test_units_are_compared_by_their_size(gold: str, answer: str) -> None:
    assert judge_answer((gold,), answer, Policy()).status == "correct"


def test_a_sign_before_words_is_not_lost() -> None:
    assert judge_answer(("\\text{east}",), "-\\text{east}", Policy()).status == "unparsed"
