"""The tables behind `report --details`: lengths by verdict, texts, checkpoint series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evalharness.analysis.length import (
    Lengths,
    VerdictLength,
    budget_curve,
    length_by_verdict,
)
from evalharness.analysis.series import checkpoint_series
from evalharness.analysis.text import continuation, find_loop, format_rates, reflection
from evalharness.errors import InputError
from evalharness.records import GoldChoice
from evalharness.report.gather import Gathered, RunSource
from evalharness.report.tables import Table, number, percent, percent_interval, short_names
from evalharness.store import read_problems, responses_frame, verdicts_frame

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_BUDGET = 256
MOST_BUDGETS = 8
"""Columns of the budget table: the smallest doubled, as far as the longest response."""


def detail_tables(gathered: Gathered) -> list[Table]:
    """Lengths by verdict, accuracy at token budgets, what the texts do, checkpoint series."""
    names = short_names(model for model, _ in gathered.cells)
    tables = [verdict_table(gathered, names), budget_table(gathered, names)]
    tables.append(text_table(gathered, names))
    return [*tables, *series_tables(gathered.metrics, gathered.titles)]


def cell_lengths(part: pd.DataFrame) -> Lengths:
    """The lengths of the judged responses of one model, template and benchmark."""
    finish = part["finish_reason"]
    return Lengths(
        problem_N=part["problem_id"].astype("category").cat.codes.to_numpy(np.int64),
        status_N=part["status"].to_numpy(str),
        tokens_N=part["num_tokens"].to_numpy(float, na_value=np.nan),
        truncated_N=(finish == "length").to_numpy(bool) if finish.notna().all() else None,
    )


def _cells(gathered: Gathered) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Model, template and benchmark with their responses, in the order of the report."""
    groups = dict(list(gathered.frame.groupby(["model", "template", "benchmark"], sort=False)))
    return [
        ((model, template, benchmark), groups[model, template, benchmark])
        for model, template in gathered.cells
        for benchmark in gathered.benchmarks
        if (model, template, benchmark) in groups
    ]


def verdict_table(gathered: Gathered, names: Mapping[str, str]) -> Table:
    """Share, mean, median and 90th percentile of the length for each verdict."""
    rows: list[tuple[str, ...]] = []
    notes: dict[str, None] = {}
    for (model, template, benchmark), part in _cells(gathered):
        for each in length_by_verdict(cell_lengths(part)):
            if each.num_responses == 0:
                continue
            rows.append(
                (
                    names[model],
                    template,
                    gathered.titles[benchmark],
                    each.verdict,
                    str(each.num_responses),
                    percent(each.share.value),
                    _mean(each),
                    _tokens(each.median),
                    _tokens(each.p90),
                    percent(each.truncated_share),
                )
            )
            notes |= dict.fromkeys(note for note in each.notes if "don't say" in note)
    return Table(
        title="Length in tokens by verdict",
        columns=(
            *("model", "template", "benchmark", "verdict"),
            *("responses", "share %", "mean", "median", "p90", "truncated %"),
        ),
        rows=tuple(rows),
        num_labels=4,
        notes=(
            *(f"{note[0].upper()}{note[1:]}." for note in notes),
            "Means are restricted to the token limit; a quantile beyond it is a dash. Truncated: "
            "cut at the limit and not correct. Undecided: the checker could not read or decide.",
        ),
    )


def _mean(each: VerdictLength) -> str:
    if each.mean is None:
        return "–"
    if each.mean.low is None or each.mean.high is None:
        return f"{each.mean.value:,.0f}"
    return f"{each.mean.value:,.0f} [{each.mean.low:,.0f}, {each.mean.high:,.0f}]"


