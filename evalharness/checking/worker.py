"""The checking process: `python -m evalharness.checking.worker`, JSON lines in and out.

It is started by `workers.CheckerPool` as a plain subprocess, so it works from threads, notebooks,
Ray tasks and programs without a `__main__` guard. First it writes `{"ready": true}`; then each line
`{"golds": [...], "answer": "...", "policy": {}, "limit_seconds": 5.0}` gets one line in return, and
so does one with a whole `response` and its `answer_format` (see `messages`). It ends when its input
ends.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any, TextIO

from evalharness.checking.checkers import CHECKERS, Checker, open_checker
from evalharness.checking.equivalence import Equivalence
from evalharness.checking.messages import reply_message
from evalharness.checking.policy import Policy

_WARM_UP = (("0.5", "\\frac{1}{2}"), ("2\\sqrt{2} x", "\\sqrt{8} x"), ("x^2+1", "x^2+y"))
"""A cheap pair, one that takes algebra, and one that runs through every stage without success."""
_CHUNK = 1 << 18
_MOST_HELD_SECONDS = 0.005


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m evalharness.checking.worker")
    parser.add_argument("--memory-limit-bytes", type=int, required=True)
    parser.add_argument("--checker", choices=CHECKERS, default=CHECKERS[0])
    options = parser.parse_args()
    protocol = _take_protocol_output()
    _settle_signals()

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # Imports, regular expressions and parser tables: not charged to the first answer.
    checker = open_checker(options.checker)
    for gold, answer in _WARM_UP:
        checker.judge((gold,), answer, Policy())
    _limit_memory(options.memory_limit_bytes)
    protocol.write('{"ready": true}\n')
    protocol.flush()
    _discard_messages()
    _serve(checker, protocol)


def _serve(checker: Checker, protocol: TextIO) -> None:
    """Reply to each line.

    A reply of the bounded stages may wait for the next few: waking the parent costs as much as
    some of them. Before a comparison everything is sent, since it may be the last.
    """
    rest, latest = b"", 0.0
    while chunk := os.read(0, _CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "answer" in request or time.monotonic() > latest:
                protocol.flush()
                latest = time.monotonic() + _MOST_HELD_SECONDS
            protocol.write(json.dumps(_answer(checker, request)) + "\n")
        protocol.flush()


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


@functools.lru_cache(maxsize=1024)
def _policy(changes: str) -> Policy:
    return Policy.from_table(json.loads(changes))


def _answer(checker: Checker, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request; it can't raise."""
    _set_alarm(request["limit_seconds"])
    policy = _policy(json.dumps(request["policy"]))
    golds = tuple(request["golds"])
    if "response" in request:
        reply = _read(checker, request["response"], tuple(request["answer_format"]), golds, policy)
    else:
        reply = _judged(checker.judge, golds, request["answer"], policy) or {}
    _set_alarm(0)
    return reply


def _read(
    checker: Checker,
    response: str,
    answer_format: tuple[str, ...],
    golds: tuple[str, ...],
    policy: Policy,
) -> dict[str, Any]:
    """The answer in a response, with the outcome where the bounded stages decide."""
    strict, lenient = checker.find(response, answer_format)
    if lenient.answer is None:
        return reply_message(strict, lenient, None)
    return reply_message(strict, lenient, _judged(checker.cheap, golds, lenient.answer, policy))


def _judged(
    judge: Callable[[tuple[str, ...], str, Policy], Equivalence | None],
    golds: tuple[str, ...],
    answer: str,
    policy: Policy,
) -> dict[str, Any] | None:
    """What a stage of the checker says; None where it leaves the pair undecided."""
    start = time.perf_counter()
    try:
        result = judge(golds, answer, policy)
    except Exception as error:  # noqa: BLE001 - one answer's failure becomes its status
        reason = f"the comparison failed: {type(error).__name__}: {str(error)[:300]}"
        result = Equivalence(status="error", method=None, reason=reason, gold=None)
    if result is None:
        return None
    return {
        "status": result.status,
        "method": result.method,
        "reason": result.reason,
        "gold": result.gold,
        "gold_read": result.gold_read,
        "answer_read": result.answer_read,
        "num_milliseconds": 1000 * (time.perf_counter() - start),
    }


if __name__ == "__main__":
    main()
