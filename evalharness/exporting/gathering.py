"""A run, its verdicts and its problems brought together, for every export format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.errors import InputError
from evalharness.measuring import CORRECTED, metrics_of
from evalharness.records import GoldChoice, Problem, Response, ResponseKey, Verdict
from evalharness.store import (
    LABELS,
    read_problems,
    read_prompts,
    read_responses,
    read_spec,
    read_verdicts,
    verdict_names,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRun:
    """Everything that a format may carry."""

    name: str
    """Of the run's folder."""
    spec: Mapping[str, Any]
    responses: tuple[Response, ...]
    """By model, template and benchmark in the order of run.json, then problem and sample."""
    problems: Mapping[str, Problem]
    prompts: Mapping[str, str]
    """By sha256; a run that was imported may have none."""
    checker: str
    """The name of the verdict table."""
    golds: GoldChoice
    verdicts: Mapping[ResponseKey, Verdict]
    """A response without one has a problem without an answer under these golds."""
    labels: Mapping[ResponseKey, Verdict]
    """The verdicts of the harness that the run was imported from."""
    metrics: tuple[Mapping[str, Any], ...]
    """As in metrics.json; empty where a format has no place for them."""

    def parts(self) -> Iterator[tuple[tuple[str, str, str], list[Response]]]:
        """The responses of one model, template and benchmark at a time."""
        found: dict[tuple[str, str, str], list[Response]] = {}
        for each in self.responses:
            found.setdefault((each.model, each.template, each.benchmark), []).append(each)
        yield from found.items()

    def metric(self, part: tuple[str, str, str], name: str) -> Mapping[str, Any]:
        """One metric row of a model, template and benchmark; empty where there is none."""
        model, template, benchmark = part
        wanted = {"model": model, "template": template, "benchmark": benchmark, "metric": name}
        return next((row for row in self.metrics if wanted.items() <= row.items()), {})

    def golds_of(self, response: Response) -> tuple[str, ...]:
        """What counted as right."""
        return self.problems[response.problem_id].golds_under(self.golds)

    def prompt(self, response: Response) -> str | None:
        """The text that the model was given, where the run has it."""
        return self.prompts.get(response.prompt_sha256 or "")

    def is_correct(self, response: Response) -> bool | None:
        """None where there is no verdict."""
        verdict = self.verdicts.get(response.key)
        return None if verdict is None else verdict.status == "correct"

    @property
    def sampling(self) -> dict[str, Any]:
        """As in run.json; empty where a run was imported."""
        return dict(
            self.spec.get("sampling") or self.spec.get("identity", {}).get("sampling") or {}
        )

    @property
    def started(self) -> str:
        """The start of the run's first session, as ISO 8601."""
        return str(self.spec["sessions"][0]["started"])


def gather(folder: Path, verdicts: str | None, *, with_metrics: bool) -> ExportedRun:
    """Read a run for an export; the metrics cost more than the rest and not every format has them.

    Raises:
        InputError: it has no responses, or no such verdict table.
        StoreError: it isn't a run.
    """
    spec = read_spec(folder)
    names = [name for name in verdict_names(folder) if name != LABELS]
    if verdicts is None and names:
        verdicts = names[-1]
    if verdicts is None or verdicts not in [*names, LABELS]:
        there = f"there are {', '.join(names)}" if names else "there is none"
        raise InputError(
            f"{folder}: no verdict table {verdicts or ''}: {there}: evalharness score {folder} "
            "makes one"
        )
    responses = read_responses(folder)
    if not responses:
        raise InputError(f"{folder}: the run has no responses; nothing to export")
    problems = read_problems(folder)
    order = {
        key: {name: at for at, name in enumerate(values)}
        for key, values in (
            ("model", spec["models"]),
            ("template", spec["templates"]),
            ("benchmark", spec["benchmarks"]),
            ("problem", problems),
        )
    }
    responses.sort(
        key=lambda row: (
            order["model"].get(row.model, 0),
            order["template"].get(row.template, 0),
            order["benchmark"].get(row.benchmark, 0),
            order["problem"].get(row.problem_id, 0),
            row.sample_index,
        )
    )
    labels = read_verdicts(folder, LABELS) if LABELS in verdict_names(folder) else ()
    return ExportedRun(
        name=folder.resolve().name,
        spec=spec,
        responses=tuple(responses),
        problems=problems,
        prompts=read_prompts(folder),
        checker=verdicts,
        golds="corrected" if verdicts.endswith(CORRECTED) else "published",
        verdicts={each.key: each for each in read_verdicts(folder, verdicts)},
        labels={each.key: each for each in labels},
        metrics=tuple(metrics_of(folder, verdicts)) if with_metrics else (),
    )
