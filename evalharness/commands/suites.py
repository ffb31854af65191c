"""suite: many checkpoints, one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evalharness.commands.output import print_json, print_note
from evalharness.commands.running import run_models
from evalharness.errors import EvalHarnessError


def run_suite(options: argparse.Namespace) -> int:
    """Run every checkpoint, each in a folder of its own, then print the table of all.

    A checkpoint that fails doesn't keep the others from running; it is told at the end.
    """
    from evalharness.report.runs import ReportOptions, render_runs
    from evalharness.suites import load_suite

    suite = load_suite(options.file)
    root: Path = options.out or Path("runs") / suite.name
    chosen = [run for run in suite.runs if not options.only or run.name in options.only]
    unknown = set(options.only or ()) - {run.name for run in chosen}
    if unknown:
        raise EvalHarnessError(
            f"{options.file} has no checkpoint {', '.join(sorted(unknown))}: it has "
            f"{', '.join(run.name for run in suite.runs)}"
        )
    commands = {
        run.name: ["run", *run.arguments, *options.more, "--out", str(root / run.folder)]
        for run in chosen
    }
    parsed = {name: options.parse_arguments(words) for name, words in commands.items()}
    if options.dry_run:
        print_json(commands)
        return 0
    failures = []
    for number, run in enumerate(chosen, start=1):
        print_note(f"suite {suite.name}: {run.name} ({number} of {len(chosen)})")
        each = parsed[run.name]
        each.print_result = False
        try:
            run_models(each)
        except EvalHarnessError as error:
            failures.append(f"{run.name}: {error}")
            print_note(f"failed: {failures[-1]}")
    done = [run for run in chosen if (root / run.folder / "metrics.json").exists()]
    if done:
        folders = [root / run.folder for run in done]
        steps = {run.name: run.step for run in done if run.step is not None}
        is_series = len(set(steps.values())) == len(steps) > 1
        if len(steps) > 1 and not is_series:
            print_note("two checkpoints have the same step: no series of them")
        about = ReportOptions(steps=steps, with_details=True) if is_series else ReportOptions()
        sys.stdout.write(render_runs(folders, "json" if options.json else "terminal", about))
        names = " ".join(map(str, folders))
        print_note(f"{suite.title}: evalharness report {names}")
    if failures:
        raise EvalHarnessError(
            f"{len(failures)} of {len(chosen)} checkpoints failed: {'; '.join(failures)}. "
            "The same command goes on with them"
        )
    return 0
