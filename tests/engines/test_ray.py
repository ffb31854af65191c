from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalharness import engines
from evalharness.benchmarks import load_benchmark
from evalharness.checking import CheckerError, CheckerPool
from evalharness.engines import open_engine, wire
from evalharness.engines.base import Completion, EngineOptions, Request
from evalharness.engines.ray.cluster import Workers, plan_workers
from evalharness.engines.ray.engine import RayEngine
from evalharness.errors import EngineError, InputError, MissingExtraError
from evalharness.pipeline import run
from evalharness.plan import RunPlan
from evalharness.records import ResponseKey, Sampling, Verdict
from evalharness.store import read_responses, read_spec, read_verdicts
from evalharness.templates import load_template
from tests.engines.test_parallel import draw_tiny, tiny_requests
from tests.engines.test_watch import requests
from tests.scripted import SilentProgress

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.ray,
    # Ray's own, in its threads and in what it imports.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One local cluster for all tests of this module; engines leave a connection as it was."""
    ray = pytest.importorskip("ray", reason="the extra [ray] isn't installed")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}},
    )
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    yield
    ray.shutdown()


Open = Callable[..., RayEngine]


@pytest.fixture
def dying(cluster: None, tmp_path: Path) -> Iterator[Open]:
    """Opens an engine whose actors run `tests.engines.dying`; closed even where a test fails."""
    opened: list[RayEngine] = []

    def open_dying(workers: int = 2) -> RayEngine:
        options = EngineOptions(
            device="cpu", ray_workers=workers, base_url=str(tmp_path), batch_size=8
        )
        opened.append(RayEngine(options, "tests.engines.dying:create_engine"))
        opened[-1].tell = lambda loss: None
        return opened[-1]

    yield open_dying
    for engine in opened:
        engine.close()


def generate(engine: RayEngine, asked: list[Request]) -> dict[ResponseKey, Completion]:
    engine.load("m")
    completions = list(engine.generate(asked, Sampling(temperature=0.5)))
    found = {each.key: each for each in completions}
    assert len(found) == len(completions)
    return found


@pytest.mark.parametrize(
    ("options", "num_gpus", "num_cpus", "workers"),
    [
        ({}, 8, 64, Workers(count=8, num_gpus=1, num_cpus=1)),
        ({"tensor_parallel_size": 4}, 9, 64, Workers(count=2, num_gpus=4, num_cpus=1)),
        (
            {"tensor_parallel_size": 4, "ray_engine": "transformers"},
            8,
            64,
            Workers(count=8, num_gpus=1, num_cpus=1),
        ),
        ({"ray_workers": 3}, 8, 64, Workers(count=3, num_gpus=1, num_cpus=1)),
        ({}, 0, 6, Workers(count=1, num_gpus=0, num_cpus=6)),
        ({"device": "cpu", "ray_workers": 4}, 8, 6, Workers(count=4, num_gpus=0, num_cpus=1)),
        # 2 / 3 of a core, rounded down to what Ray can hand out three times.
        ({"ray_workers": 3}, 0, 2, Workers(count=3, num_gpus=0, num_cpus=0.66)),
    ],
)
def test_an_actor_gets_its_gpus_or_its_share_of_the_cores(
    options: dict[str, Any], num_gpus: int, num_cpus: int, workers: Workers
) -> None:
    assert plan_workers(EngineOptions(**options), num_gpus, num_cpus) == workers


@pytest.mark.parametrize(
    ("options", "num_gpus", "message"),
    [
        ({"ray_workers": 0}, 1, "--ray-workers 0: give 1 or more"),
        ({"tensor_parallel_size": 4}, 2, "an actor needs 4 GPUs and the whole Ray cluster has 2"),
        ({"device": "cuda"}, 0, "an actor needs 1 GPUs and the whole Ray cluster has 0"),
    ],
)
def test_actors_that_can_never_start_are_refused(
    options: dict[str, Any], num_gpus: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plan_workers(EngineOptions(**options), num_gpus, 8)


def test_another_engine_in_the_actors_is_refused() -> None:
    pytest.importorskip("ray", reason="the extra [ray] isn't installed")
    with pytest.raises(InputError, match='--ray-engine "openai": choose one of auto'):
        open_engine("ray", EngineOptions(ray_engine="openai"))


def test_a_ray_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines._NEEDS, "ray", (("no_such_package",), "ray"))
    with pytest.raises(MissingExtraError, match=r"the ray engine needs the extra \[ray\]"):
        open_engine("ray", EngineOptions())


