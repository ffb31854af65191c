"""Run folders with chosen responses and verdicts, written without an engine or a checker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.records import FinishReason, Problem, Response, Status, Verdict
from evalharness.scoring import store_verdicts
from evalharness.store import SPEC, RunWriter


class Said(NamedTuple):
    """One response and its verdict."""

    model: str
    template: str
    problem: Problem
    sample: int
    text: str
    status: Status
    tokens: int | None = 10
    finish: FinishReason | None = "stop"
    extracted: str | None = "1"
    prompt: str = "the prompt"


def problem(benchmark: str, row: int, text: str = "How many?", gold: str = "1") -> Problem:
    return Problem(benchmark=benchmark, problem_id=f"{benchmark}/{row}", text=text, golds=(gold,))


def make_run(folder: Path, said: Iterable[Said], *, titles: dict[str, str] | None = None) -> Path:
    """A complete run folder; `titles` orders the benchmarks."""
    rows = list(said)
    problems = {each.problem.problem_id: each.problem for each in rows}
    names = list(titles or dict.fromkeys(each.benchmark for each in problems.values()))
    spec: dict[str, Any] = {
        "format": 1,
        "run_id": "0123456789abcdef",
        "status": "complete",
        "identity": {"sampling": {"temperature": 1.0, "max_tokens": 100}},
        "models": {each.model: {"engine": "made"} for each in rows},
        "templates": {each.template: {"answer_format": ["box"]} for each in rows},
        "benchmarks": {
            name: {
                "title": (titles or {}).get(name, name),
                "fingerprint": "f" * 64,
                "num_problems": sum(each.benchmark == name for each in problems.values()),
                "source": "made",
            }
            for name in names
        },
        "golds": "published",
        "sessions": [
            {
                "started": "2026-01-02T03:04:05+00:00",
                "command": "evalharness run",
                "versions": {"python": "3.11"},
                "hardware": {"cpus": 1},
            }
        ],
    }
    with RunWriter(folder) as writer:
        writer.write_json(SPEC, spec)
        writer.write_problems(problems.values())
        writer.write_prompts({f"sha256 of {each.prompt}": each.prompt for each in rows})
        writer.append(map(_response, rows))
        writer.compact()
        store_verdicts(writer, "checker@1", map(_verdict, rows))
    return folder


def _response(each: Said) -> Response:
    return Response(
        model=each.model,
        template=each.template,
        benchmark=each.problem.benchmark,
        problem_id=each.problem.problem_id,
        sample_index=each.sample,
        seed=1,
        prompt_sha256=f"sha256 of {each.prompt}",
        prompt_tokens=3,
        response=each.text,
        num_tokens=each.tokens,
        token_limit=100,
        finish_reason=each.finish,
    )


def _verdict(each: Said) -> Verdict:
    return Verdict(
        model=each.model,
        template=each.template,
        benchmark=each.problem.benchmark,
        problem_id=each.problem.problem_id,
        sample_index=each.sample,
        status=each.status,
        extracted=each.extracted,
        extraction="box",
        gold=each.problem.golds[0],
        method="exact",
        reason=f"the answer is {each.extracted}",
        num_milliseconds=1.0,
    )
