"""What the texts do: formats, loops, second thoughts, going on after the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalharness.analysis.text import (
    REFLECTION_KEYWORDS,
    continuation,
    find_loop,
    format_rates,
    reflection,
)
from evalharness.report.gather import Gathered
from evalharness.report.parts import Section
from evalharness.report.tables import Table, percent, short_names

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    *("responses", "answered", "boxed", "tagged", "strict", "lenient"),
    *("loop", "goes on", "new question", "never stops"),
    *("second thoughts", "of problems", "a response", "a 1000 tokens"),
)


def text_section(
    gathered: Gathered, texts: pd.DataFrame, keywords: Sequence[str] = REFLECTION_KEYWORDS
) -> Section:
    """The table of `text_table` as a section."""
    return Section(
        key="texts",
        title="What the texts do",
        lead="Signs of format and of rambling, in percent of the responses unless said otherwise.",
        tables=(text_table(gathered, texts, keywords),),
    )


def text_table(
    gathered: Gathered, texts: pd.DataFrame, keywords: Sequence[str] = REFLECTION_KEYWORDS
) -> Table:
    """Signals of each model and template.

    Args:
        gathered: the runs.
        texts: from `chosen_texts`; of a big run some of its responses.
        keywords: of second thoughts.
    """
    names = short_names(model for model, _ in gathered.cells)
    asked = {
        (number, template): tuple(about["answer_format"])
        for number, run in enumerate(gathered.runs)
        for template, about in run.spec["templates"].items()
    }
    parts = dict(list(texts.groupby(["model", "template"], sort=False)))
    rows = []
    for cell in gathered.cells:
        if cell in parts:
            formats = asked[int(parts[cell]["run"].iloc[0]), cell[1]]
            rows.append((names[cell[0]], cell[1], *_signals(parts[cell], formats, keywords)))
    notes = [
        "Strict: correct, with the answer where the template asks for it first; lenient: also "
        "where the answer stands elsewhere. Loop: ends in a repetition. Goes on: text after the "
        "first answer; new question: poses one to itself, as base models do; never stops: reached "
        "the token limit. Second thoughts: responses, and problems, with a keyword such as "
        f'"{keywords[0]}"; keywords a response and a 1000 tokens.'
    ]
    if len(texts) < len(gathered.frame):
        notes.append(f"Over {len(texts):,} of {len(gathered.frame):,} responses.")
    return Table(
        title="What the texts do, in % of responses",
        columns=("model", "template", *_COLUMNS),
        rows=tuple(rows),
        num_labels=2,
        notes=tuple(notes),
    )


def _signals(
    part: pd.DataFrame, formats: tuple[str, ...], keywords: Sequence[str]
) -> tuple[str, ...]:
    texts = part["response"].tolist()
    extractions = [each if isinstance(each, str) else None for each in part["extraction"]]
    strict = (part["status"] == "correct").tolist()
    form = format_rates(texts, extractions, strict, formats[:1])
    tokens = [None if each != each else float(each) for each in part["num_tokens"].astype(float)]
    thoughts = reflection(texts, part["problem_id"].tolist(), tokens, keywords)
    if form is None or thoughts is None:
        return ("–",) * len(_COLUMNS)
    goes_on = [continuation(text) for text in texts]
    num, finish = len(texts), part["finish_reason"]
    lenient = (part["status"] == "correct") | (part["lenient_status"] == "correct")
    is_known = part["lenient_status"].notna().any()  # not in a table of an old or other checker
    return (
        f"{num:,}",
        percent(form.answered),
        percent(form.boxed),
        percent(form.tagged),
        percent(form.accuracy_strict),
        percent(float(lenient.mean()) if is_known else None),
        percent(sum(find_loop(text) is not None for text in texts) / num),
        percent(sum((each.characters_after_answer or 0) > 0 for each in goes_on) / num),
        percent(sum(each.starts_new_question for each in goes_on) / num),
        percent(float((finish == "length").mean()) if finish.notna().all() else None),
        percent(thoughts.share_of_responses),
        percent(thoughts.share_of_problems),
        f"{thoughts.per_response:.2f}",
        "–" if thoughts.per_1000_tokens is None else f"{thoughts.per_1000_tokens:.2f}",
    )
