"""From a response and the golds to a verdict."""

from __future__ import annotations

from evalharness.checking.extract import (
    ANSWER_PLACES,
    DEFAULT_ANSWER_FORMAT,
    Extraction,
    extract,
    extract_leniently,
)
from evalharness.checking.process import CheckerError
from evalharness.checking.workers import CheckerPool
from evalharness.records import Judgement

__all__ = [
    "ANSWER_PLACES",
    "CHECKER_NAME",
    "DEFAULT_ANSWER_FORMAT",
    "CheckerError",
    "CheckerPool",
    "Extraction",
    "check",
    "checker_version",
    "extract",
    "extract_leniently",
]

CHECKER_NAME = "math-verify"
_REVISION = 1
"""Goes up with every change to extraction or equivalence that can change a verdict."""


def checker_version() -> str:
    """Math-verify's version and the revision of the layer over it: `0.9.0+1`."""
    from importlib.metadata import version

    return f"{version('math-verify')}+{_REVISION}"


def check(
    golds: tuple[str, ...],
    response: str,
    *,
    answer_format: tuple[str, ...] = DEFAULT_ANSWER_FORMAT,
) -> Judgement:
    """One verdict; for many, a `CheckerPool` keeps its workers.

    Raises:
        InputError: `answer_format` names an unknown place.
        CheckerError: no worker can start.
    """
    with CheckerPool(num_workers=1) as pool:
        return pool.submit(response, golds, answer_format).result()
