"""run and score: responses and verdicts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalharness.commands.output import (
    audit_lines,
    open_benchmark,
    print_json,
    print_line,
    print_note,
    print_run,
)
from evalharness.errors import EvalHarnessError, InputError

if TYPE_CHECKING:
    from evalharness.engines.base import EngineOptions
    from evalharness.pipeline import RunResult
    from evalharness.protocols import Protocol

PAPER_MAX_TOKENS = 3000
ALL_CHECKERS = "all"
_FLAGS_OF = {
    "openai": ("base_url", "api_key_env", "concurrency", "request_timeout"),
    "ray": ("ray_address", "ray_workers"),
    "replay": ("replay_from",),
}
"""What another engine would take without a word."""
_DEMO_BENCHMARK = "practice-sums"
_DEMO_SAMPLING = {"temperature": 1.0, "samples": 4, "max_tokens": 96}
"""Of the run that needs no arguments: these checkpoints were trained to be sampled from."""


def run_models(options: argparse.Namespace) -> int:
    """Draw, check, store and print the table."""
    result = draw_run(options)
    if options.print_result:
        print_run(result.folder, result.verdicts, "json" if options.json else "terminal")
    refuse_failed(result)
    return 0


def refuse_failed(result: RunResult) -> None:
    """Say it where a run lacks responses.

    Raises:
        EvalHarnessError: the engine couldn't give some.
    """
    if result.num_failed:
        raise EvalHarnessError(
            f"{result.num_failed} responses failed and count as wrong; the reasons are in "
            f"{result.folder}/responses.jsonl (error). The same command tries them again."
        )


def draw_run(options: argparse.Namespace) -> RunResult:
    """Draw, check and store what the options of `run` ask for."""
    from evalharness.commands.tracking import send_metrics, tracked
    from evalharness.pipeline import run
    from evalharness.plan import RunPlan, Shard, default_folder
    from evalharness.protocols import load_protocol, record_protocol
    from evalharness.records import Sampling
    from evalharness.report.progress import RunProgress
    from evalharness.templates import load_template

    _apply_defaults(options)
    models = named_models(options.model)
    plan = RunPlan(
        models=models,
        benchmarks=tuple(open_benchmark(each, options) for each in options.benchmark),
        templates=tuple(load_template(each) for each in options.template),
        sampling=Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            max_tokens=options.max_tokens,
            num_samples=options.samples,
            seed=options.seed,
        ),
        engine=options.engine,
        options=_engine_options(options),
        golds=options.golds,
        checker=options.checker,
        limit=options.limit,
        shard=Shard.from_text(options.shard) if options.shard else None,
        overlong=options.overlong,
        command=options.command_line,
    )
    folder = options.out or default_folder(plan)
    protocol = load_protocol(options.protocol) if options.protocol else None
    deviations = protocol.flag_deviations(vars(options)) if protocol else []
    with tracked(options.tracker, plan, folder) as tracker:
        with RunProgress(quiet=options.quiet) as progress:
            progress.note(f"run folder: {folder}")
            for benchmark in plan.benchmarks:
                if not benchmark.verified:  # the shipped ones were audited when they were made
                    for line in audit_lines(benchmark):
                        progress.note(line)
            result = run(plan, folder, progress)
        if tracker:
            send_metrics(tracker, folder, result.verdicts)
    if protocol:
        _tell_protocol(protocol, record_protocol(folder, protocol, deviations))
    return result


def _tell_protocol(protocol: Protocol, deviations: list[str]) -> None:
    """What was done by which protocol, and what otherwise; never hidden by --quiet."""
    print_note(f"protocol {protocol.name}: {protocol.description}")
    for note in protocol.notes:
        print_note(f"  {note}")
    print_note(f"  {len(deviations)} deviations{':' if deviations else ''}")
    for line in deviations:
        print_note(f"  deviation: {line}")


def _apply_defaults(options: argparse.Namespace) -> None:
    """Fill in what wasn't given; with neither a model nor a benchmark it is the demonstration."""
    from evalharness.paths import DEMO_MODELS

    is_demo = not options.model and not options.benchmark
    if is_demo:
        options.model, options.benchmark = list(DEMO_MODELS), [_DEMO_BENCHMARK]
        options.template = options.template or ["no"]
        if options.temperature is None and options.samples is None:
            options.samples = _DEMO_SAMPLING["samples"]
        if options.temperature is None:
            options.temperature = _DEMO_SAMPLING["temperature"]
        if options.max_tokens is None:
            options.max_tokens = _DEMO_SAMPLING["max_tokens"]
    options.model = options.model or ["tiny"]
    options.benchmark = options.benchmark or ["practice"]
    options.template = options.template or (
        ["no", "qwen-math"] if options.model == ["tiny"] else ["qwen-math"]
    )
    options.temperature = 0.0 if options.temperature is None else options.temperature
    options.samples = 1 if options.samples is None else options.samples
    options.max_tokens = PAPER_MAX_TOKENS if options.max_tokens is None else options.max_tokens


