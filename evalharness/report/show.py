"""One problem of a run with everything that became of it, for audit."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.errors import InputError
from evalharness.report.gather import choose_verdicts
from evalharness.report.tables import find_model
from evalharness.report.terminal import visible
from evalharness.store import (
    LABELS,
    StoredResponses,
    read_problems,
    read_prompts,
    read_spec,
    read_verdicts,
    response_batches,
    verdict_names,
)

_EXCERPT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The model and the template that are shown; None for all."""

    model: str | None
    template: str | None

    def has(self, each: Any) -> bool:
        """Whether a response, a verdict or a row of either is one of them."""
        return self.model in (None, each.model) and self.template in (None, each.template)


def _asked(spec: Mapping[str, Any], model: str | None, template: str | None) -> _Asked:
    """With the full name of the model.

    Raises:
        InputError: the run has no such model or template.
    """
    if template is not None and template not in spec["templates"]:
        known = ", ".join(spec["templates"])
        raise InputError(f"--template {template}: no such template in this run; it has {known}")
    full = None if model is None else find_model(model, spec["models"])
    return _Asked(model=full, template=template)


def problem_list(
    folder: Path, verdicts: str | None, model: str | None = None, template: str | None = None
) -> list[dict[str, Any]]:
    """Each problem of a run with how often it was solved and at what length.

    Raises:
        InputError: the run has no such model or template.
    """
    asked = _asked(read_spec(folder), model, template)
    correct: dict[str, int] = {}
    for verdict in filter(asked.has, read_verdicts(folder, choose_verdicts(folder, verdicts))):
        correct[verdict.problem_id] = correct.get(verdict.problem_id, 0) + (
            verdict.status == "correct"
        )
    lengths: dict[str, list[int | None]] = {}
    columns = ["model", "template", "problem_id", "num_tokens", "finish_reason"]
    for batch in response_batches(folder, columns):
        for row in batch.itertuples(index=False):
            if asked.has(row):
                is_known = row.finish_reason != "error" and row.num_tokens == row.num_tokens
                lengths.setdefault(row.problem_id, []).append(row.num_tokens if is_known else None)
    rows = []
    for problem in read_problems(folder).values():
        given = lengths.get(problem.problem_id, [])
        known = [length for length in given if length is not None]
        text = " ".join(problem.text.split())
        rows.append(
            {
                "problem_id": problem.problem_id,
                "num_correct": correct.get(problem.problem_id, 0),
                "num_responses": len(given),
                "tokens_mean": sum(known) / len(known) if known else None,
                "problem": text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…",
            }
        )
    return rows


def problem_record(
    folder: Path,
    problem_id: str,
    verdicts: str | None,
    model: str | None = None,
    template: str | None = None,
) -> dict[str, Any]:
    """A problem with its golds and every response with prompt, verdict and that of its source.

    Raises:
        InputError: the run has no such problem, model or template, or no such response to it.
    """
    asked = _asked(read_spec(folder), model, template)
    problems = read_problems(folder)
    if problem_id not in problems:
        close = difflib.get_close_matches(problem_id, problems, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise InputError(f'{folder} has no problem "{problem_id}"{hint}')
    found = {
        verdict.key: verdict
        for verdict in read_verdicts(folder, choose_verdicts(folder, verdicts))
        if verdict.problem_id == problem_id
    }
    theirs = {
        verdict.key: verdict.status
        for verdict in (read_verdicts(folder, LABELS) if LABELS in verdict_names(folder) else ())
        if verdict.problem_id == problem_id
    }
    prompts = read_prompts(folder)
    responses = [
        dataclasses.asdict(response)
        | {
            "prompt": prompts.get(response.prompt_sha256 or ""),
            "verdict": dataclasses.asdict(found[response.key]) if response.key in found else None,
            "source_status": theirs.get(response.key),
        }
        for response in StoredResponses(folder)
        if response.problem_id == problem_id and asked.has(response)
    ]
    if not responses:
        raise InputError(f"{folder} has no response to {problem_id} of that model and template")
    responses.sort(key=lambda row: (row["model"], row["template"], row["sample_index"]))
    return {"problem": dataclasses.asdict(problems[problem_id]), "responses": responses}


def render_problem(record: dict[str, Any]) -> str:
    """The record for a person; control characters of a model are shown, not obeyed."""
    problem = record["problem"]
    lines = [f"━━ {problem['problem_id']}", problem["text"], ""]
    lines.append(f"gold: {' or '.join(problem['golds'])}")
    if problem["corrected_golds"] is not None:
        corrected = " or ".join(problem["corrected_golds"]) or "there is no answer"
        lines.append(f"corrected: {corrected}. {problem['erratum']}")
    shown = None
    for row in record["responses"]:
        if row["prompt"] is not None and row["prompt_sha256"] != shown:
            shown = row["prompt_sha256"]
            lines += ["", f"── prompt ({row['template']}, {row['prompt_tokens']} tokens)"]
            lines.append(row["prompt"])
        length = "?" if row["num_tokens"] is None else row["num_tokens"]
        end = row["finish_reason"] or "end unknown"
        who = f"{row['model']} · {row['template']} · sample {row['sample_index']}"
        lines += [
            "",
            f"── {who} · {length} tokens, {end}",
            row["error"] or row["response"],
        ]
        verdict = row["verdict"]
        if verdict:
            lines.append(f"→ {verdict['status']}: {verdict['reason']}")
            answer = (
                "no answer"
                if verdict["extracted"] is None
                else f"answer {verdict['extracted']!r} by {verdict['extraction']}"
            )
            lines.append(f"  {answer}, decided by {verdict['method'] or 'nothing'}")
            if verdict["lenient_status"] not in (None, verdict["status"]):
                lines.append(
                    f"  elsewhere {verdict['lenient_extracted']!r} by "
                    f"{verdict['lenient_extraction']}: {verdict['lenient_status']}"
                )
        if row["source_status"]:
            lines.append(f"  its source says {row['source_status']}")
    return visible("\n".join(lines))
