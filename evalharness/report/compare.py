"""The answers of runs, against a baseline among them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalharness.analysis.aligning import Answers
from evalharness.analysis.clusters import stem_clusters
from evalharness.analysis.comparison import Comparison, compare_all
from evalharness.errors import InputError
from evalharness.measuring import judged_frame, num_unjudged
from evalharness.records import Problem
from evalharness.report.answers import AnswersByCell, answers_by_cell
from evalharness.report.compare_tables import comparison_tables
from evalharness.report.gather import choose_verdicts, folder_labels, run_notes
from evalharness.report.tables import as_markdown, find_model, short_names
from evalharness.report.terminal import as_terminal, visible
from evalharness.store import read_problems, read_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRuns:
    """Everything that was compared, and what was not."""

    rows: tuple[Comparison, ...]
    titles: dict[str, str]
    """Benchmark -> its title for people."""
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    """Sentences: what of these runs has no counterpart in the baseline."""


def compare_runs(
    folders: Sequence[Path],
    baseline: str,
    *,
    common: bool = False,
    verdicts: str | None = None,
    models: Sequence[str] = (),
) -> ComparedRuns:
    """Every model and template of some runs against one of them.

    Args:
        folders: run folders.
        baseline: `MODEL` or `MODEL:TEMPLATE`, the model as the report shows it or in full. Without
            a template every template is compared with the baseline's own response to it; where the
            baseline has only one template, with that.
        common: compare what is shared where problems, golds or caps differ.
        verdicts: a table of RUN/verdicts; the newest otherwise.
        models: compare only these; all otherwise.

    Raises:
        StoreError: a folder is no run.
        InputError: the baseline or a model is unknown, or runs can't be compared.
    """
    cells: AnswersByCell = {}
    problems: dict[str, Problem] = {}
    left_out: list[str] = []
    titles: dict[str, str] = {}
    notes: dict[str, None] = {}
    for folder, label in zip(folders, folder_labels(folders), strict=True):
        spec = read_spec(folder)
        titles |= {key: value["title"] for key, value in spec["benchmarks"].items()}
        notes |= dict.fromkeys(run_notes(spec, choose_verdicts(folder, verdicts)))
        problems |= read_problems(folder)
        found = _read_cells(folder, verdicts, left_out)
        for (model, template), answers in found.items():
            key = (model, template)
            if key in cells and cells[key].keys() & answers.keys():
                key = (f"{model} ({label})", template)
                answers = {name: _renamed(each, key[0]) for name, each in answers.items()}
            cells.setdefault(key, {}).update(answers)
    base_model, base_template = find_baseline(baseline, cells)
    known = list(dict.fromkeys(model for model, _ in cells))
    wanted = {find_model(each, known) for each in models or known}
    pairs = []
    for (model, template), answers in cells.items():
        base = (base_model, base_template or template)
        if (model, template) == base or model not in wanted:
            continue
        name = f"{model}:{template}"
        if base not in cells:
            left_out.append(f"{name}: {base_model} was not run under {template}")
            continue
        shared = [each for each in cells[base] if each in answers]
        missing = [each for each in answers if each not in shared]
        if not shared:
            left_out.append(f"{name}: no benchmark in common with {base_model}:{base[1]}")
            continue
        if missing:
            left_out.append(f"{name}: {', '.join(missing)}: the baseline was not run on it")
        pairs.append(([cells[base][each] for each in shared], [answers[each] for each in shared]))
    if not pairs:
        raise InputError(
            "nothing to compare with the baseline: " + "; ".join(left_out or ["it is alone"])
        )
    rows = compare_all(pairs, common, stem_clusters(problems.values()))
    return ComparedRuns(
        rows=tuple(rows), titles=titles, notes=tuple(notes), left_out=tuple(left_out)
    )


def render_comparison(compared: ComparedRuns, form: str) -> str:
    """The tables as `terminal` or `markdown`."""
    tables = comparison_tables(compared.rows, compared.titles, compared.notes)
    return visible(as_markdown(tables)) if form == "markdown" else as_terminal(tables)


def _read_cells(folder: Path, verdicts: str | None, left_out: list[str]) -> AnswersByCell:
    name = choose_verdicts(folder, verdicts)
    frame = judged_frame(folder, name)
    if missing := num_unjudged(folder, name, frame):
        left_out.append(f"{folder}: {missing} responses have no verdict under {name}")
    return answers_by_cell(frame, read_spec(folder), read_problems(folder), name)


def _renamed(answers: Answers, model: str) -> Answers:
    return dataclasses.replace(answers, model=model)


def find_baseline(baseline: str, cells: Iterable[tuple[str, str]]) -> tuple[str, str | None]:
    """The model and template meant; None for the template that the compared one has.

    Raises:
        InputError: there is no such model or template.
    """
    cells = list(cells)
    models = list(dict.fromkeys(model for model, _ in cells))
    known = {name: name for name in models} | {
        short: name for name, short in short_names(models).items()
    }
    model, template = baseline, None
    if baseline not in known:
        model, _, template = baseline.rpartition(":")
    if model not in known:
        known_names = [f"{model}:{template}" for model, template in cells]
        close = difflib.get_close_matches(baseline, [*known, *known_names], n=1, cutoff=0.3)
        hint = f'; did you mean "{close[0]}"?' if close else f": it has {', '.join(known_names)}"
        raise InputError(f"--baseline {baseline}: no such model in these runs{hint}")
    model = known[model]
    templates = [each for name, each in cells if name == model]
    if template is not None and template not in templates:
        raise InputError(f"--baseline {baseline}: {model} was run under {', '.join(templates)}")
    if template is None and len(templates) == 1:
        template = templates[0]
    return model, template
