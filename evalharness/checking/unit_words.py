"""The words that two published graders take for units and strip from golds and answers.

They come from word problems of MathQA, hence the odd ones, and many are single letters: that is how
`a+b` comes to equal `c+b`. A full stop stands for any character, as in the published patterns.

Source: the behaviour of the graders of QwenLM/Qwen2.5-Math at 005449c (evaluation/parser.py) and of
    sail-sg/understand-r1-zero at dfca49d, in the order in which they strip.
"""

from __future__ import annotations

import functools
import re

_WORDS = (
    "east|degree|mph|kmph|ft|m sqaure| m east|sq m|deg|mile|q .|monkey|prime|ratio|"
    "profit of rs|rd|o|gm|p . m|lb|tile|per|dm|lt|gain|ab|way|west|a .|b .|c .|d .|e .|f .|g .|"
    "h .|t|a|h|no change|men|soldier|pie|bc|excess|st|inches|noon|percent|by|gal|kmh|c|acre|"
    "rise|a . m|th|π r 2|sq|mark|l|toy|coin|sq . m|gallon|° f|profit|minw|yr|women|feet|am|pm|"
    "hr|cu cm|square|v â € ™|are|rupee|rounds|cubic|cc|mtr|s|ohm|number|kmph|day|hour|minute|"
    "min|second|man|woman|sec|cube|mt|sq inch|mp|∏ cm ³|hectare|more|sec|unit|cu . m|cm 2|rs .|"
    "rs|kg|g|month|km|m|cm|mm|apple|liter|loss|yard|pure|year|increase|decrease|d|less|Surface|"
    "litre|pi sq m|s .|metre|meter|inch"
).split("|")

_ROUNDS = 2


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Each word, then each in the plural, with the part that a text must hold to match."""
    every = [*_WORDS, *(word + "s" for word in _WORDS)]
    return [
        (word.partition(".")[0].strip(), re.compile(rf"(^|\W){word}($|\W)"))
        for word in dict.fromkeys(every)
    ]


def without_unit_words(text: str) -> str:
    """The text without every unit word that no letter, digit or underscore touches.

    What stands before and behind a word stays. A word that is the whole text stays too.
    """
    for _ in range(_ROUNDS):
        for needed, pattern in _patterns():
            if needed in text:
                text = pattern.sub(r"\1\2", text) or text
    return text
