"""Reads an answer as text: its boxes, its matrices, and the spellings that have two meanings."""

from __future__ import annotations

import re

from evalharness.checking.cutting import trimmed
from evalharness.checking.forms import expanded_signs, has_words
from evalharness.checking.grammar import parse
from evalharness.checking.matrices import determinant
from evalharness.checking.shapes import State, read_value
from evalharness.checking.text import canonical, normalise
from evalharness.checking.tokens import (
    MAX_CHARACTERS,
    Options,
    Token,
    UnreadableError,
    check_length,
    tokenise,
)
from evalharness.checking.values import Matrix, Quantity, Reading, Relation, Value
from evalharness.checking.wording import with_signs

_MOST_RAW = 10
"""Spacing and commands for size may take so many times the characters that say something."""
_MATRICES = re.compile(
    r"\\begin\{(?:(?P<bars>v)|[pbBV])?(?:matrix\*?|smallmatrix|array)\}(?:\{[lcr| ]*\})?"
    r"(?P<body>.*?)"
    r"\\end\{[pbBvV]?(?:matrix\*?|smallmatrix|array)\}"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:align|aligned|gather|gathered|equation|split)\*?\}")
_CASES = re.compile(r"\\(?:begin|end)\{d?cases\}")
_BOX = re.compile(r"\\(?:boxed|fbox) ?\{")
_JOINT = re.compile(r"(?:[^A-Za-z0-9]|and|or|\\quad|\\text)*")
_TEMPERATURE = re.compile(
    r"\^ ?\{? ?\\circ ?\}? ?(?:\\(?:text|mathrm|rm|textrm) ?\{)? ?(?P<scale>[CF])(?![A-Za-z])\}?"
)
_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")
_MAYBE_SCIENTIFIC = re.compile(r"(?<![\d.])(?!1e)\d+e[-+]\d", re.IGNORECASE)
_SHORT_RUN = re.compile(r"(?<![A-Za-z\\])(?!mod(?![A-Za-z]))[A-Za-z]{3,4}(?![A-Za-z])")
_CHAIN = re.compile(r"(?P<names>[a-z](?: ?= ?[a-z]){1,5}) ?= ?(?P<value>[^=]{1,60})")
_CHOICE = re.compile(
    r"(?!.*\([A-F]\).*\([A-F]\))(?:\\(?:text|textbf|mathrm|mathbf|bf) ?\{ ?)?"
    r"\(?(?P<letter>[A-F])\) ?\}? (?!\\text ?\{ ?(?:and|or)\b)"
    r"(?P<content>(?:\d|\\(?:d?frac|sqrt|text)(?![A-Za-z])).{0,200})"
)
_UNIT_LETTER = re.compile(
    r"(?P<number>-?(?:\d[\d,]*(?:\.\d+)?|\\[dt]?frac ?\{ ?\d+ ?\} ?\{ ?\d+ ?\}))"
    r"(?: ?\\[,;: ] ?|~)(?P<unit>(?:[mgshLNJWVAK]|[ck]m|mm)(?:\^ ?(?:\d|\{ ?\d ?\}))?)"
)
"""A letter behind a blank that was asked for may be a unit; `6 m` is 6 times m."""
_OPTION = re.compile(r"\(?(?P<letter>[A-J])[).:]")
_NAMED_OPTION = re.compile(
    r"(?:\\text ?\{ ?)?(?:option|choice) ?\}? ?\(?(?P<letter>[A-Ja-j])\)? ?\}?", re.IGNORECASE
)
_DECIMAL_COMMA = re.compile(r"-? ?\d+,\d+")


def read(text: str) -> tuple[Reading, ...]:
    """What the text says, the likeliest reading first; several where its spelling is ambiguous.

    Every digit, letter and operator of the text is in the value or in its clause ("for all x").

    Raises:
        UnreadableError: the text is not mathematics that this reader knows.
    """
    check_length(text, _MOST_RAW * MAX_CHARACTERS)
    plain = normalise(canonical(text))
    check_length(plain)
    plain = _TEMPERATURE.sub(r"\\text{deg\g<scale>}", plain)
    if "\\begin" in plain:
        plain = _ENVIRONMENT.sub(" ", plain).replace("&=", "=")
        # With a column of conditions it is a function in pieces.
        plain = plain if "&" in plain else _CASES.sub(" ", plain)
    plain = _unboxed(plain)
    if not plain:
        raise UnreadableError("nothing is left")
    all_options = [Options()]
    if _THOUSANDS.search(plain):
        all_options.append(Options(thousands=False))
    if _MAYBE_SCIENTIFIC.search(plain):
        all_options.append(Options(scientific=False))
    if _SHORT_RUN.search(plain):
        all_options.append(Options(products=True))
    readings: list[Reading] = []
    failure: UnreadableError | None = None
    for options in all_options:
        try:
            reading = _read_text(plain, options)
        except UnreadableError as error:
            failure = error
        else:
            if reading not in readings and not (options.products and has_words(reading.value)):
                readings.append(reading)
    for other in _other_spellings(plain, text):
        try:
            readings.append(_read_text(other, Options()))
        except UnreadableError as error:
            failure = failure or error
    if not readings:
        raise failure or UnreadableError("nothing is left")
    return tuple(readings)


