"""The commands that the documentation shows are run, on checkpoints that a test can bear.

`test_docs_run.py` runs the pages that need no stand-in as they are written; `test_docs.py` holds
every command, also those that are left out here, against the grammar of the command line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evalharness.cli import main
from evalharness.paths import tiny_checkpoint
from tests.test_docs import ROOT, commands

pytest.importorskip("torch", reason="needs the extra [local]")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("EVALHARNESS_DATA" not in os.environ, reason="needs the benchmark files"),
]

CHEAP = {
    "run": "--engine transformers --dtype float32 --device cpu --limit 8 --samples 2 "
    "--temperature 1 --max-tokens 4 --quiet".split(),
    "verify": ["--limit", "2"],
}
"""Said behind a command: the last word counts."""

LEFT_OUT = {
    "--engine openai": "needs a server: tests/engines/test_openai*.py",
    "--engine ray": "needs a cluster: tests/engines/test_ray.py",
    "--watch": "starts a second process: tests/engines/test_watch.py",
    "--data-parallel-size": "starts engines: tests/engines/test_parallel.py",
    "--shard": "the names of a cluster; tests/test_merging.py",
    "$SCRATCH": "the names of a cluster; tests/test_merging.py",
    "merge ": "needs shards: tests/test_merging.py",
    "--deterministic": "vLLM's: tests/engines/test_vllm.py",
    "--tracker": "needs the tracker: tests/training/test_trackers.py",
    "@main": "needs a hub: tests/test_hub.py",
    "logs/b.eval": "needs two logs: tests/exchange",
    "--format inspect": "needs inspect_ai: tests/exchange",
    "--format hf": "takes whole benchmarks only: tests/exchange",
    "train ": "takes minutes: tests/training",
    "suite ": "eleven checkpoints: tests/test_suites.py",
    "MODEL": "a pattern",
    "--from qwen-math": "a file of the reader: tests/exchange",
    "--set model=mine": "a file of the reader: tests/exchange",
}

# The shipped checkpoint whose context holds every prompt of the five benchmarks.
CHECKPOINTS = "ckpt/0 ckpt/200 ckpt/step-100 ckpt/step-200 ckpt/step-300".split()
CHECKPOINTS += "trained/base trained/dr_grpo/checkpoint-000020 Qwen/Qwen2.5-Math-1.5B".split()


def shown() -> list[str]:
    """The commands of all pages that stand in for others, once each."""
    pages = [
        (page, text)
        for page, text in commands()
        if page not in ("docs/guide/own-data.md", "docs/notebook.md")
        and page.startswith(("README", "docs/"))
    ]
    texts = dict.fromkeys(text for _, text in pages)
    return [text for text in texts if not any(part in text for part in LEFT_OUT)]


@dataclass(slots=True)
class Done:
    """What running one command came to."""

    code: int
    said: str


@dataclass(slots=True)
class Place:
    """A folder in which the names of the documentation mean something."""

    folder: Path
    done: dict[str, Done] = field(default_factory=dict)

    def run(self, text: str) -> Done:
        """Once; a command whose --out is there already gets a place of its own."""
        if text not in self.done:
            words = shlex.split(text, comments=True)[1:]
            words += CHEAP.get(words[0], [])
            if "--out" in words and Path(words[words.index("--out") + 1]).exists():
                words += ["--out", f"elsewhere/{len(self.done)}/x"]
            said = io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                code = main(words)
            self.done[text] = Done(code, said.getvalue())
        return self.done[text]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("docs")
    for name in CHECKPOINTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(tiny_checkpoint())
    for name in ("templates", "reports"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "elsewhere").mkdir()
    exchange = ROOT / "tests" / "data" / "exchange"
    (folder / "lm-eval-results").symlink_to(exchange / "lm-eval")
    rows = [
        {"benchmark": "aime24", "problem_id": f"aime24/{row}", "response": "\\boxed{1}"}
        | {"model": "m", "template": "no", "sample_index": 0, "n_tokens": 4}
        for row in range(3)
    ]
    (folder / "outputs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    problem = {"problem": "What is 1 + 1?", "answer": "2"}
    (folder / "train.jsonl").write_text(json.dumps(problem) + "\n")
    (folder / "settings.toml").write_text('model = "ckpt/0"\nbenchmark = "practice"\n')
    before = Path.cwd()
    os.chdir(folder)
    try:
        made = Place(folder)
        for text in shown():
            if text.startswith("evalharness run") and " --out " in text:
                made.run(text)
        # Pages that show what is done with a run, not how it came about.
        (folder / "runs" / "x").symlink_to(folder / "runs" / "steps")
        yield made
    finally:
        os.chdir(before)


@pytest.mark.parametrize("text", shown())
def test_a_documented_command_runs(place: Place, text: str) -> None:
    done = place.run(text)
    assert done.code == 0, done.said
    assert "Traceback" not in done.said


def test_every_reason_to_leave_a_command_out_is_needed_and_its_test_is_there() -> None:
    texts = [text for _, text in commands()]
    for part, reason in LEFT_OUT.items():
        assert any(part in text for text in texts), part
        for word in reason.split():
            if word.startswith("tests/"):
                assert list(ROOT.glob(word.rstrip("*") + "*")), reason


def test_a_benchmark_that_was_run_whole_goes_to_the_hub(place: Place) -> None:
    cheap = "--template no --max-tokens 1 --engine transformers --device cpu --quiet"
    words = f"run --model ckpt/0 --benchmark amc23 {cheap} --out runs/amc23".split()
    assert main(words) == 0
    assert main("export runs/amc23 --format hf --out hub".split()) == 0
    (path,) = Path("hub").rglob("*.yaml")
    assert "id: math-ai/amc23" in path.read_text()
