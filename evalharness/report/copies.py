"""Flags samples that are copies of each other, without reading texts where that can't be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evalharness.analysis.checks import IDENTICAL_SHARE, identical_samples
from evalharness.store import responses_frame

if TYPE_CHECKING:
    import pandas as pd

_CELL = ["model", "template", "benchmark"]


def copied_sample_notes(folder: Path, frame: pd.DataFrame) -> list[str]:
    """A sentence for each model, template and benchmark whose samples are mostly copies.

    Args:
        folder: of the run.
        frame: its judged responses; texts are read only where most problems have samples of one
            length, as copies have.
    """
    # What the engine could not give is empty each time, and no copy.
    given = frame[~frame["finish_reason"].isin(["error"])]
    lengths = given.groupby([*_CELL, "problem_id"], sort=False)["num_tokens"].agg(
        ["size", "nunique"]
    )
    lengths = lengths[lengths["size"] > 1]
    is_same = (lengths["nunique"] <= 1).groupby(level=_CELL, sort=False).mean()
    suspects = is_same[is_same > IDENTICAL_SHARE].index
    if len(suspects) == 0:
        return []
    texts = responses_frame(folder, [*_CELL, "problem_id", "response", "finish_reason"])
    chosen = texts.set_index(_CELL).index.isin(suspects) & ~texts["finish_reason"].isin(["error"])
    return [found.sentence() for found in identical_samples(texts[chosen])]
