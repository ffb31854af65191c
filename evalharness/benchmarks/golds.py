"""From a published cell to accepted answers, and from rows to the fingerprint of a benchmark."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

_DOLLAR = re.compile(r"(?<!\\)\$")
_INTEGER = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


class CanonicalRow(NamedTuple):
    """What makes two copies of a row the same: the problem's text and the normalised golds."""

    text: str
    golds: tuple[str, ...]

    @property
    def line(self) -> str:
        """The array of the canonical text and the golds, as `json.dumps` with plain Unicode."""
        return json.dumps([canonical_text(self.text), *self.golds], ensure_ascii=False)

    @property
    def text_hash(self) -> str:
        """8 hex digits."""
        return _sha256(canonical_text(self.text))[:8]

    @property
    def golds_hash(self) -> str:
        """8 hex digits."""
        return _sha256(json.dumps(self.golds, ensure_ascii=False))[:8]

    @property
    def hashes(self) -> str:
        """One line of a `.rows` file."""
        return f"{self.text_hash} {self.golds_hash}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical_text(text: str) -> str:
    r"""Line ends as `\n`, no whitespace around it; nothing else is touched."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def fingerprint(rows: Iterable[CanonicalRow]) -> str:
    r"""The sha256 of all canonical lines in order, each ended by `\n`, as UTF-8; 64 hex digits."""
    return _sha256("".join(f"{row.line}\n" for row in rows))


def without_dollars(text: str) -> str:
    r"""The answer without the math delimiters that wrap the whole of it.

    One pair of `$..$`, `$$..$$`, `\(..\)` or `\[..\]` goes where it wraps everything; `$1$,$2$`
    and text with mathematics in it stay. Where unescaped dollar signs don't pair up (`$221,$8$`)
    they delimit nothing, and all of them go.
    """
    text = text.strip()
    if len(_DOLLAR.findall(text)) % 2:
        return _DOLLAR.sub("", text).strip()
    for opening, closing in _WRAPPERS:
        inner = text[len(opening) : -len(closing)]
        if (
            len(text) > len(opening + closing)
            and text.startswith(opening)
            and text.endswith(closing)
            and not text.endswith("\\" + closing)
            and not _DOLLAR.search(inner)
            and (opening.startswith("$") or opening not in inner)
        ):
            return inner.strip()
    return text


def _scalar(value: object) -> str:
    """One answer as text: numbers by value, strings without the delimiters around them.

    Raises:
        ValueError: it is empty or no answer at all.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the gold is {'missing' if value is None else repr(value)}")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the gold is {value}")
        value = int(value) if value.is_integer() and abs(value) < 2**53 else value
    text = without_dollars(str(value))
    if not text:
        raise ValueError("the gold is empty")
    return text


def _plain(value: object) -> tuple[str, ...]:
    """An answer, or a list of accepted answers; an answer that repeats another one goes."""
    if not isinstance(value, list | tuple):
        value = [value]
    elif not value:
        raise ValueError("the gold is an empty list")
    answers = tuple(dict.fromkeys(_scalar(item) for item in value))
    if any("####" in answer for answer in answers):
        raise ValueError(
            'the gold is a worked solution that ends in "#### answer": give the gold rule "gsm8k"'
        )
    return answers


def _list(value: object) -> tuple[str, ...]:
    """A list of accepted answers."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"the gold must be a list, not {value!r}")
    return _plain(value)


def _integer(value: object) -> tuple[str, ...]:
    """A whole number: "025" is 25, 142.0 is 142."""
    text = _scalar(value)
    found = _INTEGER.fullmatch(text)
    if not found:
        raise ValueError(f'the gold "{text}" is not an integer')
    sign = "-" if found[1] == "-" and found[2] != "0" else ""
    return (sign + found[2],)


def _gsm8k(value: object) -> tuple[str, ...]:
    """What follows the last `####`, without thousands separators."""
    if not isinstance(value, str) or "####" not in value:
        raise ValueError('the gold has no "####"')
    return _plain(re.sub(r"(?<=\d),(?=\d)", "", value.rpartition("####")[2]))


GOLD_RULES: Mapping[str, Callable[[object], tuple[str, ...]]] = {
    "plain": _plain,
    "list": _list,
    "integer": _integer,
    "gsm8k": _gsm8k,
}
"""By name, what turns a cell into accepted answers; each raises ValueError with the reason."""
