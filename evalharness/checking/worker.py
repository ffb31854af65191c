"""The checking process: `python -m evalharness.checking.worker`, batches in and JSON lines out.

It is started by `workers.CheckerPool` as a plain subprocess, so it works from threads, notebooks,
Ray tasks and programs without a `__main__` guard. First it writes `["ready"]`; then the requests of
a batch (see `messages`) are answered in order, several with one line. It ends when its input ends.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import BinaryIO, TextIO

from evalharness.checking.checkers import CHECKERS, Checker, open_checker
from evalharness.checking.equivalence import Equivalence
from evalharness.checking.judging import (
    Outcome,
    Readings,
    failure,
    judgement,
    outcome_of,
    without_comparison,
)
from evalharness.checking.messages import (
    Decided,
    Request,
    Submission,
    read_batch,
    reply_line,
)
from evalharness.checking.policy import Policy
from evalharness.checking.progress import Progress

_WARM_UP = (("0.5", "\\frac{1}{2}"), ("2\\sqrt{2} x", "\\sqrt{8} x"), ("x^2+1", "x^2+y"))
"""A cheap pair, one that takes algebra, and one that runs through every stage without success."""
_MOST_HELD_SECONDS = 0.02


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m evalharness.checking.worker")
    parser.add_argument("--memory-limit-bytes", type=int, required=True)
    parser.add_argument("--checker", choices=CHECKERS, default=CHECKERS[0])
    parser.add_argument("--progress-file", type=int, default=-1, help="a descriptor; see progress")
    options = parser.parse_args()
    protocol = _take_protocol_output()
    _settle_signals()

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # Imports, regular expressions and parser tables: not charged to the first answer.
    checker = open_checker(options.checker)
    for gold, answer in _WARM_UP:
        checker.judge((gold,), answer, Policy())
    _limit_memory(options.memory_limit_bytes)
    progress = Progress(options.progress_file)
    progress.begin()
    protocol.write('["ready"]\n')
    protocol.flush()
    _discard_messages()
    _serve(checker, sys.stdin.buffer, protocol, progress)


def _serve(checker: Checker, asked: BinaryIO, protocol: TextIO, progress: Progress) -> None:
    """Reply to each request.

    A reply may wait for the next few: waking the parent costs as much as some of them. Those that
    wait when this process ends are lost, and asked for again; `progress` says over which request it
    ended.
    """
    held: list[Outcome | Decided | Readings] = []
    latest = 0.0

    def send() -> None:
        protocol.write(reply_line(held))
        protocol.flush()
        held.clear()

    while header := asked.readline():
        progress.begin()
        batch = read_batch(header, asked.read)
        for request in batch.requests:
            if held and time.monotonic() > latest:
                send()
            if not held:
                latest = time.monotonic() + _MOST_HELD_SECONDS
            _set_alarm(batch.limit_seconds)
            held.append(_answer(checker, request))
            progress.finish()
        _set_alarm(0)
        if held:
            send()


def _take_protocol_output() -> TextIO:
    """The pipe to the parent, out of reach of a library that prints: fd 1 becomes fd 2."""
    protocol = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    return protocol


def _discard_messages() -> None:
    """Send what libraries print to nowhere; until now it was kept to explain a failed start."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _settle_signals() -> None:
    """Leave Ctrl-C to the parent, and let the alarm end this process even inside C code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


def _limit_memory(num_bytes: int) -> None:
    """Let the address space grow by `num_bytes`, where the system can limit it."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - not a real file
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + num_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _set_alarm(seconds: float) -> None:
    """End this process after `seconds` should the parent be gone and unable to; 0 disarms."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(checker: Checker, request: Request) -> Outcome | Decided | Readings:
    """The reply to one request; it can't raise because of its content."""
    if isinstance(request, Submission):
        return _read(checker, request)
    outcome = _judged(checker.judge, request.golds, request.answer, request.policy)
    return outcome or failure("error", request.golds, "the checker said nothing")


def _read(checker: Checker, asked: Submission) -> Decided | Readings:
    """The judgement on a response where the bounded stages decide, otherwise its readings."""
    found = Readings(*checker.find(asked.response, asked.answer_format), asked.policy)
    known = without_comparison(found, asked.golds)
    if known is None:
        outcome = _judged(checker.cheap, asked.golds, found.answer, asked.policy)
        known = None if outcome is None else judgement(found, outcome)
    return found if known is None else Decided(found, known)


def _judged(
    judge: Callable[[tuple[str, ...], str, Policy], Equivalence | None],
    golds: tuple[str, ...],
    answer: str,
    policy: Policy,
) -> Outcome | None:
    """What a stage of the checker says; None where it leaves the pair undecided."""
    start = time.perf_counter()
    try:
        result = judge(golds, answer, policy)
    except Exception as error:  # noqa: BLE001 - one answer's failure becomes its status
        reason = f"the comparison failed: {type(error).__name__}: {str(error)[:300]}"
        result = Equivalence(status="error", method=None, reason=reason, gold=None)
    return None if result is None else outcome_of(result, time.perf_counter() - start)


if __name__ == "__main__":
    main()
