"""benchmarks, templates, fetch, import and export: what goes into a run and out of it."""

from __future__ import annotations

import argparse

from evalharness.commands.output import (
    audit_lines,
    open_benchmark,
    pairs,
    print_json,
    print_line,
    print_note,
    print_path,
    print_run,
)
from evalharness.errors import InputError


def benchmarks(options: argparse.Namespace) -> int:
    """The list, or one benchmark with an example and its errata."""
    import dataclasses

    from evalharness.benchmarks import list_benchmarks

    if options.name[:1] == ["check"]:
        return _check_benchmarks(options)
    if options.training:
        raise InputError("--training belongs to `evalharness benchmarks check`")
    if len(options.name) > 1:
        raise InputError(
            f"name one benchmark, not {len(options.name)}; or check them: "
            f"evalharness benchmarks check {' '.join(options.name)}"
        )
    if not options.name:
        infos = list_benchmarks()
        if options.json:
            print_json([dataclasses.asdict(each) for each in infos])
            return 0
        for info in infos:
            mark = "verified" if info.verified else "not here"
            print_line(f"{info.name:14} {info.num_problems:>6} problems  {mark:9} {info.title}")
            if info.trouble:
                print_line(f"{'':14} {info.trouble}")
        return 0
    benchmark = open_benchmark(options.name[0], options)
    problem = benchmark.problems[0]
    errata = [each for each in benchmark.problems if each.corrected_golds is not None]
    if options.json:
        from evalharness.checking.audit import audit_golds

        print_json(
            {
                "name": benchmark.name,
                "title": benchmark.title,
                "num_problems": len(benchmark.problems),
                "source": benchmark.source,
                "fingerprint": benchmark.fingerprint,
                "verified": benchmark.verified,
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
    print_line(f"{benchmark.name}: {benchmark.title}, {len(benchmark.problems)} problems")
    print_line(f"source:      {benchmark.source}")
    print_line(f"fingerprint: {benchmark.fingerprint}")
    print_line(f"policy:      {str(benchmark.policies.general) or 'the default one'}")
    for row, policy in benchmark.policies.rows.items():
        print_line(
            f"  row {row}: {str(policy) or 'the default one'}: {benchmark.policies.reasons[row]}"
        )
    problems = "\n".join(audit_lines(benchmark))
    print_line(f"golds:       {problems or 'all read without loss, each equal to itself'}")
    print_line(f"\n{problem.problem_id}:\n{problem.text}\ngold: {' or '.join(problem.golds)}")
    if errata:
        print_line(f"\n{len(errata)} errata, applied with --golds corrected:")
        for each in errata:
            now = " or ".join(each.corrected_golds or ()) or "no answer: left out"
            print_line(f"  {each.problem_id}: {' or '.join(each.golds)} -> {now}. {each.erratum}")
    return 0


def _check_benchmarks(options: argparse.Namespace) -> int:
    """What is wrong with the data; exit status 1 where something is."""
    from evalharness.benchmarks import definition_paths
    from evalharness.benchmarks.checks import check_benchmarks, load_training
    from evalharness.errors import DataError

    names = options.name[1:]
    benchmarks, left_out = [], []
    for name in names or [path.stem for path in definition_paths()]:
        try:
            benchmarks.append(open_benchmark(name, options))
        except DataError as error:
            if names:
                raise
            left_out.append(f"{name} isn't here: {error}")
    training = None
    if options.training:
        training = load_training(options.training, options.problem_column)
    report = check_benchmarks(benchmarks, training)
    for line in left_out:
        print_note(f"left out: {line}")
    if options.json:
        print_json(report.to_json() | {"left_out": left_out})
    else:
        for line in report.lines():
            print_line(line)
    return 1 if report.is_bad else 0


def templates(options: argparse.Namespace) -> int:
    """The list, or the exact prompt of one template."""
    import dataclasses

    from evalharness.templates import load_template, template_names

    if options.name is None:
        templates = [load_template(name) for name in template_names()]
        if options.json:
            print_json([dataclasses.asdict(each) | {"sha256": each.sha256} for each in templates])
        else:
            for each in templates:
                print_line(f"{each.name:20} {each.mode:5} {each.description}")
        return 0
    template = load_template(options.name)
    benchmark = open_benchmark(options.benchmark, options)
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
        print_json(about)
        return 0
    print_note(
        f"{template.name} for {prompt.problem_id}: stops at {list(template.stop) or 'EOS'}, "
        f"answer in {', '.join(template.answer_format)}"
    )
    if text is not None:
        print_line(text)
    else:
        print_note("messages; name --model to see them through its tokenizer")
        for turn in prompt.messages or ():
            print_line(f"[{turn.role}]\n{turn.content}")
    return 0


def fetch(options: argparse.Namespace) -> int:
    """Download and verify."""
    from evalharness.benchmarks import definition_paths, fetch_benchmark
    from evalharness.errors import DataError

    troubles = []
    for name in options.benchmark or [path.stem for path in definition_paths()]:
        try:
            benchmark = fetch_benchmark(name)
        except DataError as error:
            # One host that doesn't answer keeps none of the others away.
            troubles.append(str(error))
            continue
        print_line(f"{benchmark.name}: {len(benchmark.problems)} problems from {benchmark.source}")
    if troubles:
        raise DataError("\n".join(troubles))
    return 0


def import_files(options: argparse.Namespace) -> int:
    """Make a run of outside responses, then print its table."""
    from evalharness.importing import import_responses

    result = import_responses(
        options.file,
        options.out,
        columns=pairs(options.map, "--map", "OURS=THEIRS"),
        constants=pairs(options.set, "--set", "COLUMN=VALUE"),
        tokenizer=options.tokenizer,
        golds=options.golds,
        command=options.command_line,
        source_format=options.source_format,
        score=options.score,
    )
    for note in result.notes:
        print_note(note)
    print_run(options.out, result.verdicts, "json" if options.json else "terminal")
    return 0


def export(options: argparse.Namespace) -> int:
    """Write a run for another tool; the paths on stdout, what is lost on stderr."""
    from evalharness.exporting import export_run

    result = export_run(
        options.run,
        options.format,
        options.out,
        verdicts=options.verdicts,
        force=options.force,
    )
    if options.json:
        print_json({"paths": [str(path) for path in result.paths], "notes": list(result.notes)})
        return 0
    for note in result.notes:
        print_note(note)
    for path in result.paths:
        print_path(path)
    return 0
