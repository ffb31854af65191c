"""A run folder under faults: whatever happens, nothing that was stored is lost."""

import hashlib
import json
import math
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evalharness import pipeline
from evalharness.benchmarks import load_benchmark
from evalharness.engines.base import EngineOptions
from evalharness.engines.watch import WatchedEngine
from evalharness.pipeline import run
from evalharness.plan import RunPlan
from evalharness.records import Sampling
from evalharness.store import DAMAGED, JSONL, read_responses, read_spec
from evalharness.templates import load_template
from tests.perf.announced import PHASES
from tests.perf.killing import Case, finish, try_case
from tests.scripted import ScriptedEngine, SilentProgress

ROOT = Path(__file__).parent.parent
NUM_PROBLEMS = 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 24 responses, to be replayed."""
    folder = tmp_path_factory.mktemp("faults")
    rows = [{"problem": f"What is {row}+0?", "gold": str(row)} for row in range(NUM_PROBLEMS)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        ScriptedEngine().use(patch)
        run(plan(folder), folder / "source", SilentProgress())
    return folder / "source"


def plan(folder: Path, **changes: Any) -> RunPlan:
    """Of the runs here: twelve sums under two templates."""
    return RunPlan(
        models={"m": "m"},
        benchmarks=(load_benchmark(str(folder / "sums.jsonl")),),
        templates=(load_template("no"), load_template("r1")),
        sampling=Sampling(max_tokens=64),
        **changes,
    )


def replaying(source: Path) -> list[str]:
    """The same from the command line."""
    arguments = ["--engine", "replay", "--replay-from", str(source), "--model", "m"]
    arguments += ["--template", "no,r1", "--max-tokens", "64"]
    return [*arguments, "--benchmark", str(source.parent / "sums.jsonl")]


def replay(source: Path, out: Path) -> SilentProgress:
    """The same in this process, without its tables."""
    progress = SilentProgress()
    options = EngineOptions(replay_from=source)
    run(plan(source.parent, engine="replay", options=options), out, progress)
    return progress


def replay_on_a_small_disk(
    source: Path, out: Path, most_bytes: int
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, whose files may grow to `most_bytes`."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-m", "evalharness", "run", *replaying(source), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=limit,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )


# The limits end it in the lock, run.json, prompts.jsonl and responses.jsonl.
@pytest.mark.parametrize("most_bytes", [0, 2400, 5000, 8000])
def test_a_disk_that_is_full_is_said_and_the_same_command_goes_on(
    source: Path, tmp_path: Path, most_bytes: int
) -> None:
    out = tmp_path / "out"
    stopped = replay_on_a_small_disk(source, out, most_bytes)
    assert stopped.returncode == 2, stopped.stderr
    assert "File too large" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    stored = (out / JSONL).read_bytes() if (out / JSONL).exists() else b""
    whole = stored[: stored.rfind(b"\n") + 1]
    assert out.exists() == bool(whole)
    replay(source, out)
    assert (out / JSONL).read_bytes().startswith(whole)
    assert sorted(read_responses(out), key=str) == sorted(read_responses(source), key=str)
    assert len(read_responses(out)) == 2 * NUM_PROBLEMS


def test_a_prompt_that_kills_the_engine_costs_its_own_response_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"problem": text, "gold": "1"} for text in ("a", "b", "kill", "c")]
    path = tmp_path / "deadly.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = EngineOptions(engine_timeout=60.0, base_url=str(tmp_path))
    monkeypatch.setattr(
        pipeline,
        "open_engine",
        lambda name, options: WatchedEngine(name, options, "tests.engines.dying:create_engine"),
    )
    plan = RunPlan(
        models={"m": "m"},
        benchmarks=(load_benchmark(str(path)),),
        templates=(load_template("no"),),
        sampling=Sampling(max_tokens=9),
        options=options,
    )
    progress = SilentProgress()
    result = run(plan, tmp_path / "out", progress)
    assert (result.num_generated, result.num_failed) == (3, 1)
    errors = {each.problem_id: each.error for each in read_responses(tmp_path / "out")}
    digest = hashlib.sha256(b"kill").hexdigest()
    assert [name for name, error in errors.items() if error] == ["deadly/2"]
    assert f"over this prompt (sha256 {digest})" in str(errors["deadly/2"])
    # Killed among three prompts and then alone.
    deaths = read_spec(tmp_path / "out")["sessions"][0]["engine_deaths"]
    assert deaths == progress.notes
    assert deaths == [
        f"the engine's process died: it was killed by SIGKILL, {left} responses unfinished; "
        "a fresh one goes on"
        for left in (2, 1)
    ]


@pytest.mark.slow
def test_kills_and_clock_jumps_at_random_moments_lose_and_repeat_nothing(
    source: Path, tmp_path: Path
) -> None:
    # The clock jumps by three years at every reading, and so do the times of the files.
    kills = ("generate", "compact", "report")
    case = Case(fault="killed", arguments=replaying(source), kills=kills, jumps=True)
    whole = finish(case, tmp_path / "whole")
    row = try_case(case, whole, tmp_path / "killed", 3, math.inf, random.Random(1))
    assert (row.num_tried, row.num_survived) == (3, 3)
    # A kill that comes late hits a phase behind the one it was meant for, but none before it.
    assert sum(row.phases[name] for name in PHASES[PHASES.index("generate") : -1]) == 3
    assert (row.num_lost, row.num_repeated, row.wrong) == (0, 0, [])


def test_garbled_lines_are_named_kept_aside_and_drawn_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    replay(source, out)
    (out / "responses.parquet").unlink()
    path = out / JSONL
    lines = path.read_bytes().splitlines(keepends=True)
    # A line of zeros as a lost block leaves it, two lines run together, a torn end.
    lines[3] = b"\x00" * (len(lines[3]) - 1) + b"\n"
    lines[7] = lines[7].rstrip(b"\n")
    lines[-1] = lines[-1][:40]
    path.write_bytes(b"".join(lines))
    resumed = replay(source, out)
    assert f"damaged: {path}:4, {path}:8; kept aside in {DAMAGED}" in resumed.notes[0]
    # Of 24, the zeros, the two run together and the torn one are drawn again: 20 are kept.
    assert len(resumed.responses) == 4
    assert (out / DAMAGED).read_bytes() == lines[3] + lines[7] + lines[8]
    assert sorted(read_responses(out), key=str) == sorted(read_responses(source), key=str)
