"""Starts runs, kills them at random moments of their phases and compares what they leave."""

from __future__ import annotations

import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from evalharness.store import (
    DAMAGED,
    JSONL,
    METRICS,
    PARQUET,
    PROBLEMS,
    PROMPTS,
    SPEC,
    read_responses,
    read_verdicts,
    verdict_names,
)
from tests.perf.announced import CLOCK, PHASES, PIPE

ROOT = Path(__file__).parents[2]
EARLY = ("start", "load", "generate", "generate", "generate")
LATE = ("check", "compact", "verdicts", "metrics", "report")
_LONGEST_RUN = 900.0


@dataclass(kw_only=True)
class Row:
    """One line of the table."""

    fault: str
    num_tried: int = 0
    num_survived: int = 0
    num_lost: int = 0
    """Whole or acknowledged lines that were gone or changed after a kill or a resume."""
    num_repeated: int = 0
    """Responses that stand twice."""
    num_runs: int = 0
    """Runs that reached their end and were compared."""
    phases: Counter[str] = field(default_factory=Counter)
    """Kills by the phase that they hit."""
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
    kills: tuple[str, ...] = EARLY + LATE
    """The phases in which one run is killed, one resume after the other."""
    is_whole: bool = False
    """Whether every response is there already, so that only the tables are made."""
    jumps: bool = False
    """Whether the clock jumps."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended."""

    status: int
    """As `subprocess` has it: -9 where the kill hit."""
    began: dict[str, float]
    """When each phase began, seconds of the monotonic clock."""
    stored: list[tuple[int, int]]
    """After each append, by the run's own word: bytes of responses.jsonl, resident KiB."""

    @property
    def num_acknowledged_bytes(self) -> int:
        """Of responses.jsonl."""
        return self.stored[-1][0] if self.stored else 0

    @property
    def phase(self) -> str:
        """The last one that began."""
        return max(self.began, key=PHASES.index)

    def seconds(self) -> dict[str, float]:
        """How long each phase took, of a run that ended by itself."""
        names = sorted(self.began, key=PHASES.index)
        return {name: self.began[after] - self.began[name] for name, after in pairwise(names)}


