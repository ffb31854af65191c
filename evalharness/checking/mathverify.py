"""The checker `math-verify`: the library as it is, behind our interface, to compare ours with.

It knows no policy. Nothing here bounds time or memory: `workers` calls it in a process that can be
killed.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from evalharness.checking.equivalence import Equivalence, best_of, equal_text
from evalharness.checking.policy import Policy
from evalharness.checking.text import canonical, shorten

_DOLLAR = re.compile(r"(?<!\\)\$")


def cheap_judgement(
    golds: tuple[str, ...],
    answer: str,
    policy: Policy,  # noqa: ARG001 - math-verify knows none
) -> Equivalence | None:
    """The verdict that needs no mathematics: correct where the texts agree, otherwise None."""
    return equal_text(golds, answer)


def judge_answer(golds: tuple[str, ...], answer: str, policy: Policy) -> Equivalence:
    """Compare an answer with every accepted gold: any match is correct.

    Without a match the answer is `incorrect` where at least one gold could be compared, otherwise
    `unparsed` or `error`, whichever the first gold gave.

    Source: huggingface/Math-Verify 0.9, with its timeouts off (they are signal.alarm, which works
        in the main thread only and can't stop C code) and with gold and answer both in a box,
        without which golds are silently misread.
    """
    if not golds:
        reason = "the problem has no accepted answer"
        return Equivalence(status="error", method=None, reason=reason, gold=None)
    same = cheap_judgement(golds, answer, policy)
    if same is not None:
        return same
    results = []
    for gold in golds:
        result = compare_by_math_verify(gold, answer)
        if result.status == "correct":
            return result
        results.append(result)
    return best_of(golds, results)


def compare_by_math_verify(gold: str, answer: str) -> Equivalence:
    """Compare one gold with one answer by the library alone, in this process, without a limit."""
    try:
        return _equal_by_math_verify(gold, answer)
    except (MemoryError, RecursionError) as error:
        what = "memory" if isinstance(error, MemoryError) else "the stack"
        reason = f"{what} ran out while comparing gold {shorten(gold)} and answer {shorten(answer)}"
        return Equivalence(status="error", method=None, reason=reason, gold=gold)


def _equal_by_math_verify(gold: str, answer: str) -> Equivalence:
    from math_verify import verify

    parsed_gold = _parse(canonical(gold))
    if parsed_gold is None:
        reason = f"the gold {shorten(gold)} can't be read by math-verify"
        return Equivalence(status="error", method=None, reason=reason, gold=gold)
    parsed_answer = _parse(canonical(answer))
    if parsed_answer is None:
        reason = f"the answer {shorten(answer)} can't be read by math-verify"
        return Equivalence(status="unparsed", method=None, reason=reason, gold=gold)
    if verify(parsed_gold, parsed_answer, timeout_seconds=None):
        reason = f"gold {shorten(gold)} and answer {shorten(answer)} are equal"
        return Equivalence(status="correct", method="math-verify", reason=reason, gold=gold)
    reason = f"gold {shorten(gold)} and answer {shorten(answer)} differ"
    return Equivalence(status="incorrect", method="math-verify", reason=reason, gold=gold)


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> Any | None:
    """What math-verify reads in the text as a box, or None where it reads nothing.

    Only its LaTeX reader is used: its plain reader hands text to sympy's parse_expr.
    """
    from math_verify import LatexExtractionConfig, parse

    found = parse(
        "\\boxed{" + _DOLLAR.sub(" ", text) + "}",
        extraction_config=(LatexExtractionConfig(boxed_match_priority=0),),
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
        raise_on_error=True,
    )
    return found[0] if found else None
