"""Accuracy on labelled answer pairs, ours beside other graders, with our disagreements by cause.

`python tests/perf/checker_accuracy.py [SET ...]` reads every set in `$EVALHARNESS_DATA/checker`:
one JSON object a line with `gold`, `label` (true for equivalent), and `pred` or `response`. Other
graders run in a process of their own that is killed when a pair takes longer than the limit.
inspect_ai's scorer is measured where it can be imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from evalharness.checking.equivalence import judge_answer
from evalharness.checking.extract import DEFAULT_ANSWER_FORMAT, extract
from evalharness.checking.policy import Policy

SECONDS = 5.0
SHOWN = 12


class Pair(NamedTuple):
    gold: str
    answer: str | None
    label: bool


class Verdict(NamedTuple):
    is_correct: bool
    cause: str


def read_pairs(path: Path) -> list[Pair]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        Pair(
            row["gold"],
            row["pred"]
            if row["kind"] == "pred"
            else extract(row["response"], DEFAULT_ANSWER_FORMAT).answer,
            bool(row["label"]),
        )
        for row in rows
    ]


def ours(policy: Policy) -> Callable[[str, str], Verdict]:
    def grade(gold: str, answer: str) -> Verdict:
        result = judge_answer((gold,), answer, policy)
        return Verdict(result.status == "correct", f"{result.status} by {result.method}")

    return grade


def math_verify() -> Callable[[str, str], Verdict]:
    from math_verify import LatexExtractionConfig, parse, verify

    config = (LatexExtractionConfig(boxed_match_priority=0),)

    def read(text: str) -> list[object]:
        boxed = "\\boxed{" + text.replace("$", " ") + "}"
        return list(parse(boxed, extraction_config=config, parsing_timeout=None))

    def grade(gold: str, answer: str) -> Verdict:
        is_correct = bool(verify(read(gold), read(answer), timeout_seconds=None))
        return Verdict(is_correct, "math-verify")

    return grade


def inspect_ai() -> Callable[[str, str], Verdict]:
    import asyncio

    from inspect_ai.scorer import Target, math

    score = math()

    class State:
        def __init__(self, completion: str) -> None:
            self.output = type("Output", (), {"completion": completion})()

    def grade(gold: str, answer: str) -> Verdict:
        result = asyncio.run(score(State(f"\\boxed{{{answer}}}"), Target(gold)))  # type: ignore
        return Verdict(result is not None and result.value == "C", "inspect_ai")

    return grade


def _serve(name: str, pipe: Connection) -> None:
    grade = {"math-verify": math_verify, "inspect_ai": inspect_ai}[name]()
    while (pair := pipe.recv()) is not None:
        try:
            pipe.send(grade(*pair))
        except Exception as error:  # noqa: BLE001 - another grader's failure is its verdict
            pipe.send(Verdict(False, type(error).__name__))


class Killable:
    """Another grader in a process that is ended when a pair takes too long."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self.name, theirs), daemon=True)
        self._process.start()
        self._is_new = True

    def __call__(self, gold: str, answer: str) -> Verdict:
        self._pipe.send((gold, answer))
        if self._pipe.poll(SECONDS + (60 if self._is_new else 0)):
            self._is_new = False
            verdict: Verdict = self._pipe.recv()
            return verdict
        self.close()
        self._start()
        return Verdict(False, "timeout")

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def measure(name: str, pairs: list[Pair], grade: Callable[[str, str], Verdict]) -> list[Verdict]:
    began = time.perf_counter()
    verdicts = [
        Verdict(False, "no answer") if pair.answer is None else grade(pair.gold, pair.answer)
        for pair in pairs
    ]
    seconds = time.perf_counter() - began
    wrong = [(v, p) for v, p in zip(verdicts, pairs, strict=True) if v.is_correct != p.label]
    false_positives = sum(verdict.is_correct for verdict, _ in wrong)
    print(
        f"  {name:22} {100 * (1 - len(wrong) / len(pairs)):6.2f}%  "
        f"FP {false_positives:3}  FN {len(wrong) - false_positives:3}  "
        f"{len(pairs) / seconds:8.0f} pairs/s"
    )
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help="names of sets; all of them by default")
    parser.add_argument("--ours-only", action="store_true")
    options = parser.parse_args()
    folder = Path(os.environ["EVALHARNESS_DATA"]) / "checker"
    paths = sorted(path for path in folder.glob("*.jsonl"))
    others = ["math-verify"] if not options.ours_only else []
    if importlib.util.find_spec("inspect_ai") and not options.ours_only:
        others.append("inspect_ai")
    graders = {name: Killable(name) for name in others}
    rounding = Policy(rounding="gold-digits")
    ours(rounding)("2 \\arcsin \\sqrt{a}", "\\arccos(1-2a)")  # imports aren't part of the speed
    for path in paths:
        if options.sets and path.stem not in options.sets:
            continue
        pairs = read_pairs(path)
        print(f"{path.stem} ({len(pairs)} pairs)")
        verdicts = measure("ours", pairs, ours(Policy()))
        measure("ours, with rounding", pairs, ours(rounding))
        for name, grade in graders.items():
            measure(name, pairs, grade)
        causes = Counter[str]()
        examples = []
        for verdict, pair in zip(verdicts, pairs, strict=True):
            if verdict.is_correct != pair.label:
                causes[verdict.cause] += 1
                kind = "accepted" if verdict.is_correct else "missed"
                examples.append(f"    {kind}: {pair.gold[:70]!r} -> {str(pair.answer)[:70]!r}")
        for cause, count in causes.most_common():
            print(f"  disagreements, {cause}: {count}")
        print("\n".join(examples[:SHOWN]), end="\n" if examples else "")
    for grader in graders.values():
        grader.close()


if __name__ == "__main__":
    main()
