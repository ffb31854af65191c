r"""Finds an answer by the words that announce it, and where a response turns to a new question."""

from __future__ import annotations

import re

from evalharness.checking.spans import Span, is_echo, trim

_ALONE = (
    r"(?=(?:\*\*[^*\n:]{1,200}\*\*|\$[^$\n]{1,200}\$|\\\([^\n]{1,200}?\\\)|[-−]?\d[\d.,/]{0,40})"
    r"\.?[ ]{0,4}$|\$\$|\\\[)"
)
_SENTENCE = re.compile(
    r"\banswer\b[*_]{0,3}(?:[ ]to[ ](?:the|this)[ ](?:question|problem))?\s{0,4}"
    r"(?:[:：]|is\b|=)[*_]{0,3}\s{0,4}:?\s{0,4}"
    # Several answers below each other are no one span.
    r"|\banswers[*_]{0,3}(?::|[ ]are\b:?)[*_]{0,3}[ ]{1,4}(?=[-−*$\\(\[{\d])"
    r"|(?P<key>[\"'](?:\w{1,20}_)?answer[\"']\s{0,4}:\s{0,4})"
    # A heading needs no colon where the answer stands alone on the next line.
    r"|^(?:#{1,6}[ ]{1,4}\*{0,2}|\*\*|__)(?:the[ ])?(?:final[ ])?answers?(?:\*\*|__)?[ ]{0,4}"
    rf"\n\s{{0,4}}{_ALONE}"
    r"|答案\*{0,2}\s{0,4}(?:是|为|為|[:：])\*{0,2}\s{0,4}[:：]?\s{0,4}"
    r"|^####(?=[ ]{0,2}[-$]{0,2}\d[\d,./]{0,40}%?[ ]{0,2}$)",
    re.IGNORECASE | re.MULTILINE,
)
_KEYWORD = re.compile(r"(?:a|A|答|#)(?:(?<=[aA])[nN][sS][wW][eE][rR]|(?<=答)案|(?<=#)###)")
_LONGEST_LEAD = 30
"""Characters of a sentence before its keyword."""
_BEFORE_KEY = re.compile(r"[\"'](?:\w{1,20}_)?\Z")
# It says what the answer is not.
_DENIAL = re.compile(r"not\s{1,4}[-−$\\(]{0,2}\d")
# A tag or a special token of a chat ends what stands before it.
_SENTENCE_END = re.compile(
    r"[.!](?=[\"')\]”’`*]{0,4}(?:\s|</?[a-z]|<[|｜]|\Z))|[\n。；]|．(?!\d)"
    r"|(?<!\s)\s{0,20}I hope it is correct|</?[a-z]{1,20}[ ]?/?>|<[|｜][\w▁]{1,40}[|｜]>",
    re.IGNORECASE,
)
_DISPLAY = re.compile(
    r"\s{0,4}(?:\$\$(?P<dollars>[^$]{1,2000})\$\$|\\\[(?P<bracket>(?s:.){1,2000}?)\\\])"
)
_JSON_VALUE = re.compile(
    r"\"(?P<string>(?:[^\"\\\n]|\\.){1,500})\"|(?P<list>\[[^\[\]\n]{1,500}\])"
    r"|(?P<bare>[-+.\w/]{1,100})(?=\s{0,4}[,}])"
)
_FENCE = re.compile(r"```\w{0,12}\n(?P<code>[^`]{1,1000})```")
_BULLET = re.compile(r"(?:[-*•]|\d{1,2}[.)])[ ]{1,3}")
# What may stand around an answer as a whole.
_WRAPPED = re.compile(
    r"(?P<mark>\*\*|__|`|')(?P<marked>(?:(?!(?P=mark)).){1,500})(?P=mark)|“(?P<quoted>[^”\n]{1,500})”"
    r"|<(?P<tag>b|strong|em|i|u|code|mark|answer)>(?P<html>.{1,500}?)</(?P=tag)>",
    re.IGNORECASE,
)
_PICTURES = re.compile(r"[\s∎■□\u2600-\u27bf\ufe0f\U0001f300-\U0001faff]{1,40}\Z")
NEW_QUESTION = re.compile(
    r"^[ \t]{0,4}\*{0,2}(?:question|problem|exercise|q|human|user|instruction)"
    r"(?:[ ]\d{1,4})?\*{0,2}:|^#{1,4}[ ](?:question|problem|instruction)\b"
    r"|<\|(?:im_start|im_end|endoftext|eot_id|start_header_id)\|>",
    re.IGNORECASE | re.MULTILINE,
)


