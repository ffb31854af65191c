"""The checking process: `python -m evalharness.checking.worker`, JSON lines in and out.

It is started by `workers.CheckerPool` as a plain subprocess, so it works from threads, notebooks,
Ray tasks and programs without a `__main__` guard. First it writes `{"ready": true}`; then each line
`{"golds": [...], "answer": "...", "policy": {}, "limit_seconds": 5.0}` gets one line in return. It
ends when its input ends.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import signal
import sys
import time
from typing import Any, TextIO

from evalharness.checking.checkers import CHECKERS, Checker, open_checker
from evalharness.checking.policy import Policy

_WARM_UP = (("0.5", "\\frac{1}{2}"), ("2\\sqrt{2} x", "\\sqrt{8} x"), ("x^2+1", "x^2+y"))
"""A cheap pair, one that takes algebra, and one that runs through every stage without success."""


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
    _write(protocol, {"ready": True})
    _discard_messages()
    for line in sys.stdin:
        _write(protocol, _answer(checker, json.loads(line)))


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
    start = time.perf_counter()
    _set_alarm(request["limit_seconds"])
    try:
        policy = _policy(json.dumps(request["policy"]))
        result = checker.judge(tuple(request["golds"]), request["answer"], policy)
        answer: dict[str, Any] = {
            "gold_read": result.gold_read,
            "answer_read": result.answer_read,
            "status": result.status,
            "method": result.method,
            "reason": result.reason,
            "gold": result.gold,
        }
    except Exception as error:  # noqa: BLE001 - one answer's failure becomes its status
        answer = {
            "status": "error",
            "method": None,
            "reason": f"the comparison failed: {type(error).__name__}: {str(error)[:300]}",
            "gold": None,
            "gold_read": None,
            "answer_read": None,
        }
    _set_alarm(0)
    answer["num_milliseconds"] = 1000 * (time.perf_counter() - start)
    return answer


def _write(protocol: TextIO, message: dict[str, Any]) -> None:
    protocol.write(json.dumps(message) + "\n")
    protocol.flush()


if __name__ == "__main__":
    main()
