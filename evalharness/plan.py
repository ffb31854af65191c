"""What a run is made of, before anything is loaded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from evalharness.benchmarks import Benchmark
from evalharness.checking import DEFAULT_CHECKER, check_checker
from evalharness.engines import check_engine_name
from evalharness.engines.base import EngineOptions
from evalharness.errors import InputError
from evalharness.records import GoldChoice, Problem, ResponseKey, Sampling
from evalharness.store import run_id
from evalharness.templates import Template

# Source: vllm/sampling_params.py, _MAX_TEMP: what lies between 0 and this is raised to it.
_COLDEST = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shard:
    """Every `num_shards`-th response of a run, from the `number`-th on."""

    number: int
    """From 0."""
    num_shards: int

    def __str__(self) -> str:
        return f"{self.number}/{self.num_shards}"

    @classmethod
    def from_text(cls, text: str) -> Shard:
        """From `0/4`.

        Raises:
            InputError: it is something else; `4/4` is, because the shards of four are 0 to 3.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()) or int(number) >= int(count):
            raise InputError(
                f'--shard "{text}": write I/N with I from 0 to N - 1: the shards of four are 0/4, '
                "1/4, 2/4 and 3/4"
            )
        return cls(number=int(number), num_shards=int(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Everything that a run is made of.

    Raises:
        InputError: a value or a combination of values that can't work.
    """

    models: dict[str, str]
    """Name in the tables -> folder or hub id."""
    benchmarks: tuple[Benchmark, ...]
    templates: tuple[Template, ...]
    sampling: Sampling
    engine: str = "auto"
    options: EngineOptions = dataclasses.field(default_factory=EngineOptions)
    golds: GoldChoice = "published"
    checker: str = DEFAULT_CHECKER
    limit: int | None = None
    """Problems of each benchmark, from its first; None takes all."""
    shard: Shard | None = None
    """The part of the run that this process draws; None draws all of it."""
    overlong: Literal["refuse", "record"] = "refuse"
    """What to do about a prompt that leaves no room for a token."""
    command: str = ""

    def __post_init__(self) -> None:
        check_checker(self.checker)
        check_engine_name(self.engine)
        sampling = self.sampling
        if sampling.num_samples < 1 or sampling.max_tokens < 1:
            raise InputError("--samples and --max-tokens must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise InputError("--limit must be at least 1")
        if not 0 < sampling.top_p <= 1 or sampling.top_k < 0:
            raise InputError("--top-k can't be negative; --top-p lies in (0, 1]")
        if sampling.temperature != 0 and not _COLDEST <= sampling.temperature < math.inf:
            raise InputError(
                f"--temperature {sampling.temperature:g}: give 0 for greedy, or {_COLDEST} or more "
                "(vLLM draws at no lower one)"
            )
        if sampling.num_samples > 1 and sampling.temperature == 0:
            raise InputError(
                f"--samples {sampling.num_samples} at temperature 0 would give the same response "
                f"{sampling.num_samples} times: set --temperature, or leave --samples at 1"
            )
        for kind, names in [
            ("benchmark", [each.name for each in self.benchmarks]),
            ("template", [each.name for each in self.templates]),
        ]:
            for name in names:
                if names.count(name) > 1:
                    raise InputError(f'{kind} "{name}" is named twice')

    @property
    def problems(self) -> list[Problem]:
        """In the order of the benchmarks, the limit applied."""
        return [problem for each in self.benchmarks for problem in each.problems[: self.limit]]

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs the same: everything that can change a response."""
        identity = {
            "models": dict(self.models),
            "templates": {template.name: template.sha256 for template in self.templates},
            "benchmarks": {each.name: each.fingerprint for each in self.benchmarks},
            "limit": self.limit,
            "sampling": dataclasses.asdict(self.sampling),
            "engine": self.engine,
            "dtype": self.options.dtype,
            "max_model_len": self.options.max_model_len,
        }
        # Only where they are set: the runs from before they were known stay what they are.
        if self.shard is not None:
            identity["shard"] = str(self.shard)
        if self.options.deterministic:
            identity["deterministic"] = True
        return identity


def response_keys(
    models: Iterable[str],
    templates: Iterable[str],
    problem_ids: Iterable[str],
    num_samples: int,
    shard: Shard | None = None,
) -> list[ResponseKey]:
    """Every response of a run, or of a shard of it; the samples of one prompt stand together.

    A shard takes every `num_shards`-th key, so that each gets its part of the hard problems and of
    the long responses.

    Raises:
        InputError: more shards than responses.
    """
    templates, problem_ids = list(templates), list(problem_ids)
    keys = [
        ResponseKey(model, template, problem_id, index)
        for model in models
        for template in templates
        for problem_id in problem_ids
        for index in range(num_samples)
    ]
    if shard is None:
        return keys
    if shard.num_shards > len(keys):
        raise InputError(
            f"--shard {shard}: the run has {len(keys)} responses: take as many shards or fewer"
        )
    return keys[shard.number :: shard.num_shards]


def sorted_places(
    models: Iterable[str],
    templates: Iterable[str],
    problems: Iterable[Problem],
    num_samples: int,
    shard: Shard,
) -> Iterator[tuple[str, str, str, str, int]]:
    """(benchmark, problem, model, template, sample) of what `response_keys` deals to a shard.

    Sorted, one after the other, so that a shard of any size can be gone through.
    """
    in_order = list(problems)
    rows = {each.problem_id: row for row, each in enumerate(in_order)}
    model_rows = sorted((name, row) for row, name in enumerate(models))
    template_rows = sorted((name, row) for row, name in enumerate(templates))
    for problem in sorted(in_order, key=lambda each: (each.benchmark, each.problem_id)):
        for (model, i), (template, j) in product(model_rows, template_rows):
            prompt = (i * len(template_rows) + j) * len(rows) + rows[problem.problem_id]
            first = (shard.number - prompt * num_samples) % shard.num_shards
            for index in range(first, num_samples, shard.num_shards):
                yield problem.benchmark, problem.problem_id, model, template, index


def default_folder(plan: RunPlan) -> Path:
    """`runs/<first model>-<run id>`: the same command finds the same folder again."""
    name = Path(next(iter(plan.models))).name
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
    return Path("runs") / f"{safe.strip('.') or 'run'}-{run_id(plan.identity)[:8]}"


def identity_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What makes two runs different runs, a line each."""
    before, now = _flat(before), _flat(now)
    return [
        f"  {name}: {before.get(name, 'nothing')} -> {now.get(name, 'nothing')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, each in value.items():
        flat |= _flat(each, f"{name}.{key}" if name else key)
    return flat
