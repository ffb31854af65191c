r"""The grading rules of published evaluations as checkers, to repeat their scores.

- `drgrpo`, `drgrpo-fast`: the slow and the fast grader of the Dr. GRPO evaluation: equal after the
  first rewriting (`mathd`), or after the second (`prm800k`) by text or algebra; the slow one then
  asks math-verify. `drgrpo-orz` is the slow one with the rule for Open-Reasoner-Zero's tags.
- `qwen2.5-math`: the grader of the Qwen2.5-Math evaluation.

They find the answer by their own rules too (`boxes`), have no lenient reading, know no policy and
have two verdicts: what they can't read is incorrect. Where the published code evaluates text with
sympy's parse_expr, our own reader reads it. That differs where a text is no expression for it: a
relation, a list or a sentence is then never equal, and a call such as `re(x)` is never executed.

Source: the behaviour of sail-sg/understand-r1-zero at dfca49d, and of QwenLM/Qwen2.5-Math,
    evaluation/grader.py at 29a82a8 and parser.py at 005449c; written anew.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from evalharness.checking import boxes
from evalharness.checking.algebra import PLAIN, same_quantities
from evalharness.checking.equivalence import Equivalence
from evalharness.checking.extract import Extraction
from evalharness.checking.policy import Policy
from evalharness.checking.quantities import Effort
from evalharness.checking.qwen import same_by_qwen
from evalharness.checking.rewriting import (
    is_whole,
    mathd,
    number_of,
    prm800k,
    without_grouping,
)
from evalharness.checking.text import shorten

_BRACKETS = "()[]"
_FRACTION = re.compile(r"^-?[0-9]+.?/0*[1-9][0-9]*.?$")
_HANGING_POWER = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]+")
_MOST_LETTERS = 2
_LONGEST_CHECKED = 128
_MOST_REPEATED = 0.2


class Rules(NamedTuple):
    """A published way to grade: what `checkers.Checker` is made of."""

    judge: Callable[[tuple[str, ...], str, Policy], Equivalence]
    cheap: Callable[[tuple[str, ...], str, Policy], Equivalence | None]
    find: Callable[[str, tuple[str, ...]], tuple[Extraction, Extraction]]


Same = Callable[[str, str, Effort], tuple[bool | None, str]]
"""Of a gold, an answer and how far to go: whether they are the same (None where it takes more than
the effort allows), and the stage that says so."""


def open_rules(name: str) -> Rules:
    """The rules of that name.

    Raises:
        KeyError: there are none.
    """
    same, find = _RULES[name]

    def judge(golds: tuple[str, ...], answer: str, policy: Policy) -> Equivalence:  # noqa: ARG001
        found = _any_gold(same, golds, answer, Effort(is_cheap=False))
        return found or _verdict("incorrect", None, golds[0] if golds else "", answer)

    def cheap(golds: tuple[str, ...], answer: str, policy: Policy) -> Equivalence | None:  # noqa: ARG001
        return _any_gold(same, golds, answer, Effort(is_cheap=True))

    def find_once(response: str, places: tuple[str, ...]) -> tuple[Extraction, Extraction]:
        found = find(response, places)
        return found, found

    return Rules(judge, cheap, find_once)


def _any_gold(
    same: Same, golds: tuple[str, ...], answer: str, effort: Effort
) -> Equivalence | None:
    """Any gold will do; None where one stays undecided and no other is equal."""
    if not golds:
        reason = "the problem has no accepted answer"
        return Equivalence(status="error", method=None, reason=reason, gold=None)
    is_decided, stage = True, ""
    for gold in golds:
        result, stage = same(gold, answer, effort)
        if result:
            return _verdict("correct", stage, gold, answer)
        is_decided &= result is not None
    return _verdict("incorrect", stage, golds[0], answer) if is_decided else None


def _verdict(
    status: Literal["correct", "incorrect"], stage: str | None, gold: str, answer: str
) -> Equivalence:
    what = "are equal" if status == "correct" else "differ"
    reason = f"gold {shorten(gold)} and answer {shorten(answer)} {what} by this rule"
    return Equivalence(status=status, method=stage, reason=reason, gold=gold)


def same_by_fast_drgrpo(gold: str, answer: str, effort: Effort) -> tuple[bool | None, str]:
    """The fast grader: equal after a rewriting, or by algebra."""
    if "\\boxed" in gold:
        gold = boxes.last_box(gold).answer or ""
    if mathd(gold) == mathd(answer):
        return True, "mathd"
    return _same_by_prm800k(prm800k(gold), prm800k(answer), effort), "prm800k"


def same_by_slow_drgrpo(gold: str, answer: str, effort: Effort) -> tuple[bool | None, str]:
    """The slow grader: the fast one, or math-verify; a long answer that repeats itself is wrong."""
    result, stage = same_by_fast_drgrpo(gold, answer, effort)
    if result:
        return True, stage
    if "\\boxed" in gold:
        gold = boxes.last_box(gold).answer or ""
    if _is_repetitive(gold) or _is_repetitive(answer):
        return result, stage
    if effort.is_cheap:
        return None, stage
    from evalharness.checking.mathverify import compare_by_math_verify

    return compare_by_math_verify(gold, answer).status == "correct", "math-verify"


def _same_by_prm800k(gold: str, answer: str, effort: Effort) -> bool | None:
    """Two rewritten texts: equal, or element by element of a tuple or an interval."""
    if gold == answer:
        return True
    if not answer:
        return False
    golds, answers = _elements(gold), _elements(answer)
    if len(golds) != len(answers):
        return False
    if len(golds) > 1 and (gold[0], gold[-1]) != (answer[0], answer[-1]):
        return False
    result: bool | None = True
    for one, other in zip(golds, answers, strict=True):
        same = _same_element(one, other, effort)
        if same is False:
            return False
        result = result if same else None
    return result


def _elements(text: str) -> list[str]:
    """What stands between brackets that hold no others; else the text."""
    text = without_grouping(text)
    has_brackets = len(text) > 2 and text[0] in _BRACKETS and text[-1] in _BRACKETS
    if has_brackets and not any(sign in text[1:-1] for sign in _BRACKETS):
        return [part.strip() for part in text[1:-1].split(",")]
    return [text] if text else []


def _same_element(gold: str, answer: str, effort: Effort) -> bool | None:
    """Two fractions by their text, an integer only beside an integer, all else by algebra."""
    if _FRACTION.search(gold) and _FRACTION.search(answer):
        return gold == answer
    if _is_integer(gold) != _is_integer(answer):
        return False
    difference = f"({gold})-({answer})"
    if _num_letters(difference) > _MOST_LETTERS or _HANGING_POWER.search(difference):
        return False
    return same_quantities(gold, answer, PLAIN, effort)


def _is_integer(text: str) -> bool:
    number = number_of(without_grouping(text))
    return number is not None and is_whole(number)


def _num_letters(text: str) -> int:
    """Different letters, those of sqrt and frac aside: `pi` has two."""
    return len({sign for sign in text.replace("sqrt", "").replace("frac", "") if sign.isalpha()})


def _is_repetitive(text: str) -> bool:
    """Whether a long text repeats itself: over a fifth of its substrings stand in it again.

    The common prefixes of neighbours in the sorted list of its suffixes add up to that number.
    """
    if len(text) <= _LONGEST_CHECKED:
        return False
    suffixes = sorted(text[start:] for start in range(len(text)))
    shared = 0
    for one, other in itertools.pairwise(suffixes):
        length = min(len(one), len(other))
        low = next((at for at in range(length) if one[at] != other[at]), length)
        shared += low
    return 2 * shared / (len(text) * (len(text) + 1)) > _MOST_REPEATED


_RULES: dict[str, tuple[Same, Callable[[str, tuple[str, ...]], Extraction]]] = {
    "drgrpo": (same_by_slow_drgrpo, boxes.find_drgrpo),
    "drgrpo-fast": (same_by_fast_drgrpo, boxes.find_drgrpo),
    "drgrpo-orz": (same_by_slow_drgrpo, boxes.find_drgrpo_tags),
    "qwen2.5-math": (same_by_qwen, boxes.find_qwen),
}
