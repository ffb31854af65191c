r"""How the published graders rewrite a gold and an answer before they compare their texts.

Each step is one that changes some verdict; they are kept as they are described, with their faults,
because a published score depends on them. Nothing here evaluates text.

Source: the behaviour of sail-sg/understand-r1-zero at dfca49d (math_grader), of prm800k's grader
    that it builds on, and of QwenLM/Qwen2.5-Math at 005449c (evaluation/parser.py).
"""

from __future__ import annotations

import functools
import re

from evalharness.checking.unit_words import without_unit_words

_TEXT_ONLY = re.compile(r"^\\text\{(?P<inner>.+?)\}$")
_LAST_TEXT = re.compile(r"\\text{.*?}$")
_ARRAY = re.compile(r"\\begin\{array\}\{.*?\}")
_MEASURES = (
    "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard"
).split()
_MEASURE = [re.compile(rf"{word}(es)?(s)? *(\^[0-9]+)?") for word in _MEASURES]
_POWERS_OF_TEN = (("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12"))
_GROUPED = re.compile(r"(?<=\d),(?=\d\d\d(?:$|\D))")
_SPACED_FRACTION = re.compile(r"([0-9]) +([0-9])")
_WHOLE = 1e-7
_LATEX_PART = re.compile(r"\\([A-Za-z]+|.)|([{}])|([^\\{}]+)|\\$", re.DOTALL)


class UnbalancedError(ValueError):
    """The published rewriting fails on this text and falls back on the text itself."""


def same_spelling(text: str) -> str:
    r"""One spelling for matrices, fractions, comparisons and `\left`, without line breaks."""
    text = text.replace("\n", "").replace("\\!", "")
    text = _ARRAY.sub(r"\\begin{pmatrix}", text).replace("\\end{array}", "\\end{pmatrix}")
    text = text.replace("bmatrix", "pmatrix").replace("tfrac", "frac").replace("dfrac", "frac")
    for long, short in (("\\neq", "\\ne"), ("\\leq", "\\le"), ("\\geq", "\\ge")):
        text = text.replace(long, short)
    return text.replace("\\left", "").replace("\\right", "")


def without_last_text(text: str) -> str:
    r"""The text up to its first `\text{`, where it ends with a closing brace; else all of it."""
    return _LAST_TEXT.sub("", text).strip() or text


def without_degrees(text: str) -> str:
    r"""The text without `^\circ`: an angle is its number."""
    return text.replace("^{\\circ}", "").replace("^\\circ", "")


def with_leading_zeros(text: str) -> str:
    """`.5` as `0.5`, at the start and after a space or an opening brace."""
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    return "0" + text if text.startswith(".") else text


def without_short_left_side(text: str) -> str:
    """What stands right of the only `=`, where at most two characters stand left of it."""
    sides = text.split("=")
    return sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text


def with_braced_fractions(text: str) -> str:
    r"""`\frac12` and `\frac1{2}` as `\frac{1}{2}`.

    Raises:
        UnbalancedError: the text ends with `\frac`.
    """
    first, *rest = text.split("\\frac")
    parts = [first]
    for part in rest:
        if not part:
            raise UnbalancedError(text)
        if part[0] == "{":
            parts.append(part)
        elif len(part) < 2:
            return text
        elif part[1] == "{":
            parts.append(f"{{{part[0]}}}{part[1:]}")
        else:
            parts.append(f"{{{part[0]}}}{{{part[1]}}}{part[2:]}")
    return "\\frac".join(parts)


def with_fraction_of_integers(text: str) -> str:
    r"""A text that is nothing but `3/4` as `\frac{3}{4}`."""
    if re.fullmatch(r"(?:0|-?[1-9]\d*)/(?:0|-?[1-9]\d*)", text):
        numerator, denominator = text.split("/")
        return f"\\frac{{{numerator}}}{{{denominator}}}"
    return text


@functools.lru_cache(maxsize=8192)
def mathd(text: str) -> str:
    r"""The text for the first comparison of the Dr. GRPO grader: equal texts are correct.

    Units go, and with them every letter that is in the list of units; so do percent, degree and
    dollar signs, all that follows `\text{ `, and a left side of one or two characters. A text on
    which the published code fails (an unfinished `\frac`, two `\text{ `) is compared as it is.
    """
    text = text.strip()
    inner = _TEXT_ONLY.match(text)
    text = inner["inner"].strip() if inner else text
    try:
        return _mathd(text)
    except UnbalancedError:
        return text


