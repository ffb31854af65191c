"""Every model and template against a baseline: accuracy, length, and corrected p-values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.aligning import Aligned, Answers, align
from evalharness.analysis.clusters import cluster_numbers
from evalharness.analysis.decomposition import (
    Kitagawa,
    Transition,
    WrongLengthChange,
    decompose_wrong_length,
    kitagawa,
    transitions,
)
from evalharness.analysis.draws import Draws
from evalharness.analysis.inflation import (
    Inflation,
    Ratio,
    length_inflation,
    mean_inflation,
)
from evalharness.analysis.paired import (
    Difference,
    flip_law,
    macro_difference,
    paired_difference,
)
from evalharness.analysis.significance import FlipLaw, holm
from evalharness.errors import InputError

AVERAGES = ("macro", "micro")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One model and template against the baseline on one benchmark, or on their average."""

    benchmark: str
    """`macro` and `micro` are the averages over benchmarks and over all problems."""
    model: str
    template: str
    baseline: str
    """`model:template`."""
    accuracy_a: float
    """Of the baseline, over the common problems."""
    accuracy_b: float
    difference: Difference
    p_holm: float
    inflation: Inflation
    change: WrongLengthChange | None
    transitions: tuple[Transition, ...]
    """Empty for `macro`."""
    kitagawa: Kitagawa | None
    fixed: tuple[str, ...]
    """Ids of problems that only the compared one solves."""
    broken: tuple[str, ...]
    """Ids of problems that only the baseline solves."""
    notes: tuple[str, ...]


def compare_all(
    pairs: Sequence[tuple[Sequence[Answers], Sequence[Answers]]],
    common: bool,
    clusters: Mapping[str, int] | None = None,
) -> list[Comparison]:
    """A row a benchmark for each pair, and `macro` and `micro` rows where it has several.

    Holm's correction is over all benchmark rows; macro rows are corrected among themselves, and so
    are micro rows.

    Args:
        pairs: the baseline's answers and those of one other model and template, each benchmark once
            and in the same order.
        common: as in `align`.
        clusters: problem id -> cluster of problems that are not independent of each other.

    Raises:
        InputError: a pair can't be compared; the message has every such pair.
    """
    rows, troubles = compare_possible(pairs, common, clusters)
    if troubles:
        raise InputError("\n".join(troubles))
    return rows


def compare_possible(
    pairs: Sequence[tuple[Sequence[Answers], Sequence[Answers]]],
    common: bool,
    clusters: Mapping[str, int] | None = None,
) -> tuple[list[Comparison], list[str]]:
    """The rows of `compare_all` for what can be compared, and why the rest can't.

    Averages are over the benchmarks that can be.
    """
    aligned: list[list[tuple[Answers, Answers, Aligned]]] = []
    troubles: dict[str, None] = {}
    for pair_a, pair_b in pairs:
        parts = []
        for a, b in zip(pair_a, pair_b, strict=True):
            try:
                parts.append((a, b, align(a, b, common)))
            except InputError as error:
                troubles[str(error)] = None
        aligned.append(parts)
    rows = [row for parts in aligned if parts for row in _pair_rows(parts, clusters)]
    families = ["benchmark" if row.benchmark not in AVERAGES else row.benchmark for row in rows]
    for family in dict.fromkeys(families):
        chosen = [at for at, each in enumerate(families) if each == family]
        adjusted = holm([rows[at].difference.p_value for at in chosen])
        for at, p_holm in zip(chosen, adjusted, strict=True):
            rows[at] = dataclasses.replace(rows[at], p_holm=p_holm)
    return rows, list(troubles)


def _pair_rows(
    parts: Sequence[tuple[Answers, Answers, Aligned]], clusters: Mapping[str, int] | None
) -> list[Comparison]:
    rows, laws = [], []
    for a, b, both in parts:
        cluster_P = cluster_numbers(both.problem_ids, clusters)
        laws.append(flip_law(both.a, both.b, cluster_P))
        rows.append(_row(b.benchmark, a, b, both, cluster_P, laws[-1]))
    if len(rows) > 1:
        a, b, _ = parts[0]
        pooled = _pooled([both for _, _, both in parts])
        micro = _row("micro", a, b, pooled, cluster_numbers(pooled.problem_ids, clusters))
        rows += [_macro_row(rows, macro_difference([row.difference for row in rows], laws)), micro]
    return rows


