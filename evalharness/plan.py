"""What a run is made of, before anything is loaded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalharness.benchmarks import Benchmark
from evalharness.checking import DEFAULT_CHECKER, check_checker
from evalharness.engines.base import EngineOptions
from evalharness.errors import InputError
from evalharness.records import GoldChoice, Problem, Sampling
from evalharness.store import run_id
from evalharness.templates import Template


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
    overlong: Literal["refuse", "record"] = "refuse"
    """What to do about a prompt that leaves no room for a token."""
    command: str = ""

    def __post_init__(self) -> None:
        check_checker(self.checker)
        sampling = self.sampling
        if sampling.num_samples < 1 or sampling.max_tokens < 1:
            raise InputError("--samples and --max-tokens must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise InputError("--limit must be at least 1")
        if sampling.temperature < 0 or not 0 < sampling.top_p <= 1 or sampling.top_k < 0:
            raise InputError("--temperature and --top-k can't be negative; --top-p lies in (0, 1]")
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
        return {
            "models": dict(self.models),
            "templates": {template.name: template.sha256 for template in self.templates},
            "benchmarks": {each.name: each.fingerprint for each in self.benchmarks},
            "limit": self.limit,
            "sampling": dataclasses.asdict(self.sampling),
            "engine": self.engine,
            "dtype": self.options.dtype,
            "max_model_len": self.options.max_model_len,
        }


def default_folder(plan: RunPlan) -> Path:
    """`runs/<first model>-<run id>`: the same command finds the same folder again."""
    name = Path(next(iter(plan.models))).name
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
    return Path("runs") / f"{safe.strip('.') or 'run'}-{run_id(plan.identity)[:8]}"
