"""evaluate(): `evalharness run` from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from evalharness.api.runs import Run
from evalharness.cli.config import run_options
from evalharness.commands.running import draw_run, refuse_failed
from evalharness.errors import InputError
from evalharness.records import GoldChoice

Place = str | Path
"""A name, a file, a folder or a hub id."""


def evaluate(
    models: Place | Sequence[Place] | Mapping[str, Place] | None = None,
    benchmarks: Place | Sequence[Place] | None = None,
    templates: Place | Sequence[Place] | None = None,
    *,
    samples: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
    shard: str | None = None,
    golds: GoldChoice | None = None,
    checker: str | None = None,
    problem_column: str | None = None,
    gold_column: str | None = None,
    out: Place | None = None,
    overlong: Literal["refuse", "record"] | None = None,
    config: Place | None = None,
    protocol: Place | None = None,
    tracker: Literal["wandb", "trackio", "tensorboard"] | None = None,
    quiet: bool | None = None,
    engine: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    max_model_len: int | None = None,
    batch_size: int | None = None,
    tensor_parallel_size: int | None = None,
    data_parallel_size: int | None = None,
    gpu_memory_utilization: float | None = None,
    enforce_eager: bool | None = None,
    trust_remote_code: bool | None = None,
    deterministic: bool | None = None,
    ray_engine: str | None = None,
    ray_workers: int | None = None,
    ray_address: str | None = None,
    watch: bool | None = None,
    engine_timeout: float | None = None,
    replay_from: Place | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
    concurrency: int | Literal["auto"] | None = None,
    request_timeout: float | None = None,
) -> Run:
    """Draw, check and store what isn't in the run folder yet; the run.

    A keyword is the flag of `evalharness run` of the same name, and None leaves it to `config`, to
    `protocol` or to the command's own default. Without models and benchmarks it is the
    demonstration with the shipped checkpoints. The same call goes on where it was interrupted, and
    so does the command that run.json records.

    Args:
        models: folders or hub ids; a mapping gives them names of your own for the tables.
        benchmarks: names, JSONL, JSON, CSV or Parquet files, TOML definitions, hub ids.
        templates: names, or paths of TOML files.
        samples: of each problem.
        temperature: 0 is greedy.
        top_p: in (0, 1].
        top_k: 0 is off.
        max_tokens: of a response.
        seed: of the run; every response has its own from it.
        limit: the first so many problems of each benchmark.
        shard: "0/4" draws every fourth response.
        golds: published, or corrected by the errata.
        checker: who judges.
        problem_column: of a benchmark file of your own.
        gold_column: of a benchmark file of your own.
        out: the run folder; otherwise `runs/...`, by what the run is made of.
        overlong: whether a prompt that fills the context stops the run or counts as failed.
        config: a TOML with any of these flags; a keyword wins.
        protocol: a published evaluation; config and keywords win.
        tracker: also send the metrics there.
        quiet: no progress on stderr.
        engine: auto, vllm, transformers, openai, ray or replay.
        dtype: of the weights.
        device: cpu, cuda, ...
        max_model_len: context in tokens.
        batch_size: of the transformers engine.
        tensor_parallel_size: GPUs for one engine.
        data_parallel_size: engines on this machine, one or more GPUs each.
        gpu_memory_utilization: vLLM's share of the GPU.
        enforce_eager: vLLM without compiled graphs.
        trust_remote_code: run code that a checkpoint brings.
        deterministic: all that the engine offers to repeat a response.
        ray_engine: what each worker of the ray engine runs.
        ray_workers: of the ray engine.
        ray_address: of the cluster.
        watch: run the engine in a process of its own, and replace it when it dies.
        engine_timeout: seconds without a step after which a watched engine counts as hung.
        replay_from: the run whose responses the replay engine gives.
        base_url: of the openai engine's server.
        api_key_env: the environment variable with the server's key.
        concurrency: requests at a time, or auto.
        request_timeout: seconds for one answer of a server.

    Raises:
        InputError: a value or a combination of values that can't work.
        DataError: benchmark data is missing or not what its definition says.
        EngineError: a model can't be loaded or fails; everything drawn before is stored.
        StoreError: `out` holds another run, or can't be written.
        EvalHarnessError: some responses failed; the others are in the folder, for `load_run`.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    # The recorded command begins with them, as a person would write it.
    lists = {
        name[:-1]: _listed(name, given.pop(name))
        for name in ("models", "benchmarks", "templates")
        if name in given
    }
    result = draw_run(run_options(lists | given))
    refuse_failed(result)
    return Run(folder=result.folder, verdict_table=result.verdicts)


def _listed(name: str, value: Any) -> list[str]:
    """The words of a repeatable flag."""
    if isinstance(value, Mapping) and name == "models":
        for key in value:
            if not isinstance(key, str) or not key or "/" in key or "=" in key:
                raise InputError(f'models: {key!r} can\'t be a name: take letters without "/" or =')
        value = [f"{key}={place}" for key, place in value.items()]
    if isinstance(value, str | Path):
        value = [value]
    if not isinstance(value, Sequence) or not all(isinstance(each, str | Path) for each in value):
        raise InputError(f"{name}={value!r}: give a name or a path, or a list of them")
    if not value:
        raise InputError(f"{name} is empty: name at least one, or leave it out for the default")
    return [str(each) for each in value]
