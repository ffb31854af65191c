import dataclasses

import pandas as pd
import pytest

from evalharness.analysis.aligning import Answers, align
from evalharness.analysis.comparison import compare_all, comparison_record
from evalharness.errors import InputError


def _answers(
    statuses: dict[str, str],
    *,
    model: str = "a",
    benchmark: str = "b",
    tokens: int | dict[str, int] = 10,
    limit: float | None = 100,
    golds: dict[str, tuple[str, ...]] | None = None,
    texts: dict[str, str] | None = None,
    checker: str = "c@1",
    finish: str | None = "stop",
) -> Answers:
    ids = list(statuses)
    frame = pd.DataFrame(
        {
            "problem_id": ids,
            "status": list(statuses.values()),
            "num_tokens": [tokens[each] if isinstance(tokens, dict) else tokens for each in ids],
            "token_limit": [limit] * len(ids),
            "finish_reason": [finish] * len(ids),
        }
    )
    return Answers(
        model=model,
        template="t",
        benchmark=benchmark,
        frame=frame,
        texts=dict.fromkeys(ids, "?") | (texts or {}),
        golds=dict.fromkeys(ids, ("1",)) | (golds or {}),
        checker=checker,
    )


RIGHT = {"b/0": "correct", "b/1": "correct", "b/2": "incorrect"}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (_answers({"b/0": "correct", "b/1": "correct"}), "1 problems only the baseline answered"),
        (_answers(RIGHT | {"b/3": "correct"}), "1 problems the baseline did not answer"),
        (_answers(RIGHT, texts={"b/1": "other"}), "1 problems with another text"),
        (_answers(RIGHT, golds={"b/1": ("2",)}), "1 problems with other golds"),
        (_answers(RIGHT, limit=50), "token limits of 100 and 50"),
    ],
)
def test_what_differs_is_refused_with_the_reason_and_the_remedy(
    other: Answers, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        align(_answers(RIGHT), other, common=False)
    assert "--common" in str(caught.value)


def test_common_keeps_problems_with_the_same_text_and_golds() -> None:
    other = _answers(
        {"b/2": "correct", "b/1": "incorrect", "b/0": "correct", "b/9": "correct"},
        golds={"b/1": ("2",)},
    )
    both = align(_answers(RIGHT), other, common=True)
    assert both.problem_ids == ("b/0", "b/2")
    assert both.a.shares().tolist() == [1, 0]
    assert both.b.shares().tolist() == [1, 1]  # in the baseline's order
    assert both.notes == (
        "only what both share: 1 problems the baseline did not answer, 1 problems with other golds",
    )


def test_golds_in_another_order_are_the_same_golds() -> None:
    a = _answers(RIGHT, golds={"b/0": ("1", "2")})
    b = _answers(RIGHT, golds={"b/0": ("2", "1")})
    assert align(a, b, common=False).notes == ()


def test_common_cuts_both_at_the_smaller_cap() -> None:
    # of the run at cap 100, the answer of 80 tokens would not have been finished at cap 50
    tokens = {"b/0": 80, "b/1": 50, "b/2": 20}
    both = align(_answers(RIGHT, tokens=tokens), _answers(RIGHT, limit=50), common=True)
    assert both.a.shares().tolist() == [0, 1, 0]
    assert both.a.tokens_N.tolist() == [50, 50, 20]


def test_what_common_cuts_counts_as_truncated() -> None:
    # All ended by themselves under a cap of 100; one of three would not have under one of 50.
    a = _answers(RIGHT, tokens={"b/0": 80, "b/1": 50, "b/2": 20})
    row = compare_all([((a,), (_answers(RIGHT, limit=50, model="x"),))], common=True)[0]
    assert any("truncated: 33.3% of the baseline's and 0.0% of these" in each for each in row.notes)


def test_a_smaller_context_matters_only_where_a_response_reaches_it() -> None:
    short = _answers(RIGHT, limit=90)
    full = _answers(RIGHT, limit=100)
    asked = [dataclasses.replace(each, max_tokens=100) for each in (full, short)]
    assert align(*asked, common=False).notes == ()
    tokens = {"b/0": 95, "b/1": 10, "b/2": 10}
    asked[0] = dataclasses.replace(_answers(RIGHT, tokens=tokens), max_tokens=100)
    with pytest.raises(InputError, match="1 responses reach the lower"):
        align(*asked, common=False)
    assert align(*asked, common=True).a.shares().tolist() == [0, 1, 0]


def test_other_checkers_are_refused_also_with_common() -> None:
    with pytest.raises(InputError, match="evalharness score"):
        align(_answers(RIGHT), _answers(RIGHT, checker="d@2"), common=True)


def test_nothing_in_common_is_refused_also_with_common() -> None:
    with pytest.raises(InputError, match="no problem in common"):
        align(_answers(RIGHT), _answers({"b/7": "correct"}), common=True)


def test_one_unknown_cap_is_noted() -> None:
    both = align(_answers(RIGHT), _answers(RIGHT, limit=None), common=False)
    assert both.notes == ("the token limit of one of the two isn't known",)
    assert align(_answers(RIGHT, limit=None), _answers(RIGHT, limit=None), common=False).notes == ()


def _pair(
    benchmark: str, statuses_a: str, statuses_b: str, model: str = "x"
) -> tuple[Answers, Answers]:
    kinds = {"c": "correct", "w": "incorrect"}
    a, b = (
        {f"{benchmark}/{at}": kinds[each] for at, each in enumerate(text)}
        for text in (statuses_a, statuses_b)
    )
    return (
        _answers(a, benchmark=benchmark),
        _answers(b, benchmark=benchmark, model=model, tokens=20),
    )


def test_rows_of_benchmarks_macro_and_micro() -> None:
    one, two = _pair("b", "cwww", "ccwc"), _pair("c", "cw", "ww")
    rows = compare_all([((one[0], two[0]), (one[1], two[1]))], common=False)
    assert [row.benchmark for row in rows] == ["b", "c", "macro", "micro"]
    b, c, macro, micro = rows
    assert (b.difference.value, b.fixed, b.broken) == (0.5, ("b/1", "b/3"), ())
    assert (c.difference.value, c.fixed, c.broken) == (-0.5, (), ("c/0",))
    assert macro.difference.value == 0
    assert macro.fixed == ("b/1", "b/3")
    assert micro.difference.value == pytest.approx(1 / 6)
    assert micro.difference.n == 6
    assert micro.inflation.overall.value == pytest.approx(2)
    assert micro.inflation.wrong.n == 2
    assert micro.change.matched == pytest.approx(10)
    assert macro.change is None
    assert macro.inflation.correct is None  # nothing correct in both on the second


def test_holm_is_over_the_benchmark_rows_and_apart_over_the_averages() -> None:
    pairs = []
    for model, strong in (("x", "c" * 8), ("y", "c" * 6 + "ww")):
        one, two = _pair("b", "w" * 8, strong, model), _pair("c", "cwcw", "cwcw", model)
        pairs.append(((one[0], two[0]), (one[1], two[1])))
    rows = compare_all(pairs, common=False)
    found = {(row.model, row.benchmark): (row.difference.p_value, row.p_holm) for row in rows}
    # 8 of 8 fixed: 2/256; 6 of 6: 2/64; four benchmark rows: times 4 and 3
    assert found["x", "b"] == pytest.approx((2 / 256, 8 / 256))
    assert found["y", "b"] == pytest.approx((2 / 64, 6 / 64))
    assert found["x", "micro"] == pytest.approx((2 / 256, 4 / 256))
    assert found["y", "micro"] == pytest.approx((2 / 64, 2 / 64))


def test_all_troubles_are_told_at_once() -> None:
    one, two = _pair("b", "cw", "cw"), _pair("c", "cw", "cww")
    three = _pair("d", "cw", "c")
    pair = ((one[0], two[0], three[0]), (one[1], two[1], three[1]))
    with pytest.raises(InputError) as caught:
        compare_all([pair], common=False)
    assert "c: x:t against a:t: 1 problems the baseline did not answer" in str(caught.value)
    assert "d: x:t against a:t: 1 problems only the baseline answered" in str(caught.value)


def test_the_record_has_the_fields_of_the_contract_and_says_why_one_is_null() -> None:
    one = _pair("b", "cc", "cw")
    record = comparison_record(compare_all([((one[0],), (one[1],))], common=False)[0])
    assert list(record) == [
        *("benchmark", "model", "template", "baseline", "n", "difference", "low", "high"),
        *("p_value", "p_holm", "fixed", "broken"),
        *("inflation", "inflation_correct", "inflation_wrong", "excess_wrong"),
        *("naive_wrong_tokens", "matched_wrong_tokens"),
        *("newly_wrong_tokens", "newly_right_tokens", "notes"),
    ]
    assert record["baseline"] == "a:t"
    assert record["inflation"]["value"] == pytest.approx(2)
    assert record["inflation_correct"] == {
        "value": pytest.approx(2),
        "low": None,
        "high": None,
        "n": 1,
    }
    assert record["inflation_wrong"] is None
    assert record["naive_wrong_tokens"] is None
    assert "no problem has a wrong response of both" in record["notes"]
    assert "these 2 problems cannot resolve less than" in record["notes"]


def test_truncation_is_told_beside_the_inflation() -> None:
    a = _answers(RIGHT, finish="stop")
    b = _answers(RIGHT, finish="length", model="x")
    row = compare_all([((a,), (b,))], common=False)[0]
    assert any(
        "truncated: 0.0% of the baseline's and 100.0% of these" in each for each in row.notes
    )
    # The average over all problems tells the truncation of all of them, not of the first benchmark.
    more = {f"c/{at}": "incorrect" for at in range(3)}
    others = [_answers(more, benchmark="c", finish="length", model=name) for name in ("a", "x")]
    calm = _answers(RIGHT, finish="stop", model="x")
    micro = compare_all([((a, others[0]), (calm, others[1]))], common=False)[-1]
    assert any("50.0% of the baseline's and 50.0% of these" in each for each in micro.notes)
    unknown = _answers(RIGHT, finish=None, model="x")
    row = compare_all([((a,), (unknown,))], common=False)[0]
    assert "how responses ended isn't known: lengths may be cut" in row.notes