def _tokens(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def budget_table(gathered: Gathered, names: Mapping[str, str]) -> Table:
    """Accuracy if every response had been stopped at a budget of tokens, the same for all."""
    longest = gathered.frame["num_tokens"].astype(float).max()
    budgets = [SMALLEST_BUDGET]
    while budgets[-1] < longest and len(budgets) < MOST_BUDGETS:
        budgets.append(2 * budgets[-1])
    rows = []
    for (model, template, benchmark), part in _cells(gathered):
        lengths = cell_lengths(part)
        if np.isnan(lengths.tokens_N).all():
            continue
        curve = budget_curve(lengths)
        places = np.searchsorted(curve.budgets, budgets, side="right") - 1
        cells = [percent(float(curve.accuracies[place])) for place in places]
        rows.append((names[model], template, gathered.titles[benchmark], *cells))
    return Table(
        title="Accuracy in % within a budget of tokens",
        columns=("model", "template", "benchmark", *(f"{budget:,}" for budget in budgets)),
        rows=tuple(rows),
        num_labels=3,
        notes=("Correct, ended by itself, and no longer than the budget.",),
    )


def text_table(gathered: Gathered, names: Mapping[str, str]) -> Table:
    """Format, loops, second thoughts and running on, for each model and template."""
    rows = []
    for place, run in enumerate(gathered.runs):
        frame = gathered.frame[gathered.frame["run"] == place]
        rows += _text_rows(run, frame, names)
    return Table(
        title="What the texts do, in % of responses",
        columns=(
            *("model", "template", "responses", "answered", "boxed", "tagged"),
            *("strict", "lenient", "loop", "new question", "never stops"),
            *("second thoughts", "a response", "a 1000 tokens"),
        ),
        rows=tuple(rows),
        num_labels=2,
        notes=(
            "Strict: correct with the answer where the template asks for it first; lenient: also "
            "where the answer stands elsewhere. Loop: ends in a repetition. Never stops: reached "
            "the token limit. Second thoughts: share of responses with a keyword, keywords a "
            "response, keywords a 1000 tokens.",
        ),
    )


def _text_rows(
    run: RunSource, frame: pd.DataFrame, names: Mapping[str, str]
) -> list[tuple[str, ...]]:
    key = ["model", "template", "problem_id", "sample_index"]
    texts = responses_frame(run.folder, [*key, "response"])
    rules = verdicts_frame(run.folder, run.verdicts)[[*key, "extraction"]]
    both = texts.merge(rules, on=key, validate="one_to_one")
    if run.renamed:
        both["model"] = both["model"].map(run.renamed)
    both = frame.merge(both, on=key, validate="one_to_one")
    lenient = _also_correct(run, both)
    rows: list[tuple[str, ...]] = []
    for (model, template), part in both.groupby(["model", "template"], sort=False):
        responses = part["response"].tolist()
        asked = run.spec["templates"][template]["answer_format"][:1]
        extractions = [each if isinstance(each, str) else None for each in part["extraction"]]
        correct = (part["status"] == "correct").tolist()
        kept = format_rates(responses, extractions, correct, asked)
        tokens = part["num_tokens"].astype(float).tolist()
        thoughts = reflection(responses, part["problem_id"].tolist(), tokens)
        if kept is None or thoughts is None:
            continue
        finish = part["finish_reason"]
        never = float((finish == "length").mean()) if finish.notna().all() else None
        count = len(part)
        extra = sum(at in lenient for at in part.index) / count
        per_1000 = thoughts.per_1000_tokens
        rows.append(
            (
                names[model],
                template,
                str(count),
                percent(kept.answered),
                percent(kept.boxed),
                percent(kept.tagged),
                percent(kept.accuracy_strict),
                percent(kept.accuracy_lenient + extra),
                percent(sum(find_loop(text) is not None for text in responses) / count),
                percent(sum(continuation(text).starts_new_question for text in responses) / count),
                percent(never),
                percent(thoughts.share_of_responses),
                f"{thoughts.per_response:.2f}",
                "–" if per_1000 is None else f"{per_1000:.2f}",
            )
        )
    return rows


def _also_correct(run: RunSource, frame: pd.DataFrame) -> set[int]:
    """Rows without an answer in the template's format that any other format makes correct."""
    from evalharness.checking import DEFAULT_ANSWER_FORMAT, CheckerPool

    problems = read_problems(run.folder)
    silent = frame[(frame["status"] == "no_answer") & (frame["response"] != "")]
    if silent.empty:
        return set()
    choice: GoldChoice = "corrected" if run.is_corrected else "published"
    pool = CheckerPool()
    try:
        futures = {
            at: pool.submit(text, problems[problem_id].golds_under(choice), DEFAULT_ANSWER_FORMAT)
            for at, problem_id, text in zip(
                silent.index, silent["problem_id"], silent["response"], strict=True
            )
        }
        return {at for at, each in futures.items() if each.result().status == "correct"}
    finally:
        pool.close()


def series_tables(
    metrics: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    steps: Mapping[str, int] | None = None,
) -> list[Table]:
    """Accuracy and both lengths against the training step, a table a series; none without steps.

    Args:
        metrics: rows as in metrics.json.
        titles: benchmark -> its title for people.
        steps: as in `checkpoint_series`.
    """
    try:
        points = checkpoint_series(metrics, steps)
    except InputError as error:
        if steps is not None:
            raise
        return [Table(title="Checkpoints", columns=(), rows=(), num_labels=0, notes=(str(error),))]
    lines: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for point in points:
        found = point.metrics
        lines.setdefault((point.series, point.template), []).append(
            (
                titles.get(point.benchmark, point.benchmark),
                str(point.step),
                percent_interval(found["accuracy"]),
                *(
                    number(found[name]) if name in found else "–"
                    for name in ("tokens_mean", "tokens_correct", "tokens_incorrect")
                ),
                percent(found["truncated"]["value"]) if "truncated" in found else "–",
            )
        )
    return [
        Table(
            title=f"Checkpoints of {series or 'one training'} under {template}",
            columns=(
                *("benchmark", "step", "accuracy", "tokens", "correct", "not correct"),
                "truncated",
            ),
            rows=tuple(rows),
            num_labels=2,
        )
        for (series, template), rows in lines.items()
    ]
