from typing import Any

import pytest

from evalharness.report.charts import interval_chart


def _chart(*rows: tuple[str, float, float | None, float | None]) -> dict[str, Any]:
    values = [dict(zip(("label", "value", "low", "high"), row, strict=True)) for row in rows]
    return interval_chart(values, x_title="times", reference=1, is_ratio=True)


def _encodings(spec: dict[str, Any], channel: str) -> list[dict[str, Any]]:
    layers = [layer["encoding"] for layer in spec["layer"]]
    return [each[channel] for each in layers if channel in each]


@pytest.mark.parametrize(
    ("rows", "inside", "outside", "ticks"),
    [
        # 0.94 to 1.16
        ([("a", 1.05, 0.94, 1.16)], (0.94, 1.16), (0.9, 1.2), [0.95, 1.0, 1.05, 1.1, 1.15]),
        # an interval that says nothing doesn't set the axis: three times the largest value
        ([("a", 1.2, 0.9, 50.0)], (0.9, 3.6), (0.7, 4.5), [1, 1.5, 2, 3]),
        # 0.05 to 20 times: no round ratios are few enough, powers of four are
        (
            [("a", 0.05, None, None), ("b", 20.0, None, None)],
            (0.05, 20.0),
            (0.03, 30.0),
            [1 / 16, 1 / 4, 1, 4, 16],
        ),
        ([("a", 2.0, None, None)], (1.0, 2.0), (0.9, 2.1), [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]),
    ],
)
def test_an_axis_of_ratios_is_as_wide_as_what_is_known(
    rows: list[Any], inside: tuple[float, float], outside: tuple[float, float], ticks: list[float]
) -> None:
    spec = _chart(*rows)
    x = next(each for each in _encodings(spec, "x") if "scale" in each)
    low, high = x["scale"]["domain"]
    assert outside[0] < low <= inside[0] <= inside[1] <= high < outside[1]
    assert x["axis"]["values"] == ticks


def test_the_legend_has_the_order_of_the_colours_whichever_group_comes_first() -> None:
    rows = [("x", "wrong"), ("x", "all"), ("y", "correct")]
    values = [{"label": a, "group": b, "value": 1.0, "low": None, "high": None} for a, b in rows]
    colors = {"all": "#1", "correct": "#2", "wrong": "#3"}
    scale = _encodings(interval_chart(values, x_title="times", colors=colors), "color")[0]["scale"]
    assert (scale["domain"], scale["range"]) == (["all", "correct", "wrong"], ["#1", "#2", "#3"])


def test_a_long_label_goes_on_in_the_next_line() -> None:
    spec = _chart(("org/Some-Long-Model-Name-7B-Instruct · a template_of_mine", 1.0, 0.9, 1.1))
    sort = _encodings(spec, "y")[0]["sort"]
    assert sort == ["org/Some-Long-Model-|Name-7B-Instruct|a template_of_mine"]
    assert _encodings(spec, "y")[0]["axis"]["labelExpr"] == "split(datum.label, '|')"
