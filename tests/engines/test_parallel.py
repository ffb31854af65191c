from __future__ import annotations

import functools
import importlib.util
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.engines import open_engine
from evalharness.engines.base import Completion, Engine, EngineOptions, Request
from evalharness.engines.devices import Machine, machine_of, share_machine
from evalharness.engines.parallel import ParallelEngine, _Waiting
from evalharness.errors import EngineError, InputError
from evalharness.paths import tiny_checkpoint
from evalharness.records import Prompt, ResponseKey, Sampling
from tests.engines.test_watch import is_running, requests

TWO_CPUS = Machine(gpus=(), num_cpus=2)
linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="whether a process runs is read from /proc"
)


def parallel(folder: Path, count: int = 2, machine: Machine = TWO_CPUS) -> ParallelEngine:
    options = EngineOptions(
        base_url=str(folder), data_parallel_size=count, engine_timeout=60.0, batch_size=4
    )
    engine = ParallelEngine("dying", options, "tests.engines.dying:create_engine", machine)
    engine.tell = lambda death: None
    return engine


def generate(engine: ParallelEngine, asked: list[Request]) -> dict[ResponseKey, Completion]:
    engine.load("m")
    completions = list(engine.generate(asked, Sampling(temperature=0.5)))
    found = {each.key: each for each in completions}
    assert len(found) == len(completions)
    return found


def pids(found: dict[ResponseKey, Completion]) -> Counter[str]:
    return Counter(each.text.rpartition(" ")[2] for each in found.values() if each.text)


@pytest.mark.parametrize(
    ("visible", "num_gpus", "gpus"),
    [
        (None, 4, ("0", "1", "2", "3")),
        (None, 0, ()),
        ("", 0, ()),
        ("-1", 0, ()),
        ("2,3", 2, ("2", "3")),
        (" 5, 1 ", 2, ("5", "1")),
        ("GPU-8a,MIG-7b", 2, ("GPU-8a", "MIG-7b")),
        # CUDA sees nothing from the first number on that is none.
        ("3,-1,2", 1, ("3",)),
    ],
)
def test_the_gpus_are_those_that_are_visible_already(
    visible: str | None, num_gpus: int, gpus: tuple[str, ...]
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert machine_of(environment, num_gpus, 8).gpus == gpus


def shares(engine: str, machine: Machine, **options: object) -> list[dict[str, str]]:
    made = share_machine(engine, EngineOptions(**options), machine)  # type: ignore[arg-type]
    return [each.environment() for each in made]


def test_each_engine_gets_its_own_slice_of_the_gpus() -> None:
    machine = Machine(gpus=("4", "5", "6", "7", "8"), num_cpus=8)
    # 2 engines of 2 GPUs: the fifth stays free.
    assert shares("vllm", machine, data_parallel_size=2, tensor_parallel_size=2) == [
        {"CUDA_VISIBLE_DEVICES": "4,5"},
        {"CUDA_VISIBLE_DEVICES": "6,7"},
    ]
    assert shares("transformers", machine, data_parallel_size=2, tensor_parallel_size=2) == [
        {"CUDA_VISIBLE_DEVICES": "4"},
        {"CUDA_VISIBLE_DEVICES": "5"},
    ]
    assert shares("vllm", machine, data_parallel_size=5, device="cuda")[4] == {
        "CUDA_VISIBLE_DEVICES": "8"
    }


@pytest.mark.parametrize(
    ("num_cpus", "allowed", "threads"), [(8, None, "4"), (8, 1, "1"), (9, None, "4"), (1, 16, "1")]
)
def test_on_the_cpu_each_engine_gets_its_share_of_the_threads(
    num_cpus: int, allowed: int | None, threads: str
) -> None:
    machine = Machine(gpus=("0",), num_cpus=num_cpus, most_threads=allowed)
    assert (
        shares("vllm", machine, data_parallel_size=2, device="cpu")
        == [{"OMP_NUM_THREADS": threads}] * 2
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_parallel_size": 3}, "3 needs 3 GPUs and this process sees 2 \\(0,1\\)"),
        (
            {"data_parallel_size": 2, "tensor_parallel_size": 2},
            "2 times --tensor-parallel-size 2 needs 4 GPUs and this process sees 2",
        ),
        ({"data_parallel_size": 2, "device": "cuda:1"}, "--device cuda:1 names one GPU"),
    ],
)
def test_more_engines_than_gpus_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shares("vllm", Machine(gpus=("0", "1"), num_cpus=8), **options)


def test_a_gpu_that_is_asked_for_and_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="needs 2 GPUs and this process sees none"):
        shares("vllm", TWO_CPUS, data_parallel_size=2, device="cuda")


@pytest.mark.parametrize("name", ["openai", "replay", "ray"])
def test_engines_without_devices_of_their_own_refuse_to_be_parallel(name: str) -> None:
    with pytest.raises(InputError, match=f"--data-parallel-size is not for --engine {name}"):
        open_engine(name, EngineOptions(data_parallel_size=2))


def test_an_impossible_number_of_engines_is_refused() -> None:
    with pytest.raises(InputError, match="--data-parallel-size 0: give 1 or more"):
        open_engine("transformers", EngineOptions(data_parallel_size=0))


def test_requests_are_shared_out_by_room_and_by_what_is_left() -> None:
    asked = requests(*[f"p{number}" for number in range(10)])
    waiting = _Waiting(asked, num_children=2, room=4)
    first, second = waiting.take(0, 0), waiting.take(1, 0)
    # Room for 4 each, every second problem.
    assert [each.key.problem_id for each in first] == ["b/0", "b/2", "b/4", "b/6"]
    assert [each.key.problem_id for each in second] == ["b/8", "b/1", "b/3", "b/5"]
    # 2 are waiting, 3 + 4 are under way: no more than 5 each, and there is room for 1.
    assert [each.key.problem_id for each in waiting.take(0, 3)] == ["b/7"]
    # 1 is waiting, 4 + 1 are under way: 3 each.
    assert [each.key.problem_id for each in waiting.take(1, 1)] == ["b/9"]
    assert waiting.take(0, 0) == []