def _row(
    benchmark: str,
    a: Answers,
    b: Answers,
    both: Aligned,
    cluster_P: NDArray[np.int64] | None,
    law: FlipLaw | None = None,
) -> Comparison:
    difference = paired_difference(both.a, both.b, cluster_P, law)
    inflation = length_inflation(both.a, both.b, cluster_P)
    change = decompose_wrong_length(both.a, both.b)
    notes = [*both.notes, *difference.notes, *_length_notes(inflation, both)]
    return Comparison(
        benchmark=benchmark,
        model=b.model,
        template=b.template,
        baseline=a.name,
        accuracy_a=float(both.a.shares().mean()),
        accuracy_b=float(both.b.shares().mean()),
        difference=difference,
        p_holm=difference.p_value,
        inflation=inflation,
        change=change,
        transitions=tuple(transitions(both.a, both.b)),
        kitagawa=kitagawa(both.a, both.b),
        fixed=tuple(both.problem_ids[at] for at in difference.fixed),
        broken=tuple(both.problem_ids[at] for at in difference.broken),
        notes=tuple(dict.fromkeys(notes)),
    )


def _length_notes(inflation: Inflation, both: Aligned) -> list[str]:
    if inflation.overall is None:
        return ["the lengths aren't known"]
    notes = []
    if inflation.correct is None:
        notes.append("no problem has a correct response of both: no inflation of correct ones")
    if inflation.wrong is None:
        notes.append("no problem has a wrong response of both: no inflation of wrong ones")
    shares = (both.a.truncated_share(), both.b.truncated_share())
    if None in shares:
        notes.append("how responses ended isn't known: lengths may be cut")
    elif any(shares):
        notes.append(
            f"truncated: {100 * (shares[0] or 0):.1f}% of the baseline's and "
            f"{100 * (shares[1] or 0):.1f}% of these; a cap hides inflation"
        )
    return notes


def _macro_row(rows: Sequence[Comparison], difference: Difference) -> Comparison:
    notes = [
        *difference.notes,
        "a wrong-length decomposition isn't defined over unequal benchmarks",
    ]
    ratios: dict[str, Ratio | None] = {}
    for name in ("overall", "correct", "wrong", "excess_wrong"):
        parts = [getattr(row.inflation, name) for row in rows]
        ratios[name] = None if None in parts else mean_inflation(parts)
        if ratios[name] is None:
            notes.append(f"a benchmark has no inflation ({name.replace('_', ' ')})")
    return Comparison(
        benchmark="macro",
        model=rows[0].model,
        template=rows[0].template,
        baseline=rows[0].baseline,
        accuracy_a=sum(row.accuracy_a for row in rows) / len(rows),
        accuracy_b=sum(row.accuracy_b for row in rows) / len(rows),
        difference=difference,
        p_holm=difference.p_value,
        inflation=Inflation(**ratios),
        change=None,
        transitions=(),
        kitagawa=None,
        fixed=tuple(each for row in rows for each in row.fixed),
        broken=tuple(each for row in rows for each in row.broken),
        notes=tuple(notes),
    )


def _pooled(parts: Sequence[Aligned]) -> Aligned:
    """All problems of several benchmarks as one."""
    starts = np.cumsum([0, *(len(part.problem_ids) for part in parts)])

    def joined(draws: Sequence[Draws]) -> Draws:
        ends = [each.is_cut_N for each in draws if each.is_cut_N is not None]
        return Draws(
            problem_N=np.concatenate(
                [each.problem_N + start for each, start in zip(draws, starts, strict=False)]
            ),
            correct_N=np.concatenate([each.correct_N for each in draws]),
            tokens_N=np.concatenate([each.tokens_N for each in draws]),
            is_cut_N=np.concatenate(ends) if len(ends) == len(draws) else None,
        )

    return Aligned(
        a=joined([part.a for part in parts]),
        b=joined([part.b for part in parts]),
        problem_ids=tuple(each for part in parts for each in part.problem_ids),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def comparison_record(row: Comparison) -> dict[str, Any]:
    """A row as `compare --json` prints it; what the data can't carry is None, told in `notes`."""
    difference, change = row.difference, row.change
    return {
        "benchmark": row.benchmark,
        "model": row.model,
        "template": row.template,
        "baseline": row.baseline,
        "n": difference.n,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p_value": difference.p_value,
        "p_holm": row.p_holm,
        "fixed": list(row.fixed),
        "broken": list(row.broken),
        "inflation": _ratio_record(row.inflation.overall),
        "inflation_correct": _ratio_record(row.inflation.correct),
        "inflation_wrong": _ratio_record(row.inflation.wrong),
        "excess_wrong": _ratio_record(row.inflation.excess_wrong),
        "naive_wrong_tokens": change.naive if change else None,
        "matched_wrong_tokens": change.matched if change else None,
        "newly_wrong_tokens": change.newly_wrong if change else None,
        "newly_right_tokens": change.newly_right if change else None,
        "notes": "; ".join(row.notes),
    }


def _ratio_record(ratio: Ratio | None) -> dict[str, Any] | None:
    return dataclasses.asdict(ratio) if ratio else None
