import importlib.util
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evalharness
from evalharness.checking import (
    CHECKERS,
    CheckerError,
    CheckerPool,
    check,
    checker_version,
    workers,
)
from evalharness.checking import worker as program
from evalharness.checking.checkers import open_checker
from evalharness.checking.extract import Extraction
from evalharness.checking.messages import Comparison, Submission, read_line, request_bytes
from evalharness.checking.policy import Policy
from evalharness.checking.process import TimedOutError, WorkerDiedError, WorkerProcess
from evalharness.checking.progress import Progress
from evalharness.checking.serving import Crew, Reception, Task
from evalharness.errors import InputError
from evalharness.records import Judgement

BOX = ("box",)
HANG = "9^{9^{9^9}}"
"""For math-verify; our checker refuses it."""
LONG_SUM = "\\sum_{a=1}^{999}\\sum_{b=1}^{999}\\sum_{c=1}^{999}abc"
"""For our checker."""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers are killed by signals")


def bare(**limits: Any) -> CheckerPool:
    """A pool whose checker sends everything but equal texts to the workers, and can be hung."""
    return CheckerPool(checker="math-verify", **limits)


MATHEMATICAL = ("evalharness", "math-verify")
"""The published rules differ in what is right; test_published_rules has them."""


@pytest.fixture(scope="module", params=MATHEMATICAL)
def pool(request: pytest.FixtureRequest) -> Iterator[CheckerPool]:
    with CheckerPool(num_workers=2, timeout_seconds=20, checker=request.param) as pool:
        yield pool


def judge(pool: CheckerPool, answer: str, *golds: str) -> Judgement:
    return pool.submit(f"so \\boxed{{{answer}}}", golds or ("25",), BOX).result(timeout=120)


def worker_pids(pool: CheckerPool) -> list[int]:
    return [process.pid for process in pool._crew.processes]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_verdict_explains_itself() -> None:
    found = check(("25",), "I think \\boxed{24}")
    assert (found.status, found.extracted, found.extraction) == ("incorrect", "24", "box")
    assert (found.gold, found.method) == ("25", "number")
    assert found.reason == "gold 25 and answer 24 differ"


def test_the_checker_is_named_with_its_version() -> None:
    assert "math-verify" in CHECKERS
    assert checker_version("math-verify").startswith("0.9.")
    assert "+" in checker_version("math-verify")


