r"""Finds an answer by the words that announce it, and where a response turns to a new question."""

from __future__ import annotations

import re

from evalharness.checking.spans import Span, is_echo, trim

_SENTENCE = re.compile(
    r"\banswer\b\*{0,2}(?:[ ]to[ ](?:the|this)[ ](?:question|problem))?\s{0,4}"
    r"(?::|is\b|=)\s{0,4}\*{0,2}:?\s{0,4}"
    r"|^####(?=[ ]{0,2}[-$]{0,2}\d[\d,./]{0,40}%?[ ]{0,2}$)",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.!](?=\s|\*|\"|\Z)|\n|\s*I hope it is correct|。")
_DISPLAY = re.compile(
    r"\s{0,4}(?:\$\$(?P<dollars>[^$]{1,2000})\$\$|\\\[(?P<bracket>.{1,2000}?)\\\])"
)
NEW_QUESTION = re.compile(
    r"^[ \t]{0,4}\*{0,2}(?:question|problem|exercise|q|human|user|instruction)"
    r"(?:[ ]\d{1,4})?\*{0,2}:|^#{1,4}[ ](?:question|problem|instruction)\b"
    r"|<\|(?:im_start|im_end|endoftext|eot_id|start_header_id)\|>",
    re.IGNORECASE | re.MULTILINE,
)


def find_sentence(text: str, start: int, end: int) -> Span | None:
    """What follows the last "answer is", "answer:" or GSM8K's `####`, to the sentence's end."""
    sentences = list(_SENTENCE.finditer(text, start, end))
    if not sentences:
        return None
    # A base model, having answered, asks itself the next question.
    cut = NEW_QUESTION.search(text, sentences[0].end(), end)
    end = cut.start() if cut else end
    for match in reversed(sentences):
        if match.end() > end:
            continue
        display = _DISPLAY.match(text, match.end(), end)
        if display is not None:
            group = "dollars" if display["dollars"] is not None else "bracket"
            inner = trim(text, *display.span(group), ".,")
        else:
            limit = min(end, match.end() + 1000)
            stop = _SENTENCE_END.search(text, match.end(), limit)
            inner = trim(text, match.end(), stop.start() if stop else limit, '.,*:"')
            inner = _without_dollars(text, inner)
        if not is_echo(text, inner):
            return inner
    return None


def _without_dollars(text: str, span: Span) -> Span:
    r"""Without the `$...$` or `\(...\)` around the whole span, or a currency sign before it."""
    start, end = span.start, span.end
    content = text[start:end]
    if content.startswith("\\(") and content.endswith("\\)") and content.count("\\(") == 1:
        return trim(text, start + 2, end - 2, ".,")
    if content.count("$") == 2 and content[0] == content[-1] == "$" and len(content) > 2:
        return trim(text, start + 1, end - 1, ".,")
    if content.count("$") == 1 and content[0] == "$":
        return trim(text, start + 1, end)
    return span
