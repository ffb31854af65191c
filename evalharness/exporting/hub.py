"""Scores as the `.eval_results/*.yaml` of a model's repository on the Hugging Face hub."""

from __future__ import annotations

from typing import Any, NamedTuple

from evalharness import __version__
from evalharness.benchmarks.definition import definition_paths, read_definition
from evalharness.benchmarks.sources import HubDataset
from evalharness.errors import InputError
from evalharness.exporting.gathering import ExportedRun, Part
from evalharness.exporting.places import Target, safe_names


class _Entry(NamedTuple):
    dataset: HubDataset
    value: float
    notes: str


def export_hub(run: ExportedRun, target: Target) -> list[str]:
    """`<model>/.eval_results/<benchmark>.yaml` with the accuracy in percent, one entry a template.

    A benchmark that is no data set of the hub, or only a training split, has no place in this
    format, nor has a score over some of its problems only: both are left out, and said.

    Source: huggingface_hub, `EvalResultEntry`; https://huggingface.co/docs/hub/eval-results.

    Raises:
        InputError: nothing of the run fits, or it isn't finished.
    """
    if run.status == "unfinished":
        raise InputError(f"{run.name} is unfinished: run its command again, then export the score")
    notes = [
        "values are percent; the task id is the config of the data set, or default: compare it "
        "with the eval.yaml of the data set's repository before you upload",
        "an entry is one number: n, k, the interval, sampling and checker stand in its notes as "
        "text, responses and lengths nowhere",
    ]
    found: dict[tuple[str, str], list[_Entry]] = {}
    asked = _asked(run)
    for part in run.parts:
        dataset = _dataset(part.benchmark)
        if dataset is None:
            notes.append(f"left out: {part.benchmark} is no data set of the hub, or a part of one")
            continue
        trouble = _incomplete(run, part, asked[part])
        if trouble:
            notes.append(f"left out: {part.model} on {part.benchmark}: {trouble}")
            continue
        entry = _Entry(dataset, *_score(run, part))
        found.setdefault((part.model, part.benchmark), []).append(entry)
    if not found:
        raise InputError(
            f"{run.name}: nothing fits .eval_results: {'; '.join(dict.fromkeys(notes[2:]))}"
        )
    folders = safe_names(model for model, _ in found)
    files = safe_names(benchmark for _, benchmark in found)
    for (model, benchmark), entries in found.items():
        text = _yaml(entries, run.started)
        target.write(text, folders[model], ".eval_results", f"{files[benchmark]}.yaml")
    return list(dict.fromkeys(notes))


def _asked(run: ExportedRun) -> dict[Part, set[str]]:
    """The problems that each part has responses to."""
    asked: dict[Part, set[str]] = {}
    for benchmark, problem, model, template, _ in run.responses.places():
        asked.setdefault(Part(model, template, benchmark), set()).add(problem)
    return asked


def _incomplete(run: ExportedRun, part: Part, asked: set[str]) -> str:
    """Why the score of a part isn't one over the whole benchmark; empty where it is."""
    published = run.spec["benchmarks"].get(part.benchmark, {}).get("num_published")
    if published != len(asked):
        whole = f"of {published} problems" if published else "problems of it, not all"
        return f"{len(asked)} {whole}"
    answerable = sum(bool(run.problems[each].golds_under(run.golds)) for each in asked)
    judged = run.metric(part, "accuracy").get("n") or 0
    if judged != answerable:
        return f"{run.checker} judges {judged:g} of {answerable} problems"
    return ""


def _dataset(benchmark: str) -> HubDataset | None:
    """What a score on a benchmark is a score on; None for a part of a data set, and for no such."""
    found = {
        path.stem: source
        for path in definition_paths()
        for source in read_definition(path).sources
        if isinstance(source, HubDataset)
    }
    mine = found.pop(benchmark, None)
    if mine is None or mine.where:
        return None
    # A score on what a data set is trained on would stand as that on its test.
    tested = {(each.hub, each.config) for each in found.values() if each.split == "test"}
    return None if mine.split != "test" and (mine.hub, mine.config) in tested else mine


def _score(run: ExportedRun, part: Part) -> tuple[float, str]:
    """The accuracy in percent, and what it means in one line."""
    row = run.metric(part, "accuracy")
    sampling = run.sampling
    about = [f"template {part.template}", f"n={row['n']:g}", f"k={row['k']:g}"]
    if row.get("low") is not None:
        about.append(f"95% interval [{100 * row['low']:.1f}, {100 * row['high']:.1f}]")
    about += [f"{name} {sampling[name]}" for name in ("temperature", "max_tokens") if sampling]
    about += [f"checker {run.checker}", f"{run.golds} golds", f"evalharness {__version__}"]
    return round(100 * row["value"], 2), ", ".join(about)


def _yaml(entries: list[_Entry], date: str) -> str:
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    rows: list[dict[str, Any]] = eval_result_entries_to_yaml(
        [
            EvalResultEntry(
                dataset_id=each.dataset.hub,
                task_id=each.dataset.config or "default",
                value=each.value,
                dataset_revision=each.dataset.revision,
                date=date,
                notes=each.notes,
            )
            for each in entries
        ]
    )
    text: str = yaml.safe_dump(rows, sort_keys=False, allow_unicode=True)
    return text