def test_importing_the_checker_loads_no_heavy_package() -> None:
    code = (
        "import sys, evalharness.checking as c; c.checker_version();"
        "print(sorted({'math_verify', 'sympy', 'pandas', 'torch'} & set(sys.modules)))"
    )
    root = str(Path(evalharness.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_an_answer_with_the_gold_text_needs_no_worker() -> None:
    with bare(num_workers=1) as pool:
        assert judge(pool, "25").method == "exact"
        assert worker_pids(pool) == []


def test_a_response_without_an_answer_says_so(pool: CheckerPool) -> None:
    found = pool.submit("forty-two", ("42",), BOX).result()
    assert (found.status, found.extracted, found.extraction) == ("no_answer", None, None)
    assert (found.lenient_status, found.lenient_extracted) == ("no_answer", None)
    assert found.reason == "no \\boxed{} in the response"
    found = pool.submit("\\boxed{.}", ("42",), BOX).result()
    assert found.status == "no_answer"


def test_an_answer_in_another_place_counts_in_the_lenient_reading_only(pool: CheckerPool) -> None:
    found = pool.submit("The answer is 5^2.", ("25",), BOX).result()
    assert (found.status, found.extracted, found.method) == ("no_answer", None, None)
    assert found.reason == "no \\boxed{} in the response"
    assert (found.lenient_status, found.lenient_extracted) == ("correct", "5^2")
    assert found.lenient_extraction == "sentence"
    found = judge(pool, "26")
    assert (found.status, found.lenient_status, found.lenient_extracted) == (
        "incorrect",
        "incorrect",
        "26",
    )


def test_the_span_of_the_answer_is_kept(pool: CheckerPool) -> None:
    response = "<think>so \\boxed{25}</think> done"
    found = pool.submit(response, ("25",), BOX).result()
    assert response[found.start : found.end] == "25"
    assert found.note == "inside the thinking block"


def test_the_statuses_keep_their_meanings_through_the_pool(pool: CheckerPool) -> None:
    assert judge(pool, "5^2").status == "correct"
    assert judge(pool, "26").status == "incorrect"
    assert judge(pool, "\\frac").status == "unparsed"
    assert judge(pool, "26", "\\frac").status == "error"
    assert judge(pool, "\\frac{7}{5}", "1.6", "1.4").gold == "1.4"
    assert pool.submit("\\boxed{1}", (), BOX).result().status == "error"


@pytest.mark.parametrize("answer", ["\x00", "\ud800 1", "1\ud83d", "\u2028", "\\text{caf\u00e9}"])
def test_any_character_reaches_the_worker_and_comes_back(pool: CheckerPool, answer: str) -> None:
    found = judge(pool, answer)
    assert found.status in {"incorrect", "unparsed", "no_answer"}
    found.reason.encode("utf-8")


HOSTILE = [
    HANG,
    LONG_SUM,
    "((9!)!)!",
    "(10^9)!",
    "7" * 100_000,
    "{" * 10_000 + "1" + "}" * 10_000,
    "(" * 2_000 + "1" + ")" * 2_000,
    "\\frac{1}{" * 500 + "2" + "}" * 500,
    "\\sum_{n=1}^{10^{12}} \\frac{1}{n^n}",
    "\\int_0^1 x^{x^{x^x}} dx",
    "1" + "0" * 400 + "^{" + "9" * 400 + "}",
    "\\binom{10^9}{5 \\cdot 10^8}",
    "10^{10^{10}}!",
    "\\prod_{k=1}^{10^9} k",
    "\\sqrt" * 2_000 + "{2}",
    "(1+x)^{10^6}",
    "(x+y+z+w)^{500}",
    "1e999999999",
    "0." + "3" * 50_000,
    "\\begin{pmatrix}" + "1 & " * 5_000 + "1\\end{pmatrix}",
    "\\{" + ", ".join(map(str, range(5_000))) + "\\}",
    ", ".join(f"x_{n}" for n in range(3_000)),
    "|" * 5_000 + "1",
    "\u0661\u0662 \uff11\uff12 \u2460 \u00bd \u221a2 \u03c0" * 200,
    "e\u0301" * 5_000,
    "\\text{" * 3_000 + "}" * 3_000,
    "\\sin" * 3_000 + "x",
    "\\log_{\\log_{2}}" * 500 + "3",
]


@pytest.mark.parametrize("checker", MATHEMATICAL)
def test_hostile_answers_are_bounded_and_the_next_answer_is_right(checker: str) -> None:
    limits: dict[str, Any] = {"timeout_seconds": 0.5, "memory_limit_bytes": 1 << 30}
    with CheckerPool(num_workers=2, checker=checker, **limits) as pool:
        # A few are enough to show that a worker is killed; each costs math-verify its limit.
        for answer in HOSTILE if checker == "evalharness" else HOSTILE[:5]:
            found = judge(pool, answer)
            assert found.status in {"timeout", "error", "unparsed", "incorrect"}, answer[:40]
            assert len(found.reason) < 500
        # A busy machine may need a second try for half a second of work: a new pair each time.
        statuses = [judge(pool, f"5^2+{n}", str(25 + n)).status for n in range(5)]
        assert "correct" in statuses
        assert "incorrect" not in statuses


@pytest.mark.parametrize("ground", ["python", "gmpy"])
def test_powers_and_factorials_are_bounded_with_and_without_gmpy2(
    ground: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # gmpy2's C code doesn't look at Python's signals: only a kill ends it.
    if ground == "gmpy" and importlib.util.find_spec("gmpy2") is None:
        pytest.skip("gmpy2 isn't installed")
    monkeypatch.setenv("SYMPY_GROUND_TYPES", ground)
    monkeypatch.setenv("MPMATH_NOGMPY" if ground == "python" else "MPMATH_GMPY", "1")
    for checker in MATHEMATICAL:
        with CheckerPool(num_workers=1, timeout_seconds=1, checker=checker) as pool:
            for answer in ("(10^9)!", "3^{10^{10}}", "((9!)!)!"):
                found = judge(pool, answer)
                assert found.status in {"timeout", "error", "unparsed", "incorrect"}, answer
                assert found.num_milliseconds <= 1000, answer
            assert judge(pool, "\\sqrt{625}").status == "correct"


def test_an_answer_over_the_limit_is_a_timeout_and_costs_one_worker() -> None:
    with bare(num_workers=1, timeout_seconds=2) as pool:
        assert judge(pool, "5^2").status == "correct"
        (before,) = worker_pids(pool)
        found = judge(pool, HANG)
        assert found.status == "timeout"
        assert found.reason == f"comparing answer {HANG} took more than 2 s"
        assert not is_running(before)
        assert judge(pool, "26-1").status == "correct"
        assert worker_pids(pool) != [before]


PAYLOADS = [
    "__import__('os').system('touch {}')",
    "\\text{{__import__('os').system('touch {}')}}",
    "\\operatorname{{eval}}(open('{}', 'w'))",
    "exec(\"open('{}','w')\")",
    "re(\"__import__('os').system('touch {}')\")",
    "1; open('{}', 'w')",
    "$(touch {})",
    "\\input{{|touch {}}}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_code_in_an_answer_is_never_run(pool: CheckerPool, tmp_path: Path, payload: str) -> None:
    target = tmp_path / "x"
    for answer in (payload.format(target), f"${payload.format(target)}$"):
        assert judge(pool, answer).status != "correct"
    assert not target.exists()


def test_a_killed_worker_is_replaced_and_the_answer_is_still_right() -> None:
    with bare(num_workers=1, timeout_seconds=20) as pool:
        assert judge(pool, "5^2").status == "correct"
        (pid,) = worker_pids(pool)
        os.kill(pid, signal.SIGKILL)
        assert judge(pool, "50/2").status == "correct"
        assert worker_pids(pool) != [pid]


def test_an_answer_that_kills_two_workers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: WorkerProcess, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.replies(20)

    with bare(num_workers=1, timeout_seconds=20) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(WorkerProcess, "ask", die)
            found = judge(pool, "24")
        assert found.status == "error"
        assert found.reason == (
            "the worker died twice comparing answer 24: killed by signal 9 and killed by signal 9"
        )
        # A death may be another's fault: the same pair is tried again when asked again.
        assert judge(pool, "24").status == "incorrect"


def test_a_worker_killed_while_it_starts_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    wait = WorkerProcess.wait_until_ready

    def kill_the_first(process: WorkerProcess) -> None:
        if not killed:
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)
        wait(process)

    monkeypatch.setattr(WorkerProcess, "wait_until_ready", kill_the_first)
    with bare(num_workers=1) as pool:
        assert judge(pool, "5^2").status == "correct"
        assert len(killed) == 1


def test_a_worker_that_cannot_start_raises_with_what_it_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "fractions.py"
    broken.write_text("raise ImportError('fractions is broken here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        bare(num_workers=1) as pool,
        pytest.raises(CheckerError, match=r"can't start.*fractions is broken here"),
    ):
        judge(pool, "24")


def test_equal_pairs_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = WorkerProcess.ask

    def count(self: WorkerProcess, comparisons: list[Any], seconds: float) -> object:
        asked.extend(answer for _, answer, _ in comparisons)
        return original(self, comparisons, seconds)

    monkeypatch.setattr(WorkerProcess, "ask", count)
    with bare(num_workers=2, timeout_seconds=20) as pool:
        futures = [pool.submit(f"{n} \\boxed{{5^2}}", ("25",), BOX) for n in range(20)]
        assert {future.result().status for future in futures} == {"correct"}
        assert judge(pool, "5^2").status == "correct"
    assert asked == ["5^2"]


RESPONSES = [
    "so \\boxed{5^2}",
    "so \\boxed{26}",
    "<think>\\boxed{\\sqrt{625}}</think>",
    "The answer is 25.",
    "\\boxed{24} or rather \\boxed{2",
    "nothing",
    "\\boxed{\\frac}",
    "caf\u00e9 \\boxed{x+\ud800}",
]


def test_a_response_read_by_a_worker_is_judged_as_one_read_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judge_all() -> list[Judgement]:
        with CheckerPool(num_workers=1, timeout_seconds=20) as pool:
            futures = [pool.submit(response, ("25", "7"), BOX) for response in RESPONSES]
            return [replace(future.result(), num_milliseconds=0) for future in futures]

    here = judge_all()
    monkeypatch.setattr(workers, "_FIRST_HERE", 0)
    assert judge_all() == here
    statuses = [each.status for each in here]
    assert statuses == ["correct", "incorrect", "correct", *["no_answer"] * 3, *["unparsed"] * 2]


def test_responses_submitted_together_are_judged_as_those_submitted_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submissions = [
        Submission(response, golds, BOX, Policy())
        for response in RESPONSES
        for golds in (("25", "7"), ("5^3",), ())
    ]
    for number_here in (0, 5, 64):
        monkeypatch.setattr(workers, "_FIRST_HERE", number_here)
        with CheckerPool(num_workers=2, timeout_seconds=20) as pool:
            alone = [pool.submit(*each) for each in submissions]
            together = pool.submit_all(submissions).result()
            assert pool.submit_all([]).result() == []
            assert [replace(each, num_milliseconds=0) for each in together] == [
                replace(each.result(), num_milliseconds=0) for each in alone
            ]


def test_many_that_no_worker_can_judge_fail_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fractions.py").write_text("raise ImportError('fractions is broken here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(workers, "_FIRST_HERE", 0)
    submissions = [Submission("\\boxed{24}", ("25",), BOX, Policy())] * 3
    with bare(num_workers=1) as pool, pytest.raises(CheckerError, match="fractions is broken here"):
        pool.submit_all(submissions).result(timeout=120)


def test_a_closed_pool_takes_nothing() -> None:
    pool = CheckerPool(num_workers=1)
    pool.close()
    with pytest.raises(CheckerError, match="closed"):
        pool.submit_all([Submission("\\boxed{24}", ("25",), BOX, Policy())])
    with pytest.raises(CheckerError, match="closed"):
        pool.submit("\\boxed{24}", ("25",), BOX)


HAUNTED = """
import os
import evalharness.checking.checkers as checkers

original = checkers.open_checker

def open_checker(name):
    checker = original(name)

    def find(response, answer_format):
        while "hang" in response:
            pass
        while "sleep" in response:
            __import__("time").sleep(60)
        if "greedy" in response:  # as the kernel does when memory runs out
            os.kill(os.getpid(), 9)
        return checker.find(response, answer_format)

    return checker._replace(find=find)

checkers.open_checker = open_checker
"""


@pytest.fixture
def haunted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Worker processes, which read every response, hang or end over some."""
    (tmp_path / "sitecustomize.py").write_text(HAUNTED)
    monkeypatch.setenv("PYTHONPATH", f"{Path(evalharness.__file__).parents[1]}:{tmp_path}")
    monkeypatch.setattr(workers, "_FIRST_HERE", 0)


@pytest.mark.usefixtures("haunted")
@pytest.mark.parametrize(
    ("response", "status", "reason"),
    [
        ("hang", "timeout", "reading response hang took more than 0.5 s"),
        ("sleep", "timeout", "reading response sleep took more than 0.5 s"),
        (
            "greedy",
            "error",
            "the worker died twice reading response greedy: killed by signal 9 and killed by "
            "signal 9",
        ),
    ],
)
def test_a_response_that_ends_its_reader_costs_no_other_its_verdict(
    response: str, status: str, reason: str
) -> None:
    # Those before it are judged, and their replies may be lost with the worker.
    responses = [*["\\boxed{5^2}"] * 20, response, *["\\boxed{26}"] * 20]
    with CheckerPool(num_workers=1, timeout_seconds=0.5) as pool:
        submissions = [Submission(each, ("25",), BOX, Policy()) for each in responses]
        found = pool.submit_all(submissions).result()
    assert [each.status for each in found] == [*["correct"] * 20, status, *["incorrect"] * 20]
    assert found[20].reason == reason


@pytest.mark.usefixtures("haunted")
def test_each_of_several_that_end_their_reader_is_found() -> None:
    responses = ["greedy 1", "\\boxed{25}", "hang 2", "greedy 3", "\\boxed{25}"]
    with CheckerPool(num_workers=1, timeout_seconds=0.5) as pool:
        submissions = [Submission(each, ("25",), BOX, Policy()) for each in responses]
        found = pool.submit_all(submissions).result()
    assert [each.status for each in found] == ["error", "correct", "timeout", "error", "correct"]


@pytest.mark.parametrize("checker", MATHEMATICAL)
def test_a_response_over_the_memory_limit_costs_no_other_its_verdict(checker: str) -> None:
    limits: dict[str, Any] = {"timeout_seconds": 20, "memory_limit_bytes": 16 << 20}
    with CheckerPool(num_workers=1, checker=checker, **limits) as pool:
        texts = ["\\boxed{5^2}", "x" * (24 << 20), "\\boxed{50/2}", "\\boxed{26}"]
        found = [pool.submit(text, ("25",), BOX).result() for text in texts]
        assert [each.status for each in found] == ["correct", "error", "correct", "incorrect"]
        # Where the address space ends, Python ends with a traceback.
        assert found[1].reason.startswith("the worker died twice reading response xxx")
        assert found[1].reason.endswith("exit code 1 and exit code 1")


def test_a_worker_says_which_request_is_at_hand_while_replies_wait() -> None:
    sent, progress, seen = io.BytesIO(), Progress(), []
    checker = open_checker("evalharness")

    def find(response: str, answer_format: tuple[str, ...]) -> tuple[Extraction, Extraction]:
        seen.append((progress.read().num_finished, sent.getvalue()))
        return checker.find(response, answer_format)

    requests = [
        Comparison(("25",), "5^2", Policy()),
        Submission("\\boxed{24}", ("25",), BOX, Policy()),
        Submission("\\boxed{25}", ("25",), BOX, Policy()),
    ]
    asked = io.BytesIO(request_bytes(requests, 60) + request_bytes(requests[1:2], 60))
    protocol = io.TextIOWrapper(sent, encoding="ascii")
    program._serve(checker._replace(find=find), asked, protocol, progress)
    assert [number for number, _ in seen] == [1, 2, 3]
    lines = [read_line(line) for line in sent.getvalue().splitlines()]
    # All that was asked together is sent at its end at the latest.
    assert sum(map(len, lines)) == 4
    assert len(lines[-1]) == 1
    assert seen[-1][1].count(b"\n") == len(lines) - 1
    assert progress.read().num_finished == 4
    assert 0 < progress.read().cpu_seconds <= time.process_time()


def test_a_worker_that_is_kept_from_computing_is_given_more_time() -> None:
    worker = WorkerProcess(memory_limit_bytes=1 << 30)
    try:
        worker.wait_until_ready()
        worker.ask([Comparison(("25",), LONG_SUM, Policy())], 60)
        os.kill(worker.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(TimedOutError):
            worker.replies(0.2)
        assert time.monotonic() - began >= 5 * 0.2
    finally:
        worker.close()


def test_verdicts_do_not_depend_on_order_or_threads(pool: CheckerPool) -> None:
    # n^2 against 16 is right for n = 4 only.
    expected = {n: "correct" if n == 4 else "incorrect" for n in range(12)}
    results: list[dict[int, str]] = []

    def work(shift: int) -> None:
        order = [(n + shift) % 12 for n in range(12)]
        futures = {n: pool.submit(f"\\boxed{{{n}^2}}", ("16",), BOX) for n in order}
        results.append({n: future.result(timeout=120).status for n, future in futures.items()})

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


def test_closing_finishes_what_was_submitted_and_leaves_no_process() -> None:
    pool = bare(num_workers=2, timeout_seconds=20)
    futures = [pool.submit(f"\\boxed{{{n}^2}}", ("16",), BOX) for n in range(6)]
    futures[0].result()
    pids = worker_pids(pool)
    pool.close()
    pool.close()
    assert [future.done() for future in futures] == [True] * 6
    assert pids
    assert not any(is_running(pid) for pid in pids)
    with pytest.raises(CheckerError, match="closed"):
        pool.submit("\\boxed{3^2}", ("16",), BOX)


def test_closing_without_waiting_kills_and_cancels() -> None:
    pool = bare(num_workers=1, timeout_seconds=3600)
    judge(pool, "5^2")
    pids = worker_pids(pool)
    running = pool.submit(f"\\boxed{{{HANG}}}", ("25",), BOX)
    queued = pool.submit("\\boxed{26}", ("25",), BOX)
    pool.close(wait=False)
    assert not any(is_running(pid) for pid in pids)
    for future in (running, queued):
        try:
            assert future.result(timeout=0).reason == "the checker pool was closed"
        except CancelledError:
            assert future.cancelled()


def test_workers_die_with_a_parent_that_is_killed() -> None:
    code = (
        "from evalharness.checking import CheckerPool\n"
        "pool = CheckerPool(checker='math-verify', num_workers=1, timeout_seconds=60)\n"
        "pool.submit(r'\\boxed{5^2}', ('25',), ('box',)).result()\n"
        "print(*[process.pid for process in pool._crew.processes], flush=True)\n"
        "input()\n"
    )
    root = str(Path(evalharness.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        worker = os.pidfd_open(pid)
        parent.kill()
        parent.wait()
    ended, _, _ = select.select([worker], [], [], 60)
    os.close(worker)
    assert ended


def test_a_worker_without_a_parent_to_kill_it_ends_by_its_own_alarm() -> None:
    worker = WorkerProcess(memory_limit_bytes=1 << 30)
    try:
        worker.wait_until_ready()
        request = Comparison(("25",), LONG_SUM, Policy())
        os.write(worker._stdin.fileno(), request_bytes([request], 0.5))
        with pytest.raises(WorkerDiedError, match=f"killed by signal {signal.SIGALRM.value}"):
            worker.replies(60)
    finally:
        worker.close()


def test_what_a_library_prints_does_not_reach_the_protocol() -> None:
    code = (
        "import os, evalharness.checking.worker as w\n"
        "original = w.open_checker\n"
        "def noisy(name):\n"
        "    checker = original(name)\n"
        "    def judge(*arguments):\n"
        "        print('noise', flush=True)\n"
        "        os.write(1, b'noise' * 100_000)\n"
        "        return checker.judge(*arguments)\n"
        "    return checker._replace(judge=judge)\n"
        "w.open_checker = noisy\n"
        "w.main()\n"
    )
    request = Comparison(("25",), "5^2", Policy())
    root = str(Path(evalharness.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, "--memory-limit-bytes", str(1 << 30)],
        input=request_bytes([request], 60),
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        check=True,
    )
    ready, answer = map(json.loads, done.stdout.splitlines())
    assert ready == ["ready"]
    assert answer[0][0] == "correct"


def test_an_unclosed_pool_does_not_hold_the_interpreter() -> None:
    code = (
        "from evalharness.checking import CheckerPool\n"
        "pool = CheckerPool(checker='math-verify', num_workers=1, timeout_seconds=3600)\n"
        "print(pool.submit(r'\\boxed{5^2}', ('25',), ('box',)).result().status)\n"
        f"pool.submit(r'\\boxed{{{HANG}}}', ('25',), ('box',))\n"
    )
    root = str(Path(evalharness.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "correct\n"


@pytest.mark.parametrize("limits", [{"num_workers": 0}, {"timeout_seconds": 0.0}])
def test_a_limit_of_zero_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InputError, match="positive"):
        CheckerPool(**limits)  # type: ignore[arg-type]


def test_the_same_golds_go_to_the_same_worker_and_an_idle_one_helps() -> None:
    names = ("replied", "timed_out", "killed", "dismissed", "failed")
    crew = Crew(
        Reception(**dict.fromkeys(names, lambda *_: None)),
        num_workers=2,
        timeout_seconds=1,
        memory_limit_bytes=1 << 30,
        checker="evalharness",
    )
    golds = {hash((str(n),)) % 2: (str(n),) for n in range(50)}
    requests = [Comparison(golds[n % 2], str(n), Policy()) for n in range(8)]
    for request in requests:
        crew._queues[hash(request.golds) % 2].append(Task(request, Future()))
    # Half of the eight, all with its own golds; then the other's, where it has none left.
    assert {task.request.golds for task in crew.take(0, 9, wait=False)} == {golds[0]}
    stolen = crew.take(0, 9, wait=False)
    assert [task.request.golds for task in stolen] == [golds[1]] * 2
    assert [len(crew.take(1, 9, wait=True)) for _ in range(2)] == [1, 1]
    assert not crew.take(1, 9, wait=False)
