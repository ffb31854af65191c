"""The charts of a report as files for a paper: SVG, PNG and PDF, without a browser."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evalharness.errors import InputError, MissingExtraError
from evalharness.report.parts import Figure

FORMATS = ("svg", "png", "pdf")
_WIDTH = 420
_PRINT_THEME: dict[str, Any] = {
    "background": "white",
    "font": "DejaVu Sans, Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelLimit": 400,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    },
    "legend": {"labelFontSize": 11, "labelLimit": 380},
    "range": {"category": {"scheme": "tableau10"}},
}


def write_figures(figures: Iterable[Figure], folder: Path, forms: Sequence[str]) -> list[Path]:
    """Each figure in each of `forms`, named after it; the paths.

    Raises:
        MissingExtraError: the extra [report] isn't installed.
        InputError: the folder can't be written.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtraError("A figure file", "report") from error
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in figures:
            spec = {**figure.spec, "width": _WIDTH, "autosize": "pad", "title": figure.title}
            vega = vl_convert.vegalite_to_vega(spec, config=_PRINT_THEME)
            for form in forms:
                path = folder / f"{figure.name}.{form}"
                path.write_bytes(_drawn(vl_convert, vega, form))
                written.append(path)
    except OSError as error:
        raise InputError(f"{folder}: can't be written: {error.strerror}") from error
    return written


def _drawn(vl_convert: Any, vega: Any, form: str) -> bytes:
    if form == "svg":
        text: str = vl_convert.vega_to_svg(vega)
        return text.encode()
    if form == "png":
        image: bytes = vl_convert.vega_to_png(vega, scale=2)
        return image
    document: bytes = vl_convert.vega_to_pdf(vega)
    return document
