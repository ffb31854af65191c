"""Answers per second: this checker, math-verify and inspect_ai's scorer on the same responses.

    EVALHARNESS_DATA=... python tests/perf/checker_speed.py [--num 1000] [--sets real,boxed]

The sets: `real`, whole responses of models that have a box; `boxed`, only the box of the same
responses; `hardverify`, the hard answer pairs, each in a box. Each checker works through the same
texts in one process of its own, from text to verdict, one after the other; what it remembers it may
use. Before the clock runs it works through other real responses. A comparison over two seconds is
ended by an alarm and counted. Then this checker's pool does the set with one and with two workers;
`--sides none` leaves the comparison with others out.
inspect_ai is left out where it can't be imported.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from evalharness.checking import DEFAULT_ANSWER_FORMAT, CheckerPool, Policy, Submission
from evalharness.checking.checkers import open_checker
from evalharness.checking.extract import extract

LIMIT_SECONDS = 2.0
PARTS = 4
SIDES = ("evalharness", "math-verify", "inspect_ai")


class OverLimitError(Exception):
    """A comparison took too long."""


def real_responses(number: int, seed: int, *, is_warm_up: bool = False) -> list[tuple[str, str]]:
    """Golds and responses that have a box, drawn from all stored model outputs.

    Those to warm up with are others.
    """
    pairs = []
    for path in sorted((Path(os.environ["EVALHARNESS_DATA"]) / "outputs").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "\\boxed{" in row["response"]:
                pairs.append((str(row["gold"]), row["response"]))
    random.Random(seed).shuffle(pairs)
    return pairs[-number:] if is_warm_up else pairs[:number]


def hard_pairs() -> list[tuple[str, str]]:
    """The hard answer pairs, each answer in a box."""
    path = Path(os.environ["EVALHARNESS_DATA"]) / "checker/hardverify.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        (row["gold"], row["response"] if row["kind"] == "response" else f"\\boxed{{{row['pred']}}}")
        for row in rows
    ]


def load_pairs(name: str, number: int, seed: int) -> list[tuple[str, str]]:
    if name == "hardverify":
        return hard_pairs()
    pairs = real_responses(number, seed)
    if name == "real":
        return pairs
    answers = [(gold, extract(response, ("box",)).answer) for gold, response in pairs]
    return [(gold, f"\\boxed{{{answer}}}") for gold, answer in answers if answer is not None]


def our_judge() -> Callable[[str, str], bool]:
    checker = open_checker("evalharness")
    policy = Policy()

    def judge(gold: str, response: str) -> bool:
        answer = extract(response, DEFAULT_ANSWER_FORMAT).answer
        if answer is None:
            return False
        found = checker.cheap((gold,), answer, policy) or checker.judge((gold,), answer, policy)
        return found.status == "correct"

    return judge


def math_verify_judge() -> Callable[[str, str], bool]:
    """As its README uses it, with the alarm of this script in place of its own."""
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)

    def judge(gold: str, response: str) -> bool:
        parsed = parse(f"\\boxed{{{gold}}}", parsing_timeout=None)
        answer = parse(response, parsing_timeout=None)
        return bool(verify(parsed, answer, timeout_seconds=None))

    return judge


def inspect_judge() -> Callable[[str, str], bool]:
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Target, math
    from inspect_ai.solver import TaskState

    score = math()
    loop = asyncio.new_event_loop()

    def judge(gold: str, response: str) -> bool:
        state = TaskState(
            model="none/none",  # type: ignore[arg-type]
            sample_id=0,
            epoch=0,
            input="",
            messages=[],
            output=ModelOutput.from_content("none/none", response),
        )
        found: Any = loop.run_until_complete(score(state, Target([gold])))
        return found is not None and found.value in ("C", 1, True)

    return judge


JUDGES = {
    "evalharness": our_judge,
    "math-verify": math_verify_judge,
    "inspect_ai": inspect_judge,
}


def measure_side(
    side: str, pairs: list[tuple[str, str]], warm_up: list[tuple[str, str]]
) -> dict[str, Any]:
    """One checker over all pairs, in this process."""

    def stop(*_: object) -> None:
        raise OverLimitError

    judge = JUDGES[side]()
    signal.signal(signal.SIGALRM, stop)

    def judge_all(chosen: list[tuple[str, str]]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for gold, response in chosen:
            signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
            try:
                counts["correct"] += judge(gold, response)
            except OverLimitError:
                counts["over_limit"] += 1
            except Exception:  # noqa: BLE001 - another's failure is counted, as its users see it
                counts["failed"] += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        return counts

    judge_all(warm_up)
    began = time.perf_counter()
    counts = judge_all(pairs)
    per_second = len(pairs) / (time.perf_counter() - began)
    return {"per_second": per_second} | {
        name: counts[name] for name in ("correct", "over_limit", "failed")
    }


@dataclass(slots=True)
class PoolTimes:
    """Of all parts that a pool has judged, its start left out; in seconds."""

    clock: float = 0.0
    parent: float = 0.0
    """Of computing, as for the workers."""
    workers: float = 0.0

    def add(self, pool: CheckerPool, pairs: list[tuple[str, str]]) -> None:
        """Judge a part and note what it took."""
        workers = pool._crew.processes
        computed = sum(worker._cpu_seconds() for worker in workers)
        began, parent = time.perf_counter(), time.process_time()
        judge_all(pool, pairs)
        self.clock += time.perf_counter() - began
        self.parent += time.process_time() - parent
        self.workers += sum(worker._cpu_seconds() for worker in workers) - computed


def judge_all(pool: CheckerPool, pairs: list[tuple[str, str]]) -> None:
    policy = Policy()
    submissions = [
        Submission(response, (gold,), DEFAULT_ANSWER_FORMAT, policy) for gold, response in pairs
    ]
    pool.submit_all(submissions).result()


def measure_pools(
    pairs: list[tuple[str, str]], warm_up: list[tuple[str, str]]
) -> tuple[PoolTimes, PoolTimes]:
    """All pairs through a pool of one worker and one of two, part by part in turns.

    The clock is disturbed by whatever else the machine does, and both are to be disturbed alike.
    """
    times = PoolTimes(), PoolTimes()
    with (
        CheckerPool(num_workers=1, timeout_seconds=LIMIT_SECONDS) as one,
        CheckerPool(num_workers=2, timeout_seconds=LIMIT_SECONDS) as two,
    ):
        for pool in (one, two):
            judge_all(pool, warm_up)
            while pool._crew._num_idle < pool.num_workers:  # one may still be starting
                time.sleep(0.1)
        size = -(-len(pairs) // PARTS)
        turns = list(zip((one, two), times, strict=True))
        for start in range(0, len(pairs), size):
            for pool, spent in turns:
                spent.add(pool, pairs[start : start + size])
            turns.reverse()
    return times


def _judge_parts(pipe: Connection) -> None:
    """A process that shares nothing with another: parts in, a word when they are judged."""
    judge = our_judge()
    while part := pipe.recv():
        for gold, response in part:
            judge(gold, response)
        pipe.send("done")


def machine_scaling(pairs: list[tuple[str, str]], warm_up: list[tuple[str, str]]) -> float:
    """What two processes without a parent come to, of linear: caches and clocks are shared too.

    One process judges a part, then two judge halves of another part, in turns.
    """
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        context.Process(target=_judge_parts, args=(theirs,), daemon=True).start()
        pipes.append(ours)

    def seconds(parts: list[list[tuple[str, str]]]) -> float:
        began = time.perf_counter()
        for pipe, part in zip(pipes, parts, strict=False):
            pipe.send(part)
        for pipe, _ in zip(pipes, parts, strict=False):
            pipe.recv()
        return time.perf_counter() - began

    seconds([warm_up, warm_up])
    size = -(-len(pairs) // (2 * PARTS))
    parts = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    alone = sum(seconds([part]) / len(part) for part in parts[::2])
    both = sum(seconds([part[::2], part[1::2]]) / len(part) for part in parts[1::2])
    for pipe in pipes:
        pipe.send([])
    return alone / len(parts[::2]) / (both / len(parts[1::2])) / 2


def in_own_process(side: str, name: str, options: argparse.Namespace) -> dict[str, Any] | str:
    command = [sys.executable, __file__, "--side", side, "--sets", name]
    command += ["--num", str(options.num), "--seed", str(options.seed)]
    command += ["--warm-up", str(options.warm_up)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=options.most_seconds
        )
    except subprocess.TimeoutExpired:
        return f"took more than {options.most_seconds} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"exit code {done.returncode}"
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=1000, help="real responses")
    parser.add_argument("--warm-up", type=int, default=100, help="real responses before the clock")
    parser.add_argument("--most-seconds", type=int, default=120, help="for one checker and set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", default="real,boxed,hardverify")
    parser.add_argument("--sides", choices=("all", "none"), default="all")
    parser.add_argument("--side", choices=SIDES, help="measure one, print JSON")
    options = parser.parse_args()
    if options.side:
        pairs = load_pairs(options.sets, options.num, options.seed)
        warm_up = real_responses(options.warm_up, options.seed, is_warm_up=True)
        print(json.dumps(measure_side(options.side, pairs, warm_up)))
        return
    for name in options.sets.split(","):
        pairs = load_pairs(name, options.num, options.seed)
        warm_up = real_responses(options.warm_up, options.seed, is_warm_up=True)
        print(f"{name}: {len(pairs)} responses, {len(set(pairs))} of them distinct")
        ours = None
        for side in SIDES if options.sides == "all" else ():
            found = in_own_process(side, name, options)
            if isinstance(found, str):
                print(f"  {side:12} left out: {found}")
                continue
            ours = ours or found["per_second"]
            print(
                f"  {side:12} {found['per_second']:9.1f}/s  ours is "
                f"{ours / found['per_second']:6.2f} times as fast; correct {found['correct']}, "
                f"over the limit {found['over_limit']}, failed {found['failed']}"
            )
        one, two = measure_pools(pairs, warm_up)
        print(
            f"  pool         {len(pairs) / one.clock:9.1f}/s with one worker, "
            f"{len(pairs) / two.clock:.1f}/s with two ({PARTS} parts in turns): "
            f"{one.clock / two.clock / 2:.2f} of linear"
        )
        scaling = machine_scaling(pairs, warm_up)
        print(f"    two processes that share nothing come to {scaling:.2f} of linear here")
        for label, each in (("one", one), ("two", two)):
            computed = each.parent + each.workers
            print(
                f"    {label}: computed {each.parent:.2f} s in the parent, {each.workers:.2f} s in "
                f"the workers: {each.parent / computed:.0%} in the parent, "
                f"{computed / each.clock:.2f} cores busy"
            )


if __name__ == "__main__":
    main()
