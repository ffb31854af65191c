"""The command line, saying through a pipe which phase it is in and what it has acknowledged.

    FAULTS_PIPE=<descriptor> python -m tests.perf.announced run ...

Each line is `<phase> <seconds of the monotonic clock>` at the beginning of a phase, or
`stored <size of responses.jsonl> <resident KiB>` once an append has returned. With FAULTS_CLOCK
set, `time.time` jumps by years at each reading.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIPE = "FAULTS_PIPE"
CLOCK = "FAULTS_CLOCK"
PHASES = ("start", "load", "generate", "check", "compact", "verdicts", "metrics", "report", "end")
"""In their order; a run is in `start` from its birth on."""
_STAGES = {"starting the engine": "load", "generating": "generate", "checking": "check"}


def announce(what: str, value: object) -> None:
    """One line into the pipe; short enough to be written whole."""
    os.write(int(os.environ[PIPE]), f"{what} {value}\n".encode())


def announcing(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, announced when it begins."""

    def announced(*arguments: Any, **named: Any) -> Any:
        announce(phase, time.monotonic())
        return function(*arguments, **named)

    return announced


def patch() -> None:
    """Have the stages of a run announced."""
    from evalharness import scoring
    from evalharness.commands import running
    from evalharness.report.progress import RunProgress
    from evalharness.store import JSONL, RunWriter

    stage, append = RunProgress.stage, RunWriter.append

    def announced_stage(progress: RunProgress, text: str) -> None:
        for beginning, phase in _STAGES.items():
            if text.startswith(beginning):
                announce(phase, time.monotonic())
        stage(progress, text)

    def announced_append(writer: RunWriter, responses: Any) -> None:
        append(writer, responses)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        kib = pages * os.sysconf("SC_PAGE_SIZE") // 1024
        announce("stored", f"{(writer.folder / JSONL).stat().st_size} {kib}")

    RunProgress.stage = announced_stage
    RunWriter.append = announced_append
    RunWriter.compact = announcing("compact", RunWriter.compact)
    RunWriter.write_verdicts = announcing("verdicts", RunWriter.write_verdicts)
    scoring.metrics_of = announcing("metrics", scoring.metrics_of)
    running.print_run = announcing("report", running.print_run)


def main() -> int:
    """Run the command line."""
    os.set_inheritable(int(os.environ[PIPE]), False)
    if os.environ.get(CLOCK):
        real, chance = time.time, random.Random()
        time.time = lambda: real() + chance.choice([-1e8, 0, 1e8])
    from evalharness.cli import main as run_command_line

    patch()
    status = run_command_line(sys.argv[1:])
    announce("end", time.monotonic())
    return status


if __name__ == "__main__":
    raise SystemExit(main())