def _other_spellings(text: str, written: str) -> list[str]:
    """What a text of two meanings may say too, in a spelling that has one; `written` is its own."""
    others = []
    measured = _UNIT_LETTER.fullmatch(written.strip("$. "))
    if measured is not None:
        others.append(f"{measured['number']} \\text{{{measured['unit']}}}")
    if _is_decimal_comma(text):
        others.append(text.replace(",", "."))
    chain = _CHAIN.fullmatch(text)
    if chain is not None:  # x = y = 0 says it of both
        others.append(", ".join(f"{n} = {chain['value']}" for n in chain["names"].split("=")))
    option = _OPTION.fullmatch(text) or _NAMED_OPTION.fullmatch(text)
    if option is not None:
        others.append(option["letter"])
    choice = _CHOICE.fullmatch(text)
    if choice is not None:  # an option with its text: either says which
        others += [choice["letter"], choice["content"]]
    return others


def _is_decimal_comma(text: str) -> bool:
    """`0,111` or `1000,99`: digits that can't be thousands, and more of them than in a list."""
    if not _DECIMAL_COMMA.fullmatch(text):
        return False
    whole, decimals = text.lstrip("- ").split(",")
    return whole == "0" or (len(whole) > 2 and len(decimals) == 2)


def _unboxed(text: str) -> str:
    """What is in the boxes of the text: of all that only punctuation, "and" or "or" joins."""
    contents: list[str] = []
    position = 0
    while (box := _BOX.search(text, position)) is not None:
        depth, end = 1, box.end()
        while end < len(text) and depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        if contents and not _JOINT.fullmatch(text, position, box.start()):
            contents.clear()
        contents.append(text[box.end() : end - (depth == 0)].strip())
        position = end
    return ", ".join(contents) if contents else text


def _read_text(text: str, options: Options) -> Reading:
    matrices: list[Matrix | Quantity] = []

    def keep(match: re.Match[str]) -> str:
        matrix = _read_matrix(match["body"], options)
        matrices.append(determinant(matrix) if match["bars"] else matrix)
        return f" \\mathbb{{matrix{'x' * (len(matrices) - 1)}}} "

    if "\\begin" in text:
        text = _MATRICES.sub(keep, text)
        if "\\begin" in text:
            raise UnreadableError("an unknown environment")
    tokens = with_signs(tokenise(text, options))
    if matrices:
        return Reading(value=_with_matrices(tokens, matrices))
    state = State()
    value = expanded_signs(read_value(trimmed(tokens), state))
    return Reading(value=value, clause="; ".join(state.clauses))


def _read_matrix(body: str, options: Options) -> Matrix:
    rows = []
    for line in body.split("\\\\"):
        if line.strip() and line.strip() != "\\hline":
            cells = line.replace("\\hline", "").split("&")
            rows.append(tuple(parse(with_signs(tokenise(cell.strip(), options))) for cell in cells))
    if not rows or len({len(row) for row in rows}) != 1:
        raise UnreadableError("a matrix with rows of different lengths")
    return Matrix(rows=tuple(rows))


def _with_matrices(tokens: list[Token], matrices: list[Matrix | Quantity]) -> Value:
    """A matrix alone, or behind `name =`; a product with one isn't read."""
    if len(matrices) == 1:
        texts = [token.text for token in tokens[-4:]]
        if texts == ["mathbb", "{", "matrix", "}"]:
            before = tokens[:-4]
            if before and before[-1].text in ("=", "in"):
                before = before[:-1]
                return Relation(operator="=", left=read_value(before, State()), right=matrices[0])
            if not before:
                return matrices[0]
    raise UnreadableError("an expression of matrices")
