"""Stop strings: notice them while tokens come in, and cut the text where one ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A character is at most four bytes, so four tokens; beyond this the bytes are no text at all.
_LONGEST_PENDING = 8


class Stop(NamedTuple):
    """A stop string in a text."""

    string: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.string)


def first_stop(text: str, stops: Sequence[str], start: int = 0) -> Stop | None:
    """The stop string that completes earliest; of those that end together, the first listed."""
    found = (Stop(stop, text.find(stop, start)) for stop in stops if stop)
    return min((stop for stop in found if stop.start >= 0), key=lambda stop: stop.end, default=None)


def decode_text(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """The text of a response, without special tokens and otherwise as the model wrote it."""
    return str(
        tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    )


def response_text(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """The text of a response that has ended.

    Bytes of a character that the limit cut in two are no text: vLLM, here and behind a server,
    keeps them back too.
    """
    return decode_text(tokenizer, token_ids).rstrip("\ufffd")


def cut_at_stop(text: str, stops: Sequence[str], *, keep_stop: bool) -> tuple[str, str | None]:
    """The text up to its first stop string, with or without it, and that string."""
    stop = first_stop(text, stops)
    if stop is None:
        return text, None
    return text[: stop.end if keep_stop else stop.start], stop.string


def ended_text(
    tokenizer: PreTrainedTokenizerBase,
    token_ids: Sequence[int],
    stops: Sequence[str],
    *,
    keep_stop: bool,
    is_truncated: bool,
) -> tuple[str, str | None]:
    """The text of a response that has ended, and the stop string that ended it.

    `token_ids` are without the end token. Evaluation and training both take it from here: what a
    reward is given for is what a verdict is given on.
    """
    text = response_text(tokenizer, token_ids)
    return (text, None) if is_truncated else cut_at_stop(text, stops, keep_stop=keep_stop)


class StopWatch:
    """Decodes one response as it grows and says when a stop string is complete.

    Each token decodes a window of a few tokens and searches the tail of the text, so that a long
    response costs no more a token than a short one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._longest = max(len(stop) for stop in stops)
        self._tail = ""
        self._window_start = 0
        self._decoded_end = 0

    def is_complete(self, token_ids: Sequence[int]) -> bool:
        """Whether the newest token completed a stop string; `token_ids` are all so far."""
        known = decode_text(self._tokenizer, token_ids[self._window_start : self._decoded_end])
        window = decode_text(self._tokenizer, token_ids[self._window_start :])
        is_whole = len(window) > len(known) and not window.endswith("\ufffd")
        if not is_whole and len(token_ids) - self._decoded_end < _LONGEST_PENDING:
            return False
        searched = self._tail + window[len(known) :]
        self._window_start, self._decoded_end = self._decoded_end, len(token_ids)
        # One short of the longest: a stop string found once isn't found again.
        self._tail = searched[max(0, len(searched) - self._longest + 1) :]
        return first_stop(searched, self._stops) is not None