def test_what_an_actor_refuses_is_said_in_its_words(dying: Open, tmp_path: Path) -> None:
    engine = dying(workers=1)
    with pytest.raises(EngineError, match=r"^no such model$"):
        engine.load("missing")
    engine.load("m")
    with pytest.raises(EngineError, match=r"^the key is refused$"):
        list(engine.generate(requests("a", "refuse"), Sampling()))
    engine.close()
    engine.close()


def test_a_response_comes_while_the_others_are_still_drawn(dying: Open, tmp_path: Path) -> None:
    engine = dying(workers=1)
    engine.load("m")
    given = engine.generate(requests("a", "wait", "b"), Sampling())
    first = next(given)
    # Until now the engine has waited for it.
    (tmp_path / "go").touch()
    found = {each.key.problem_id for each in (first, *given)}
    assert found == {"b/0", "b/1", "b/2"}
    assert first.key.problem_id != "b/1"
    engine.close()


def test_a_killed_actor_costs_nothing(dying: Open, tmp_path: Path) -> None:
    texts = [f"p{number}" for number in range(40)]
    texts[20] = "end the parent once"
    engine = dying()
    losses: list[str] = []
    engine.tell = losses.append
    found = generate(engine, requests(*texts, num_samples=2))
    engine.close()
    assert len(found) == 80
    assert {each.finish_reason for each in found.values()} == {"stop"}
    assert len(losses) == 1
    assert losses[0].startswith("actors of the Ray cluster were lost with ")


def test_a_prompt_that_kills_every_actor_becomes_an_error(dying: Open, tmp_path: Path) -> None:
    texts = ["a", "b", "end the parent", "c", "d", "kill"]
    engine = dying()
    found = generate(engine, requests(*texts))
    engine.close()
    assert len(found) == 6
    failed = {key.problem_id: each for key, each in found.items() if each.finish_reason == "error"}
    assert set(failed) == {"b/2", "b/5"}
    assert (failed["b/2"].error or "").startswith("3 actors were lost over this prompt (sha256 ")
    # Of the engine beside it only its own process died.
    assert (failed["b/5"].error or "").startswith("the engine died ")


def test_an_actor_whose_round_is_over_ends_and_stays_away(cluster: None, tmp_path: Path) -> None:
    import ray
    from ray.exceptions import ActorDiedError, RayActorError

    from evalharness.engines.ray.actor import DrawBundles, Lease

    lease = ray.remote(Lease).options(num_cpus=0).remote()
    message = wire.options_message(EngineOptions(base_url=str(tmp_path)))
    opener = "tests.engines.dying:create_engine"
    actor = (
        ray.remote(DrawBundles)
        .options(num_cpus=0, max_restarts=-1)
        .remote("auto", message | {"engine_timeout": 60.0}, opener, "m", Sampling(), lease)
    )
    ray.get(actor.__ray_ready__.remote())
    ray.kill(lease)
    # On the way to its end it is started again, and then refused.
    end: RayActorError | None = None
    while not isinstance(end, ActorDiedError):
        try:
            ray.get(actor.__ray_ready__.remote())
        except RayActorError as error:
            end = error
    assert "The actor died because of an error raised in its creation task" in str(end)


ANSWERS = [
    (r"so \boxed{\frac12}", "0.5"),
    (r"\boxed{x+1}", "1+x"),
    (r"\boxed{9^{9^{9^9}}}", "1"),
    (r"\boxed{3}", "4"),
    ("no box", "3"),
    (r"\boxed{(-\infty, 2)}", "x<2"),
    ("\x00\ud800 \\boxed{7}", "7"),
    (r"\boxed{((((((((}", "1"),
]


def test_a_judgement_from_a_task_is_that_of_this_machine(cluster: None) -> None:
    from evalharness.engines.ray.checking import RayCheckerPool

    with CheckerPool() as here, RayCheckerPool(None) as there:
        asked = [(text, (gold,), ("box",)) for text, gold in ANSWERS * 3]
        judged = [
            [pool.submit(*each) for each in asked]  # all before the first is waited for
            for pool in (here, there)
        ]
        local, remote = ([asdict(each.result()) for each in futures] for futures in judged)
    for each in (*local, *remote):
        del each["num_milliseconds"]
    assert remote == local
    assert {each["status"] for each in local} >= {"correct", "incorrect", "no_answer"}


