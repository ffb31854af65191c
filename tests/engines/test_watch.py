from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.engines import open_engine
from evalharness.engines.base import Completion, EngineOptions, PreparedPrompt, Request
from evalharness.engines.child import EngineProcess
from evalharness.engines.watch import WatchedEngine
from evalharness.errors import EngineError, InputError
from evalharness.paths import tiny_checkpoint
from evalharness.records import Message, Prompt, ResponseKey, Sampling

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="whether a process runs is read from /proc"
)


def watched(folder: Path, timeout: float = 60.0, name: str = "dying") -> WatchedEngine:
    options = EngineOptions(engine_timeout=timeout, base_url=str(folder))
    engine = WatchedEngine(name, options, opener="tests.engines.dying:create_engine")
    engine.tell = lambda death: None
    return engine


def requests(*texts: str, num_samples: int = 1) -> list[Request]:
    return [
        Request(
            key=ResponseKey("m", "t", f"b/{number}", sample),
            prompt=PreparedPrompt(text=text, token_ids=(1,)),
            seed=sample,
            max_tokens=9,
            stop=("</s>",),
        )
        for number, text in enumerate(texts)
        for sample in range(num_samples)
    ]


def generate(engine: WatchedEngine, asked: list[Request]) -> dict[ResponseKey, Completion]:
    engine.load("m")
    completions = list(engine.generate(asked, Sampling(temperature=0.5)))
    found = {each.key: each for each in completions}
    assert len(found) == len(completions)
    return found


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    # Dead, but nobody has asked yet: no program.
    return stat.rpartition(")")[2].split()[0] != "Z"