def find_sentence(text: str, start: int, end: int) -> Span | None:
    """What follows the last "answer is", "answer:" or GSM8K's `####`, to the sentence's end."""
    sentences = _sentences(text, start, end)
    if not sentences:
        return None
    # A base model, having answered, asks itself the next question.
    cut = NEW_QUESTION.search(text, sentences[0].end(), end)
    end = cut.start() if cut else end
    for match in reversed(sentences):
        if match.end() > end:
            continue
        inner = _announced(text, match, end)
        if inner is not None and not is_echo(text, inner):
            return inner
    return None


def _sentences(text: str, start: int, end: int) -> list[re.Match[str]]:
    """All that announce an answer; only around a keyword is it tried whether one does."""
    found: list[re.Match[str]] = []
    position = start
    for keyword in _KEYWORD.finditer(text, start, end):
        at = keyword.start()
        earliest = max(position, at - _LONGEST_LEAD)
        line = text.rfind("\n", earliest, at) + 1
        key = _BEFORE_KEY.search(text, earliest, at)
        places = {line, key.start() if key else at, at}
        for place in sorted(place for place in places if position <= place <= at):
            match = _SENTENCE.match(text, place, end)
            if match is not None and match.end() > at:
                found.append(match)
                position = match.end()
                break
    return found


def without_marks(text: str, span: Span) -> Span:
    r"""Without what stands around the whole span: emphasis, quotes, `$...$`, a closing dot."""
    for _ in range(4):
        trimmed = trim(text, span.start, span.end, '.,:"')
        wrapped = _WRAPPED.fullmatch(text, trimmed.start, trimmed.end)
        if wrapped is not None:
            group = next(name for name in ("marked", "quoted", "html") if wrapped[name] is not None)
            trimmed = trim(text, *wrapped.span(group), ".,")
        trimmed = _without_dollars(text, trim(text, trimmed.start, trimmed.end, "*"))
        if trimmed == span:
            break
        span = trimmed
    return span


def _announced(text: str, match: re.Match[str], end: int) -> Span | None:
    """The answer that a sentence announces; None where it says what the answer is not."""
    start = match.end()
    if _DENIAL.match(text, start, end):
        return None
    if match["key"] is not None:
        value = _JSON_VALUE.match(text, start, end)
        return Span(*value.span(value.lastgroup)) if value and value.lastgroup else None
    display = _DISPLAY.match(text, start, end) or _FENCE.match(text, start, end)
    if display is not None and display.lastgroup is not None:
        return trim(text, *display.span(display.lastgroup), ".,")
    bullet = _BULLET.match(text, start, end) if "\n" in match[0] else None
    if bullet is not None:
        line = text.find("\n", bullet.end(), min(end, bullet.end() + 1000))
        following = trim(text, line, min(end, line + 20)).start
        if line >= 0 and _BULLET.match(text, following, end):
            return None
        start = bullet.end()
    limit = min(end, start + 1000)
    wrapped = _WRAPPED.match(text, start, limit)
    stop = _SENTENCE_END.search(text, wrapped.end() if wrapped else start, limit)
    inner = without_marks(text, trim(text, start, stop.start() if stop else limit))
    pictures = _PICTURES.search(text, max(inner.start, inner.end - 40), inner.end)
    return without_marks(text, Span(inner.start, pictures.start())) if pictures else inner


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
