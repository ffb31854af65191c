"""The section on what the texts do: formats, loops, second thoughts, going on after the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evalharness.analysis.text import continuation, find_loop, format_rates, reflection
from evalharness.report.gather import Cell, Gathered
from evalharness.report.parts import Section
from evalharness.report.tables import Table, percent

if TYPE_CHECKING:
    import pandas as pd


def text_section(gathered: Gathered, texts: pd.DataFrame, labels: Mapping[Cell, str]) -> Section:
    """Signals of each model and template.

    Args:
        gathered: the runs.
        texts: from `chosen_texts`; of a big run some of its responses.
        labels: names of models and templates.
    """
    asked = {
        (number, template): tuple(about["answer_format"])
        for number, run in enumerate(gathered.runs)
        for template, about in run.spec["templates"].items()
    }
    rows = []
    for cell in gathered.cells:
        part = texts[(texts["model"] == cell[0]) & (texts["template"] == cell[1])]
        if len(part):
            formats = asked[int(part["run"].iloc[0]), cell[1]]
            rows.append((labels[cell], *_signals(part, formats)))
    notes = [
        "Strict: correct, with the answer where the template asks for it first; lenient: wherever "
        "the checker found it. Loop: ends in a repetition. Second thoughts: keywords such as "
        '"wait" or "let me check". Goes on: text after the first answer; new question: poses one '
        "to itself, as base models do."
    ]
    if len(texts) < len(gathered.frame):
        notes.append(f"Over {len(texts):,} of {len(gathered.frame):,} responses.")
    return Section(
        key="texts",
        title="What the texts do",
        lead="Signs of format and of rambling, in percent of the responses unless said otherwise.",
        tables=(
            Table(
                title="Text signals",
                columns=(
                    "model",
                    "answered",
                    "boxed",
                    "strict",
                    "lenient",
                    "loop",
                    "goes on",
                    "new question",
                    "second thoughts",
                    "per 1k tokens",
                ),
                rows=tuple(rows),
                num_labels=1,
                notes=tuple(notes),
            ),
        ),
    )


def _signals(part: pd.DataFrame, formats: tuple[str, ...]) -> tuple[str, ...]:
    texts = part["response"].tolist()
    extractions = [each if isinstance(each, str) else None for each in part["extraction"]]
    form = format_rates(texts, extractions, (part["status"] == "correct").tolist(), formats[:1])
    tokens = [None if each != each else float(each) for each in part["num_tokens"]]
    thoughts = reflection(texts, part["problem_id"].tolist(), tokens)
    goes_on = [continuation(text) for text in texts]
    num = len(texts)
    if form is None or thoughts is None:
        return ("–",) * 9
    return (
        percent(form.answered),
        percent(form.boxed),
        percent(form.accuracy_strict),
        percent(form.accuracy_lenient),
        percent(sum(find_loop(text) is not None for text in texts) / num),
        percent(sum((each.characters_after_answer or 0) > 0 for each in goes_on) / num),
        percent(sum(each.starts_new_question for each in goes_on) / num),
        percent(thoughts.share_of_responses),
        "–" if thoughts.per_1000_tokens is None else f"{thoughts.per_1000_tokens:.2f}",
    )
