"""train: models to compare."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.commands.output import print_line, print_note, print_path
from evalharness.errors import InputError

if TYPE_CHECKING:
    from evalharness.plan import RunPlan
    from evalharness.training.algorithms import Algorithm
    from evalharness.training.comparing import Comparison
    from evalharness.training.config import RLConfig
    from evalharness.training.metrics import StepMetrics
    from evalharness.training.sft_config import SFTConfig


_SFT_LINE_EVERY = 100

Command = Callable[[argparse.Namespace], int]


def _interruptible(unsaid: str) -> Callable[[Command], Command]:
    """Ctrl-C and SIGTERM end a command with what is kept, or `unsaid`, and what goes on there."""

    def wrapped(command: Command) -> Command:
        @functools.wraps(command)
        def run(options: argparse.Namespace) -> int:
            from evalharness.training.interruption import Terminated, ended_by_sigterm

            try:
                with ended_by_sigterm():
                    return command(options)
            except KeyboardInterrupt as error:
                print_note(f"evalharness: interrupted{str(error) or unsaid}")
                if getattr(options, "backend", "own") == "own":  # TRL's runs aren't continued
                    print_note(f"  {options.command_line}")
                return 143 if isinstance(error, Terminated) else 130

        return run

    return wrapped


_BEFORE = " before its first step: no weights have changed"


def make_toy(options: argparse.Namespace) -> int:
    """An untrained model, saved as engines load it."""
    from evalharness.engines.transformers import no_progress_bars
    from evalharness.training.state import parent_of, whole_folder
    from evalharness.training.tokenizer import byte_tokenizer
    from evalharness.training.toy import ToyModel, make_toy_model

    if options.out.exists():
        raise InputError(f"{options.out} exists already: remove it or name another folder")
    inner = options.hidden_size * 5 // 2
    if options.intermediate_size is not None:
        inner = options.intermediate_size
    sizes = (options.hidden_size, inner, options.layers, options.heads, options.context_length)
    if min(sizes) < 1 or options.head_size < 2 or options.head_size % 2:
        raise InputError("sizes must be at least 1, and --head-size an even number")
    toy = ToyModel(
        hidden_size=options.hidden_size,
        intermediate_size=inner,
        num_layers=options.layers,
        num_heads=options.heads,
        num_kv_heads=options.heads,
        head_size=options.head_size,
        context_length=options.context_length,
    )
    if "" in options.word:
        raise InputError("--word: an empty text is no word")
    tokenizer = byte_tokenizer(max_length=options.context_length, words=tuple(options.word))
    if len(tokenizer) > toy.vocabulary_size:
        raise InputError(f"--word: at most {toy.vocabulary_size - 259} words have a place")
    with parent_of(options.out), whole_folder(options.out) as folder, no_progress_bars():
        make_toy_model(toy, tokenizer, seed=options.seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    print_path(options.out)
    return 0


@_interruptible(_BEFORE)
def train_rl(options: argparse.Namespace) -> int:
    """One line a step on stderr; the last checkpoint's folder on stdout."""
    config = _rl_config(options)
    _check_lora(options)
    if options.backend == "trl":
        return _train_rl_with_trl(config, options.lora_rank)
    from evalharness.training.trainer import train

    def show(metrics: StepMetrics) -> None:
        if options.json:
            import dataclasses

            print_line(json.dumps(dataclasses.asdict(metrics)))
        print_note(_step_line(metrics, config.num_steps))

    result = train(config, progress=show, note=print_note)
    if not options.json:
        print_path(result.checkpoint)
    return 0


def _check_lora(options: argparse.Namespace) -> None:
    if options.lora_rank is not None and options.backend != "trl":
        raise InputError("--lora-rank needs --backend trl: our own loop trains all weights")


def _train_rl_with_trl(config: RLConfig, lora_rank: int | None) -> int:
    """The same run by TRL; its own progress on stderr, the last checkpoint on stdout."""
    from evalharness.training.trl_arguments import TRLOptions
    from evalharness.training.trl_backend import train_with_trl

    options = TRLOptions(rows_per_device=config.micro_batch_rows, lora_rank=lora_rank)
    folder = train_with_trl(config, options, note=print_note)
    print_path(folder)
    return 0


def _rl_config(options: argparse.Namespace) -> RLConfig:
    """What the flags and the configuration file say; everything else keeps its default."""
    import dataclasses

    from evalharness.training.config import RLConfig

    for name in ("model", "algorithm"):
        if getattr(options, name) is None:
            raise InputError(f"--{name} is missing: give it as a flag or in --config")
    values: dict[str, Any] = {"output": options.out, "algorithm": _algorithm(options)}
    for field in dataclasses.fields(RLConfig):
        value = getattr(options, field.name, None)
        if value is not None and field.name not in values:
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return RLConfig(**values)


def _algorithm(options: argparse.Namespace) -> Algorithm:
    from dataclasses import fields

    from evalharness.training.algorithms import Algorithm, algorithm

    switches = {
        field.name: getattr(options, field.name)
        for field in fields(Algorithm)
        if getattr(options, field.name, None) is not None and field.name != "name"
    }
    return algorithm(options.algorithm, **switches)


def _step_line(metrics: StepMetrics, num_steps: int) -> str:
    def length(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}"

    parts = [
        f"step {metrics.step}/{num_steps}: reward {metrics.reward:.2f}",
        f"tokens {length(metrics.tokens_correct)} correct, "
        f"{length(metrics.tokens_incorrect)} incorrect",
        f"truncated {100 * metrics.truncated:.0f}%",
        f"{metrics.seconds_generate + metrics.seconds_score + metrics.seconds_learn:.1f} s",
    ]
    for benchmark, found in (metrics.evaluation or {}).items():
        parts.append(f"{benchmark} {100 * found['accuracy']:.1f}%")
    return ", ".join(parts)


