"""What the text of a response shows beside its answer: loops, second thoughts, format, running on.

Nothing here decides a verdict, and nothing that a model wrote is executed or parsed as a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

LOOP_TAIL = 2000
"""A loop is looked for in so many last characters."""
LOOP_REPEATS = 3
LOOP_CHARACTERS = 60

PUBLISHED_KEYWORDS = (
    "recheck*",
    "rethink*",
    "reassess*",
    "reevaluat*",
    "re-evaluat*",
    "re-examin*",
    "reexamin*",
    "reconsider*",
    "reanalyz*",
    "double-check*",
    "check again",
    "think again",
    "verify again",
    "go over the steps",
)
"""Those counted by Liu et al., arXiv 2503.20783 (sail-sg/understand-r1-zero at 88d5116,
analysis/keyword_count.py), with their other endings."""
REFLECTION_KEYWORDS = (
    *PUBLISHED_KEYWORDS,
    "re-check*",
    "double check*",
    "let me check",
    "let me verify",
    "let's verify",
    "wait",
    "hold on",
    "on second thought*",
)
"""Signs that a response turns back on itself; a sign says nothing of whether it helped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A response that ends in a repetition."""

    period: int
    """Characters of what repeats."""
    repeats: float
    """How often it stands at the end, within the tail that was looked at."""


def find_loop(text: str) -> Loop | None:
    """The smallest period with which a text ends at least 3 times over at least 60 characters.

    Looked for in the last 2000 characters, so that periods up to 666 are found. White space at the
    very end doesn't count. None where the text doesn't end in a repetition.
    """
    tail = text[-LOOP_TAIL:].rstrip()[::-1]
    # Whatever repeats with period p agrees with itself, shifted by p, over 20 characters or more:
    # 60 - p for p up to 30, 2p beyond. So only the places of the first 20 are worth a look.
    probe = tail[:20]
    if len(probe) < 20:
        return None
    period = tail.find(probe, 1)
    while 0 < period <= len(tail) // LOOP_REPEATS:
        need = max((LOOP_REPEATS - 1) * period, LOOP_CHARACTERS - period)
        if tail[:need] == tail[period : period + need] and len(tail) >= period + need:
            return Loop(period=period, repeats=_extent(tail, period) / period)
        period = tail.find(probe, period + 1)
    return None


def _extent(reversed_tail: str, period: int) -> int:
    length = period
    while length < len(reversed_tail) and reversed_tail[length] == reversed_tail[length - period]:
        length += 1
    return length


def count_reflections(text: str, keywords: Sequence[str] = REFLECTION_KEYWORDS) -> int:
    """How often any of the keywords stands in a text, in any case.

    A keyword is whole words; one that ends in `*` is the beginning of a word.
    """
    lowered = text.lower()
    # Most texts have none of them, and this is cheap.
    present = tuple(each for each in keywords if each.rstrip("*").lower() in lowered)
    return sum(1 for _ in _pattern(present).finditer(text)) if present else 0


@lru_cache(maxsize=1024)
def _pattern(keywords: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(keywords, key=len, reverse=True)
    words = "|".join(
        re.escape(each[:-1]) + r"\w*" if each.endswith("*") else re.escape(each) + r"(?!\w)"
        for each in longest_first
    )
    return re.compile(rf"(?<!\w)(?:{words})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflection:
    """Second thoughts in the responses of a model."""

    per_response: float
    share_of_responses: float
    """Responses with at least one."""
    share_of_problems: float
    """Problems with at least one in any response."""
    per_1000_tokens: float | None
    """None where lengths aren't known: a longer response has more of everything."""


def reflection(
    texts: Sequence[str],
    problem_ids: Sequence[str],
    num_tokens: Sequence[float | None],
    keywords: Sequence[str] = REFLECTION_KEYWORDS,
) -> Reflection | None:
    """Keyword rates per response, per problem and per 1000 tokens; None for no responses."""
    if not texts:
        return None
    counts = [count_reflections(text, keywords) for text in texts]
    known = [(count, tokens) for count, tokens in zip(counts, num_tokens, strict=True) if tokens]
    total = sum(tokens for _, tokens in known if tokens)
    thoughtful = {each for each, count in zip(problem_ids, counts, strict=True) if count}
    return Reflection(
        per_response=sum(counts) / len(counts),
        share_of_responses=sum(map(bool, counts)) / len(counts),
        share_of_problems=len(thoughtful) / len(set(problem_ids)),
        per_1000_tokens=1000 * sum(count for count, _ in known) / total if total else None,
    )


_BOX = re.compile(r"\\(?:f?box|boxed)\s*\{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Shares of responses that keep a format, and what keeping it is worth."""

    answered: float
    """An answer was found at all."""
    boxed: float
    """`\\boxed{` stands in the text."""
    tagged: float
    """`<answer>...</answer>` stands in the text."""
    accuracy_strict: float
    """Correct, with the answer where the template asks for it."""
    accuracy_lenient: float
    """Correct, wherever the checker found the answer."""


def format_rates(
    texts: Sequence[str],
    extractions: Sequence[str | None],
    is_correct: Sequence[bool],
    asked: Iterable[str],
) -> Format | None:
    """How responses to one template keep the format; None for no responses.

    Args:
        texts: responses.
        extractions: the rule that found each answer, None where there is none.
        is_correct: verdicts.
        asked: the rules that count as the format asked for, such as `box` or `answer-tag`.
    """
    if not texts:
        return None
    wanted, count = set(asked), len(texts)
    strict = sum(
        right and rule in wanted for right, rule in zip(is_correct, extractions, strict=True)
    )
    return Format(
        answered=sum(isinstance(each, str) for each in extractions) / count,
        boxed=sum(bool(_BOX.search(each)) for each in texts) / count,
        tagged=sum(_end_of_tag(each) is not None for each in texts) / count,
        accuracy_strict=strict / count,
        accuracy_lenient=sum(map(bool, is_correct)) / count,
    )


# One blank of any kind stands in one place only: two neighbours that both take blanks would make a
# long run of them cost its square.
_NEW_QUESTION = re.compile(
    r"\n[^\S\n]*(?:\#+\s*|\*\*)?"
    r"(?:(?:new |next |another )?(?:question|problem|exercise|example)\s*(?:\d+\s*)?[:.]"
    r"|q\s*(?:\d+\s*)?:|(?:human|user|instruction)\s*:|<\|im_start\|>\s*user)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What a response does after it has given its first final answer."""

    characters_after_answer: int | None
    """Text after the first box or answer tag; None where there is neither."""
    starts_new_question: bool
    """It poses a question to itself after its beginning, as base models do."""


def continuation(text: str) -> Continuation:
    """Whether a response goes on after its answer, and whether it poses itself a new question.

    That it never stops is its finish reason `length`, not seen in the text.
    """
    ends = [end for end in (_end_of_box(text), _end_of_tag(text)) if end is not None]
    first = min(ends, default=None)
    after = None if first is None else len(text[first:].strip(" \n\t.$\\])}*"))
    start = first or 0
    return Continuation(
        characters_after_answer=after,
        starts_new_question=bool(_NEW_QUESTION.search(text, start)),
    )


def _end_of_box(text: str) -> int | None:
    """After the first closed box; None where there is none."""
    found = _BOX.search(text)
    if not found:
        return None
    depth = 1
    for at in range(found.end(), len(text)):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
    return None


def _end_of_tag(text: str) -> int | None:
    """After the first closed tag; None where there is none."""
    start = text.find("<answer>")
    end = text.find("</answer>", start) if start >= 0 else -1
    return None if end < 0 else end + len("</answer>")
