"""The charts of a report, as Vega-Lite specifications over numbers that are already aggregated.

Altair makes them; the page and the figure files draw them. A chart says nothing of colours or fonts
beyond what it must: the page sets a theme for light and dark, the files one for print.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalharness.errors import MissingExtraError

if TYPE_CHECKING:
    import altair as alt

Row = Mapping[str, Any]
VERDICT_COLORS = {
    "all": "#6b7785",
    "correct": "#2a9d6f",
    "wrong answer": "#d1495b",
    "not correct": "#d1495b",
    "no answer": "#8d6cab",
    "truncated": "#e0a030",
    "undecided": "#4d79a8",
}


def require_altair() -> Any:
    """The module.

    Raises:
        MissingExtraError: it isn't installed.
    """
    try:
        import altair
    except ImportError as error:
        raise MissingExtraError("A chart", "report") from error
    return altair


def interval_chart(
    rows: Iterable[Row],
    *,
    x_title: str,
    colors: Mapping[str, str] | None = None,
    reference: float | None = None,
    is_share: bool = False,
    is_ratio: bool = False,
    is_difference: bool = False,
) -> dict[str, Any]:
    """A point with its interval for each row, one line a label.

    Args:
        rows: `label`, `value`, `low`, `high` (None where unknown), and `group` where there are
            several points a line.
        x_title: what the values are, with the unit.
        colors: group -> colour, in the order of the legend.
        reference: where a vertical line says "no difference".
        is_share: 0.5 is shown as 50%.
        is_ratio: a logarithmic axis.
        is_difference: values on both sides of 0, with their sign.
    """
    alt = require_altair()
    values = [{**row, "label": _lines(row["label"])} for row in rows]
    labels = list(dict.fromkeys(row["label"] for row in values))
    found = dict.fromkeys(row["group"] for row in values if "group" in row)
    groups = [*(name for name in colors or {} if name in found)]
    groups += [name for name in found if name not in groups]
    form = ".0%" if is_share else (".2f" if is_ratio else ("+.1~f" if is_difference else ",.1~f"))
    is_amount = not is_share and not is_ratio and not is_difference
    scale = alt.Scale(zero=False, nice=True, **({"domainMin": 0} if is_amount else {}))
    axis = alt.Axis(format=form, tickCount=5, labelSeparation=6)
    if is_ratio:
        domain = _ratio_domain(values)
        scale = alt.Scale(type="log", domain=domain, nice=False)
        axis = alt.Axis(format="~g", values=_ratio_ticks(domain))
    x = alt.X("value:Q", title=x_title, scale=scale, axis=axis)
    names = alt.Axis(labelExpr=f"split(datum.label, '{_BREAK}')")
    base = alt.Chart(alt.NamedData(name=_ROWS)).encode(
        y=alt.Y("label:N", sort=labels, title=None, axis=names), tooltip=_tooltip(values, form)
    )
    if groups:
        palette = [(colors or {}).get(group) for group in groups]
        color_scale = (
            alt.Scale(domain=groups, range=palette) if all(palette) else alt.Scale(domain=groups)
        )
        base = base.encode(
            color=alt.Color("group:N", scale=color_scale, title=None, legend=_legend(groups)),
            yOffset=alt.YOffset("group:N", sort=groups),
        )
    layers = [base.mark_point(filled=True, size=70, opacity=1, clip=True).encode(x=x)]
    if any(row["low"] is not None for row in values):
        rules = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(
            strokeWidth=2, opacity=0.75, clip=True
        )
        layers.insert(0, rules.encode(x=alt.X("low:Q", title=x_title), x2="high:Q"))
    if reference is not None:
        line = alt.Chart(alt.Data(values=[{"at": reference}]))
        layers.insert(0, line.mark_rule(strokeDash=[4, 4], opacity=0.6).encode(x="at:Q"))
    deepest = max((label.count(_BREAK) + 1 for label in labels), default=1)
    step = max(26, 13 * max(len(groups), 1) + 6, 14 * deepest + 6)
    return _spec(alt.layer(*layers).properties(height=step * len(labels)), values)


def _ratio_domain(rows: Sequence[Row]) -> list[float]:
    """What holds 1, every value, and the intervals up to thrice the values."""
    values = [1.0, *(row["value"] for row in rows)]
    ends = [row[name] for row in rows for name in ("low", "high") if row[name] is not None]
    low = max(min([*values, *ends]), min(values) / 3)
    high = min(max([*values, *ends]), max(values) * 3)
    margin = max((high / low) ** 0.05, 1.01)
    return [low / margin, high * margin]


def _ratio_ticks(domain: Sequence[float]) -> list[float]:
    """Round ratios within the domain, seven at most, 1 among them."""
    low, high = domain
    even = [[round(place * step, 2) for place in range(1, 250)] for step in (0.05, 0.1, 0.2)]
    powers = [[base**power for power in range(-20, 21)] for base in (2.0, 4.0, 10.0, 100.0)]
    for ticks in (*even, _RATIOS, *powers):
        found = [each for each in ticks if low <= each <= high]
        if 1 in found and len(found) <= 7:
            return found
    return [1.0]


_RATIOS = [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10]
_BREAK = "|"
"""Where a label of an axis goes on in the next line."""
_LABEL_LETTERS = 24


def _lines(label: str) -> str:
    """A label with breaks, so that a long name needs no more room than a short one."""
    label = label.replace(_BREAK, "/")
    if len(label) <= _LABEL_LETTERS:
        return label
    lines = []
    for name in label.split(" · "):
        lines.append("")
        for part in re.split(r"(?<=[ /-])", name):
            if lines[-1] and len(lines[-1]) + len(part.rstrip()) > _LABEL_LETTERS:
                lines.append("")
            lines[-1] += part
    return _BREAK.join(line.strip() for line in lines)


def heat_map(rows: Iterable[Row], *, x_title: str, y_title: str, value: str) -> dict[str, Any]:
    """Shares as a grid with their numbers.

    Args:
        rows: `x`, `y` and `value` (a share).
        x_title: of the columns.
        y_title: of the rows.
        value: what the numbers are.
    """
    alt = require_altair()
    values = [dict(row) for row in rows]
    columns = list(dict.fromkeys(row["x"] for row in values))
    lines = list(dict.fromkeys(row["y"] for row in values))
    highest = max((row["value"] for row in values), default=1.0)
    base = alt.Chart(alt.NamedData(name=_ROWS)).encode(
        x=alt.X(
            "x:N",
            sort=columns,
            title=x_title,
            axis=alt.Axis(orient="top", labelAngle=0 if len(columns) < 4 else -30, grid=False),
        ),
        y=alt.Y("y:N", sort=lines, title=None, axis=alt.Axis(grid=False)),
        tooltip=[
            alt.Tooltip("y:N", title=y_title),
            alt.Tooltip("x:N", title=x_title),
            alt.Tooltip("value:Q", title=value, format=".1%"),
        ],
    )
    scale = alt.Scale(scheme="blues", domain=[0, max(highest, 0.01)])
    cells = base.mark_rect(cornerRadius=2).encode(
        color=alt.Color("value:Q", scale=scale, legend=None)
    )
    texts = base.mark_text(fontSize=12).encode(
        text=alt.Text("value:Q", format=".1%"),
        color=alt.condition(
            f"datum.value > {0.55 * highest!r}", alt.value("white"), alt.value("#14213d")
        ),
    )
    return _spec(alt.layer(cells, texts).properties(height=30 * len(lines)), values)


def scatter_chart(
    rows: Iterable[Row], *, x_title: str, y_title: str, colors: Sequence[str] = ()
) -> dict[str, Any]:
    """A point for each label, with the interval of y.

    Args:
        rows: `label`, `x`, `value`, `low`, `high`.
        x_title: with the unit.
        y_title: of a share.
        colors: labels in the order of the legend.
    """
    alt = require_altair()
    values = [dict(row) for row in rows]
    labels = list(colors) or [row["label"] for row in values]
    base = alt.Chart(alt.NamedData(name=_ROWS)).encode(
        x=alt.X(
            "x:Q",
            title=x_title,
            scale=alt.Scale(zero=False, nice=True),
            axis=alt.Axis(format=",~s", tickCount=6),
        ),
        color=alt.Color(
            "label:N", sort=labels, title=None, legend=_legend(labels), scale=_many(labels)
        ),
        tooltip=[
            alt.Tooltip("label:N", title="model"),
            alt.Tooltip("x:Q", title=x_title, format=",.1f"),
            alt.Tooltip("value:Q", title=y_title, format=".1%"),
        ],
    )
    axis = alt.Axis(format=".0%")
    y_scale = alt.Scale(zero=False, nice=True)
    y = alt.Y("value:Q", title=y_title, axis=axis, scale=y_scale)
    layers = [base.mark_point(filled=True, size=90, opacity=1).encode(y=y)]
    if any(row["low"] is not None for row in values):
        rules = base.mark_rule(strokeWidth=1.5, opacity=0.6)
        layers.insert(0, rules.encode(y=alt.Y("low:Q", title=y_title), y2="high:Q"))
    return _spec(alt.layer(*layers).properties(height=300), values)


def line_chart(
    rows: Iterable[Row],
    *,
    x_title: str,
    y_title: str,
    is_share: bool = False,
    is_log: bool = False,
    has_points: bool = False,
    has_band: bool = False,
    is_step: bool = False,
    colors: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A line for each label.

    Args:
        rows: `label`, `x`, `value`, and `low`, `high` for a band or for error bars.
        x_title: with the unit.
        y_title: with the unit.
        is_share: y is a share.
        is_log: x is logarithmic.
        has_points: mark the measured values.
        has_band: draw the intervals.
        is_step: the value holds until the next one.
        colors: label -> colour.
    """
    alt = require_altair()
    values = [dict(row) for row in rows]
    labels = list(dict.fromkeys(row["label"] for row in values))
    form = ".0%" if is_share else ",.1~f"
    x_scale = alt.Scale(type="log", nice=False) if is_log else alt.Scale(zero=False, nice=False)
    ticks: dict[str, Any] = {"tickCount": 6}
    if is_log and has_points:
        ticks = {"values": sorted({row["x"] for row in values})}
    palette = [(colors or {}).get(label) for label in labels]
    color_scale = alt.Scale(domain=labels, range=palette) if all(palette) else _many(labels)
    base = alt.Chart(alt.NamedData(name=_ROWS)).encode(
        x=alt.X(
            "x:Q",
            title=x_title,
            scale=x_scale,
            axis=alt.Axis(format=",~s", labelSeparation=6, **ticks),
        ),
        color=alt.Color(
            "label:N", sort=labels, title=None, legend=_legend(labels), scale=color_scale
        ),
        tooltip=[
            alt.Tooltip("label:N", title=" "),
            alt.Tooltip("x:Q", title=x_title, format=",~g"),
            alt.Tooltip("value:Q", title=y_title, format=form),
        ],
    )
    y = alt.Y(
        "value:Q",
        title=y_title,
        axis=alt.Axis(format=form),
        # The interval of a length may reach below none.
        scale=alt.Scale(zero=not has_band) if is_share else alt.Scale(domainMin=0),
    )
    layers = []
    if has_band:
        layers.append(
            base.mark_area(opacity=0.14, line=False, clip=True).encode(y="low:Q", y2="high:Q")
        )
    layers.append(
        base.mark_line(
            strokeWidth=2,
            interpolate="step-after" if is_step else "linear",
            point=alt.OverlayMarkDef(size=45, filled=True) if has_points else False,
        ).encode(y=y)
    )
    return _spec(alt.layer(*layers).properties(height=280), values)


