"""Logs of Inspect, written by inspect_ai itself."""

from __future__ import annotations

from typing import Any

from evalharness import __version__
from evalharness.errors import MissingExtraError
from evalharness.exporting.gathering import ExportedRun, Part
from evalharness.exporting.places import Target, safe_names
from evalharness.records import Response, Verdict
from evalharness.store.files import disk_in_words, rename_for_good, temporary_beside
from evalharness.store.rows import clean

_STOPS = {"stop": "stop", "length": "max_tokens"}


def export_inspect(run: ExportedRun, target: Target) -> list[str]:
    """One `.eval` a model, template and benchmark; a sample's epoch is its index and 1.

    The scorer `evalharness` holds our verdict, `source` that of the harness of an import.

    Raises:
        MissingExtraError: inspect_ai isn't installed.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError as error:
        raise MissingExtraError("--format inspect", "inspect") from error
    names = safe_names("_".join(part) for part in run.parts)
    for part, responses in run.by_part():
        path = target.claim(f"{names['_'.join(part)]}.eval")
        with disk_in_words(path), temporary_beside(path) as temporary:
            log = _log(run, part, responses)
            write_eval_log(log, str(temporary.resolve()), format="eval")
            rename_for_good(temporary, path)
        target.written.append(path)
    return [
        "Inspect has no place for the seed of a request and the stop string: they stay in the run",
        "statuses other than correct are I (incorrect); the status stands in the score's metadata",
        "token counts are without the end token",
    ]


def _log(run: ExportedRun, part: Part, responses: list[Response]) -> Any:
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalPlan,
        EvalResults,
        EvalScore,
        EvalSpec,
        EvalStats,
    )

    model, template, benchmark = part
    about = run.spec["benchmarks"].get(benchmark, {})
    ids = list(dict.fromkeys(each.problem_id for each in responses))
    accuracy = run.metric(part, "accuracy")
    metrics = {
        name: EvalMetric(name=name, value=accuracy[key])
        for name, key in (("accuracy", "value"), ("stderr", "stderr"))
        if accuracy.get(key) is not None
    }
    return EvalLog(
        status="cancelled" if run.status == "unfinished" else "success",
        eval=EvalSpec(
            created=run.started,
            task=benchmark,
            task_id=f"{benchmark}-{template}",
            dataset=EvalDataset(
                name=benchmark, location=about.get("source"), samples=len(ids), sample_ids=ids
            ),
            model=model,
            config=EvalConfig(epochs=max(each.sample_index for each in responses) + 1),
            model_generate_config=_generation(run, responses),
            packages={"evalharness": __version__},
            metadata={
                "evalharness": {
                    "template": template,
                    "run_id": run.spec["run_id"],
                    "checker": run.checker,
                    "golds": run.golds,
                    "fingerprint": about.get("fingerprint"),
                }
            },
        ),
        plan=EvalPlan(),
        results=EvalResults(
            total_samples=len(responses),
            completed_samples=sum(each.finish_reason != "error" for each in responses),
            scores=[EvalScore(name="evalharness", scorer="evalharness", metrics=metrics)],
        ),
        stats=EvalStats(started_at=run.started, completed_at=run.started),
        samples=[_sample(run, each) for each in responses],
    )


def _generation(run: ExportedRun, responses: list[Response]) -> Any:
    from inspect_ai.model import GenerateConfig

    limits = {each.token_limit for each in responses}
    sampling = run.sampling
    return GenerateConfig(
        max_tokens=next(iter(limits)) if len(limits) == 1 else sampling.get("max_tokens"),
        temperature=sampling.get("temperature"),
        top_p=sampling.get("top_p"),
        top_k=sampling.get("top_k") or None,
        seed=sampling.get("seed"),
    )


def _sample(run: ExportedRun, response: Response) -> Any:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ChatMessageUser,
        ModelOutput,
        ModelUsage,
    )

    problem = run.problems[response.problem_id]
    prompt = clean(run.prompt(response))
    said = ChatMessageAssistant(content=clean(response.response) or "", source="generate")
    usage = None
    if response.num_tokens is not None:
        given = response.prompt_tokens or 0
        usage = ModelUsage(
            input_tokens=given,
            output_tokens=response.num_tokens,
            total_tokens=given + response.num_tokens,
        )
    failed = None
    if response.finish_reason == "error":
        what = clean(response.error) or "no response"
        failed = EvalError(message=what, traceback="", traceback_ansi="")
    return EvalSample(
        id=response.problem_id,
        epoch=response.sample_index + 1,
        input=problem.text,
        target=list(run.golds_of(response)),
        messages=[ChatMessageUser(content=prompt or problem.text, source="input"), said],
        output=ModelOutput(
            model=response.model,
            choices=[
                ChatCompletionChoice(
                    message=said,
                    stop_reason=_STOPS.get(response.finish_reason or "", "unknown"),
                )
            ],
            usage=usage,
        ),
        scores=_scores(run, response),
        error=failed,
        metadata={} if prompt is None else {"prompt": prompt},
    )


def _scores(run: ExportedRun, response: Response) -> dict[str, Any]:
    from inspect_ai.scorer import Score

    scores = {}
    named: tuple[tuple[str, Verdict | None], ...] = (
        ("evalharness", run.verdicts.get(response.key)),
        ("source", run.labels.get(response.key)),
    )
    for name, verdict in named:
        if verdict is not None:
            scores[name] = Score(
                value="C" if verdict.status == "correct" else "I",
                answer=verdict.extracted,
                explanation=verdict.reason,
                metadata={
                    "status": verdict.status,
                    "gold": verdict.gold,
                    "method": verdict.method,
                    "extraction": verdict.extraction,
                },
            )
    return scores
