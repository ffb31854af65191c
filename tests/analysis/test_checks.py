import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.analysis.checks import (
    grim,
    grim_sentence,
    identical_samples,
    impossible_accuracies,
)
from evalharness.errors import InputError


@pytest.mark.parametrize(
    ("percent", "number", "is_possible"),
    [
        (20.0, 30, True),  # 6/30
        (0.2, 30, False),  # a published misprint of 20.0
        (16.7, 30, True),  # 5/30 = 16.67
        (16.6, 30, False),
        (20.0, 83, False),  # 16/83 = 19.28, 17/83 = 20.48: 8/40, another AMC set
        (22.5, 83, False),
        (22.5, 40, True),
        (62.7, 83, True),  # 52/83 = 62.65
        (61.8, 500, True),
        (61.85, 500, False),
        (0.0, 30, True),
        (100.0, 30, True),
        (12.5, 80, True),  # 10/80
        (6.2, 80, True),  # 5/80 = 6.25, rounded to even
        (6.3, 80, True),  # and rounded up
    ],
)
def test_a_share_is_possible_when_a_count_rounds_to_it(
    percent: float, number: int, is_possible: bool
) -> None:
    decimals = 2 if percent == 61.85 else 1
    assert grim(percent, number, decimals).is_possible == is_possible


@given(st.integers(1, 800), st.data())
def test_every_true_share_passes(number: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, number))
    assert grim(round(100 * count / number, 1), number).is_possible


def test_an_impossible_share_is_told_with_its_neighbours() -> None:
    assert grim_sentence(0.2, 30) == ("0.2% of 30 is impossible: the nearest are 0.00% and 3.33%")
    assert grim_sentence(20.0, 30) is None


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError):
        grim(101, 30)
    with pytest.raises(InputError):
        grim(50, 0)


def _responses(texts: list[list[str]], model: str = "m") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": model,
                "template": "t",
                "benchmark": "b",
                "problem_id": f"b/{at}",
                "response": text,
            }
            for at, each in enumerate(texts)
            for text in each
        ]
    )


def test_samples_that_are_copies_are_flagged() -> None:
    (found,) = identical_samples(_responses([["x", "x"], ["y", "y"], ["z", "w"]]))
    assert (found.num_identical, found.num_problems) == (2, 3)
    assert "2 of 3 problems have only copies" in found.sentence()


def test_single_and_different_samples_are_not_flagged() -> None:
    assert identical_samples(_responses([["x"], ["x"]])) == []
    assert identical_samples(_responses([["x", "x"], ["y", "z"], ["z", "w"]])) == []


def _row(value: float, **changes: object) -> dict[str, object]:
    row = {"benchmark": "aime24", "model": "m", "template": "no", "metric": "accuracy"}
    return row | {"value": value, "n": 30, "k": 2} | changes


def test_an_accuracy_of_ours_that_no_count_gives_is_flagged() -> None:
    # 30 problems x 2 samples: 25 of 60 is 41.666...%, 0.42 is 25.2 of 60.
    assert impossible_accuracies([_row(25 / 60)]) == []
    assert impossible_accuracies([_row(0.42)]) == [
        "m no aime24: accuracy 42.000000% of 60 is impossible: the nearest are 41.6666667% and "
        "43.3333333%"
    ]
    assert impossible_accuracies([_row(1.2)]) == ["m no aime24: accuracy 1.2 is no share"]


def test_averages_and_unequal_samples_are_no_share_of_a_count() -> None:
    rows = [_row(0.42, benchmark="macro"), _row(0.42, k=1.5), _row(0.42, metric="pass@2")]
    assert impossible_accuracies([*rows, _row(0.42) | {"value": None}]) == []