def _legend(labels: Sequence[str]) -> Any:
    """Below the chart, where there is more than one thing to tell apart."""
    alt = require_altair()
    if len(labels) < 2:
        return None
    longest = max(map(len, labels))
    columns = 3 if longest < 16 else (2 if longest < 26 else 1)
    return alt.Legend(orient="bottom", columns=min(columns, len(labels)), symbolOpacity=1)


def _many(labels: Sequence[str]) -> Any:
    """Colours for more than ten things; the theme's otherwise."""
    alt = require_altair()
    return alt.Scale(scheme="tableau20") if len(labels) > 10 else alt.Undefined


def _tooltip(values: Sequence[Row], form: str) -> list[alt.Tooltip]:
    alt = require_altair()
    found = [alt.Tooltip("label:N", title=" ")]
    if any("group" in row for row in values):
        found.append(alt.Tooltip("group:N", title=" "))
    more = form.replace(".0%", ".1%")
    return [
        *found,
        alt.Tooltip("value:Q", format=more),
        alt.Tooltip("low:Q", title="95% from", format=more),
        alt.Tooltip("high:Q", title="to", format=more),
    ]


_ROWS = "rows"
"""The name of a chart's data: Altair would look at each row several times."""


def _spec(chart: Any, rows: Sequence[Row]) -> dict[str, Any]:
    spec: dict[str, Any] = chart.properties(width="container").to_dict(validate=False)
    spec["datasets"] = {**spec.get("datasets", {}), _ROWS: list(rows)}
    spec.pop("config", None)
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec
