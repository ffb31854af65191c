"""The report as one HTML file that needs no network: tables, charts, and a response browser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evalharness import __version__
from evalharness.errors import MissingExtraError
from evalharness.paths import cache_folder
from evalharness.report.browser import browser_data, chosen_rows, chosen_texts
from evalharness.report.embedding import json_text, packed, script_hash, script_text
from evalharness.report.gather import Cell, Gathered, folder_labels
from evalharness.report.options import ReportOptions
from evalharness.report.parts import Figure, Links, Section
from evalharness.report.provenance import run_facts
from evalharness.report.sections import report_sections
from evalharness.report.tables import Table
from evalharness.store import write_atomically

if TYPE_CHECKING:
    import pandas as pd

TEXT_LIMIT = 20_000
"""Responses with their texts in one file, unless asked otherwise."""
INDEX_LIMIT = 100_000
"""Responses in one file that is made without texts."""
_LONG_TABLE = 12
_ALWAYS_OPEN = ("accuracy", "glance")
"""Sections whose tables are the answer, however long."""
_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}")
_PLACEHOLDER = re.compile(r"\{\{([a-z_]+)\}\}")

_LONGEST_ON_ONE_LINE = 24
"""Letters of a cell."""


def html_report(
    gathered: Gathered,
    *,
    title: str,
    options: ReportOptions | None = None,
) -> str:
    """The whole page.

    Args:
        gathered: the runs.
        title: the heading.
        options: without texts only numbers and problem ids are put in.

    Raises:
        InputError: the baseline isn't in these runs, or there is no such published row.
        MissingExtraError: the extra [report] isn't installed.
    """
    options = options or ReportOptions()
    with_texts = options.with_texts
    limit = options.num_responses
    if limit is None:
        limit = TEXT_LIMIT if with_texts else INDEX_LIMIT
    texts = chosen_texts(gathered, limit if with_texts and limit else TEXT_LIMIT)
    sections = report_sections(gathered, options, texts)
    specs: list[dict[str, Any]] = []
    scripts = {
        "theme_script": _asset("theme.js"),
        "vega_script": script_text(vega_bundle()),
        "math_script": script_text(_asset("temml.min.js")),
        "page_script": "".join(
            _asset(name) + "\n" for name in ("charts.js", "math.js", "browser.js")
        ),
    }
    cells = {cell: number for number, cell in enumerate(gathered.cells)}
    places = cells if limit else {}
    body = "\n".join(_section(section, specs, places) for section in sections)
    responses, data = (
        _responses(gathered, texts if with_texts else chosen_rows(gathered, limit), with_texts)
        if limit
        else ("", "")
    )
    navigation = [(section.key, section.key.capitalize()) for section in sections]
    navigation += [("provenance", "Provenance")] + [("responses", "Responses")] * bool(limit)
    return fill(
        _asset("page.html"),
        {
            **scripts,
            "version": escape(__version__),
            "title": escape(title),
            "style": _style(),
            "script_hashes": " ".join(script_hash(code) for code in scripts.values()),
            "navigation": "".join(
                f'<a href="#{key}">{escape(name)}</a>' for key, name in navigation
            ),
            "lead": "".join(_note(note, note in gathered.warnings) for note in gathered.notes),
            "sections": body + _provenance(gathered),
            "responses": responses,
            "footer": f"<p>Made by evalharness {escape(__version__)}.</p>",
            "chart_specs": json_text(specs),
            "data": data,
        },
    )


def _note(text: str, is_warning: bool) -> str:
    return f'<p class="{"warning" if is_warning else "note"}">{escape(text)}</p>'


def fill(page: str, values: Mapping[str, str]) -> str:
    """Put a value in each `{{name}}`, once: what is put in is not searched again."""
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], page)


def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, kept in the cache: making it takes seconds.

    Raises:
        MissingExtraError: the extra [report] isn't installed.
    """
    try:
        from vl_convert import javascript_bundle
    except ImportError as error:
        raise MissingExtraError("An HTML report", "report") from error
    path = cache_folder() / f"vega-{version('vl-convert-python')}.js"
    if path.exists():
        return path.read_text(encoding="utf-8")
    bundle: str = javascript_bundle()  # type: ignore[call-arg] # its stub forgets the default
    with suppress(OSError):  # a cache that can't be written only costs time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, bundle)
    return bundle


def _style() -> str:
    """Temml's rules for mathematics without its web font, and ours."""
    return _FONT_FACE.sub("", _asset("temml.css")) + _asset("report.css")


def _asset(name: str) -> str:
    return (files("evalharness.report") / "page" / name).read_text(encoding="utf-8")


def _section(section: Section, specs: list[dict[str, Any]], places: Mapping[Cell, int]) -> str:
    parts = [
        f'<section id="{section.key}" aria-labelledby="{section.key}-title">',
        f'<h2 id="{section.key}-title">{escape(section.title)}</h2>',
        f'<p class="lead">{escape(section.lead)}</p>',
    ]
    parts += [f'<p class="warning">{escape(note)}</p>' for note in section.notes]
    is_open = section.key in _ALWAYS_OPEN
    tables = [_foldable(table, is_open=is_open) for table in section.tables]
    figures = "".join(_figure(figure, specs) for figure in section.figures)
    shown = f'<div class="figures">{figures}</div>' if figures else ""
    parts += [*tables, shown] if section.key == "accuracy" else [shown, *tables]
    if section.links:
        parts.append("<details><summary>Which problems</summary>")
        parts += [_links(links, places) for links in section.links]
        parts.append("</details>")
    return "\n".join([*parts, "</section>"])


