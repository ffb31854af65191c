"""Throws random text at the checker: `python tests/perf/fuzz_checker.py [--minutes 3] [--seed 0]`.

Three kinds of trial, each named with its number, so that `--seed S --only N` repeats one:

- a response of up to 1 MB: extraction gives a span of it, and takes computing time linear in it;
- a pair: the bounded stages are fast and say what the whole checker says, which is a status of the
  set, within its limit, without an exception inside, the same both ways round and after blanks;
- an answer and itself: a reading that can be compared equals itself, and its text in another
  spelling.

What a trial finds is printed with its input; the exit code is 1 where anything was found.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator

from evalharness.checking import DEFAULT_ANSWER_FORMAT, CheckerPool, Policy, extract
from evalharness.checking.equivalence import cheap_judgement, read_gold
from evalharness.checking.extract import extract_leniently
from evalharness.records import STATUSES

LIMIT_SECONDS = 2.0
MOST_HERE_SECONDS = 1.0
"""Of computing, for what runs without a limit in the parent: generous, for a busy machine."""
EXACT = Policy()
STATUS_COUNTS: Counter[str] = Counter()
"""What the bounded stages said of the pairs: a fuzzer that reaches one status only is none."""

_SEEDS = (
    "42", "-7", "\\frac{1}{2}", "0.5", "1,234", "12 345", "3\\sqrt{2}", "x^2+1", "(1,2)", "[0,1)",
    "\\{1,2,3\\}", "x=5", "2k\\pi, k\\in\\mathbb{Z}", "50\\%", "30^\\circ", "5\\text{ cm}",
    "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "(-\\infty,2)\\cup(3,\\infty)",
    "x<3 \\text{ or } x>5", "\\text{Yes}", "204_5", "\\binom{5}{2}", "n!", "2:3", "4.4e7",
    "\\pm 3", "e^{i\\pi}", "\\log_2 8", "\\sin^2 x", "\\sum_{k=1}^{n} k", "f(x)=2x",
    "\\left(\\frac{1}{2},3\\right)", "1\\frac12", "a_1", "\\max(a,b)", "|x-1|",
    "\\lfloor x \\rfloor", "\\sqrt[3]{2}", "x \\equiv 1 \\pmod 4", "y' + y = 0",
)  # fmt: skip
_PIECES = (
    *"0123456789xyzknabeiCU+-*/^_=<>()[]{}|,.;:!%'&$~ ", "\\frac", "\\sqrt", "\\pm", "\\mp",
    "\\cdot", "\\times", "\\pi", "\\infty", "\\text{", "\\mathrm{", "\\begin{cases}",
    "\\end{cases}", "\\\\", "\\{", "\\}", "\\left(", "\\right)", "\\cup", "\\in", "\\mathbb{Z}",
    "\\le", "\\ne", "\\sin", "\\ln", "\\log_", "\\sum_{k=1}^", "\\int", "\\binom", "^{", "_{",
    "\\circ", "\\%", "\\,", "\\!", "\\boxed{", "and", "or", "for all", "integer", "cm", "degrees",
    "e10", "999999", "10^{10}", "!!", "\\overline{", "½", "²", "√", "∞", "≤", "−", "\u200b",
    "\x0c", "\x00", "\ud800", "①", "：", "π", "\\mod", "\\lfloor", "\\Vert", "\\prod_{i=1}^",
    "\\choose", "\\lim_{x\\to0}", "\\vec", "\\operatorname{", "\\phantom{", "\\setminus",
)  # fmt: skip
_MARKS = (
    "\\boxed{", "\\boxed ", "\\fbox{", "}", "<answer>", "</answer>", "The answer is ", "answer:",
    "#### ", "<think>", "</think>", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\n", "\n\n",
    "Question:", "Problem 2:", "<|im_start|>", "and", ", ", "...", "your answer", "**", "1,000",
    "I hope it is correct", ". ",
)  # fmt: skip
_BRACKETS = (
    ("(", ")"), ("\\frac{1}{", "}"), ("x^{", "}"), ("\\sqrt{", "}"), ("\\{", "\\}"), ("-", ""),
)  # fmt: skip


def random_answer(generator: random.Random) -> str:
    """A sensible answer with a few changes, two of them joined, or pieces in any order."""
    kind = generator.random()
    if kind < 0.15:
        return "".join(generator.choices(_PIECES, k=generator.randint(1, 25)))
    text = generator.choice(_SEEDS)
    if kind < 0.5:
        joint = generator.choice(("+", ", ", " \\text{ and } ", "^", "=", " or ", "/", "_", " < "))
        text = text + joint + generator.choice(_SEEDS)
    if kind < 0.6:
        depth = generator.randint(2, 40)
        opening, closing = generator.choice(_BRACKETS)
        return opening * depth + text + closing * depth
    for _ in range(generator.choice((0, 1, 1, 2, 3))):
        at = generator.randint(0, len(text))
        change = generator.choice(_PIECES) if generator.random() < 0.7 else ""
        text = text[:at] + change + text[at + (generator.random() < 0.5) :]
    return text


def random_response(generator: random.Random) -> str:
    """Marks, answers and prose; now and then a stretch repeated up to 1 MB."""
    parts = [
        generator.choice(_MARKS) if generator.random() < 0.7 else random_answer(generator)
        for _ in range(generator.randint(1, 30))
    ]
    if generator.random() < 0.1:
        at = generator.randrange(len(parts))
        stretch = "".join(parts[at : at + generator.randint(1, 4)]) or " "
        times = generator.choice((1_000, 100_000, 1_000_000)) // len(stretch)
        parts.insert(at, stretch * times)
    return "".join(parts)


def try_response(generator: random.Random) -> Iterator[str]:
    """Findings about extraction."""
    response = random_response(generator)
    began = time.thread_time()
    strict = extract(response, DEFAULT_ANSWER_FORMAT[: generator.randint(1, 4)])
    lenient = extract_leniently(response, strict)
    seconds = time.thread_time() - began
    for found in (strict, lenient):
        if found.answer is not None and response[found.start : found.end] != found.answer:
            yield f"the span isn't the answer: {found} in {response[:500]!r}"
        if found.answer is not None and not found.answer.strip():
            yield f"a blank answer: {found} in {response[:500]!r}"
    if seconds > MOST_HERE_SECONDS * (1 + len(response) / 500_000):
        yield f"extraction took {seconds:.1f} s of {len(response)} characters: {response[:500]!r}"


def try_pair(generator: random.Random, pool: CheckerPool) -> Iterator[str]:
    """Findings about a pair of a gold and an answer."""
    gold, answer = random_answer(generator), random_answer(generator)
    if generator.random() < 0.3:
        answer = f" {gold} " if generator.random() < 0.5 else gold.replace("+", " + ")
    pair = f"gold {gold!r}, answer {answer!r}"
    began = time.thread_time()
    try:
        cheap = cheap_judgement((gold,), answer, EXACT)
    except RecursionError:
        cheap = None  # the pool leaves it to a worker
    seconds = time.thread_time() - began
    if seconds > MOST_HERE_SECONDS:
        yield f"the bounded stages took {seconds:.1f} s: {pair}"
    STATUS_COUNTS[cheap.status if cheap else "undecided here"] += 1
    there = pool.compare((gold,), answer, EXACT).result()
    back = pool.compare((answer,), gold, EXACT).result()
    for outcome in (there, back):
        if outcome.status not in STATUSES or outcome.status == "no_answer":
            yield f"the status {outcome.status}: {pair}"
        if "failed" in outcome.reason or "died" in outcome.reason:
            yield f"{outcome.reason}: {pair}"
        if outcome.status == "timeout":
            yield f"slow: over {LIMIT_SECONDS:g} s: {pair}"
    if cheap is not None and cheap.status != there.status:
        yield f"the bounded stages say {cheap.status}, all say {there.status}: {pair}"
    is_one_way = "_" in gold + answer or "timeout" in (there.status, back.status)
    if not is_one_way and (there.status == "correct") != (back.status == "correct"):
        yield f"{there.status} one way, {back.status} the other: {pair}"


def respelled(text: str, generator: random.Random) -> str:
    """The same mathematics in another spelling."""
    changes = (
        ("\\frac", "\\dfrac"), ("\\left(", "("), (" ", "  "), ("-", "\u2212"), ("+", " + "),
        ("\\cdot", "\\times"), ("\\le ", "\\leq "), ("\\ne ", "\\neq "), ("\\pi", "\\pi "),
    )  # fmt: skip
    old, new = generator.choice(changes)
    if old == "\\left(":
        text = text.replace("\\right)", ")")
    text = text.replace(old, new)
    return generator.choice(("{}", "${}$", "\\({}\\)", "{}.", " {} ")).format(text)


def try_itself(generator: random.Random, pool: CheckerPool) -> Iterator[str]:
    """Findings about an answer compared with itself by what was read in it."""
    answer = random_answer(generator) if generator.random() < 0.5 else generator.choice(_SEEDS)
    try:
        reading = read_gold(answer)
    except RecursionError:
        return
    if not reading.is_readable:
        return
    if cheap_judgement((answer,), answer, EXACT) is None:
        yield f"its own text isn't it: {answer!r}"
    if reading.is_equal_to_itself and answer in _SEEDS:
        other = respelled(answer, generator)
        outcome = pool.compare((answer,), other, EXACT).result()
        if outcome.status != "correct":
            yield f"another spelling is {outcome.status}: gold {answer!r}, answer {other!r}"


def trial(number: int, seed: int, pool: CheckerPool) -> Iterator[str]:
    """One trial, of a kind that its number says."""
    generator = random.Random(f"{seed}:{number}")
    kind = number % 4
    if kind == 0:
        return try_response(generator)
    return try_itself(generator, pool) if kind == 1 else try_pair(generator, pool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one trial")
    options = parser.parse_args()
    findings: Counter[str] = Counter()
    number = 0 if options.only is None else options.only
    end = time.monotonic() + 60 * options.minutes
    with CheckerPool(num_workers=1, timeout_seconds=LIMIT_SECONDS) as pool:
        while time.monotonic() < end:
            for finding in trial(number, options.seed, pool):
                findings[finding.partition(":")[0]] += 1
                print(f"{number}: {finding}", flush=True)
            number += 1
            if options.only is not None:
                break
    print(f"{number} trials of seed {options.seed}; pairs: {dict(STATUS_COUNTS)}", file=sys.stderr)
    print(f"{findings.total()} findings: {dict(findings)}", file=sys.stderr)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