def test_few_requests_are_not_all_taken_by_the_first() -> None:
    waiting = _Waiting(requests(*"abcde"), num_children=2, room=100)
    assert [len(waiting.take(0, 0)), len(waiting.take(1, 0))] == [3, 2]


def test_every_engine_sees_its_own_devices_only(tmp_path: Path) -> None:
    engine = parallel(tmp_path, machine=Machine(gpus=("4", "7"), num_cpus=2))
    record = engine.load("m")
    (request,) = requests("environment")
    seen = [next(each.generate([request], Sampling())).text for each in engine._children]
    engine.close()
    assert [each.split()[0] for each in seen] == [
        "CUDA_VISIBLE_DEVICES=4",
        "CUDA_VISIBLE_DEVICES=7",
    ]
    assert record.details["replicas"] == ["GPU 4", "GPU 7"]
    assert record.notes == ("2 engines, one process each: GPU 4; GPU 7",)


@linux
def test_all_engines_work_and_a_killed_one_disturbs_nobody(tmp_path: Path) -> None:
    texts = [f"p{number}" for number in range(60)]
    texts[30] = "killed once"
    engine = parallel(tmp_path)
    found = generate(engine, requests(*texts, num_samples=2))
    deaths = engine.deaths
    processes = pids(found)
    engine.close()
    assert len(found) == 120
    assert {each.finish_reason for each in found.values()} == {"stop"}
    (death,) = deaths
    assert death.startswith("engine ")
    assert "(1 CPU thread): the engine's process died: it was killed by SIGKILL" in death
    # The two of the beginning and the one that took over.
    assert len(list(tmp_path.glob("loaded-*"))) == 3
    assert len(processes) == 3
    assert not any(is_running(int(pid)) for pid in processes)


@linux
def test_a_prompt_that_kills_one_engine_is_not_given_to_the_other(tmp_path: Path) -> None:
    texts = [f"p{number}" for number in range(40)]
    texts[3] = "kill"
    engine = parallel(tmp_path)
    found = generate(engine, requests(*texts))
    engine.close()
    assert len(found) == 40
    (failed,) = [each for each in found.values() if each.finish_reason == "error"]
    assert failed.key.problem_id == "b/3"
    assert failed.error is not None
    assert "the engine died" in failed.error
    # All deaths are of one engine.
    assert len({death.split(" (")[0] for death in engine.deaths}) == 1


@linux
def test_what_one_engine_refuses_ends_all_and_leaves_them_usable(tmp_path: Path) -> None:
    engine = parallel(tmp_path)
    engine.load("m")
    with pytest.raises(EngineError, match="the key is refused"):
        list(engine.generate(requests("refuse", *["slow"] * 9), Sampling()))
    assert len(generate(engine, requests("a", "b", "c"))) == 3
    with pytest.raises(EngineError, match="no such model"):
        engine.load("missing")
    engine.close()


@linux
def test_a_generator_that_nobody_reads_on_stops_every_engine(tmp_path: Path) -> None:
    engine = parallel(tmp_path)
    engine.load("m")
    given = engine.generate(requests("a", "b", *["slow"] * 20), Sampling())
    pid = int(next(given).text.rpartition(" ")[2])
    engine.close()
    assert not is_running(pid)
    given.close()
    assert len(generate(engine, requests("a", "b"))) == 2
    engine.close()


def tiny_requests(engine: Engine) -> list[Request]:
    """Every other of 24 is short: of two engines the second still draws when one is done."""
    texts = [f"What is {number}+{number + 1}?" for number in range(24)]
    return [
        replace(
            request,
            prompt=engine.prepare(Prompt(template="no", problem_id="p", text=text)),
            max_tokens=64 if number % 2 else 2,
            stop=(),
        )
        for number, (request, text) in enumerate(zip(requests(*texts), texts, strict=True))
    ]


@functools.cache
def draw_tiny(name: str, count: int) -> dict[ResponseKey, Completion]:
    """With one engine killed after the first response where there are several.

    Once a session: what one engine says is what several tests compare theirs with.
    """
    options = EngineOptions(
        device="cpu", data_parallel_size=count, batch_size=2, engine_timeout=300.0
    )
    engine = open_engine(name, options)
    engine.load(str(tiny_checkpoint()))
    asked = tiny_requests(engine)
    given = engine.generate(asked, Sampling(temperature=1.0))
    completions = [next(given)]
    if isinstance(engine, ParallelEngine):
        engine.tell = lambda death: None
        assert engine.name == name
        process = engine._children[1]._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
    completions += given
    if isinstance(engine, ParallelEngine):
        assert len(engine.deaths) == 1
    engine.close()
    found = {each.key: each for each in completions}
    assert len(found) == len(completions)
    return found


@linux
@pytest.mark.slow
def test_two_transformers_engines_give_the_responses_of_one() -> None:
    pytest.importorskip("torch", reason="the extra [local] isn't installed")
    alone = draw_tiny("transformers", 1)
    assert len(alone) == 24
    assert draw_tiny("transformers", 2) == alone


@linux
@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm isn't installed")
def test_two_vllm_engines_give_the_responses_of_one() -> None:
    alone = draw_tiny("vllm", 1)
    assert len(alone) == 24
    assert draw_tiny("vllm", 2) == alone