@_interruptible(
    "; what is trained and evaluated is kept. The same command goes on, each training after its "
    "last checkpoint"
)
def train_compare(options: argparse.Namespace) -> int:
    """Train all, evaluate all in one run folder, compare with the base, write the page."""
    from evalharness.training.comparing import read_comparison
    from evalharness.training.crew import train_all

    output = options.out
    comparison = read_comparison(options.config, output)
    # What can't be evaluated is said before hours of training.
    plan = _evaluation_plan(comparison, options)
    train_all(comparison, output, num_jobs=options.jobs, note=print_note)
    folder = _evaluate(plan, comparison, output)
    return _report(comparison, folder, options)


def _evaluation_plan(comparison: Comparison, options: argparse.Namespace) -> RunPlan:
    """The evaluation, so far of the base alone."""
    from evalharness.benchmarks import load_benchmark
    from evalharness.plan import RunPlan
    from evalharness.records import Sampling
    from evalharness.templates import load_template
    from evalharness.training.comparing import BASE

    wanted = comparison.evaluation
    return RunPlan(
        models={BASE: comparison.base},
        benchmarks=tuple(load_benchmark(each) for each in wanted.benchmarks),
        templates=(load_template(wanted.template),),
        sampling=Sampling(
            temperature=wanted.temperature,
            max_tokens=wanted.max_tokens,
            num_samples=wanted.samples,
            seed=wanted.seed,
        ),
        overlong="record",
        command=options.command_line,
    )


def _evaluate(plan: RunPlan, comparison: Comparison, output: Path) -> Path:
    import dataclasses

    from evalharness.pipeline import run
    from evalharness.report.progress import RunProgress
    from evalharness.store import run_id

    plan = dataclasses.replace(plan, models=comparison.models())
    # Models trained further are another run.
    folder = output / f"evaluation-{run_id(plan.identity)[:8]}"
    with RunProgress() as progress:
        run(plan, folder, progress)
    return folder


def _report(comparison: Comparison, folder: Path, options: argparse.Namespace) -> int:
    from evalharness.analysis.comparison import comparison_record
    from evalharness.commands.output import print_json
    from evalharness.report.compare import compare_runs, render_comparison
    from evalharness.report.runs import ReportOptions, render_runs, try_write_page
    from evalharness.training.comparing import BASE

    compared = compare_runs([folder], BASE, common=False, verdicts=None, models=[])
    if options.json:
        print_json([comparison_record(row) for row in compared.rows])
    else:
        sys.stdout.write(render_runs([folder], "terminal", ReportOptions(baseline=BASE)))
        sys.stdout.write(render_comparison(compared, "terminal"))
    print_note(try_write_page(folder))
    print_note(f"{len(comparison.jobs)} trained models in {folder.parent / 'trained'}")
    return 0


@_interruptible(_BEFORE)
def train_sft(options: argparse.Namespace) -> int:
    """A line each hundred steps on stderr; the model's folder on stdout."""
    config = _sft_config(options)
    if options.backend == "trl":
        from evalharness.training.trl_arguments import TRLOptions
        from evalharness.training.trl_backend import train_sft_with_trl

        trl_options = TRLOptions(lora_rank=options.lora_rank)
        print_path(train_sft_with_trl(config, trl_options, note=print_note))
        return 0
    from evalharness.training.sft import SFTMetrics, train_sft

    def show(metrics: SFTMetrics) -> None:
        if (
            metrics.exact_match is not None
            or metrics.step in (1, config.num_steps)
            or (metrics.step % _SFT_LINE_EVERY == 0)
        ):
            solved = ", ".join(
                f"{name} {100 * share:.0f}%" for name, share in (metrics.exact_match or {}).items()
            )
            print_note(
                f"step {metrics.step}/{config.num_steps}: loss {metrics.loss:.3f}, "
                f"{metrics.tokens_per_second:,.0f} tokens/s{', solved ' if solved else ''}{solved}"
            )

    print_path(train_sft(config, progress=show, note=print_note))
    return 0


def _sft_config(options: argparse.Namespace) -> SFTConfig:
    """What the flags say; the defaults are those of the shipped tiny checkpoint."""
    from evalharness.training.sft_config import (
        EVALUATE_EVERY,
        NUM_STEPS,
        WARMUP_STEPS,
        SFTConfig,
        raw_template,
    )

    _check_lora(options)
    is_fresh_tiny = options.model is None and options.problems == "practice"
    shares = {"no": 0.95, "qwen-math": 0.05} if is_fresh_tiny else {"no": 1.0}
    if options.template:
        shares = dict.fromkeys(options.template, 1.0)
    num_steps = NUM_STEPS if options.steps is None else options.steps
    given = {
        "num_steps": num_steps,
        "rows_per_step": options.rows_per_step,
        "save_every": options.save_every,
        "keep_checkpoints": options.keep_checkpoints,
        "overlong": options.overlong,
        "learning_rate": options.learning_rate,
        "warmup_steps": min(WARMUP_STEPS, num_steps // 10),
        "evaluate_every": min(EVALUATE_EVERY, num_steps),
    }
    if options.warmup_steps is not None:
        given["warmup_steps"] = options.warmup_steps
    return SFTConfig(
        output=options.out,
        start=options.model,
        problems=options.problems,
        problem_column=options.problem_column,
        solution_column=options.solution_column,
        templates={name: raw_template(name) for name in shares},
        shares=shares,
        seed=options.seed,
        evaluate_on=tuple(options.evaluate_on or ()),
        allow_contamination=options.allow_contamination,
        **{name: value for name, value in given.items() if value is not None},
    )
