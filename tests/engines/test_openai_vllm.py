"""The openai engine against a real vLLM server, beside the vllm engine in this process."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

if any(importlib.util.find_spec(package) is None for package in ("vllm", "aiohttp")):
    pytest.skip("vllm or aiohttp isn't installed", allow_module_level=True)

from evalharness.benchmarks import load_benchmark
from evalharness.engines import open_engine
from evalharness.engines.base import Completion, Engine, EngineOptions, Request
from evalharness.paths import tiny_checkpoint
from evalharness.records import Prompt, ResponseKey, Sampling
from evalharness.templates import load_template
from tests.engines.served import VLLM_FIELDS

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    # vllm and the packages that it imports use names that their own dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
CONTEXT = 1024
STOPS = ((), ("boxed",), (" = ", " + "))
SERVER = (
    "--dtype float32 --enforce-eager --generation-config vllm --no-enable-chunked-prefill "
    f"--max-model-len {CONTEXT} --max-num-batched-tokens 4096 --kv-cache-memory-bytes 134217728"
).split()


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *SERVER]
    command += ["--model", str(tiny_checkpoint()), "--served-model-name", "tiny"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own address
        except (urllib.error.URLError, OSError):
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"the server ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        else:
            return
    pytest.fail(f"the server wasn't ready in time:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def served(base_url: str) -> Iterator[Engine]:
    engine = open_engine("openai", EngineOptions(base_url=base_url, concurrency=16))
    engine.load("tiny")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def local() -> Iterator[Engine]:
    engine = open_engine("vllm", EngineOptions(max_model_len=CONTEXT))
    engine.load("tiny")
    yield engine
    engine.close()


def answers(
    engine: Engine, template: str, sampling: Sampling, max_tokens: int = 24
) -> dict[ResponseKey, Completion]:
    made = load_template(template)
    requests = []
    for row, problem in enumerate(load_benchmark("practice").problems[:24]):
        prompt = engine.prepare(made.render(problem))
        requests.append(
            Request(
                key=ResponseKey("tiny", template, problem.problem_id, 0),
                prompt=prompt,
                seed=1000 + row,
                max_tokens=max_tokens,
                stop=made.stop or STOPS[row % 3],
                keep_stop=made.keep_stop or row % 2 == 0,
            )
        )
    return {
        done.key: replace(done, token_ids=None, end_id=None, token_limit=None)
        for done in engine.generate(requests, sampling)
    }


@pytest.mark.parametrize("template", ["no", "qwen-math", "r1", "chat"])
def test_greedy_responses_equal_those_of_the_engine_in_this_process(served, local, template):
    found = answers(served, template, Sampling())
    assert found == answers(local, template, Sampling())
    # The comparison saw every end: EOS, a stop string, the limit.
    if template == "no":
        assert {done.finish_reason for done in found.values()} == {"stop", "length"}
        assert {done.stop_reason for done in found.values()} >= {None, "boxed", " + "}


def test_a_request_s_seed_gives_the_same_draw_on_both_sides(served, local):
    hot = Sampling(temperature=1.0, top_p=0.95, top_k=40)
    found = answers(served, "no", hot)
    assert found == answers(local, "no", hot)
    assert found != answers(served, "no", Sampling())


def test_the_limit_is_what_the_server_s_context_leaves(served):
    problem = Prompt(template="no", problem_id="p", text="7 7 7 7 " * 60)
    prompt = served.prepare(problem)
    request = Request(
        key=ResponseKey("tiny", "no", "p", 0), prompt=prompt, seed=1, max_tokens=CONTEXT
    )
    [done] = served.generate([request], Sampling())
    assert done.prompt_tokens is not None
    assert done.token_limit == CONTEXT - done.prompt_tokens < CONTEXT
    assert done.finish_reason == "stop" or done.num_tokens == done.token_limit


def test_a_prompt_beyond_the_context_is_an_error_of_its_row(served):
    prompt = served.prepare(Prompt(template="no", problem_id="p", text="7 " * 1200))
    request = Request(key=ResponseKey("tiny", "no", "p", 0), prompt=prompt, seed=1, max_tokens=8)
    [done] = served.generate([request], Sampling())
    assert done.finish_reason == "error"
    assert (done.error or "").startswith("HTTP 400: ")
    assert "context length" in (done.error or "")


def test_the_fields_of_the_scripted_server_are_those_of_vllm():
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    assert set(VLLM_FIELDS) - set(CompletionRequest.model_fields) == {"messages"}
