"""From stored responses to verdicts, while a run goes on or long after."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from evalharness.benchmarks import Policies, shipped_policies
from evalharness.checking import (
    CHECKERS,
    DEFAULT_ANSWER_FORMAT,
    DEFAULT_CHECKER,
    NO_GROUP,
    Ballot,
    CheckerPool,
    Policy,
    Submission,
    checker_libraries,
    checker_version,
    find_groups,
)
from evalharness.errors import InputError, StoreError
from evalharness.measuring import CORRECTED, metrics_of
from evalharness.records import GoldChoice, Judgement, Problem, Response, ResponseKey, Verdict
from evalharness.store import (
    METRICS,
    RunWriter,
    StoredResponses,
    read_problems,
    read_spec,
)

_MOST_WAITING = 4096
"""Stored responses that are held in memory for the checker."""
_BATCH = 128
"""Of those that are handed to the checker at once."""


def verdict_table(golds: GoldChoice, checker: str = DEFAULT_CHECKER) -> str:
    """The name of the table that a checker writes now: `<checker>@<version>`."""
    name = f"{checker}@{checker_version(checker)}"
    return name + CORRECTED if golds == "corrected" else name


class Scorer:
    """Checks responses in the background and keeps their verdicts.

    A response to a problem that has no answer under the chosen golds gets no verdict.
    """

    def __init__(
        self,
        problems: Mapping[str, Problem],
        answer_formats: Mapping[str, tuple[str, ...]],
        golds: GoldChoice,
        judged: Callable[[Verdict], None] | None = None,
        checker: str = DEFAULT_CHECKER,
        pool: CheckerPool | None = None,
    ) -> None:
        """Check here, or by `pool`, which is closed with this."""
        self._problems = problems
        self._policies = problem_policies(problems)
        self._answer_formats = answer_formats
        self._golds = golds
        self._judged = judged
        self._pool = pool or CheckerPool(checker=checker)
        self._verdicts: dict[ResponseKey, Verdict] = {}
        self._failures: list[BaseException] = []
        self._num_waiting = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.close()

    def submit(self, response: Response) -> None:
        """Have one response checked; a response that the engine couldn't give is an `error`.

        Raises:
            StoreError: it answers a problem that isn't there.
        """
        self._submit([response])

    def submit_all(self, responses: Iterable[Response]) -> None:
        """The same with many, no more than a few thousand at a time."""
        remaining = iter(responses)
        while batch := list(islice(remaining, _BATCH)):
            with self._changed:
                self._changed.wait_for(lambda: self._num_waiting < _MOST_WAITING)
            self._submit(batch)

    def _submit(self, responses: Sequence[Response]) -> None:
        asked: list[Response] = []
        submissions: list[Submission] = []
        for response in responses:
            problem = self._problems.get(response.problem_id)
            if problem is None:
                raise StoreError(
                    f"problems.jsonl has no {response.problem_id}, which a response answers"
                )
            golds = problem.golds_under(self._golds)
            if golds and response.finish_reason == "error":
                self._keep(_verdict(response, _no_response(response, golds[0])))
            elif golds:
                places = self._answer_formats.get(response.template, DEFAULT_ANSWER_FORMAT)
                policy = self._policies[response.problem_id]
                asked.append(response)
                submissions.append(Submission(response.response, golds, places, policy))
        if not asked:
            return
        future = self._pool.submit_all(submissions)
        with self._changed:
            self._num_waiting += len(asked)
        # Only who waits for its verdict holds a response: they are large, and there are many.
        future.add_done_callback(lambda done: self._take_in(asked, done))

    def finish(self) -> list[Verdict]:
        """Wait for the last one and give all verdicts, sorted by key.

        Raises:
            CheckerError: no worker process can start.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._num_waiting == 0)
        if self._failures:
            raise self._failures[0]
        verdicts = [self._verdicts[key] for key in sorted(self._verdicts)]
        return with_answer_groups(verdicts, self._policies, self._pool)

    def _take_in(self, responses: Sequence[Response], done: Future[list[Judgement]]) -> None:
        error = CancelledError() if done.cancelled() else done.exception()
        judgements = [] if error is not None else done.result()
        try:
            for response, judgement in zip(responses, judgements, strict=error is None):
                self._keep(_verdict(response, judgement))
        finally:
            with self._changed:
                if error is not None:
                    self._failures.append(error)
                self._num_waiting -= len(responses)
                self._changed.notify_all()

    def _keep(self, verdict: Verdict) -> None:
        with self._changed:
            self._verdicts[verdict.key] = verdict
        if self._judged:
            self._judged(verdict)


