"""A run, its verdicts and its problems brought together, for every export format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, product
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import InputError, StoreError
from evalharness.exporting.judged import VerdictTable
from evalharness.measuring import CORRECTED, metrics_of
from evalharness.records import GoldChoice, Problem, Response
from evalharness.store import (
    LABELS,
    PROBLEMS,
    StoredResponses,
    read_problems,
    read_prompts,
    read_spec,
    verdict_names,
)


class Part(NamedTuple):
    """Of what other tools make one file."""

    model: str
    template: str
    benchmark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRun:
    """Everything that a format may carry."""

    name: str
    """Of the run's folder."""
    spec: Mapping[str, Any]
    responses: StoredResponses
    """As they are stored: by benchmark and problem; each is read when it is asked for."""
    parts: tuple[Part, ...]
    """Those with responses, in the order of run.json."""
    problems: Mapping[str, Problem]
    prompts: Mapping[str, str]
    """By sha256; a run that was imported may have none."""
    checker: str
    """The name of the verdict table."""
    golds: GoldChoice
    verdicts: VerdictTable
    """A response without one has a problem without an answer under these golds."""
    labels: VerdictTable
    """The verdicts of the harness that the run was imported from."""
    metrics: tuple[Mapping[str, Any], ...]
    """As in metrics.json; empty where a format has no place for them."""

    def by_part(self) -> Iterator[tuple[Part, list[Response]]]:
        """The responses of one part at a time, by problem and sample.

        Those of one benchmark are held together, and no more.
        """
        order = {name: at for at, name in enumerate(self.problems)}
        for benchmark, stored in groupby(self.responses, attrgetter("benchmark")):
            found: dict[Part, list[Response]] = {}
            for each in stored:
                found.setdefault(Part(each.model, each.template, benchmark), []).append(each)
            for part in self.parts:
                if part in found:
                    rows = found.pop(part)
                    rows.sort(key=lambda row: (order[row.problem_id], row.sample_index))
                    yield part, rows

    def metric(self, part: Part, name: str) -> Mapping[str, Any]:
        """One metric row of a part; empty where there is none."""
        wanted = part._asdict() | {"metric": name}
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
    def status(self) -> str:
        """`complete`, `complete but for failed responses` or `unfinished`."""
        return str(self.spec.get("status", "complete"))

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
        StoreError: it isn't a run, or a file of it is damaged.
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
    responses = StoredResponses(folder)
    problems = read_problems(folder)
    found = set()
    for benchmark, problem, model, template, _ in responses.places():
        if problem not in problems:
            raise StoreError(
                f"{folder / PROBLEMS}: {problem} is missing, and the run has responses to it: take "
                "the file again from where this folder came from"
            )
        found.add(Part(model, template, benchmark))
    if not found:
        raise InputError(f"{folder}: the run has no responses; nothing to export")
    known = map(Part._make, product(spec["models"], spec["templates"], spec["benchmarks"]))
    parts = [part for part in known if part in found]
    return ExportedRun(
        name=folder.resolve().name,
        spec=spec,
        responses=responses,
        parts=(*parts, *sorted(found.difference(parts))),
        problems=problems,
        prompts=read_prompts(folder),
        checker=verdicts,
        golds="corrected" if verdicts.endswith(CORRECTED) else "published",
        verdicts=VerdictTable(folder, verdicts),
        labels=VerdictTable(folder, LABELS if LABELS in verdict_names(folder) else None),
        metrics=tuple(metrics_of(folder, verdicts)) if with_metrics else (),
    )
