"""The checking process: `python -m evalharness.checking.worker`, JSON lines in and out.

It is started by `workers.CheckerPool` as a plain subprocess, so it works from threads, notebooks,
Ray tasks and programs without a `__main__` guard. First it writes `{"ready": true}`; then each line
`{"golds": [...], "answer": "...", "limit_seconds": 11.0}` gets one line in return. It ends when
its input ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from typing import Any, TextIO

from evalharness.checking.equivalence import judge_answer


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m evalharness.checking.worker")
    parser.add_argument("--memory-limit-bytes", type=int, required=True)
    options = parser.parse_args()
    protocol = _take_protocol_output()
    _settle_signals()

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # Imports, regular expressions and parser tables: not charged to the first answer.
    judge_answer(("\\frac{1}{2}",), "0.5")
    _limit_memory(options.memory_limit_bytes)
    _write(protocol, {"ready": True})
    _discard_messages()
    for line in sys.stdin:
        _write(protocol, _answer(json.loads(line)))


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


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    _set_alarm(request["limit_seconds"])
    try:
        result = judge_answer(tuple(request["golds"]), request["answer"])
        answer: dict[str, Any] = {
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
        }
    _set_alarm(0)
    answer["num_milliseconds"] = 1000 * (time.perf_counter() - start)
    return answer


def _write(protocol: TextIO, message: dict[str, Any]) -> None:
    protocol.write(json.dumps(message) + "\n")
    protocol.flush()


if __name__ == "__main__":
    main()
