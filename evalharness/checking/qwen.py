r"""The comparison of the Qwen2.5-Math evaluation, with its tolerance and its stripping.

Differs from the published code where that evaluates text (see `rules`), in that only single number
words are read (`three`, not `twenty-one`), and in that units are stripped for every benchmark: the
published code leaves those of Minerva and CARP.

Source: the behaviour of QwenLM/Qwen2.5-Math, evaluation/grader.py at 29a82a8, parser.py at 005449c.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re

from evalharness.checking.algebra import PLAIN, same_quantities
from evalharness.checking.quantities import Effort
from evalharness.checking.rewriting import (
    UnbalancedError,
    number_of,
    same_spelling,
    with_braced_fractions,
    with_fraction_of_integers,
    with_leading_zeros,
    without_degrees,
    without_last_text,
    without_short_left_side,
)
from evalharness.checking.unit_words import without_unit_words

_TOLERANCE = 1e-4
_POLICY = dataclasses.replace(PLAIN, relative_tolerance=_TOLERANCE)
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
_PREFIXES = tuple(f"{name}{sign}" for sign in ("=", "\\in", "\\to") for name in "xyz")
_CHOICES = "ABCDE"
_CHOICE = re.compile(r"\b([A-E])\b")
_LIST = re.compile(r"[(\[].+[)\]]")
_MATRIX = re.compile(r"\\begin\{[pb]matrix\}(?P<body>.*)\\end\{[pb]matrix\}", re.DOTALL)
_MOST_NESTED = 20


def same_by_qwen(gold: str, answer: str, effort: Effort) -> tuple[bool | None, str]:
    """Whether they are the same after stripping, with a relative tolerance of 1e-4."""
    return _same(_stripped(_tidied(answer)), _stripped(gold), effort, 0), "qwen2.5-math"


def _tidied(answer: str) -> str:
    """The answer without line breaks, a colon before it and a full stop or a slash behind it."""
    answer = re.sub(r"\n\s*", "", answer).removeprefix(":")
    return answer.removesuffix(".").removesuffix("/")


@functools.lru_cache(maxsize=8192)
def _stripped(text: str) -> str:
    text = same_spelling(text.strip().replace("\n", "").rstrip("."))
    text = without_last_text(text.replace("\\{", "{").replace("\\}", "}"))
    text = without_degrees(without_unit_words(text))
    for sign in ("\\$", "$", "\\(", "\\)"):
        text = text.replace(sign, "")
    word = text.strip().lower()
    text = str(_WORDS.index(word)) if word in _WORDS else text
    text = re.sub(r"\\text\{(.*?)\}", r"\1", text)
    for prefix in _PREFIXES:
        text = text.replace(prefix, "")
    text = text.replace("\\emptyset", "{}").replace("(-\\infty,\\infty)", "\\mathbb{R}")
    text = with_leading_zeros(text.replace("\\%", "").replace("%", ""))
    text = text.replace("infinity", "\\infty")
    text = text if "\\infty" in text else text.replace("inf", "\\infty")
    text = re.sub(r"\\mbox{.*?}", "", text.replace("and", "").replace("\\mathbf", ""))
    text = text if "i" in text else text.replace("j", "i")
    text = re.sub(r"(\d+)\.0*([^\d])", r"\1\2", text)
    text = re.sub(r"(\d+)\.0*$", r"\1", text)
    text = without_short_left_side(text)
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    try:
        text = with_braced_fractions(text)
    except UnbalancedError:
        return text
    return with_fraction_of_integers(text)


def _same(answer: str, gold: str, effort: Effort, depth: int) -> bool | None:
    if answer.strip().lower() == gold.strip().lower():
        return True
    if gold and gold in _CHOICES and _choice(answer) == gold:
        return True
    value, wanted = _number(answer), _number(gold)
    if value is not None and wanted is not None:
        # The published code goes on to algebra here, with the same tolerance and less of the rest.
        return any(
            math.isclose(each, value, rel_tol=_TOLERANCE)
            for each in (wanted / 100, wanted, wanted * 100)
        )
    if not answer or depth > _MOST_NESTED:
        return False
    answer, gold = answer.strip(), gold.strip()
    if _bare(answer, gold) == _bare(gold, answer):
        return True
    if _LIST.match(answer) and _LIST.match(gold):
        return _same_parts(answer[1:-1].split(","), gold[1:-1].split(","), effort, depth)
    rows, wanted_rows = _cells(answer), _cells(gold)
    if rows is not None and wanted_rows is not None:
        if [len(row) for row in rows] != [len(row) for row in wanted_rows]:
            return False
        cells = [list(itertools.chain.from_iterable(each)) for each in (rows, wanted_rows)]
        return _same_parts(cells[0], cells[1], effort, depth)
    if answer.count("=") == 1 and gold.count("=") == 1:
        left, right = _difference(answer), _difference(gold)
        return _either(
            same_quantities(right, left, _POLICY, effort),
            same_quantities(right, f"-({left})", _POLICY, effort),
        )
    if _is_short_equation(answer) and "=" not in gold:
        return _same(answer.split("=")[1], gold, effort, depth + 1)
    if _is_short_equation(gold) and "=" not in answer:
        return _same(answer, gold.split("=")[1], effort, depth + 1)
    return same_quantities(gold, answer, _POLICY, effort)


def _either(one: bool | None, other: bool | None) -> bool | None:
    return True if one or other else None if None in (one, other) else False


def _same_parts(answers: list[str], golds: list[str], effort: Effort, depth: int) -> bool | None:
    """All the parts in their order."""
    if len(answers) != len(golds):
        return False
    result: bool | None = True
    for answer, gold in zip(answers, golds, strict=True):
        same = _same(answer, gold, effort, depth + 1)
        if same is False:
            return False
        result = result if same else None
    return result


def _choice(answer: str) -> str:
    """The last letter of an option that stands alone."""
    letters = _CHOICE.findall(answer.upper())
    return letters[-1] if letters else answer.strip(" .:/\n")


def _number(text: str) -> float | None:
    """A number without its commas, a percentage as its hundredth."""
    text = text.replace(",", "")
    number = number_of(text)
    if number is None and text.endswith("%"):
        number = number_of(text[:-1].removesuffix("\\"))
        return None if number is None else number / 100
    return number


def _bare(text: str, other: str) -> str:
    """Without round brackets and braces; without any around a list that the other hasn't."""
    mixed = any(
        (one.startswith(a) and one.endswith(b)) and not (two.startswith(c) and two.endswith(d))
        for one, two in ((text, other), (other, text))
        for a, b, c, d in (("[", "]", "(", ")"), ("(", ")", "[", "]"))
    )
    text = text.strip("[]()") if mixed else text
    return re.sub(r"[{}()]", "", text).lower()


def _cells(text: str) -> list[list[str]] | None:
    """The cells of a matrix by rows; None where it is none."""
    found = _MATRIX.fullmatch(text)
    if found is None:
        return None
    rows = (row.strip() for row in found["body"].split("\\\\"))
    return [row.split("&") for row in rows if row]


def _difference(equation: str) -> str:
    left, right = equation.split("=")
    return f"{left.strip()} - ({right.strip()})"


def _is_short_equation(text: str) -> bool:
    return text.count("=") == 1 and len(text.split("=")[0].strip()) <= 2
