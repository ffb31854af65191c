"""What each command does: arguments to the functions above, results to stdout."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.errors import EvalHarnessError, InputError

if TYPE_CHECKING:
    from evalharness.benchmarks import Benchmark
    from evalharness.checking import Policy

_MOST_SHOWN = 10
DEMO_MAX_TOKENS = 256
"""Of the run that needs no arguments; every other run has the paper's 3000."""


def run_models(options: argparse.Namespace) -> int:
    """Draw, check, store and print the table."""
    from evalharness.engines.base import EngineOptions
    from evalharness.pipeline import RunPlan, default_folder, run
    from evalharness.records import Sampling
    from evalharness.report.progress import RunProgress
    from evalharness.templates import load_template

    is_demo = not options.model and not options.benchmark
    models = dict(_named_model(each) for each in options.model or ["tiny"])
    default_templates = ["no", "qwen-math"] if list(models) == ["tiny"] else ["qwen-math"]
    plan = RunPlan(
        models=models,
        benchmarks=tuple(
            _load_benchmark(each, options) for each in options.benchmark or ["practice"]
        ),
        templates=tuple(load_template(each) for each in options.template or default_templates),
        sampling=Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            max_tokens=options.max_tokens or (DEMO_MAX_TOKENS if is_demo else 3000),
            num_samples=options.samples,
            seed=options.seed,
        ),
        engine=options.engine,
        options=EngineOptions(
            dtype=options.dtype,
            device=options.device,
            max_model_len=options.max_model_len,
            batch_size=options.batch_size,
            tensor_parallel_size=options.tensor_parallel_size,
            gpu_memory_utilization=options.gpu_memory_utilization,
            enforce_eager=options.enforce_eager,
            trust_remote_code=options.trust_remote_code,
            replay_from=options.replay_from,
        ),
        golds=options.golds,
        checker=options.checker,
        limit=options.limit,
        overlong=options.overlong,
        command=options.command_line,
    )
    folder = options.out or default_folder(plan)
    with RunProgress(quiet=options.quiet) as progress:
        progress.note(f"run folder: {folder}")
        for benchmark in plan.benchmarks:
            if not benchmark.verified:  # the shipped ones were audited when they were made
                for line in _audit_lines(benchmark):
                    progress.note(line)
        result = run(plan, folder, progress)
    _print_run(folder, result.verdicts, "json" if options.json else "terminal")
    if result.num_failed:
        raise EvalHarnessError(
            f"{result.num_failed} responses failed and count as wrong; the reasons are in "
            f"{folder}/responses.jsonl (error). The same command tries them again."
        )
    return 0


def _named_model(text: str) -> tuple[str, str]:
    """`NAME=FOLDER`, or a folder or hub id that is its own name."""
    name, sign, place = text.partition("=")
    if sign and name and place and "/" not in name:
        return name, place
    return text.rstrip("/") or text, text


def _audit_lines(benchmark: Benchmark) -> list[str]:
    """What is wrong with a benchmark's golds, for a person; empty where nothing is."""
    from evalharness.checking.audit import audit_golds

    found = audit_golds(benchmark.problems)
    lines = [f"  {each.problem_id}: {each.gold}: {each.reason}" for each in found[:_MOST_SHOWN]]
    if found:
        what = f"{len(found)} golds of {benchmark.name} can't be compared with an answer:"
        lines.insert(0, what)
    if len(found) > _MOST_SHOWN:
        lines.append(f"  and {len(found) - _MOST_SHOWN} more: evalharness benchmarks NAME --json")
    return lines


def _load_benchmark(name: str, options: argparse.Namespace) -> Benchmark:
    from evalharness.benchmarks import load_benchmark

    return load_benchmark(
        name, problem_column=options.problem_column, gold_column=options.gold_column
    )


