"""check, report, compare and show: verdicts, tables and texts."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from evalharness.commands.output import pairs, print_json, print_line, print_note
from evalharness.errors import InputError

if TYPE_CHECKING:
    from evalharness.checking import Policy


def check(options: argparse.Namespace) -> int:
    """One verdict in a few lines."""
    import dataclasses

    from evalharness.checking import (
        DEFAULT_ANSWER_FORMAT,
        checker_libraries,
        checker_version,
        shared_pool,
    )
    from evalharness.checking import check as check_response
    from evalharness.checking.explain import advice
    from evalharness.report.verdict import render_verdict
    from evalharness.templates import load_template

    response = options.response
    if response == "-":
        try:
            response = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is no text: {error}") from error
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
        print_json(
            dataclasses.asdict(found)
            | {"policy": policy.to_table(), "checker": checker, "would_be_correct": hint}
            | {"versions": checker_libraries()}
        )
        return 0
    described = f"{options.benchmark or 'default'}: {str(policy) or 'no change'}"
    print_line(render_verdict(found, answer_format, checker=checker, policy=described, advice=hint))
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

    if options.responses is not None and options.responses < 0:
        raise InputError(f"--responses {options.responses}: a number of responses, 0 for none")
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
            print_note(str(path))
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
        print_note(f"report: {out}")
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
        print_note(f"left out: {sentence}")
    if options.format == "json":
        print_json([comparison_record(row) for row in compared.rows])
    else:
        sys.stdout.write(render_comparison(compared, options.format))
    return 0


def show(options: argparse.Namespace) -> int:
    """The problems of a run, or one of them with all that became of it."""
    from evalharness.report.show import problem_list, problem_record, render_problem

    if options.problem_id is None:
        rows = problem_list(options.run, options.verdicts, options.model, options.template)
        if options.json:
            print_json(rows)
        else:
            for row in rows:
                mean = row["tokens_mean"]
                length = "–" if mean is None else f"{mean:.0f}"
                print_line(
                    f"{row['problem_id']:24} {row['num_correct']:>4}/{row['num_responses']:<4} "
                    f"{length:>8} tokens  {row['problem']}"
                )
        return 0
    record = problem_record(
        options.run, options.problem_id, options.verdicts, options.model, options.template
    )
    if options.json:
        print_json(record)
    else:
        print_line(render_problem(record))
    return 0


def _steps(values: list[str]) -> dict[str, int]:
    steps = {}
    for model, step in pairs(values, "--steps", "MODEL=STEP").items():
        if not step.isdecimal():
            raise InputError(f"--steps {model}={step}: a step is a whole number")
        steps[model] = int(step)
    return steps