def ends(pid: int, *, seconds: float) -> bool:
    """Wait for the end of a process that isn't a child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def test_everything_of_a_completion_comes_back_from_the_other_process(tmp_path: Path) -> None:
    engine = watched(tmp_path)
    assert engine.name == "dying"
    record = engine.load("m")
    assert (record.model, record.revision, record.context_length) == ("m", "r1", 100)
    assert record.details == {"engine_timeout": 60.0}
    chat = (Message("user", "1+1\x00\ud800"),)
    prepared = engine.prepare(Prompt(template="t", problem_id="b/0", text="a\n", messages=chat))
    assert prepared == PreparedPrompt(text="a\n", token_ids=(1, 2), messages=chat)
    (request,) = requests("x")
    (found,) = engine.generate([request], Sampling(temperature=0.5))
    pid = int(found.text.rpartition(" ")[2])
    assert pid != os.getpid()
    assert found == Completion(
        key=request.key,
        text=f"x\ud83d at 0.5 by {pid}",
        num_tokens=3,
        finish_reason="stop",
        token_ids=(7, 8),
    )
    engine.close()
    engine.close()
    assert (tmp_path / "closed").exists()
    assert not is_running(pid)


def test_a_killed_engine_costs_nothing(tmp_path: Path) -> None:
    texts = [f"p{number}" for number in range(40)]
    texts[20] = "killed once"
    engine = watched(tmp_path)
    found = generate(engine, requests(*texts, num_samples=2))
    engine.close()
    assert len(found) == 80
    assert {each.finish_reason for each in found.values()} == {"stop"}
    assert engine.deaths == ["it was killed by SIGKILL, 40 responses unfinished"]
    # Two processes, and the second one was not started for each group again.
    assert len(list(tmp_path.glob("loaded-*"))) == 2


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("kill", "it was killed by SIGKILL"),
        ("break", "it broke: RuntimeError: CUDA error"),
        ("exit", "it ended with exit code 3"),
    ],
)
def test_a_prompt_that_kills_becomes_an_error_with_its_hash(
    tmp_path: Path, text: str, how: str
) -> None:
    texts = [f"p{number}" for number in range(40)]
    texts[3] = text
    engine = watched(tmp_path)
    found = generate(engine, requests(*texts, num_samples=2))
    engine.close()
    assert len(found) == 80
    failed = {key: each for key, each in found.items() if each.finish_reason == "error"}
    assert {(key.problem_id, key.sample_index) for key in failed} == {("b/3", 0), ("b/3", 1)}
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    for completion in failed.values():
        # Among 37 prompts, then among 2, then alone.
        assert completion.error == (
            f"the engine died 3 times over this prompt (sha256 {sha256}), last with nothing else "
            f"to do: {how}; {how}; {how}"
        )
    assert len(engine.deaths) == 3


def test_a_prompt_alone_gets_two_attempts(tmp_path: Path) -> None:
    engine = watched(tmp_path)
    (found,) = generate(engine, requests("kill")).values()
    engine.close()
    assert found.error is not None
    assert found.error.startswith("the engine died 2 times")


def test_an_engine_that_hangs_is_killed_and_its_work_done_again(tmp_path: Path) -> None:
    engine = watched(tmp_path, timeout=1.0)
    found = generate(engine, requests("a", "hang", "b"))
    engine.close()
    assert [each.finish_reason for each in found.values()] == ["stop"] * 3
    assert engine.deaths == ["it hung: no step in 1 s, 2 responses unfinished"]


def test_a_slow_engine_that_takes_steps_does_not_hang(tmp_path: Path) -> None:
    # 3 seconds for one response, a step every tenth.
    engine = watched(tmp_path, timeout=1.0)
    found = generate(engine, requests("slow"))
    engine.close()
    assert len(found) == 1
    assert engine.deaths == []


def test_an_engine_that_dies_over_everything_ends_the_run(tmp_path: Path) -> None:
    engine = watched(tmp_path)
    engine.load("m")
    deadly = requests(*[f"kill {number}" for number in range(20)])
    with pytest.raises(EngineError, match="died 10 times without giving a response between"):
        list(engine.generate(deadly, Sampling()))
    # The other engine is one that answers.
    (found,) = generate(engine, requests("a")).values()
    assert found.finish_reason == "stop"
    engine.close()


def test_an_engine_that_dies_while_it_loads_is_tried_twice(tmp_path: Path) -> None:
    engine = watched(tmp_path)
    with pytest.raises(EngineError, match="died twice while it loaded: it was killed by SIGKILL"):
        engine.load("deadly")
    assert len(list(tmp_path.glob("loaded-*"))) == 2
    engine.close()


def test_what_an_engine_refuses_is_no_death(tmp_path: Path) -> None:
    engine = watched(tmp_path)
    with pytest.raises(EngineError, match="no such model"):
        engine.load("missing")
    engine.load("m")
    with pytest.raises(EngineError, match="the key is refused"):
        list(engine.generate(requests("a", "refuse"), Sampling()))
    assert len(list(engine.generate(requests("a"), Sampling()))) == 1
    assert len(list(tmp_path.glob("loaded-*"))) == 1
    engine.close()
    with pytest.raises(InputError, match='unknown engine "unknown"'):
        watched(tmp_path, name="unknown")


def test_weights_that_change_between_two_engines_are_refused(tmp_path: Path) -> None:
    engine = watched(tmp_path)
    engine.load("changing")
    with pytest.raises(EngineError, match="changing is not what it was before the engine died: r2"):
        list(engine.generate(requests("killed once"), Sampling()))
    engine.close()


def test_a_generator_that_nobody_reads_to_its_end_leaves_a_usable_engine(tmp_path: Path) -> None:
    engine = watched(tmp_path)
    engine.load("m")
    given = engine.generate(requests("a", "slow"), Sampling())
    pid = int(next(given).text.rpartition(" ")[2])
    given.close()
    assert not is_running(pid)
    assert len(list(engine.generate(requests("a", "b"), Sampling()))) == 2
    engine.close()


def test_the_engine_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from tests.engines.test_watch import *;"
        f"engine = watched(Path({str(tmp_path)!r})); engine.load('m');"
        "given = engine.generate(requests('a', 'slow', 'slow', 'slow'), Sampling());"
        "pid = int(next(given).text.rpartition(' ')[2]);"
        "print(pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    # The child holds this pipe too: it is at its end when both are gone.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    # Its files are closed a moment before it is gone.
    assert ends(int(done.stdout), seconds=60)


def test_half_a_line_of_a_parent_that_was_killed_ends_the_engine_too(tmp_path: Path) -> None:
    options = EngineOptions(base_url=str(tmp_path), engine_timeout=60.0)
    process = EngineProcess("auto", options, "tests.engines.dying:create_engine")
    assert process.name(60) == "dying"
    os.set_blocking(process._stdin.fileno(), True)
    os.write(process._stdin.fileno(), b'{"do": "gen')
    process._stdin.close()
    assert process._process.wait(timeout=60) == -signal.SIGKILL
    process.close(at_once=True)


@pytest.mark.slow
def test_the_transformers_engine_gives_the_same_tokens_when_it_is_watched() -> None:
    pytest.importorskip("torch", reason="the extra [local] isn't installed")
    model, sampling = str(tiny_checkpoint()), Sampling(temperature=1.0)
    texts = ("What is 2+3?", "What is 7*8?", "What is 10-4?")
    found = []
    for timeout in (None, 120.0):
        engine = open_engine("transformers", EngineOptions(device="cpu", engine_timeout=timeout))
        record = engine.load(model)
        asked = [
            replace(
                request,
                prompt=engine.prepare(Prompt(template="no", problem_id="p", text=text)),
                max_tokens=24,
            )
            for request, text in zip(requests(*texts), texts, strict=True)
        ]
        given = engine.generate(asked, sampling)
        first = next(given)
        if isinstance(engine, WatchedEngine):
            assert engine.name == "transformers"
            assert record.details["engine_timeout"] == 120.0
            assert engine._process is not None
            os.kill(engine._process.pid, signal.SIGKILL)
        found.append({each.key: each for each in (first, *given)})
        engine.close()
    assert found[0] == found[1]
    assert len(found[0]) == 3