def watch_run(case: Case, out: Path, phase: str = "end", delay: float = _LONGEST_RUN) -> Ending:
    """Start a run and kill it `delay` seconds after `phase`, or one behind it, began."""
    reading, writing = os.pipe()
    environment = os.environ | {PIPE: str(writing)} | ({CLOCK: "1"} if case.jumps else {})
    start = [sys.executable, "-m", "tests.perf.announced", "run", *case.arguments]
    with tempfile.TemporaryFile() as errors:
        began = {"start": time.monotonic()}
        process = subprocess.Popen(
            [*start, "--quiet", "--out", str(out)],
            cwd=ROOT,
            env=environment,
            pass_fds=[writing],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        os.close(writing)
        said = _listen(process, reading, began, PHASES.index(phase), delay)
        process.kill()
        process.wait()
        os.set_blocking(reading, False)
        said += _rest(reading)
        os.close(reading)
        if process.returncode not in (0, -9):
            errors.seek(0)
            told = errors.read().decode(errors="replace")
            raise SystemExit(f"{out}: exit status {process.returncode}: {told[-2000:]}")
    _note_phases(said, began)
    lines = [line.split() for line in said.splitlines()]
    stored = [(int(line[1]), int(line[2])) for line in lines if line[0] == b"stored"]
    return Ending(status=process.returncode, began=began, stored=stored)


def _listen(
    process: subprocess.Popen[bytes],
    reading: int,
    began: dict[str, float],
    phase: int,
    delay: float,
) -> bytes:
    """What the run says until the moment has come or it has ended."""
    said, ended = b"", os.pidfd_open(process.pid)
    latest = began["start"] + _LONGEST_RUN
    try:
        while True:
            _note_phases(said, began)
            reached = [moment for name, moment in began.items() if PHASES.index(name) >= phase]
            left = min([latest, *(moment + delay for moment in reached)]) - time.monotonic()
            ready = select.select([reading, ended], [], [], max(left, 0))[0] if left > 0 else []
            chunk = os.read(reading, 1 << 16) if reading in ready else b""
            said += chunk
            if not chunk:  # it's time, or the run has ended
                return said
    finally:
        os.close(ended)


def _rest(reading: int) -> bytes:
    said = b""
    while True:
        try:
            chunk = os.read(reading, 1 << 16)
        except BlockingIOError:  # a child of the killed run holds the other end
            return said
        if not chunk:
            return said
        said += chunk


def _note_phases(said: bytes, began: dict[str, float]) -> None:
    for line in said[: said.rfind(b"\n") + 1].decode().splitlines():
        name, value = line.split(maxsplit=1)
        if name in PHASES:
            began.setdefault(name, float(value))


def whole_lines(out: Path) -> list[bytes]:
    """What is acknowledged: lines that end."""
    path = out / JSONL
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A run that nobody disturbed."""

    folder: Path
    seconds: dict[str, float]
    """Of each phase."""


def finish(case: Case, out: Path) -> Whole:
    """Run to the end."""
    ending = watch_run(case, out)
    if ending.status:
        raise SystemExit(f"{out}: not at its end after {_LONGEST_RUN:g} s")
    return Whole(folder=out, seconds=ending.seconds())


def try_case(
    case: Case, whole: Whole, folder: Path, kills: int, until: float, chance: random.Random
) -> Row:
    """Kill runs of one kind until `kills` have hit or the clock has passed `until`."""
    row = Row(fault=case.fault)

    def may_kill() -> bool:
        return row.num_tried < kills and (time.monotonic() < until or row.num_tried == 0)

    while may_kill():
        out = _start(case, whole.folder, folder / f"{row.num_runs}")
        for phase in case.kills:
            if may_kill():
                _kill_once(case, out, phase, whole, row, chance)
        before = whole_lines(out)
        finish(case, out)
        row.num_lost += len(set(before) - set(whole_lines(out)))
        _compare(case, whole.folder, out, row)
        if not row.wrong:
            shutil.rmtree(out)
    return row


def _kill_once(
    case: Case, out: Path, phase: str, whole: Whole, row: Row, chance: random.Random
) -> None:
    """One more kill in the row, unless the run was done before it."""
    before = whole_lines(out)
    length = whole.seconds.get(phase, 0.0)
    if phase == "generate":
        length *= 1 - len(before) / len(whole_lines(whole.folder))
    ending = watch_run(case, out, phase, chance.uniform(0, length))
    if ending.status != -9 or ending.phase == "end":
        return
    after = whole_lines(out)
    num_bytes = sum(map(len, after))
    lost = len(set(before) - set(after)) + (num_bytes < ending.num_acknowledged_bytes)
    row.num_tried += 1
    row.phases[ending.phase] += 1
    row.num_lost += lost
    row.num_survived += not lost
    if case.jumps:
        _move_times(out, chance)


def _compare(case: Case, whole: Path, out: Path, row: Row) -> None:
    """Hold a finished run beside an undisturbed one."""
    lines = whole_lines(out)
    row.num_runs += 1
    row.num_repeated += len(lines) - len({each.key for each in read_responses(out)})
    found, expected = ({each.key: each for each in read_responses(run)} for run in (out, whole))
    troubles = [name for name in (METRICS, PARQUET) if _bytes(out / name) != _bytes(whole / name)]
    troubles += [] if found == expected else ["responses"]
    troubles += [] if verdicts_of(out) == verdicts_of(whole) else ["verdicts"]
    troubles += [DAMAGED] if (out / DAMAGED).exists() else []
    troubles += [path.name for path in out.rglob(".*.tmp")]
    row.wrong += [f"{case.fault}: other {name} in {out}" for name in troubles]


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


def verdicts_of(run: Path) -> dict[object, object]:
    """What a verdict table says, but for the time it took."""
    rows = read_verdicts(run, verdict_names(run)[-1])
    return {row.key: (row.status, row.extracted, row.method, row.gold) for row in rows}


def _start(case: Case, whole: Path, out: Path) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    if case.is_whole:
        out.mkdir(parents=True)
        for name in (SPEC, PROBLEMS, PROMPTS, JSONL):
            shutil.copy(whole / name, out / name)
    return out


def _move_times(out: Path, chance: random.Random) -> None:
    for path in out.rglob("*"):
        moved = time.time() + chance.choice([-1e8, 1e8])
        os.utime(path, (moved, moved))
