"""What every reader makes of a foreign file: rows of our columns, and what it says of itself."""

from __future__ import annotations

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
WHOLE_COLUMNS = ("sample_index", "n_tokens", "token_limit")
REQUIRED = ("benchmark", "response", "model", "template")


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