BOX = (r"so \boxed{\frac12}", ("0.5",), ("box",))


def test_a_judgement_that_nobody_waits_for_costs_the_others_no_cluster(cluster: None) -> None:
    from evalharness.engines.ray.checking import RayCheckerPool

    with RayCheckerPool(None) as pool:
        first, *others = [pool.submit(*BOX) for _ in range(4)]
        assert first.cancel()
        assert {each.result().status for each in others} == {"correct"}
        # The round that the cancelled one was in has come in whole.
        assert pool.submit(*BOX).result().status == "correct"
        assert pool.lost is None


def test_without_the_cluster_what_it_was_given_is_judged_here(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from evalharness.engines.ray.checking import RayCheckerPool

    class Gone:
        def __init__(self, function: object) -> None: ...
        def options(self, **options: object) -> Gone:
            return self

        def remote(self, *arguments: object) -> None:
            raise ConnectionError("the head is gone")

    monkeypatch.setattr(ray, "remote", Gone)
    with RayCheckerPool(None) as pool:
        assert pool.submit(*BOX).result().status == "correct"
        assert pool.lost == "ConnectionError: the head is gone"
        assert pool.submit(*BOX).result().status == "correct"


def test_a_cluster_that_is_lost_while_the_pool_closes_keeps_nobody_waiting(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from evalharness.engines.ray import checking

    told = threading.Event()

    class Told(queue.SimpleQueue):  # type: ignore[type-arg]
        def put(self, item: object, *more: object) -> None:
            super().put(item)
            if item is None:
                told.set()

    def wait(running: list[object], timeout: float) -> tuple[list[object], list[object]]:
        if told.is_set() and pool._waiting.empty():
            raise ConnectionError("the head is gone")
        return [], running

    monkeypatch.setattr(checking, "queue", SimpleNamespace(SimpleQueue=Told, Empty=queue.Empty))
    pool = checking.RayCheckerPool(None)
    monkeypatch.setattr(ray, "wait", wait)
    asked = pool.submit(*BOX)
    pool.close()
    assert asked.result().status == "correct"
    with pytest.raises(CheckerError, match="closed"):
        pool.submit(*BOX)


def test_a_pool_that_ends_at_once_leaves_no_future_open(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from evalharness.engines.ray.checking import RayCheckerPool

    pool = RayCheckerPool(None)
    monkeypatch.setattr(ray, "wait", lambda running, timeout: ([], running))
    asked = [pool.submit(*BOX) for _ in range(40)]
    pool.close(wait=False)
    assert all(each.cancelled() for each in asked)


def test_the_lines_before_a_failure_are_taken_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra [ray] isn't installed")
    from evalharness.engines.ray import dataset

    def draw(plan: object) -> Iterator[str]:
        yield from ("a", "b")
        raise EngineError("no such model")

    monkeypatch.setattr(dataset, "draw_lines", draw)
    coordinator = dataset.Coordinator(None)  # type: ignore[arg-type]
    taken: list[str] = []
    while len(taken) < 2:
        lines, is_last = coordinator.take()
        assert not is_last
        taken += lines
    assert taken == ["a", "b"]
    with pytest.raises(EngineError, match="no such model"):
        coordinator.take()


def untimed(verdicts: Iterator[Verdict]) -> list[Verdict]:
    return sorted(
        (replace(each, num_milliseconds=0.0) for each in verdicts), key=lambda each: each.key
    )


@pytest.mark.slow
def test_a_run_on_actors_is_that_of_one_process(cluster: None, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra [local] isn't installed")
    plan = RunPlan(
        models={"tiny": "tiny"},
        benchmarks=(load_benchmark("practice"),),
        templates=(load_template("no"), load_template("r1")),
        sampling=Sampling(temperature=1.0, num_samples=2, max_tokens=32),
        limit=10,
        options=EngineOptions(device="cpu", batch_size=16),
        engine="transformers",
    )
    on_ray = replace(
        plan,
        engine="ray",
        options=replace(plan.options, ray_workers=2, ray_engine="transformers"),
    )
    here = run(plan, tmp_path / "here", SilentProgress())
    there = run(on_ray, tmp_path / "there", SilentProgress())
    assert there.num_generated == here.num_generated == 40
    stored = [
        sorted(read_responses(tmp_path / name), key=lambda each: each.key)
        for name in ("here", "there")
    ]
    assert stored[0] == stored[1]
    verdicts = [untimed(read_verdicts(each.folder, each.verdicts)) for each in (here, there)]
    assert verdicts[0] == verdicts[1]
    model = read_spec(tmp_path / "there")["models"]["tiny"]
    assert model["engine"] == "transformers"
    assert model["details"]["ray_actors"] == "2 actors with 2 CPU each"


# The command line, over actors whose engines need no torch.
DRIVER = """
import dataclasses, sys
from evalharness.cli import main
from evalharness.engines import ray
from evalharness.engines.ray.engine import RayEngine

def create_engine(options):
    options = dataclasses.replace(options, base_url=sys.argv[1])
    return RayEngine(options, "tests.engines.dying:create_engine")

ray.create_engine = create_engine
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_a_run_whose_driver_is_killed_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [ray] isn't installed")
    # Both samples of the last problem wait for a word that the first driver doesn't live to hear.
    texts = [*(f"p{number}" for number in range(11)), "wait"]
    rows = [json.dumps({"problem": text, "gold": "1"}) + "\n" for text in texts]
    (tmp_path / "texts.jsonl").write_text("".join(rows))
    command = [sys.executable, "-c", DRIVER, str(tmp_path), "run", "--engine", "ray"]
    command += ["--model", "m", "--benchmark", str(tmp_path / "texts.jsonl"), "--template", "no"]
    command += ["--samples", "2", "--temperature", "1", "--out", str(tmp_path / "run")]
    command += ["--ray-workers", "1", "--json", "--quiet"]
    log = (tmp_path / "log").open("w")
    first = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    lines = tmp_path / "run" / "responses.jsonl"
    while first.poll() is None and (not lines.exists() or lines.read_bytes().count(b"\n") < 3):
        # Not without a pause: the cluster wants the core.
        with suppress(subprocess.TimeoutExpired):
            first.wait(timeout=0.05)
    assert first.poll() is None, (tmp_path / "log").read_text()
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = [json.loads(line) for line in lines.read_bytes().splitlines() if line.endswith(b"}")]
    assert 3 <= len(before) <= 22
    (tmp_path / "go").touch()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    # Nothing of Ray among the results or the messages.
    assert isinstance(json.loads(again.stdout), list)
    assert "ray" not in again.stderr.lower()
    responses = read_responses(tmp_path / "run")
    assert len({each.key for each in responses}) == len(responses) == 24
    kept = {each.key: each.response for each in responses}
    for row in before:
        key = ResponseKey(row["model"], row["template"], row["problem_id"], row["sample_index"])
        # It names the process that gave it, so none of them was drawn again.
        assert kept[key] == row["response"]


def actor_pids(driver: int) -> list[int]:
    """The actors of the pool that a driver's own cluster runs; no one else's are touched."""
    parents: dict[int, int] = {}
    actors = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, name = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        pid = int(folder.name)
        parents[pid] = int(stat.rpartition(")")[2].split()[1])
        if name.startswith(b"ray::MapWorker"):
            actors.append(pid)

    def ancestors(pid: int) -> Iterator[int]:
        while pid in parents:
            pid = parents[pid]
            yield pid

    return sorted(pid for pid in actors if driver in ancestors(pid))


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="actors are found by /proc")
def test_vllm_actors_one_of_them_killed_give_the_responses_of_one_process(cluster: None) -> None:
    pytest.importorskip("vllm", reason="vllm isn't installed")
    engine = RayEngine(EngineOptions(device="cpu", ray_workers=2, ray_engine="vllm", batch_size=4))
    engine.tell = lambda loss: None
    engine.load("tiny")
    assert engine.name == "vllm"
    asked = tiny_requests(engine)
    given = engine.generate(asked, Sampling(temperature=1.0))
    completions = [next(given)]
    working = actor_pids(os.getpid())
    assert working
    os.kill(working[0], signal.SIGKILL)
    completions += given
    engine.close()
    found = {each.key: each for each in completions}
    assert len(found) == len(completions) == 24
    assert found == draw_tiny("vllm", 1)
