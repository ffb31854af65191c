"""`run` beside a bare `llm.generate` loop over the same prompts, in one process.

    python tests/perf/run_overhead.py [--limit 500] [--max-tokens 64] [--repeats 3]

Both sides use one loaded vLLM; what is compared is the time from prompts to results. Ours also
stores every response with fsync, checks it and writes the tables. The two sides take turns.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalharness import pipeline
from evalharness.benchmarks import load_benchmark
from evalharness.engines import open_engine
from evalharness.engines.base import Engine, EngineOptions
from evalharness.pipeline import run
from evalharness.plan import RunPlan
from evalharness.records import Sampling
from evalharness.report.progress import RunProgress
from evalharness.templates import load_template


class KeptOpen:
    """An engine that stays loaded when a run closes it."""

    def __init__(self, engine: Engine, record: Any) -> None:
        self._engine = engine
        self._record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def load(self, model: str) -> Any:
        return self._record

    def close(self) -> None:
        return None


def bare_seconds(llm: Any, plan: RunPlan, engine: Engine) -> tuple[float, int]:
    """One `llm.generate` call over all prompts, as a script would do it."""
    from vllm import SamplingParams, TokensPrompt

    template = plan.templates[0]
    began = time.perf_counter()
    prompts = [
        TokensPrompt(prompt_token_ids=list(engine.prepare(template.render(each)).token_ids or ()))
        for each in plan.problems
    ]
    params = SamplingParams(temperature=0.0, max_tokens=plan.sampling.max_tokens)
    llm.reset_prefix_cache()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    return time.perf_counter() - began, sum(len(each.outputs[0].token_ids) for each in outputs)


def our_seconds(plan: RunPlan, folder: Path, llm: Any) -> float:
    """A whole `run` into a new folder, but for loading the model."""
    llm.reset_prefix_cache()
    began = time.perf_counter()
    with RunProgress(quiet=True) as progress:
        run(plan, folder, progress)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark", default="math500")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    plan = RunPlan(
        models={"tiny": "tiny"},
        benchmarks=(load_benchmark(options.benchmark),),
        templates=(load_template("no"),),
        sampling=Sampling(max_tokens=options.max_tokens),
        engine="vllm",
        limit=options.limit,
    )
    engine = open_engine("vllm", EngineOptions())
    record = engine.load(plan.models["tiny"])
    llm = engine._llm  # type: ignore[attr-defined]
    kept = KeptOpen(engine, record)
    pipeline.open_engine = lambda name, options: kept  # type: ignore[assignment]
    bare_seconds(llm, replace(plan, limit=8), engine)
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(options.repeats):
            seconds, num_tokens = bare_seconds(llm, plan, engine)
            bare.append(seconds)
            ours.append(our_seconds(plan, Path(folder) / str(repeat), llm))
            print(f"round {repeat}: bare {bare[-1]:.2f} s, ours {ours[-1]:.2f} s")
    print(
        f"{len(plan.problems)} prompts, {num_tokens} tokens: bare {statistics.median(bare):.2f} s, "
        f"ours {statistics.median(ours):.2f} s, "
        f"ratio {statistics.median(ours) / statistics.median(bare):.3f}"
    )
    engine.close()


if __name__ == "__main__":
    main()