def _links(links: Links, places: Mapping[Cell, int]) -> str:
    """Problem ids that open the response browser, where there is one."""
    items = []
    for target in links.targets:
        name = escape(target.problem_id)
        if places:
            place = (
                f"#r={quote(target.problem_id, safe='')}&a={places[target.cell]}"
                f"&b={places[target.beside]}&s=0"
            )
            name = f'<a href="{escape(place)}">{name}</a>'
        items.append(name)
    return f"<p><strong>{escape(links.title)}</strong>: {', '.join(items)}</p>"


def _figure(figure: Figure, specs: list[dict[str, Any]]) -> str:
    specs.append(figure.spec)
    label = f"{figure.title}: a chart; the table below it has the same numbers"
    return (
        f"<figure><figcaption>{escape(figure.title)}</figcaption>"
        f'<div class="chart" role="img" data-chart="{len(specs) - 1}" '
        f'data-name="{escape(figure.name)}" aria-label="{escape(label)}"></div>'
        f"<details><summary>Table</summary>{html_table(figure.table, has_title=False)}</details>"
        "</figure>"
    )


def _foldable(table: Table, *, is_open: bool) -> str:
    """The table; a long one behind its title."""
    if is_open or len(table.rows) <= _LONG_TABLE:
        return html_table(table)
    title = f"{escape(table.title)} ({len(table.rows)} rows)"
    return f"<details><summary>{title}</summary>{html_table(table, has_title=False)}</details>"


def html_table(table: Table, *, has_title: bool = True) -> str:
    """A table with its notes; every text in it is escaped.

    A template stands below its model, so that the first column alone names the row on a phone.
    """
    is_joined = table.columns[:2] == ("model", "template")
    hidden = {1} if is_joined else set()
    head = "".join(
        f'<th scope="col"{_label(number, table)}>{escape(column)}</th>'
        for number, column in enumerate(table.columns)
        if number not in hidden
    )
    rows = []
    for line, row in enumerate(table.rows):
        cells = []
        for number, text in enumerate(row):
            shown = _two_lines(text)
            if (line, number) in table.best:
                shown = f"<strong>{shown}</strong>"
            if number == 0:
                below = f" <small>{escape(row[1])}</small>" if is_joined else ""
                cells.append(f'<th scope="row">{shown}{below}</th>')
            elif number not in hidden:
                words = ' class="words"' if _is_prose(text) else ""
                cells.append(f"<td{_label(number, table) or words}>{shown}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    caption = f"<caption>{escape(table.title)}</caption>" if has_title else ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def _is_prose(text: str) -> bool:
    """Words enough to be worth several lines; numbers and their intervals stay on one."""
    return len(text) > _LONGEST_ON_ONE_LINE and "[" not in text


def _two_lines(text: str) -> str:
    """Escaped, with an interval in brackets below its number."""
    value, space, interval = text.partition(" [")
    if not space or not interval.endswith("]"):
        return escape(text)
    return f"{escape(value)} <small>[{escape(interval)}</small>"


def _label(number: int, table: Table) -> str:
    return ' class="label"' if number < table.num_labels else ""


def _provenance(gathered: Gathered) -> str:
    parts = [
        '<section id="provenance" aria-labelledby="provenance-title">',
        '<h2 id="provenance-title">Provenance</h2>',
    ]
    labels = folder_labels([run.folder for run in gathered.runs])
    for run, label in zip(gathered.runs, labels, strict=True):
        parts.append(f"<h3>{escape(label)}</h3>")
        parts.append(_facts(run_facts(run)))
    return "\n".join([*parts, "</section>"])


def _facts(facts: Iterable[tuple[str, Sequence[str]]]) -> str:
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{'<br>'.join(map(escape, values))}</dd>"
        for name, values in facts
    )
    return f'<dl class="facts">{lines}</dl>'


def _responses(gathered: Gathered, rows: pd.DataFrame, with_texts: bool) -> tuple[str, str]:
    """The section and the data of the response browser."""
    found = browser_data(gathered, rows, with_texts)
    held, total = len(rows), len(gathered.frame)
    lead = "Every response with its verdict; name two models to see them side by side."
    if held < total:
        lead = (
            f"{held:,} of {total:,} responses, equally many of each model and template, first "
            "samples first. Name two models to see them side by side."
        )
    blocks = [_data_block("response-index", packed(found.index))]
    blocks += [
        _data_block(f"texts-{number}", packed(chunk)) for number, chunk in enumerate(found.chunks)
    ]
    section = fill(_asset("responses.html"), {"lead": escape(lead)})
    return section, "\n".join(blocks)


def _data_block(name: str, text: str) -> str:
    return f'<script type="application/gzip" id="{name}">{text}</script>'
