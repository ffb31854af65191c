"""The section on checkpoints of one training, by their step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalharness.analysis.series import SeriesPoint, checkpoint_series
from evalharness.errors import InputError
from evalharness.report.charts import VERDICT_COLORS, line_chart
from evalharness.report.gather import Gathered
from evalharness.report.parts import Figure, Section, file_name, point
from evalharness.report.tables import Table, percent


def training_section(gathered: Gathered, steps: Mapping[str, int] | None = None) -> Section:
    """Accuracy and both lengths by training step; empty where no two models have one.

    Args:
        gathered: the runs.
        steps: as in `checkpoint_series`; read off the names where it is empty.
    """
    try:
        points = checkpoint_series(gathered.metrics, steps or None)
    except InputError as error:
        return Section(key="training", title="Training", lead="", notes=(str(error),))
    figures = []
    lines = {(each.series, each.template, each.benchmark): None for each in points}
    several_templates = len({each.template for each in points}) > 1
    for series, template, benchmark in lines:
        mine = [
            each
            for each in points
            if (each.series, each.template, each.benchmark) == (series, template, benchmark)
        ]
        name = f"{series} · {template}" if several_templates else series
        heading = f"{gathered.titles[benchmark]}, {name}" if name else gathered.titles[benchmark]
        figures += _series_figures(mine, heading, benchmark)
    return Section(
        key="training",
        title="Training",
        lead="Checkpoints of one training by their step: whether accuracy and length move "
        "together. The bands are 95% intervals of each checkpoint alone, over problems.",
        figures=tuple(figures),
    )


def _series_figures(points: list[SeriesPoint], heading: str, benchmark: str) -> list[Figure]:
    kinds: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
        ("accuracy", "accuracy", {"accuracy": "accuracy"}, {"is_share": True}),
        (
            "length",
            "mean tokens",
            {"tokens_correct": "correct", "tokens_incorrect": "not correct"},
            {"colors": VERDICT_COLORS},
        ),
    ]
    figures = []
    for kind, y_title, metrics, more in kinds:
        found = [
            (name, each.step, each.metrics[metric])
            for metric, name in metrics.items()
            for each in points
            if metric in each.metrics and each.metrics[metric]["value"] is not None
        ]
        if not found:
            continue
        title = f"{heading}: {kind} by training step"
        figures.append(
            Figure(
                name=file_name("series", kind, benchmark, points[0].series, points[0].template),
                title=title,
                spec=line_chart(
                    [point(name, row) | {"x": step} for name, step, row in found],
                    x_title="training step",
                    y_title=y_title,
                    has_points=True,
                    has_band=True,
                    **more,
                ),
                table=Table(
                    title=title,
                    columns=("responses", "step", "value", "from", "to"),
                    rows=tuple(
                        (
                            name,
                            str(step),
                            *(
                                percent(row[each])
                                if kind == "accuracy"
                                else ("–" if row[each] is None else f"{row[each]:,.1f}")
                                for each in ("value", "low", "high")
                            ),
                        )
                        for name, step, row in found
                    ),
                    num_labels=1,
                ),
            )
        )
    return figures