def _mathd(text: str) -> str:
    text = same_spelling(text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\"))
    text = without_degrees(without_unit_words(without_last_text(text))).replace("\\$", "")
    before, *others = text.split("\\text{ ")
    if len(others) > 1:
        raise UnbalancedError(text)
    text = before.replace("\\%", "")
    text = without_short_left_side(with_leading_zeros(text))
    text = _with_braced_roots(text).replace(" ", "")
    text = with_braced_fractions(text)
    return with_fraction_of_integers("\\frac{1}{2}" if text == "0.5" else text)


def _with_braced_roots(text: str) -> str:
    first, *rest = text.split("\\sqrt")
    if "" in rest:
        raise UnbalancedError(text)
    braced = (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}" for part in rest)
    return "\\sqrt".join([first, *braced])


@functools.lru_cache(maxsize=8192)
def prm800k(text: str) -> str:
    r"""The text for the second comparison of the Dr. GRPO grader, and for its algebra.

    LaTeX becomes plain text without keeping its structure: `\frac{1+a}{c}` is `1+a/c`, a root loses
    its index, a power its braces. Case goes. Names of measures go wherever their letters stand.
    """
    inner = _TEXT_ONLY.match(text)
    text = inner["inner"] if inner else text
    for sign in ("\\%", "\\$", "$", "%"):
        text = text.replace(sign, "")
    text = text.replace(" or ", " , ").replace(" and ", " , ")
    for word, power in _POWERS_OF_TEN:
        text = text.replace(word, power)
    for measure in _MEASURE:
        text = measure.sub("", text)
    text = re.sub(r"\^ *\\circ", "", text)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    number = number_of(text)
    if number is not None and is_whole(number):
        text = str(round(number))
    if "\\" in text:
        text = plain_text(text)
    text = re.sub("- *", "-", text)
    text = _SPACED_FRACTION.sub(r"\1+\2", text).replace(" ", "")
    text = text.replace("{", "").replace("}", "").lower()
    ungrouped = number_of(without_grouping(text))
    if (
        ungrouped is not None
        and is_whole(ungrouped)
        and number_of(text.replace(",", "")) is not None
    ):
        text = str(int(float(text.replace(",", ""))))
    return text


def number_of(text: str) -> float | None:
    """The decimal that the text is; None where it is none, or not finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def is_whole(number: float) -> bool:
    """Whether it is a whole number, to one part in ten million."""
    return abs(number - round(number)) <= _WHOLE


def without_grouping(text: str) -> str:
    """The text without commas between a digit and a group of three."""
    return _GROUPED.sub("", text)


_SYMBOLS = {
    "pi": "pi", "infty": "inf", "cup": "U", "cdot": "*", "times": "*", "le": "≤", "leq": "≤",
    "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "pm": "±", "mp": "∓", "in": "∈", "cap": "∩",
    "to": "→", "approx": "≈", "equiv": "≡", "div": "÷", "alpha": "α", "beta": "β", "gamma": "γ",
    "delta": "δ", "epsilon": "ϵ", "theta": "θ", "lambda": "λ", "mu": "μ", "nu": "ν", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "ϕ", "varphi": "φ", "omega": "ω", "Omega": "Ω", "Delta": "Δ",
    "circ": "∘", "angle": "∠", "ldots": "…", "dots": "…", "cdots": "⋯", "emptyset": "∅", "mid": "|",
    "lfloor": "⌊", "rfloor": "⌋", "ell": "ℓ", "hbar": "ħ",
}  # fmt: skip
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp max min gcd lim".split()
)
_SPACES = frozenset([",", ";", ":", " ", "quad", "qquad", "\\"])


def plain_text(latex: str) -> str:
    r"""LaTeX as plain text that forgets how it was grouped: `\frac{1+a}{c}` is `1+a/c`.

    A command that has no text of its own goes and leaves its arguments.
    """
    latex = latex.replace("\\tfrac", "\\frac").replace("\\dfrac", "\\frac")
    parts = [match[0] for match in _LATEX_PART.finditer(latex.replace("\\frac", " \\frac"))]
    text, place = _plain(parts, 0)
    while place < len(parts):  # a closing brace too many
        more, place = _plain(parts, place)
        text += more
    return text.strip()


def _plain(parts: list[str], place: int) -> tuple[str, int]:
    """The text up to the brace that closes this group, and where the parse stands behind it."""
    text = []
    while place < len(parts) and parts[place] != "}":
        piece, place = _one(parts, place)
        text.append(piece)
    return "".join(text), place + 1


def _one(parts: list[str], place: int) -> tuple[str, int]:
    """The text of one group, command or run of characters."""
    part = parts[place]
    if part == "{":
        return _plain(parts, place + 1)
    if not part.startswith("\\"):
        return part, place + 1
    name = part[1:]
    place += 1
    if name == "frac":
        over, place = _argument(parts, place)
        under, place = _argument(parts, place)
        return f"{over}/{under}", place
    if name == "sqrt":
        if place < len(parts) and parts[place].startswith("["):
            parts[place] = parts[place].partition("]")[2]
        inner, place = _argument(parts, place)
        return f"sqrt({inner})", place
    if name in _SPACES:
        return " ", place
    is_shown = name in _FUNCTIONS or (not name.isalpha() and name != "!")
    return _SYMBOLS.get(name, name if is_shown else ""), place


def _argument(parts: list[str], place: int) -> tuple[str, int]:
    """The next group, command or single character."""
    while place < len(parts) and not parts[place].strip():
        place += 1
    if place >= len(parts) or parts[place] == "}":
        return "", place
    part = parts[place]
    if part == "{" or part.startswith("\\"):
        return _one(parts, place)
    part = part.lstrip()
    parts[place] = part[1:]
    return part[0], place