def check(options: argparse.Namespace) -> int:
    """One verdict in a few lines."""
    import dataclasses

    from evalharness.checking import DEFAULT_ANSWER_FORMAT, checker_version, shared_pool
    from evalharness.checking import check as check_response
    from evalharness.checking.explain import advice
    from evalharness.report.verdict import render_verdict
    from evalharness.templates import load_template

    response = sys.stdin.read() if options.response == "-" else options.response
    answer_format = (
        load_template(options.template).answer_format if options.template else DEFAULT_ANSWER_FORMAT
    )
    golds = (options.gold, *options.also)
    policy = _policy_of(options.benchmark)
    found = check_response(
        golds, response, answer_format=answer_format, policy=policy, checker=options.checker
    )
    checker = f"{options.checker}@{checker_version(options.checker)}"
    hint = advice(found, golds, answer_format, policy, shared_pool(options.checker))
    if options.json:
        _print_json(
            dataclasses.asdict(found)
            | {"policy": policy.to_table(), "checker": checker, "would_be_correct": hint}
        )
        return 0
    described = f"{options.benchmark or 'default'}: {str(policy) or 'no change'}"
    _print(render_verdict(found, answer_format, checker=checker, policy=described, advice=hint))
    return 0


def _policy_of(benchmark: str | None) -> Policy:
    """The policy of `NAME`, of one row `NAME/ROW`, or of a definition's path."""
    from evalharness.benchmarks import load_policies
    from evalharness.checking import Policy

    if benchmark is None:
        return Policy()
    name, _, row = benchmark.rpartition("/")
    if name and row.isdecimal():
        return load_policies(name).of(int(row))
    return load_policies(benchmark).general


def score(options: argparse.Namespace) -> int:
    """Verdicts again, then the table."""
    from evalharness.scoring import score_run

    name = score_run(options.run, options.golds, checker=options.checker)
    _print_run(options.run, name, "json" if options.json else "terminal")
    return 0


