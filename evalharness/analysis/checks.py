"""Numbers that can't be right: shares that no count gives, samples that are all the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalharness.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class GrimResult:
    """Whether a printed share can be a count over n responses."""

    is_possible: bool
    below: float
    """The nearest possible share below the printed one, in percent, unrounded."""
    above: float
    """The nearest above, or the same as `below` where it is hit."""


def grim(percent: float, num_responses: int, decimals: int = 1) -> GrimResult:
    """Check that a printed percentage is some count over n, rounded.

    Rounding a tie either way is accepted. With several samples a problem, n is problems times
    samples.

    Args:
        percent: as printed.
        num_responses: what was counted.
        decimals: as printed; the check says nothing once n reaches 100 * 10^decimals.

    Raises:
        InputError: there are no responses, or the number isn't a percentage.

    Source: Brown and Heathers 2017 (granularity-related inconsistency of means).
    """
    if num_responses < 1:
        raise InputError(f"a share of {num_responses} responses does not exist")
    if not 0 <= percent <= 100:
        raise InputError(f"{percent} is no percentage")
    half = 0.5 * 10.0**-decimals
    least = math.ceil((percent - half) / 100 * num_responses - _SLACK)
    most = math.floor((percent + half) / 100 * num_responses + _SLACK)
    count = percent / 100 * num_responses
    return GrimResult(
        is_possible=max(least, 0) <= min(most, num_responses),
        below=100 * math.floor(count + _SLACK) / num_responses,
        above=100 * math.ceil(count - _SLACK) / num_responses,
    )


def grim_sentence(percent: float, num_responses: int, decimals: int = 1) -> str | None:
    """What is wrong with a printed percentage; None where it is possible."""
    found = grim(percent, num_responses, decimals)
    if found.is_possible:
        return None
    return (
        f"{percent:.{decimals}f}% of {num_responses} is impossible: the nearest are "
        f"{found.below:.{decimals + 1}f}% and {found.above:.{decimals + 1}f}%"
    )


_STORED_DECIMALS = 6
"""To which an accuracy in percent, stored as a float, must be a count over n k."""


def impossible_accuracies(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each accuracy of metric rows that no count over n problems x k samples gives.

    Averages over benchmarks, and rows where k is no whole number, are no such share and are left
    out. Rows whose problems have unequal numbers of samples are for the caller to leave out.
    """
    sentences = []
    for row in rows:
        value, n, k = row["value"], row["n"], row["k"]
        is_share = row["metric"] == "accuracy" and row["benchmark"] not in ("macro", "micro")
        if not is_share or value is None or not n or not k or k != int(k):
            continue
        where = f"{row['model']} {row['template']} {row['benchmark']}: accuracy"
        if not 0 <= value <= 1:
            sentences.append(f"{where} {value} is no share")
            continue
        sentence = grim_sentence(100 * value, n * int(k), _STORED_DECIMALS)
        if sentence is not None:
            sentences.append(f"{where} {sentence}")
    return sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class IdenticalSamples:
    """A model and template whose samples of a problem are copies of each other."""

    model: str
    template: str
    benchmark: str
    num_problems: int
    """Problems with several samples."""
    num_identical: int
    """Problems all of whose samples are the same text."""

    def sentence(self) -> str:
        return (
            f"{self.model} {self.template} {self.benchmark}: {self.num_identical} of "
            f"{self.num_problems} problems have only copies of one response; were they sampled, "
            "and with different seeds?"
        )


IDENTICAL_SHARE = 0.5
"""Above this share of problems it is flagged: short answers repeat themselves by chance."""


def identical_samples(responses: pd.DataFrame) -> list[IdenticalSamples]:
    """Models, templates and benchmarks most of whose problems have only copies of one response.

    Args:
        responses: with model, template, benchmark, problem_id and response.
    """
    cell = ["model", "template", "benchmark"]
    texts = responses.groupby([*cell, "problem_id"], sort=False)["response"].agg(
        ["size", "nunique"]
    )
    texts = texts[texts["size"] > 1]
    found = []
    for (model, template, benchmark), part in texts.groupby(level=cell, sort=False):
        num_identical = int((part["nunique"] == 1).sum())
        if num_identical > IDENTICAL_SHARE * len(part):
            found.append(
                IdenticalSamples(
                    model=model,
                    template=template,
                    benchmark=benchmark,
                    num_problems=len(part),
                    num_identical=num_identical,
                )
            )
    return found
