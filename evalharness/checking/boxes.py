r"""Where the published graders look for an answer, which is stricter or looser than `extract`.

Source: sail-sg/understand-r1-zero at dfca49d, its reward functions; QwenLM/Qwen2.5-Math at 005449c,
    evaluation/parser.py, extract_answer.
"""

from __future__ import annotations

import re

from evalharness.checking.extract import Extraction

_THINK_THEN_ANSWER = "</think> <answer>"
_SAYINGS = ("he answer is", "final answer is", "答案是")
_LAST_NUMBER = re.compile(r"-?\d*\.?\d+")
_I_HOPE = ("final answer is $", "$. I hope")


def nothing(note: str) -> Extraction:
    """No answer, and why."""
    return Extraction(answer=None, rule=None, start=0, end=0, note=note)


def _found(response: str, rule: str, start: int, end: int, note: str = "") -> Extraction:
    return Extraction(answer=response[start:end], rule=rule, start=start, end=end, note=note)


def last_box(response: str, start: int = 0) -> Extraction:
    r"""The content of the last `\boxed{`, an empty one too; no earlier box counts.

    `\boxed 42`, `\boxed {42}` and a last box that never closes give nothing.
    """
    place = response.rfind("\\boxed", start)
    if place < 0:
        return nothing("no \\boxed in the response")
    opening = place + len("\\boxed")
    if response[opening : opening + 1] != "{":
        return nothing("no { directly behind the last \\boxed")
    closing = _closing(response, opening)
    if closing is None:
        return nothing("the last \\boxed{ never closes")
    return _found(response, "box", opening + 1, closing)


def _closing(text: str, opening: int) -> int | None:
    """Where the brace at `opening` closes; an escaped brace counts like any other."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, opening):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    return None


def find_drgrpo(response: str, answer_format: tuple[str, ...]) -> Extraction:
    """The last box; under a template that reads tags first, the last tag behind its literal mark.

    The mark is `</think> <answer>` with one space: a line break between the two gives nothing.
    """
    if answer_format[0] != "answer-tag":
        return last_box(response)
    if _THINK_THEN_ANSWER not in response:
        return nothing(f"no {_THINK_THEN_ANSWER} with one space between the tags")
    return _last_tag(response)


def find_drgrpo_tags(response: str, answer_format: tuple[str, ...]) -> Extraction:
    """As `find_drgrpo`, with the rule for Open-Reasoner-Zero: an answer tag is enough."""
    return last_box(response) if answer_format[0] != "answer-tag" else _last_tag(response)


def _last_tag(response: str) -> Extraction:
    """From the last `<answer>`, or the last box in it; a closing tag has to be somewhere."""
    opening = response.rfind("<answer>")
    if opening < 0 or "</answer>" not in response:
        return nothing("no <answer> or no </answer> in the response")
    start = opening + len("<answer>")
    if response.find("\\boxed", start) >= 0:
        return last_box(response, start)
    end = response.find("</answer>", start)
    return _found(response, "answer-tag", start, len(response) if end < 0 else end)


def find_qwen(response: str, answer_format: tuple[str, ...]) -> Extraction:  # noqa: ARG001
    """The answer in the last `boxed`, after a saying, or the last number: the format is ignored.

    A box that never closes reaches to the end of the response.
    """
    opening, _, behind = response.partition(_I_HOPE[0])
    if behind and _I_HOPE[1] in behind:
        start = len(opening) + len(_I_HOPE[0])
        return _found(response, "sentence", start, response.index(_I_HOPE[1], start))
    place = response.rfind("boxed")
    if place >= 0:
        start = place + len("boxed")
        if response[start : start + 1] == "{":
            end = _closing(response, start)
            cut = "" if end is not None else "the last box never closes"
            return _found(response, "box", start + 1, len(response) if end is None else end, cut)
        dollar = response.find("$", start)
        return _found(response, "box", start, len(response) if dollar < 0 else dollar)
    for saying in _SAYINGS:
        place = response.rfind(saying)
        if place >= 0:
            return _found(response, "sentence", place + len(saying), len(response))
    numbers = list(_LAST_NUMBER.finditer(response))
    if not numbers:
        return nothing("no box, no answer sentence and no number in the response")
    return _found(response, "last-number", *_with_groups(response, numbers[-1].span()))


def _with_groups(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """The number with the groups of digits before it that only commas part from it."""
    before = re.compile(r"-?(?:\d+,+)+\Z").search(text, max(span[0] - 60, 0), span[0])
    return (before.start(), span[1]) if before else span
