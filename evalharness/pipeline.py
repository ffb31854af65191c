"""run(): from problems to a run folder; generation, checking and storing go on at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from evalharness.checking import CheckerPool
from evalharness.engines import open_engine, require_engine
from evalharness.engines.base import (
    Completion,
    Engine,
    ModelRecord,
    OutlivesDeaths,
    PreparedPrompt,
    Request,
    request_seed,
)
from evalharness.errors import EngineError, InputError
from evalharness.plan import RunPlan, response_keys
from evalharness.records import (
    Problem,
    Response,
    ResponseKey,
    Verdict,
)
from evalharness.scoring import Scorer, answer_formats, store_verdicts, verdict_table
from evalharness.sink import Sink
from evalharness.spec import open_spec, record_death, record_model
from evalharness.store import (
    DAMAGED,
    JSONL,
    SPEC,
    RecoveredResponses,
    RunWriter,
)

_MOST_NAMED = 10
_MOST_OVERLONG = 5


class Progress(Protocol):
    """What a run tells of itself while it goes on."""

    def stage(self, text: str) -> None:
        """What begins now."""

    def expect(self, total: int, done: int) -> None:
        """How many responses there will be, and how many are there already."""

    def response(self, response: Response) -> None:
        """One more came from the engine."""

    def judged(self, verdict: Verdict) -> None:
        """One more was checked; called from another thread."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a finished run leaves."""

    folder: Path
    verdicts: str
    """The name of the verdict table."""
    num_kept: int
    num_generated: int
    num_failed: int
    """Responses that the engine couldn't give: wrong until a next run gives them."""


def run(plan: RunPlan, folder: Path, progress: Progress) -> RunResult:
    """Draw and check every response that `folder` doesn't hold yet; those it holds are kept.

    Raises:
        StoreError: the folder holds another run, or can't be written.
        EngineError: a model can't be loaded or fails; everything drawn before is stored.
        InputError: a prompt doesn't fit the context and `overlong` is `refuse`.
    """
    problems = {problem.problem_id: problem for problem in plan.problems}
    wanted = response_keys(
        plan.models,
        [template.name for template in plan.templates],
        problems,
        plan.sampling.num_samples,
        plan.shard,
    )
    with ExitStack() as stack:
        writer = stack.enter_context(RunWriter(folder))
        spec = open_spec(plan, writer)
        writer.write_problems(problems.values())
        recovered = writer.recover()
        _tell_damage(recovered, folder, progress)
        kept = recovered.finished
        progress.expect(total=len(wanted), done=len(kept))

        missing = [key for key in wanted if key not in kept]
        scorer = Scorer(
            problems,
            answer_formats(spec),
            plan.golds,
            progress.judged,
            plan.checker,
            _checker_pool(plan) if missing else None,
        )
        stack.enter_context(scorer)
        scorer.submit_all(each for each in recovered.stored if each.key in kept)

        sink = stack.enter_context(Sink(writer, scorer.submit))
        num_failed = 0
        for response in _generate(plan, problems, missing, spec, writer, progress, stack):
            sink.put(response)
            progress.response(response)
            num_failed += response.finish_reason == "error"
        sink.close()

        progress.stage("checking the last responses")
        verdicts = scorer.finish()
        progress.stage("writing the tables")
        writer.compact()
        name = store_verdicts(writer, verdict_table(plan.golds, plan.checker), verdicts)
        spec["status"] = "complete" if num_failed == 0 else "complete but for failed responses"
        writer.write_json(SPEC, spec)
    return RunResult(
        folder=folder,
        verdicts=name,
        num_kept=len(kept),
        num_generated=len(missing) - num_failed,
        num_failed=num_failed,
    )


def _checker_pool(plan: RunPlan) -> CheckerPool | None:
    """Where responses are checked; None is in worker processes of this machine."""
    if plan.engine != "ray":
        return None
    require_engine("ray")
    from evalharness.engines.ray.checking import RayCheckerPool

    return RayCheckerPool(plan.options.ray_address, checker=plan.checker)


def _tell_damage(recovered: RecoveredResponses, folder: Path, progress: Progress) -> None:
    if recovered.damaged_lines:
        path = folder / JSONL
        shown = ", ".join(f"{path}:{number}" for number in recovered.damaged_lines[:_MOST_NAMED])
        more = len(recovered.damaged_lines) - _MOST_NAMED
        progress.note(
            f"damaged: {shown}{f' and {more} lines more' if more > 0 else ''}; kept aside in "
            f"{DAMAGED}, and what the run then lacks is drawn again"
        )


