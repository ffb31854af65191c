"""Kills runs, their compaction and their checkers at random moments and counts what is lost.

    python -m tests.perf.faults --kills 50 --seconds 600

Each kill is a SIGKILL of the run's process: while it starts, while it generates (after a random
number of new responses) or anywhere in the tables at the end. The same command then goes on, and is
killed again. Whatever stood in responses.jsonl as a whole line before must stand there after, and a
run that reaches its end must have the responses and the metrics of an undisturbed one. Prints the
table of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evalharness.checking import CheckerPool
from evalharness.store import read_responses, read_verdicts

ROOT = Path(__file__).parents[2]
SMALL = "--benchmark practice --template no --limit 20 --samples 2 --temperature 1".split()
LARGE = "--benchmark practice --template no,r1 --samples 1".split()
TINY = "--model tiny --max-tokens 48 --batch-size 8 --dtype float32".split()
CLOCK = (
    "import random, sys, time; real = time.time; chance = random.Random();"
    "time.time = lambda: real() + chance.choice([-1e8, 0, 1e8]);"
    "from evalharness.cli import main; sys.exit(main(sys.argv[1:]))"
)


@dataclass(kw_only=True)
class Row:
    """One line of the table."""

    fault: str
    num_tried: int = 0
    num_survived: int = 0
    num_lost: int = 0
    """Whole lines that were gone or changed after a resume."""
    num_repeated: int = 0
    """Responses that stand twice."""
    num_runs: int = 0
    """Runs that reached their end and were compared."""
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For the table."""
        return (
            f"| {self.fault} | {self.num_tried} | {self.num_survived} | {self.num_runs} | "
            f"{self.num_lost} | {self.num_repeated} |"
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of run to be killed."""

    fault: str
    arguments: list[str]
    is_whole: bool = False
    """Whether every response is there already, so that only the tables are made."""
    jumps: bool = False
    """Whether the clock jumps."""


def command(arguments: list[str], out: Path, *, jumps: bool = False) -> list[str]:
    """The command line of a run."""
    start = ["-c", CLOCK] if jumps else ["-m", "evalharness"]
    return [sys.executable, *start, "run", *arguments, "--quiet", "--out", str(out)]


def finish(arguments: list[str], out: Path, *, jumps: bool = False) -> float:
    """Run to the end; its seconds."""
    began = time.monotonic()
    done = subprocess.run(
        command(arguments, out, jumps=jumps), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{out}: exit status {done.returncode}: {done.stderr[-2000:]}")
    return time.monotonic() - began


def whole_lines(out: Path) -> list[bytes]:
    """What is acknowledged: lines that end."""
    path = out / "responses.jsonl"
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def kill_once(case: Case, out: Path, seconds: float, total: int, chance: random.Random) -> bool:
    """Start a run and kill it at a random moment; False where it was done before."""
    size = out / "responses.jsonl"
    process = subprocess.Popen(
        command(case.arguments, out, jumps=case.jumps),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    began, before = time.monotonic(), len(whole_lines(out))
    waits_for_lines = not case.is_whole and before < total and chance.random() < 0.7
    wanted = before + chance.randint(1, max(1, (total - before) // 3))
    moment = chance.uniform(0.2, 1.0) * seconds
    last = -1
    while process.poll() is None:
        if waits_for_lines:
            now = size.stat().st_size if size.exists() else 0
            if now != last and len(whole_lines(out)) >= wanted:
                break
            last = now
        elif time.monotonic() - began > moment:
            break
        time.sleep(0.002)
    was_running = process.poll() is None
    process.kill()
    process.wait()
    return was_running


def try_case(
    case: Case, whole: Path, seconds: float, folder: Path, kills: int, until: float, seed: int
) -> Row:
    """Kill runs of one kind, which take about `seconds`, until enough or out of time."""
    row, chance = Row(fault=case.fault), random.Random(seed)
    expected = {each.key: each for each in read_responses(whole)}
    metrics = json.loads((whole / "metrics.json").read_text())
    if case.is_whole:
        seconds = finish(case.arguments, _start(case, whole, folder / "timed"))
    while row.num_tried < kills and (time.monotonic() < until or row.num_tried == 0):
        out = _start(case, whole, folder / f"{row.num_runs}")
        num_here = 0
        while row.num_tried < kills and num_here < 5 and (time.monotonic() < until or not num_here):
            before = whole_lines(out)
            if not kill_once(case, out, seconds, len(expected), chance):
                break
            num_here += 1
            row.num_tried += 1
            lost = len(set(before) - set(whole_lines(out)))
            row.num_lost += lost
            row.num_survived += not lost
            if case.jumps:
                _move_times(out, chance)
        before = whole_lines(out)
        finish(case.arguments, out, jumps=case.jumps)
        lines = whole_lines(out)
        row.num_lost += len(set(before) - set(lines))
        row.num_repeated += len(lines) - len(expected)
        found = {each.key: each for each in read_responses(out)}
        if found != expected:
            row.wrong.append(f"{case.fault}: other responses in {out}")
        if json.loads((out / "metrics.json").read_text()) != metrics:
            row.wrong.append(f"{case.fault}: other metrics in {out}")
        row.num_runs += 1
        if not row.wrong:
            shutil.rmtree(out)
    return row


def _start(case: Case, whole: Path, out: Path) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    if case.is_whole:
        out.mkdir(parents=True)
        for name in ("run.json", "problems.jsonl", "prompts.jsonl", "responses.jsonl"):
            shutil.copy(whole / name, out / name)
    return out


def _move_times(out: Path, chance: random.Random) -> None:
    for path in out.rglob("*"):
        moved = time.time() + chance.choice([-1e8, 1e8])
        os.utime(path, (moved, moved))


def kill_workers(whole: Path, folder: Path, kills: int, until: float, chance: random.Random) -> Row:
    """Kill the checker's workers from outside while a run is scored again."""
    row = Row(fault="checker worker killed from outside")
    expected = _verdicts(whole)
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
        is_equal = process.returncode == 0 and _verdicts(out) == expected
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


def _verdicts(run: Path) -> dict[object, object]:
    (path,) = (run / "verdicts").glob("evalharness@*.parquet")
    rows = read_verdicts(run, path.stem)
    return {row.key: (row.status, row.extracted, row.method, row.gold) for row in rows}


def exhaust_workers(tries: int) -> Row:
    """Give a worker more than its memory, then an answer that it can judge."""
    row = Row(fault="checker worker out of memory")
    limits = {"num_workers": 1, "timeout_seconds": 20.0, "memory_limit_bytes": 192 << 20}
    with CheckerPool(checker="math-verify", **limits) as pool:
        for number in range(tries):
            greedy = f"\\boxed{{((9!)!)!+{number}}}"
            bad = pool.submit(greedy, ("7",), ("box",)).result()
            good = pool.submit(f"\\boxed{{{number}^2}}", (str(number**2),), ("box",)).result()
            row.num_tried += 1
            row.num_survived += (bad.status, good.status) != ("correct", "correct") and (
                good.status == "correct"
            )
    row.num_runs = 1
    return row


@contextmanager
def cases(folder: Path, engines: list[str]) -> Iterator[list[tuple[Case, Path, float]]]:
    """The kinds of runs, each with an undisturbed run to compare with."""
    from tests.engines.served import Scripted, serve

    with ExitStack() as stack:
        server = stack.enter_context(serve(Scripted()))
        served = [*LARGE, "--engine", "openai", "--base-url", server.url, "--model", "served"]
        served += ["--max-tokens", "16", "--max-model-len", "4096"]
        source = folder / "openai"
        took = finish(served, source)
        replay = [*LARGE, "--engine", "replay", "--replay-from", str(source), "--model", "served"]
        replay += ["--max-tokens", "16"]
        found = {
            "openai": Case(fault="run killed, openai engine", arguments=served),
            "replay": Case(fault="run killed, replay engine", arguments=replay),
            "tables": Case(
                fault="run killed while it made the tables", arguments=replay, is_whole=True
            ),
            "clock": Case(
                fault="run killed and the clock moved by years", arguments=replay, jumps=True
            ),
        }
        for engine in ("transformers", "vllm"):
            arguments = [*SMALL, *TINY, "--engine", engine]
            found[engine] = Case(fault=f"run killed, {engine} engine", arguments=arguments)
        found["watched"] = Case(
            fault="run killed, transformers engine, watched",
            arguments=[*found["transformers"].arguments, "--watch"],
        )
        chosen = []
        for name in engines:
            whole, seconds = source, took
            if name != "openai":
                whole = folder / f"whole-{name}"
                seconds = finish(found[name].arguments, whole)
            chosen.append((found[name], whole, seconds))
        yield chosen


def main() -> int:
    """Print the table; 1 where anything was lost, repeated or different."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--seconds", type=float, default=600, help="for all kinds together")
    parser.add_argument(
        "--kinds",
        default="transformers,watched,replay,openai,vllm,tables,clock",
        help="which runs to kill",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with cases(folder, options.kinds.split(",")) as chosen:
            left = began + options.seconds - time.monotonic()
            print("| fault | tried | survived | runs compared | lost | repeated |", flush=True)
            print("|---|---:|---:|---:|---:|---:|", flush=True)
            for number, (case, whole, seconds) in enumerate(chosen):
                until = time.monotonic() + left / (len(chosen) + 1)
                place = folder / f"case-{number}"
                seed = options.seed + number
                row = try_case(case, whole, seconds, place, options.kills, until, seed)
                rows.append(row)
                print(row.line(), flush=True)
            until = time.monotonic() + left / (len(chosen) + 1)
            chance = random.Random(options.seed)
            rows.append(kill_workers(folder / "openai", folder, options.kills, until, chance))
            print(rows[-1].line(), flush=True)
            rows.append(exhaust_workers(min(options.kills, 5)))
            print(rows[-1].line(), flush=True)
    wrong = [text for row in rows for text in row.wrong]
    print(*wrong, sep="\n", file=sys.stderr)
    return int(any(row.num_lost or row.num_repeated or row.wrong for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
