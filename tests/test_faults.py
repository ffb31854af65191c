"""A run folder under faults: whatever happens, nothing that was stored is lost."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from evalharness.benchmarks import load_benchmark
from evalharness.pipeline import run
from evalharness.plan import RunPlan
from evalharness.records import Sampling
from evalharness.store import DAMAGED, JSONL, read_responses
from evalharness.templates import load_template
from tests.scripted import ScriptedEngine, SilentProgress

ROOT = Path(__file__).parent.parent
NUM_PROBLEMS = 12


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of 24 responses, to be replayed."""
    rows = [{"problem": f"What is {row}+0?", "gold": str(row)} for row in range(NUM_PROBLEMS)]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ScriptedEngine().use(monkeypatch)
    plan = RunPlan(
        models={"m": "m"},
        benchmarks=(load_benchmark(str(path)),),
        templates=(load_template("no"), load_template("r1")),
        sampling=Sampling(max_tokens=64),
    )
    run(plan, tmp_path / "source", SilentProgress())
    return tmp_path / "source"


def replay(
    source: Path, out: Path, most_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, whose files may grow to `most_bytes`."""

    def limit() -> None:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

    command = [sys.executable, "-m", "evalharness", "run", "--engine", "replay"]
    command += ["--replay-from", str(source), "--model", "m", "--template", "no,r1"]
    command += ["--benchmark", str(source.parent / "sums.jsonl"), "--max-tokens", "64"]
    return subprocess.run(
        [*command, "--out", str(out)],
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
    stopped = replay(source, out, most_bytes)
    assert stopped.returncode == 2, stopped.stderr
    assert "File too large" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    stored = (out / JSONL).read_bytes() if (out / JSONL).exists() else b""
    whole = stored[: stored.rfind(b"\n") + 1]
    resumed = replay(source, out)
    assert resumed.returncode == 0, resumed.stderr
    assert (out / JSONL).read_bytes().startswith(whole)
    assert sorted(read_responses(out), key=str) == sorted(read_responses(source), key=str)
    assert len(read_responses(out)) == 2 * NUM_PROBLEMS


def test_garbled_lines_are_named_kept_aside_and_drawn_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert replay(source, out).returncode == 0
    (out / "responses.parquet").unlink()
    path = out / JSONL
    lines = path.read_bytes().splitlines(keepends=True)
    # A line of zeros as a lost block leaves it, two lines run together, a torn end.
    lines[3] = b"\x00" * (len(lines[3]) - 1) + b"\n"
    lines[7] = lines[7].rstrip(b"\n")
    lines[-1] = lines[-1][:40]
    path.write_bytes(b"".join(lines))
    resumed = replay(source, out)
    assert resumed.returncode == 0, resumed.stderr
    assert f"damaged: {path}:4, {path}:8; kept aside in {DAMAGED}" in resumed.stderr
    # Of 24, the zeros, the two run together and the torn one are drawn again: 20 are kept.
    assert "20 of 24 responses are there already" in resumed.stderr
    assert (out / DAMAGED).read_bytes() == lines[3] + lines[7] + lines[8]
    assert sorted(read_responses(out), key=str) == sorted(read_responses(source), key=str)