def with_answer_groups(
    verdicts: Sequence[Verdict], policies: Mapping[str, Policy], pool: CheckerPool
) -> list[Verdict]:
    """The verdicts with which samples of a problem gave the same answer, where it has several.

    The correct ones are one group, because each equals the gold; the others are compared with each
    other by the rules of the checker.

    Raises:
        CheckerError: no worker process can start.
    """
    samples: dict[tuple[str, str, str], list[int]] = {}
    for place, each in enumerate(verdicts):
        samples.setdefault((each.model, each.template, each.problem_id), []).append(place)
    several = [places for places in samples.values() if len(places) > 1]
    ballots = [
        Ballot(
            [None if verdicts[at].status == "correct" else verdicts[at].extracted for at in places],
            policies[verdicts[places[0]].problem_id],
        )
        for places in several
    ]
    grouped = list(verdicts)
    for places, groups in zip(several, find_groups(ballots, pool), strict=True):
        for at, number, undecided in zip(places, groups.numbers, groups.num_undecided, strict=True):
            is_correct = verdicts[at].status == "correct"
            group = 0 if is_correct else None if number == NO_GROUP else number + 1
            grouped[at] = dataclasses.replace(
                verdicts[at], answer_group=group, answer_group_undecided=undecided
            )
    return grouped


def _no_response(response: Response, gold: str) -> Judgement:
    return Judgement(
        status="error",
        extracted=None,
        extraction=None,
        gold=gold,
        method=None,
        reason=f"no response: {response.error}",
        num_milliseconds=0.0,
        lenient_status="error",
    )


def _verdict(response: Response, judgement: Judgement) -> Verdict:
    judged = {each.name: getattr(judgement, each.name) for each in dataclasses.fields(judgement)}
    return Verdict(
        model=response.model,
        template=response.template,
        benchmark=response.benchmark,
        problem_id=response.problem_id,
        sample_index=response.sample_index,
        **judged,
    )


def problem_policies(problems: Mapping[str, Problem]) -> dict[str, Policy]:
    """What counts as the same answer to each problem.

    A run from before policies were stored gets those of the shipped benchmarks by name.

    Raises:
        StoreError: the stored policy of a problem is not one.
    """
    shipped: dict[str, Policies | None] = {}
    policies = {}
    for name, problem in problems.items():
        stored = problem.policy
        if stored is None:
            if problem.benchmark not in shipped:
                shipped[problem.benchmark] = shipped_policies(problem.benchmark)
            found = shipped[problem.benchmark]
            row = problem.problem_id.rpartition("/")[2]
            stored = found.of(int(row) if row.isdecimal() else -1).changes() if found else {}
        try:
            policies[name] = Policy.from_table(stored)
        except ValueError as error:
            raise StoreError(f"problems.jsonl: {name}: policy: {error}") from error
    return policies


def answer_formats(spec: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Where each template of a run has its answer."""
    return {name: tuple(each["answer_format"]) for name, each in spec["templates"].items()}


def score_run(
    folder: Path,
    golds: GoldChoice,
    judged: Callable[[Verdict], None] | None = None,
    checker: str = DEFAULT_CHECKER,
) -> str:
    """Check every stored response again, without generating; the name of the table it wrote.

    Raises:
        StoreError: the folder is no run, or another process is writing it.
        InputError: the run has no responses, or there is no such checker.
    """
    spec = read_spec(folder)
    with RunWriter(folder) as writer:
        responses = StoredResponses(folder)
        if next(iter(responses.places()), None) is None:
            raise InputError(f"{folder}: the run has no responses yet; nothing to score")
        problems = read_problems(folder)
        with Scorer(problems, answer_formats(spec), golds, judged, checker) as scorer:
            scorer.submit_all(responses)
            verdicts = scorer.finish()
        return store_verdicts(writer, verdict_table(golds, checker), verdicts)


def store_verdicts(
    writer: RunWriter, name: str, verdicts: Iterable[Verdict], *, is_sorted: bool = False
) -> str:
    """Write a verdict table, with the versions it depends on, and the metrics that follow."""
    is_ours = name.partition("@")[0] in CHECKERS
    versions = checker_libraries() if is_ours else None
    writer.write_verdicts(name, verdicts, versions, is_sorted=is_sorted)
    writer.write_json(METRICS, metrics_of(writer.folder, name))
    return name
