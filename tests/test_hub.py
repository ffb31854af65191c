"""Models and benchmarks by hub id: what is recorded, and what is said where the hub says no."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalharness.paths import tiny_checkpoint
from tests.hub import Hub, Repository, serve_hub

pytest.importorskip("torch", reason="needs the extra [local]")

ROOT = Path(__file__).parent.parent
MODEL, DATA = "a" * 40, "b" * 40
OTHER = "c" * 40
ROWS = b"".join(
    json.dumps({"problem": f"Work out {n} + 1.", "gold": str(n + 1)}).encode() + b"\n"
    for n in range(3)
)

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    files = {path.name: path.read_bytes() for path in tiny_checkpoint().iterdir()}
    gated = {"config.json": b"{}", "model.safetensors": b"0"}
    repositories = {
        "models/me/tiny": Repository(commit=MODEL, files=files),
        "models/me/gated": Repository(commit=MODEL, files=gated, is_gated=True),
        "datasets/me/sums": Repository(commit=DATA, files={"test.jsonl": ROWS}),
        "datasets/me/gated": Repository(commit=DATA, files={"test.jsonl": ROWS}, is_gated=True),
    }
    with serve_hub(repositories) as served:
        yield served


@pytest.fixture(scope="module")
def command(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """`evalharness` in a process of its own, with an empty cache that the tests here share."""
    home = tmp_path_factory.mktemp("hub")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", "evalharness", *arguments],
            env=kept | settings | {"HF_HUB_DISABLE_XET": "1"} | more,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


NOBODY = "http://127.0.0.1:9"
TROUBLES: list[tuple[str, dict[str, str], list[str]]] = [
    ("me/gated", {}, ["is gated: accept its terms at", "hf auth login", "HF_TOKEN"]),
    ("me/none", {}, ["is not on the hub, or is private", "check the name", "HF_TOKEN"]),
    ("me/{}@nope", {}, ["has no revision nope"]),
    ("me/{}", {"HF_HUB_OFFLINE": "1"}, ["isn't in the hub's cache", "HF_HUB_OFFLINE is set"]),
    ("me/{}", {"HF_ENDPOINT": NOBODY}, [f"{NOBODY}", "check the network", "HF_HUB_OFFLINE=1"]),
]


@pytest.mark.parametrize(("model", "settings", "messages"), TROUBLES)
def test_a_model_that_the_hub_does_not_give_is_told_with_the_remedy(
    command: Command, model: str, settings: dict[str, str], messages: list[str]
) -> None:
    # Never downloaded by the other tests: the cache would have it.
    name = model.format("gated")
    done = command("templates", "chat", "--model", name, **settings)
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("evalharness: ")]
    assert told == [done.stderr.splitlines()[-1]]
    for message in messages:
        assert message in told[0]


@pytest.mark.parametrize(("data", "settings", "messages"), TROUBLES)
def test_a_data_set_that_the_hub_does_not_give_is_told_with_the_remedy(
    command: Command, data: str, settings: dict[str, str], messages: list[str]
) -> None:
    done = command("benchmarks", data.format("gated"), **settings)
    assert done.returncode == 2
    if data == "me/{}@nope":
        messages = ["is gated"]  # the files are asked for before the revision
    for message in messages:
        assert message in done.stderr.splitlines()[-1]


def test_a_config_that_a_data_set_does_not_have_is_told_in_the_words_of_datasets(
    command: Command,
) -> None:
    done = command("benchmarks", "me/sums:algebra:test")
    assert done.returncode == 2
    assert "BuilderConfig 'algebra' not found" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_run_records_the_commits_of_its_model_and_its_benchmark(
    command: Command, tmp_path: Path
) -> None:
    sums = ["--benchmark", "me/sums", "--template", "no", "--max-tokens", "16"]
    out = ["--engine", "transformers", "--out", str(tmp_path / "run")]
    done = command("run", "--model", "me/tiny", *sums, *out)
    assert done.returncode == 0, done.stderr
    spec: dict[str, Any] = json.loads((tmp_path / "run" / "run.json").read_text())
    assert spec["models"]["me/tiny"]["revision"] == MODEL
    assert spec["benchmarks"]["me/sums"]["source"] == f"hub data set me/sums@{DATA}"
    # From now on the cache has both, and a pinned commit needs no network.
    pinned = ["--model", f"me/tiny@{MODEL}", "--benchmark", f"me/sums@{DATA}", *sums[2:]]
    out[-1] = str(tmp_path / "again")
    done = command("run", *pinned, *out, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    spec = json.loads((tmp_path / "again" / "run.json").read_text())
    assert spec["models"][f"me/tiny@{MODEL}"]["revision"] == MODEL


@pytest.mark.slow
def test_another_commit_in_the_cache_is_not_taken_for_the_pinned_one(command: Command) -> None:
    # `datasets` would take the latest cached version, whatever was pinned.
    assert command("benchmarks", "me/sums").returncode == 0
    assert command("benchmarks", f"me/sums@{DATA}", HF_HUB_OFFLINE="1").returncode == 0
    for revision in (OTHER, "v2"):
        done = command("benchmarks", f"me/sums@{revision}", HF_HUB_OFFLINE="1")
        assert done.returncode == 2
        told = done.stderr.splitlines()[-1]
        assert f"has commit {DATA} and not the pinned revision {revision}" in told
        assert f"me/sums@{DATA}" in told
