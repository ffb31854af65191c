"""Properties of the comparison over expressions that hypothesis makes up."""

from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.checking.equivalence import cheap_judgement, equal

NUMBERS = st.integers(0, 999).map(str) | st.sampled_from(["0.25", "1.5", "\\pi", "\\frac{2}{7}"])
ATOMS = NUMBERS | st.sampled_from(list("abnxyz"))


def _combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.tuples(parts, parts).map(lambda p: f"{p[0]} + {p[1]}")
        | st.tuples(parts, parts).map(lambda p: f"\\left({p[0]}\\right) \\cdot ({p[1]})")
        | st.tuples(parts, parts).map(lambda p: f"\\frac{{{p[0]}}}{{{p[1]}}}")
        | parts.map(lambda p: f"\\sqrt{{{p}}}")
        | parts.map(lambda p: f"({p})^{{2}}")
    )


EXPRESSIONS = st.recursive(ATOMS, _combined, max_leaves=6)
ANSWERS = (
    EXPRESSIONS
    | st.lists(EXPRESSIONS, min_size=2, max_size=4).map(", ".join)
    | st.lists(EXPRESSIONS, min_size=2, max_size=4).map(lambda p: f"({', '.join(p)})")
    | st.tuples(NUMBERS, NUMBERS).map(lambda p: f"({p[0]}, {p[1]}]")
)
RESPELLINGS = (
    ("\\left", ""),
    ("\\right", ""),
    ("\\frac", "\\dfrac"),
    (" ", "  "),
    (" + ", "+"),
    ("\\cdot", "\\times"),
    ("(", "\\left("),
    ("\\pi", "π"),
)


@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_every_answer_equals_itself_in_another_spelling(answer: str) -> None:
    for old, new in RESPELLINGS:
        spelled = answer.replace("\\left", "").replace("\\right", "").replace(old, new)
        if spelled.count("\\left") == spelled.count("\\right"):
            assert equal(answer, f" ${spelled}$. ").status == "correct", spelled


@settings(max_examples=200, deadline=None)
@given(ANSWERS, ANSWERS)
def test_equality_is_symmetric(first: str, second: str) -> None:
    assert equal(first, second).status == equal(second, first).status


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_one_more_is_never_equal(answer: str) -> None:
    assert equal(answer, f"{answer} + 1").status != "correct"


@settings(max_examples=150, deadline=None)
@given(ANSWERS, ANSWERS)
def test_a_cheap_verdict_is_the_full_one(first: str, second: str) -> None:
    cheap = cheap_judgement((first,), second)
    assert cheap is None or cheap.status == equal(first, second).status


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789abx+-*/^_{}()[]\\.,;|!=<>% \n$fracsqtlep", max_size=40))
def test_any_text_gets_a_verdict(text: str) -> None:
    assert equal("7", text).status in {"correct", "incorrect", "unparsed"}
