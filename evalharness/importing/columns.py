"""What every reader makes of a foreign file: rows of our columns, and what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.benchmarks.files import Row

COLUMNS = (
    "benchmark",
    "problem_id",
    "problem",
    "gold",
    "response",
    "model",
    "template",
    "sample_index",
    "n_tokens",
    "finish_reason",
    "token_limit",
    "prompt",
    "label",
)
PROBLEM_IS_PROMPT = "problem_is_prompt"
"""A cell of readers alone: the problem's text may have an instruction around it."""
REQUIRED = ("benchmark", "response", "model", "template")
_WHOLE_COLUMNS = ("sample_index", "n_tokens", "token_limit")
_WHOLE = re.compile(r"-?[0-9]{1,19}(\.0*)?")
"""A column with holes comes out of pandas as 12.0."""
_LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user says about the files."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name -> the file's name of a column; of plain files only."""
    constants: Mapping[str, str] = field(default_factory=dict)
    """Our column -> one value for all rows, whatever the file says."""
    score: str | None = None
    """Which of the source's scores is its verdict; None takes the one that the reader knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file, read."""

    path: Path
    format: str
    rows: Sequence[Row]
    """Cells by the names in `COLUMNS`; a name that is missing has no value."""
    has_task_names: bool = False
    """Whether its benchmarks are names that a harness gave to tasks, not ours or the user's."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """For the run's record: the harness, its version, how it sampled."""
    notes: tuple[str, ...] = ()
    """What the file has and the run can't carry, or what was chosen among several."""


def value_of_text(name: str, text: str | None) -> Any:
    """What a cell of CSV or a flag says, which know only texts; an empty one says nothing.

    A text that is no value of its column stays, and is refused with its place.
    """
    if not text and name != "response":
        return None
    if text and name in _WHOLE_COLUMNS and _WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    if text and name == "label":
        return _LABELS.get(text.lower(), text)
    return text
