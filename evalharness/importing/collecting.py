"""From foreign rows to the problems, responses and labels of one run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evalharness.benchmarks import ProblemIndex
from evalharness.benchmarks.golds import GOLD_RULES
from evalharness.errors import InputError
from evalharness.importing.cells import identifier_or_none, need_text, shown, whole_or_none
from evalharness.importing.columns import PROBLEM_IS_PROMPT, REQUIRED
from evalharness.records import Problem, Response, ResponseKey, Verdict


@dataclass(slots=True)
class Collected:
    """What the rows of all files come to."""

    problems: dict[str, Problem] = field(default_factory=dict)
    responses: dict[ResponseKey, Response] = field(default_factory=dict)
    places: dict[ResponseKey, str] = field(default_factory=dict)
    labels: list[Verdict] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    num_samples: dict[tuple[str, str, str], int] = field(default_factory=dict)
    num_matched: dict[str, int] = field(default_factory=dict)
    num_other_gold: dict[str, int] = field(default_factory=dict)


def collect(
    collected: Collected,
    place: str,
    cells: Mapping[str, Any],
    index: ProblemIndex,
    count: Callable[[str], int] | None,
) -> None:
    """Add one row: its problem, its response and the source's own verdict on it.

    Raises:
        InputError: a cell is missing or wrong, or the row repeats another one.
    """
    text = {name: _required(place, name, cells.get(name)) for name in REQUIRED}
    problem = _problem(collected, place, text["benchmark"], cells, index)
    response = text["response"]
    where = (text["model"], text["template"], problem.problem_id)
    sample = whole_or_none(place, "sample_index", cells.get("sample_index"))
    if sample is None:
        sample = collected.num_samples.get(where, 0)
    collected.num_samples[where] = collected.num_samples.get(where, 0) + 1
    key = ResponseKey(*where, sample)
    if key in collected.places:
        raise InputError(
            f"{place}: {key.problem_id} of {key.model} with template {key.template}, sample "
            f"{sample}, stands at {collected.places[key]} already: give it another sample_index"
        )
    num_tokens = whole_or_none(place, "n_tokens", cells.get("n_tokens"))
    prompt = cells.get("prompt")
    sha256 = None
    if isinstance(prompt, str):
        prompt = need_text(place, "prompt", prompt, may_be_empty=True)
        sha256 = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
        collected.prompts[sha256] = prompt
    finish = cells.get("finish_reason")
    if finish not in (None, "stop", "length", "error"):
        raise InputError(
            f'{place}: finish_reason must be "stop", "length" or "error", not {shown(finish)}'
        )
    collected.places[key] = place
    collected.responses[key] = Response(
        model=key.model,
        template=key.template,
        benchmark=problem.benchmark,
        problem_id=key.problem_id,
        sample_index=sample,
        seed=None,
        prompt_sha256=sha256,
        prompt_tokens=None,
        response=response,
        num_tokens=count(response) if num_tokens is None and count else num_tokens,
        token_limit=whole_or_none(place, "token_limit", cells.get("token_limit")),
        finish_reason=finish,
    )
    if cells.get("label") is not None:
        collected.labels.append(_label(place, key, problem, cells.get("label")))


def _problem(
    collected: Collected,
    place: str,
    benchmark: str,
    cells: Mapping[str, Any],
    index: ProblemIndex,
) -> Problem:
    text = cells.get("problem") if isinstance(cells.get("problem"), str) else None
    identifier = identifier_or_none(place, "problem_id", cells.get("problem_id"))
    if text is None and identifier is None:
        raise InputError(f"{place}: a row needs a problem or a problem_id")
    known = index.find(benchmark, identifier, text)
    if known is None and text is not None and cells.get(PROBLEM_IS_PROMPT):
        known = index.find_in_prompt(benchmark, text)
    if known is not None:
        collected.num_matched[known.benchmark] = collected.num_matched.get(known.benchmark, 0) + 1
        if cells.get("gold") is not None and not _is_same_gold(cells.get("gold"), known):
            number = collected.num_other_gold.get(known.benchmark, 0)
            collected.num_other_gold[known.benchmark] = number + 1
        return collected.problems.setdefault(known.problem_id, known)
    if cells.get("gold") is None:
        raise InputError(
            f'{place}: the row matches no problem of a known benchmark "{benchmark}" and brings no '
            "gold of its own"
        )
    if identifier is None:
        identifier = hashlib.sha256((text or "").encode()).hexdigest()[:12]
    if not identifier.startswith(f"{benchmark}/"):
        identifier = f"{benchmark}/{identifier}"
    problem = Problem(
        benchmark=benchmark,
        problem_id=identifier,
        text=text or "",
        golds=_golds(place, cells.get("gold")),
    )
    first = collected.problems.setdefault(identifier, problem)
    if first != problem:
        raise InputError(
            f"{place}: {identifier} stands for another problem or gold further up: ids must differ"
        )
    return first


def _is_same_gold(value: Any, known: Problem) -> bool:
    try:
        return _golds("", value) == known.golds
    except InputError:
        return False


def _golds(place: str, value: Any) -> tuple[str, ...]:
    try:
        return GOLD_RULES["list" if isinstance(value, list) else "plain"](value)
    except ValueError as error:
        raise InputError(f"{place}: gold: {error}") from error


def _required(place: str, name: str, value: Any) -> str:
    if value is None and name != "response":
        raise InputError(
            f'{place}: "{name}" must be a text, and the file doesn\'t say it: give one to all rows '
            f"with --set {name}=..."
        )
    return need_text(place, name, value, may_be_empty=name == "response")


def _label(place: str, key: ResponseKey, problem: Problem, label: Any) -> Verdict:
    if not isinstance(label, bool | int | float) or label not in (0, 1):
        raise InputError(f"{place}: label must be true or false, not {shown(label)}")
    return Verdict(
        model=key.model,
        template=key.template,
        benchmark=problem.benchmark,
        problem_id=key.problem_id,
        sample_index=key.sample_index,
        status="correct" if label else "incorrect",
        extracted=None,
        extraction=None,
        gold=problem.golds[0],
        method="label",
        reason="the source's own label",
        num_milliseconds=0.0,
    )


def _token_counter(name: str) -> Callable[[str], int]:
    from evalharness.engines.checkpoints import open_tokenizer

    tokenizer = open_tokenizer(name)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return count