def _generate(
    plan: RunPlan,
    problems: dict[str, Problem],
    missing: list[ResponseKey],
    spec: dict[str, Any],
    writer: RunWriter,
    progress: Progress,
    stack: ExitStack,
) -> Iterator[Response]:
    """Responses as they finish, one model after the other."""
    by_model: dict[str, list[ResponseKey]] = {}
    for key in missing:
        by_model.setdefault(key.model, []).append(key)
    if not by_model:
        return
    progress.stage("starting the engine")
    engine = open_engine(plan.engine, plan.options)
    stack.callback(engine.close)
    if isinstance(engine, OutlivesDeaths):
        engine.tell = partial(_tell_death, spec, writer, progress)
    for model, keys in by_model.items():
        progress.stage(f"loading {model}")
        record = engine.load(plan.models[model])
        record_model(spec, model, engine, record, writer)
        for note in record.notes:
            progress.note(note)
        progress.stage(f"preparing {len(keys)} prompts for {model}")
        requests, overlong = _requests(plan, problems, keys, engine, record)
        if overlong and plan.overlong == "refuse":
            raise InputError(_describe_overlong(overlong, record))
        writer.write_prompts({each.prompt.sha256: each.prompt.text for each in requests.values()})
        for request in overlong:
            what = f"the prompt of {len(request.prompt.token_ids or ())} tokens fills the context"
            failed = Completion(**_FAILED, key=request.key, error=what)
            yield _response(request, failed, problems)
        progress.stage(f"generating with {model}")
        unanswered = set(requests)
        for completion in engine.generate(list(requests.values()), plan.sampling):
            unanswered.discard(completion.key)
            yield _response(requests[completion.key], completion, problems)
        if unanswered:
            raise EngineError(
                f"the {engine.name} engine gave no response to {len(unanswered)} of "
                f"{len(requests)} requests, {min(unanswered)} first: run the same command again"
            )


def _tell_death(spec: dict[str, Any], writer: RunWriter, progress: Progress, death: str) -> None:
    """Say that an engine died, and keep it."""
    record_death(spec, death, writer)
    progress.note(death)


_FAILED: dict[str, Any] = {"text": "", "num_tokens": None, "finish_reason": "error"}


def _requests(
    plan: RunPlan,
    problems: dict[str, Problem],
    keys: list[ResponseKey],
    engine: Engine,
    record: ModelRecord,
) -> tuple[dict[ResponseKey, Request], list[Request]]:
    """The requests by key, and those whose prompt leaves no room for a single token."""
    templates = {template.name: template for template in plan.templates}
    prepared: dict[tuple[str, str], PreparedPrompt] = {}
    fitting: dict[ResponseKey, Request] = {}
    overlong = []
    for key in keys:
        template = templates[key.template]
        where = (key.template, key.problem_id)
        if where not in prepared:
            prepared[where] = engine.prepare(template.render(problems[key.problem_id]))
        prompt = prepared[where]
        room = plan.sampling.max_tokens
        if record.context_length is not None:
            room = record.context_length - len(prompt.token_ids or ())
        request = Request(
            key=key,
            prompt=prompt,
            seed=request_seed(plan.sampling.seed, key.problem_id, key.sample_index),
            max_tokens=min(plan.sampling.max_tokens, max(room, 1)),
            stop=template.stop,
            keep_stop=template.keep_stop,
        )
        if room < 1:
            overlong.append(request)
        else:
            fitting[key] = request
    return fitting, overlong


def _describe_overlong(overlong: list[Request], record: ModelRecord) -> str:
    # Its samples share a prompt.
    prompts = {(each.key.problem_id, each.key.template): each.prompt for each in overlong}
    lines = [
        f"  {problem_id} with template {template}: {len(prompt.token_ids or ())} tokens"
        for (problem_id, template), prompt in islice(prompts.items(), _MOST_OVERLONG)
    ]
    if len(prompts) > len(lines):
        lines.append(f"  and {len(prompts) - len(lines)} more")
    return (
        f"{len(prompts)} prompts leave no room for an answer in a context of "
        f"{record.context_length} tokens:\n" + "\n".join(lines) + "\nRaise --max-model-len, "
        "or count them as failed with --overlong record."
    )


def _response(request: Request, completion: Completion, problems: dict[str, Problem]) -> Response:
    key, prompt = request.key, request.prompt
    num_prompt = len(prompt.token_ids) if prompt.token_ids is not None else completion.prompt_tokens
    return Response(
        model=key.model,
        template=key.template,
        benchmark=problems[key.problem_id].benchmark,
        problem_id=key.problem_id,
        sample_index=key.sample_index,
        seed=request.seed,
        prompt_sha256=prompt.sha256,
        prompt_tokens=num_prompt,
        response=completion.text,
        num_tokens=completion.num_tokens,
        token_limit=completion.token_limit or request.max_tokens,
        finish_reason=completion.finish_reason,
        stop_reason=completion.stop_reason,
        error=completion.error,
    )