def _engine_options(options: argparse.Namespace) -> EngineOptions:
    """Of the flags; what belongs to a server is checked before anything of it is recorded."""
    from evalharness.engines.base import EngineOptions
    from evalharness.engines.openai.address import check_base_url, check_key_variable

    if options.engine == "openai":
        check_base_url(options.base_url)
    for engine, names in _FLAGS_OF.items():
        for name in names:
            if options.engine != engine and getattr(options, name) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(f"{flag} belongs to --engine {engine}, not to {options.engine}")
    if options.api_key_env is not None:
        check_key_variable(options.api_key_env)
    return EngineOptions(
        dtype=options.dtype,
        device=options.device,
        max_model_len=options.max_model_len,
        batch_size=options.batch_size,
        tensor_parallel_size=options.tensor_parallel_size,
        gpu_memory_utilization=options.gpu_memory_utilization,
        enforce_eager=options.enforce_eager,
        trust_remote_code=options.trust_remote_code,
        deterministic=options.deterministic,
        replay_from=options.replay_from,
        base_url=options.base_url,
        api_key_env=options.api_key_env,
        concurrency=options.concurrency,
        request_timeout=options.request_timeout,
        engine_timeout=_engine_timeout(options),
        data_parallel_size=options.data_parallel_size,
        ray_address=options.ray_address,
        ray_workers=options.ray_workers,
        ray_engine=options.ray_engine,
    )


def _engine_timeout(options: argparse.Namespace) -> float | None:
    """Seconds; None where the engine isn't watched."""
    from evalharness.engines.watch import DEFAULT_TIMEOUT

    given: float | None = options.engine_timeout
    return DEFAULT_TIMEOUT if given is None and options.watch else given


def named_models(texts: Sequence[str]) -> dict[str, str]:
    """Name -> folder or hub id, of `NAME=FOLDER`, or of a place that is its own name.

    Raises:
        InputError: one name for two places.
    """
    models: dict[str, str] = {}
    for text in texts:
        name, sign, place = text.partition("=")
        if not (sign and name and place) or "/" in name:
            name, place = text.rstrip("/") or text, text
        if models.setdefault(name, place) != place:
            raise InputError(f"--model: {name} is both {models[name]} and {place}: name them apart")
    return models


def score(options: argparse.Namespace) -> int:
    """Verdicts again, then the table; with every checker, how far they differ."""
    from evalharness.scoring import score_run

    if options.checker == ALL_CHECKERS:
        return _score_by_all(options)
    name = score_run(options.run, options.golds, checker=options.checker)
    print_run(options.run, name, "json" if options.json else "terminal")
    return 0


def _score_by_all(options: argparse.Namespace) -> int:
    """The table of each checker, ours last so that it stays the run's own, and their comparison."""
    from evalharness.checking import CHECKERS, DEFAULT_CHECKER
    from evalharness.report.graders import compare_graders
    from evalharness.report.terminal import as_terminal
    from evalharness.scoring import answer_formats, score_run
    from evalharness.store import read_spec

    has_tags = any(
        each[0] == "answer-tag" for each in answer_formats(read_spec(options.run)).values()
    )
    # Without tags its rules are those of drgrpo.
    chosen = [name for name in CHECKERS if has_tags or name != "drgrpo-orz"]
    tables = {}
    for name in sorted(chosen, key=lambda name: name == DEFAULT_CHECKER):
        print_note(f"scoring by {name}")
        tables[name] = score_run(options.run, options.golds, checker=name)
    compared = compare_graders(options.run, [tables[name] for name in chosen])
    if options.json:
        print_json(compared.to_json())
    else:
        sys.stdout.write(as_terminal([compared.table()]))
    return 0


def merge(options: argparse.Namespace) -> int:
    """One run of its shards, then its table."""
    from evalharness.merging import merge_shards

    result = merge_shards(options.run, options.out)
    for note in result.notes:
        print_note(note)
    print_run(options.out, result.verdicts, "json" if options.json else "terminal")
    return 0


def verify(options: argparse.Namespace) -> int:
    """How many responses differ when they are drawn again; exit status 1 if any does."""
    import dataclasses

    from evalharness.report.progress import RunProgress
    from evalharness.verifying import SampleSize, verify_run

    names = ["device", "batch_size", "tensor_parallel_size", "data_parallel_size"]
    names += ["gpu_memory_utilization"]
    names += ["base_url", "api_key_env", "concurrency", "request_timeout"]
    given = {name: getattr(options, name) for name in names}
    size = SampleSize(fraction=options.fraction, limit=options.limit)
    with RunProgress(quiet=options.quiet) as progress:
        result = verify_run(
            options.run,
            size,
            {name: value for name, value in given.items() if value is not None},
            progress,
        )
    if options.json:
        print_json(dataclasses.asdict(result))
    else:
        for line in result.lines():
            print_line(line)
    return 1 if result.differences else 0