def report(options: argparse.Namespace) -> int:
    """Tables, a page or figures of one or several runs."""
    from evalharness.analysis.text import REFLECTION_KEYWORDS
    from evalharness.report.runs import (
        PAGE,
        ReportOptions,
        render_runs,
        write_report,
        write_run_figures,
    )

    about = ReportOptions(
        verdicts=options.verdicts,
        with_texts=not options.no_texts,
        with_details=options.details,
        published=options.published,
        baseline=options.baseline,
        num_responses=options.responses,
        steps=_steps(options.steps),
        keywords=options.keywords or REFLECTION_KEYWORDS,
    )
    if options.figures:
        forms = options.figure_format or ["svg", "png", "pdf"]
        for path in write_run_figures(options.run, about, options.figures, forms):
            print(path, file=sys.stderr)
        if options.format is None:
            return 0
    form = options.format or "terminal"
    out = options.out
    if form == "html" and out is None:
        if len(options.run) > 1:
            raise InputError("the HTML report of several runs needs a place: name --out FILE")
        out = options.run[0] / PAGE
    text = render_runs(options.run, form, about)
    if out:
        write_report(out, text)
        print(f"report: {out}", file=sys.stderr)
    else:
        sys.stdout.write(text)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Every model and template of some runs against a baseline."""
    from evalharness.analysis.comparison import comparison_record
    from evalharness.report.compare import compare_runs, render_comparison

    compared = compare_runs(
        options.run,
        options.baseline,
        common=options.common,
        verdicts=options.verdicts,
        models=options.model,
    )
    for sentence in compared.left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    if options.format == "json":
        _print_json([comparison_record(row) for row in compared.rows])
    else:
        sys.stdout.write(render_comparison(compared, options.format))
    return 0


def _print_run(folder: Path, verdicts: str, form: str) -> None:
    """The table on stdout, and the page beside the run where the extra for it is installed."""
    from evalharness.report.runs import ReportOptions, render_runs, try_write_page

    sys.stdout.write(render_runs([folder], form, ReportOptions(verdicts=verdicts)))
    print(try_write_page(folder), file=sys.stderr)


def show(options: argparse.Namespace) -> int:
    """The problems of a run, or one of them with all that became of it."""
    from evalharness.report.show import problem_list, problem_record, render_problem

    if options.problem_id is None:
        rows = problem_list(options.run, options.verdicts)
        if options.json:
            _print_json(rows)
        else:
            for row in rows:
                _print(
                    f"{row['problem_id']:24} {row['num_correct']:>4}/{row['num_responses']:<4} "
                    f"{row['tokens_mean'] or 0:>8.0f} tokens  {row['problem']}"
                )
        return 0
    record = problem_record(
        options.run, options.problem_id, options.verdicts, options.model, options.template
    )
    if options.json:
        _print_json(record)
    else:
        _print(render_problem(record))
    return 0


def benchmarks(options: argparse.Namespace) -> int:
    """The list, or one benchmark with an example and its errata."""
    import dataclasses

    from evalharness.benchmarks import list_benchmarks

    if options.name is None:
        infos = list_benchmarks()
        if options.json:
            _print_json([dataclasses.asdict(each) for each in infos])
            return 0
        for info in infos:
            mark = "verified" if info.verified else "not here"
            _print(f"{info.name:14} {info.num_problems:>6} problems  {mark:9} {info.title}")
            if info.trouble:
                _print(f"{'':14} {info.trouble}")
        return 0
    benchmark = _load_benchmark(options.name, options)
    problem = benchmark.problems[0]
    errata = [each for each in benchmark.problems if each.corrected_golds is not None]
    if options.json:
        from evalharness.checking.audit import audit_golds

        _print_json(
            {
                "name": benchmark.name,
                "title": benchmark.title,
                "num_problems": len(benchmark.problems),
                "source": benchmark.source,
                "fingerprint": benchmark.fingerprint,
                "verified": True,
                "policy": benchmark.policies.general.to_table(),
                "policy_rows": {
                    row: policy.to_table() for row, policy in benchmark.policies.rows.items()
                },
                "errata": [dataclasses.asdict(each) for each in errata],
                "gold_problems": [
                    dataclasses.asdict(each) for each in audit_golds(benchmark.problems)
                ],
            }
        )
        return 0
    _print(f"{benchmark.name}: {benchmark.title}, {len(benchmark.problems)} problems")
    _print(f"source:      {benchmark.source}")
    _print(f"fingerprint: {benchmark.fingerprint}")
    _print(f"policy:      {str(benchmark.policies.general) or 'the default one'}")
    for row, policy in benchmark.policies.rows.items():
        _print(f"  row {row}: {policy}: {benchmark.policies.reasons[row]}")
    problems = "\n".join(_audit_lines(benchmark))
    _print(f"golds:       {problems or 'all read without loss, each equal to itself'}")
    _print(f"\n{problem.problem_id}:\n{problem.text}\ngold: {' or '.join(problem.golds)}")
    if errata:
        _print(f"\n{len(errata)} errata, applied with --golds corrected:")
        for each in errata:
            now = " or ".join(each.corrected_golds or ()) or "no answer: left out"
            _print(f"  {each.problem_id}: {' or '.join(each.golds)} -> {now}. {each.erratum}")
    return 0


def templates(options: argparse.Namespace) -> int:
    """The list, or the exact prompt of one template."""
    import dataclasses

    from evalharness.templates import load_template, template_names

    if options.name is None:
        templates = [load_template(name) for name in template_names()]
        if options.json:
            _print_json([dataclasses.asdict(each) | {"sha256": each.sha256} for each in templates])
        else:
            for each in templates:
                _print(f"{each.name:20} {each.mode:5} {each.description}")
        return 0
    template = load_template(options.name)
    benchmark = _load_benchmark(options.benchmark, options)
    if not 0 <= options.problem < len(benchmark.problems):
        raise InputError(
            f"--problem {options.problem}: {benchmark.name} has rows 0 to "
            f"{len(benchmark.problems) - 1}"
        )
    prompt = template.render(benchmark.problems[options.problem])
    text = prompt.text
    if prompt.messages is not None and options.model:
        from evalharness.engines.base import prepare_with_tokenizer
        from evalharness.engines.checkpoints import open_tokenizer

        text = prepare_with_tokenizer(prompt, open_tokenizer(options.model)).text
    about = {
        "name": template.name,
        "mode": template.mode,
        "stop": template.stop,
        "keep_stop": template.keep_stop,
        "answer_format": template.answer_format,
        "sha256": template.sha256,
        "problem_id": prompt.problem_id,
        "prompt": text,
        "messages": [turn._asdict() for turn in prompt.messages or ()],
    }
    if options.json:
        _print_json(about)
        return 0
    print(
        f"{template.name} for {prompt.problem_id}: stops at {list(template.stop) or 'EOS'}, "
        f"answer in {', '.join(template.answer_format)}",
        file=sys.stderr,
    )
    if text is not None:
        _print(text)
    else:
        print("messages; name --model to see them through its tokenizer", file=sys.stderr)
        for turn in prompt.messages or ():
            _print(f"[{turn.role}]\n{turn.content}")
    return 0


def fetch(options: argparse.Namespace) -> int:
    """Download and verify."""
    from evalharness.benchmarks import definition_paths, fetch_benchmark

    for name in options.benchmark or [path.stem for path in definition_paths()]:
        benchmark = fetch_benchmark(name)
        _print(f"{benchmark.name}: {len(benchmark.problems)} problems from {benchmark.source}")
    return 0


def import_files(options: argparse.Namespace) -> int:
    """Make a run of outside responses, then print its table."""
    from evalharness.importing import import_responses

    result = import_responses(
        options.file,
        options.out,
        columns=_pairs(options.map, "--map", "OURS=THEIRS"),
        constants=_pairs(options.set, "--set", "COLUMN=VALUE"),
        tokenizer=options.tokenizer,
        golds=options.golds,
        command=options.command_line,
    )
    for note in result.notes:
        print(note, file=sys.stderr)
    _print_run(options.out, result.verdicts, "json" if options.json else "terminal")
    return 0


def train_sft(options: argparse.Namespace) -> int:
    """Train, with one line for each evaluation."""
    from evalharness.templates import load_template
    from evalharness.training.sft import SFTConfig, SFTMetrics, train_sft

    given = {"num_steps": options.steps, "learning_rate": options.learning_rate}
    config = SFTConfig(
        output=options.out,
        templates={name: load_template(name).text for name in ("no", "qwen-math")},
        seed=options.seed,
        **{name: value for name, value in given.items() if value is not None},
    )

    def show(metrics: SFTMetrics) -> None:
        if metrics.exact_match is not None or metrics.step == 1:
            solved = ", ".join(
                f"{name} {100 * share:.0f}%" for name, share in (metrics.exact_match or {}).items()
            )
            print(
                f"step {metrics.step}/{config.num_steps}: loss {metrics.loss:.3f}, "
                f"{metrics.tokens_per_second:,.0f} tokens/s{', solved ' if solved else ''}{solved}",
                file=sys.stderr,
            )

    _print(str(train_sft(config, progress=show)))
    return 0


def _pairs(values: list[str], flag: str, form: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, sign, other = value.partition("=")
        if not sign or not name:
            raise InputError(f"{flag} {value}: write {form}")
        pairs[name] = other
    return pairs


def _steps(values: list[str]) -> dict[str, int]:
    steps = {}
    for model, step in _pairs(values, "--steps", "MODEL=STEP").items():
        if not step.isdecimal():
            raise InputError(f"--steps {model}={step}: a step is a whole number")
        steps[model] = int(step)
    return steps


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
