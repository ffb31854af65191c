"""Kills runs, their tables and their checkers at random moments and counts what is lost.

    python -m tests.perf.faults --kills 200 --seconds 3600

Each kill is a SIGKILL of the run's process in one of its phases: start, loading, generation,
checking, compaction, verdicts, metrics, report. The run announces them; the moment is drawn evenly
over the time that the phase takes undisturbed. The same command then goes on, and is killed again.
A kill counts where it ended a run that was not done. Whatever stood in responses.jsonl as a whole
line, or was acknowledged, must stand there after, and a run that reaches its end must have the
bytes of responses.parquet and metrics.json and the verdicts of an undisturbed one. Prints the table
of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalharness.checking import CheckerPool
from tests.perf.announced import PHASES
from tests.perf.killing import LATE, ROOT, Case, Row, finish, try_case, verdicts_of

SMALL = "--benchmark practice --template no --limit 8 --samples 2 --temperature 1".split()
LARGE = "--benchmark practice --template no,r1 --samples 1".split()
MEDIUM = "--benchmark practice --template no,r1 --samples 1 --limit 30".split()
TINY = "--model tiny --max-tokens 48 --batch-size 4 --dtype float32".split()
SHARES = {
    "vllm": 0.04,
    "transformers": 0.06,
    "watched": 0.06,
    "openai": 0.29,
    "tables": 0.2,
    "replay": 0.23,
    "clock": 0.12,
    "workers": 0.06,
    "memory": 0.1,
}
"""Of `--kills`; those of the runs are 1 together."""
_DRAWING = ("start", "load", "generate", "generate", "generate", "generate", "check", "report")
"""For engines that take long to start: most kills while they draw."""


def kill_workers(whole: Path, folder: Path, kills: int, until: float, chance: random.Random) -> Row:
    """Kill the checker's workers from outside while a run is scored again."""
    row = Row(fault="checker worker killed from outside")
    expected = verdicts_of(whole)
    while row.num_tried < kills and (time.monotonic() < until or row.num_tried == 0):
        out = folder / f"scored-{row.num_runs}"
        shutil.copytree(whole, out)
        process = subprocess.Popen(
            [sys.executable, "-m", "evalharness", "score", str(out)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        struck: set[int] = set()
        while process.poll() is None:
            # Two deaths over one pair are a verdict of their own, two at the start an error.
            time.sleep(chance.uniform(0.0, 0.2))
            for pid in _workers(process.pid) - struck:
                if row.num_tried < kills and len(struck) < 2:
                    os.kill(pid, signal.SIGKILL)
                    struck.add(pid)
                    row.num_tried += 1
        is_equal = process.returncode == 0 and verdicts_of(out) == expected
        row.num_survived += len(struck) * is_equal
        row.num_runs += 1
        if not is_equal:
            row.wrong.append(f"{row.fault}: other verdicts in {out}")
        if not struck:
            break
    return row


def _workers(pid: int) -> set[int]:
    found = set()
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = (thread / "children").read_text().split()
            found |= {
                int(child)
                for child in children
                if b"checking.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
            }
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def exhaust_workers(tries: int) -> Row:
    """Give a worker a response larger than its memory, then an answer that it can judge."""
    row = Row(fault="checker worker out of memory")
    limits = {"num_workers": 1, "timeout_seconds": 20.0, "memory_limit_bytes": 16 << 20}
    with CheckerPool(**limits) as pool:
        for number in range(tries):
            bad = pool.submit(f"{number}" + "x" * (24 << 20), ("7",), ("box",)).result()
            good = pool.submit(f"\\boxed{{{number}+1}}", (str(1 + number),), ("box",)).result()
            row.num_tried += 1
            row.num_survived += (bad.status, good.status) == ("error", "correct")
    row.num_runs = 1
    return row


@contextmanager
def cases(folder: Path) -> Iterator[dict[str, Case]]:
    """The kinds of runs; the openai engine's own run in `folder` is what replay takes."""
    from tests.engines.served import Scripted, serve

    source = folder / "whole-openai"
    drawing = [*SMALL, *TINY, "--engine"]
    replay = [*MEDIUM, "--engine", "replay", "--replay-from", str(source), "--model", "served"]
    replay += ["--max-tokens", "16"]
    with serve(Scripted()) as server:
        served = [*LARGE, "--engine", "openai", "--base-url", server.url, "--model", "served"]
        served += ["--max-tokens", "16", "--max-model-len", "4096"]
        yield {
            "openai": Case(fault="run killed, openai engine", arguments=served),
            "replay": Case(fault="run killed, replay engine", arguments=replay),
            "tables": Case(
                fault="run killed while it made the tables",
                arguments=replay,
                kills=(*LATE, "compact", "compact"),
                is_whole=True,
            ),
            "clock": Case(
                fault="run killed and the clock moved by years", arguments=replay, jumps=True
            ),
            "transformers": Case(
                fault="run killed, transformers engine",
                arguments=[*drawing, "transformers"],
                kills=_DRAWING,
            ),
            "watched": Case(
                fault="run killed, transformers engine, watched",
                arguments=[*drawing, "transformers", "--watch"],
                kills=_DRAWING,
            ),
            "vllm": Case(
                fault="run killed, vllm engine", arguments=[*drawing, "vllm"], kills=_DRAWING
            ),
        }


def try_all(folder: Path, kills: dict[str, int], until: float, seed: int) -> Iterator[Row]:
    """The rows of the table, each as soon as it is there."""
    chance = random.Random(seed)
    with cases(folder) as known:
        drawn = finish(known["openai"], folder / "whole-openai")
        wholes = {tuple(known["openai"].arguments): drawn}
        for kind in [name for name in kills if name in known]:
            case = known[kind]
            which = tuple(case.arguments)
            if which not in wholes:
                wholes[which] = finish(case, folder / f"whole-{kind}")
            place = folder / f"killed-{kind}"
            yield try_case(case, wholes[which], place, kills[kind], until, chance)
        if kills.get("workers"):
            yield kill_workers(drawn.folder, folder, kills["workers"], until, chance)
        if kills.get("memory"):
            yield exhaust_workers(kills["memory"])


def main() -> int:
    """Print the table; 1 where anything was lost, repeated or different."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of runs, of all kinds together")
    parser.add_argument("--seconds", type=float, default=900, help="no kill is begun after them")
    parser.add_argument("--kinds", default=",".join(SHARES), help="which runs to kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    kills = {name: max(1, round(options.kills * SHARES[name])) for name in kinds}
    until = time.monotonic() + options.seconds
    rows = []
    print("| fault | tried | survived | runs compared | lost | repeated |", flush=True)
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for row in try_all(Path(name), kills, until, options.seed):
            rows.append(row)
            print(row.line(), flush=True)
    phases = sum((row.phases for row in rows), Counter[str]())
    print(f"{sum(phases.values())} kills of runs, by phase:", end=" ")
    print(", ".join(f"{each} {phases[each]}" for each in PHASES if phases[each]))
    wrong = [text for row in rows for text in row.wrong]
    print(*wrong, sep="\n", file=sys.stderr)
    return int(any(row.num_lost or row.num_repeated or row.wrong for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
