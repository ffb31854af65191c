"""One spelling for text that means the same: Unicode, spacing, damaged and doubled escapes."""

from __future__ import annotations

import re
import unicodedata

_WHITE_SPACE = re.compile(r"\s+")
_ENVIRONMENTS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron rho sigma "
    "tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()
_GREEK_LETTERS = dict(zip("αβγδεζηθικλμνξορστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", GREEK, strict=True))
_CHARACTERS = {letter: f" \\{name} " for letter, name in _GREEK_LETTERS.items()} | {
    "π": " \\pi ", "ϕ": " \\phi ", "ϵ": " \\epsilon ", "ℓ": " \\ell ", "ħ": " \\hbar ",
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "＋": "+", "×": " \\times ", "·": " \\cdot ",
    "⋅": " \\cdot ", "∙": " \\cdot ", "∗": "*", "÷": " \\div ", "±": " \\pm ", "∓": " \\mp ",
    "≤": " \\le ", "⩽": " \\le ", "≦": " \\le ", "≥": " \\ge ", "⩾": " \\ge ", "≧": " \\ge ",
    "≠": " \\ne ", "≈": " \\approx ", "≃": " \\approx ", "≅": " \\approx ", "≡": " \\equiv ",
    "∞": " \\infty ", "∈": " \\in ", "∉": " \\notin ", "∪": " \\cup ", "∩": " \\cap ",
    "∖": " \\setminus ", "∅": " \\emptyset ", "√": " \\sqrt ", "∛": " \\sqrt[3]", "°": "^{\\circ}",
    "º": "^{\\circ}", "˚": "^{\\circ}", "′": "'", "’": "'", "‘": "'", "″": "''", "∑": " \\sum ",
    "∏": " \\prod ", "∫": " \\int ", "→": " \\to ", "⇒": " \\Rightarrow ", "∠": " \\angle ",
    "△": " \\triangle ", "∣": "|", "｜": "|", "⌊": " \\lfloor ", "⌋": " \\rfloor ",
    "ℝ": "\\mathbb{R}", "⌈": " \\lceil ", "⌉": " \\rceil ", "ℤ": "\\mathbb{Z}",
    "ℕ": "\\mathbb{N}", "ℚ": "\\mathbb{Q}",
    "∶": ":", "：": ":", "，": ",", "、": ",", "；": ";", "（": "(", "）": ")", "。": ".",
    "∀": " \\forall ", "⁄": "/", "∕": "/", "⟨": "(", "⟩": ")", "“": '"', "”": '"', "\u200b": "",
    "\ufeff": "", "¢": "\\text{ cents}", "€": " ", "£": " ", "¥": " ", "…": " \\ldots ",
}  # fmt: skip
_TRANSLATION = str.maketrans(_CHARACTERS)
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢ", "0123456789+-ni", strict=True))
_SUPERSCRIPT = re.compile("[" + "".join(_SUPERSCRIPTS) + "]+")
_SUBSCRIPT = re.compile("[" + "".join(_SUBSCRIPTS) + "]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_CIRCLED = re.compile("[①-⑳]")

# A language's string escapes turn the backslash and the first letter into a control character.
_DAMAGED = (
    (re.compile(r"\x0c(?=rac|loor|orall)"), r"\\f"),
    (re.compile(r"\x08(?=oxed|eta|inom|egin|ar\b|ig|mod)"), r"\\b"),
    (re.compile(r"\t(?=imes|ext|heta|an\b|frac|au\b|o\b|riangle)"), r"\\t"),
    (re.compile(r"\r(?=ight|ho\b|floor|ceil|angle)"), r"\\r"),
    (re.compile(r"\n(?=eq\b|u\b|otin\b)"), r"\\n"),
    (re.compile(r"\x07(?=lpha|pprox|rc|ngle)"), r"\\a"),
    (re.compile(r"\x0b(?=ec|ert|ar)"), r"\\v"),
    (re.compile(r"(?<![A-Za-z\\])(?=ext\{)"), r"\\t"),
    (re.compile(r"(?<![A-Za-z\\])(?=rac\{)"), r"\\f"),
)
_DOUBLED = re.compile(
    r"\\\\(?=(?:[dt]?frac|sqrt|left|right|text|math[a-z]+|pi|times|cdot|le|ge|leq|geq|lt|gt|neq|"
    r"infty|cup|cap|pm|mp|in|boxed|circ|angle|binom|ln|log|sin|cos|tan|alpha|beta|theta|lambda|"
    r"mu|quad|operatorname|begin|end|to|div|approx)(?![A-Za-z]))"
)
_SIZING = re.compile(
    r"\\(?:left|right|middle|displaystyle|textstyle|scriptstyle|limits|nolimits|"
    r"[bB]ig{1,2}[lrm]?|rm|bf|it|tt|sf|mathstrut|strut|nonumber|null|relax|boldmath|unboldmath|"
    r"hfill|noindent|par)(?![A-Za-z])\.?(?![\d])|\\(?:left|right)\.?(?![A-Za-z])"
)
_JOINED = re.compile(r"(?<=\d)\s*(?:\{ ?, ?\}|,\\!|\\!,)\s*(?:\\!\s*)?(?=\d{3}(?!\d))")
_THIN_GROUPS = re.compile(
    r"(?<!\d)\d{1,3}(?:(?:\\,|\\ |\\;|\\:|~|\u202f|\u00a0|\u2009)\d{3})+(?!\d)"
)
_SPACED_GROUPS = re.compile(
    r"(?:^|(?<=[=$<>,;~-])|(?<=[=$<>,;~-] ))(?P<number>\d{1,3}(?: \d{3})+)(?![\d/]| ?[\d/\\])"
)
_THIN = re.compile(r"\\[,; :]|[~\u202f\u00a0\u2009]")
_SPACING = re.compile(
    r"\\(?:quad|qquad|hspace\*?\{[^{}]*\}|hskip|vspace\*?\{[^{}]*\}|thinspace|enspace|[hv]?phantom\{"
    r"[^{}]*\})(?![A-Za-z])|(?<!\\)\\[ ,;:>]|~"
)
_ESCAPED_SPACE = re.compile(r"\\!")
_REPEATING = re.compile(r"(\d{1,20})\.(\d{0,20}) ?\\(?:overline|bar|dot) ?\{ ?(\d{1,20}) ?\}")
_RECURRING = re.compile(
    r"(?<![\d.])(?P<whole>\d{1,20})\.(?P<fixed>\d{0,20}?)"
    r"(?:(?P<digit>\d)(?P=digit){2,20}|(?P<period>\d{2,12})(?P=period){1,9})"
    r" ?(?:\.\.\.|\\[lc]?dots(?![A-Za-z]))"
)
_MODULO = re.compile(
    r"\\pmod ?\{ ?(\w+) ?\}|\\pmod ?(\w)|\( ?\\?(?:text|mathrm)? ?\{? ?\\?b?mod ?\}? ?(\w+) ?\)"
)
_ASCII_TIMES = re.compile(r"(?<=\d) ?[xX] ?(?=10 ?\^)")
_NEGATED = re.compile(r"\\not ?=")
_BARE_UNIT = re.compile(
    r"(?<=\d) ?(?P<unit>(?:k?m|[cm]m|ft|mi|k?g|mg|k?J|N|W|rad|mol)/"
    r"(?:m?s|hr?|min|[ck]?m|k?g|mol|L|K)(?:\^?\{?-?\d\}?)?)$"
)
"""A quotient of units behind a number, set as mathematics: `9.8 m/s^2`."""
_UNIT_FRACTION = re.compile(
    r"(?:(?<=\d)|(?<=\d\})) ?\\[dt]?frac ?\{ ?(?P<over>(?:\\(?:text|mathrm|rm|textrm) ?\{ ?)?"
    r"(?:k?m|[cm]m|ft|mi|miles|k?g|mg|k?J|N|W|rad|mol|km)(?: ?\})?) ?\}"
    r" ?\{ ?(?P<under>(?:\\(?:text|mathrm|rm|textrm) ?\{ ?)?"
    r"(?:m?s|hr?|hour|sec|min|[ck]?m|k?g|mol|L|K)(?: ?\})?(?:\^\{?\d\}?)?(?: ?\})?) ?\}$"
)
"""The same as a fraction: `9.8 \\frac{m}{s^2}`."""
_TEXT_MARKS = re.compile(r"\\(?:text|mathrm|rm|textrm)|[{} ]")
_CLOCK = re.compile(
    r"(?P<time>\d(?P<minutes>:\d\d)?)(?P<gap> ?(?P<brace>\\(?:text|mathrm|textrm|mbox) ?\{ ?)?)"
    r"(?P<half>[AaPp])(?(minutes)\.? ?[Mm]\.?|\. ?[Mm]\.?)(?![A-Za-z])"
)
_CHOOSE = re.compile(r"\{ ?([^{}\\]{1,20}?) ?\\choose ?([^{}\\]{1,20}?) ?\}")
_CURRENCY = re.compile(r"\\\$|\\(?:textdollar|pounds|euro)(?![A-Za-z])|\\mathdollar")
_DOLLARS = re.compile(r"(?:\\?\$|\\textdollar ?) ?(?P<number>\d[\d,]*(?:\.\d+)?)")
_MATH_MARKS = re.compile(r"\$\$?|\\[()]|(?<!\\)\\[\[\]]")


def canonical(text: str) -> str:
    """The text without the math environment around it, a final full stop and doubled spaces."""
    text = _WHITE_SPACE.sub(" ", text).strip()
    for opening, closing in _ENVIRONMENTS:
        inner = text[len(opening) : -len(closing)]
        is_whole = text == opening + inner + closing and len(text) > len(opening + closing)
        if is_whole and opening not in inner and closing not in inner:
            text = inner.strip()
            break
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    return text


def shorten(text: str, limit: int = 80) -> str:
    """The text on one printable line, cut in the middle to `limit` characters."""
    if len(text) > 4 * limit:
        text = text[: 2 * limit] + text[-2 * limit :]
    text = _WHITE_SPACE.sub(" ", text).strip()
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def normalise(text: str) -> str:
    r"""The text with one spelling for characters, spaces, sizes and thousands separators.

    Nothing with a meaning goes: digits, letters, operators and brackets stay in their order. A
    comma that separates thousands beyond doubt (`10,\!000`, `10{,}000`) goes, a plain one stays;
    so does a blank between groups of three digits, where a number stands for itself (`12 345`).
    """
    for pattern, replacement in _DAMAGED:
        text = pattern.sub(replacement, text)
    if "\\\\" in text:
        if "\\\\begin" in text:
            text = text.replace("\\\\", "\\")
        text = _DOUBLED.sub(r"\\", text)
    if not text.isascii():
        text = _plain_characters(text)
    text = _JOINED.sub("", text)
    text = _THIN_GROUPS.sub(lambda match: _THIN.sub("", match[0]), text)
    text = _SPACED_GROUPS.sub(lambda match: match[0].replace(" ", ""), text)
    dollars = _DOLLARS.fullmatch(text)
    if dollars is not None:  # beside 5 cents it is another amount
        return dollars["number"] + " \\text{dollars}"
    text = _CURRENCY.sub(" ", text)
    text = _MATH_MARKS.sub(" ", text)
    text = _SIZING.sub(" ", text)
    text = _ESCAPED_SPACE.sub("", text)
    text = _RECURRING.sub(_recurring, text)
    text = text.replace("...", " \\ldots ")
    if "m" in text.lower():
        text = _CLOCK.sub(_half_of_day, text)
    if "\\" in text:
        text = _REPEATING.sub(_repeating, text)
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _ASCII_TIMES.sub(r" \\times ", text)
    if "\\not" in text:
        text = _NEGATED.sub(r"\\ne ", text).replace("\\not\\in", "\\notin")
    if "mod" in text:
        text = _MODULO.sub(lambda match: f" \\mod {match[1] or match[2] or match[3]}", text)
    text = _WHITE_SPACE.sub(" ", _SPACING.sub(" ", text)).rstrip("\\ ").strip()
    if "frac" in text:
        text = _UNIT_FRACTION.sub(_unit_quotient, text)
    if "/" in text:
        text = _BARE_UNIT.sub(r" \\text{\g<unit>}", text)
    return text


def _unit_quotient(match: re.Match[str]) -> str:
    r"""`\frac{\text{km}}{h}` as `\text{km/h}`."""
    over, under = (_TEXT_MARKS.sub("", match[side]) for side in ("over", "under"))
    return f" \\text{{{over}/{under}}}"


def _half_of_day(match: re.Match[str]) -> str:
    r"""`2:00 p.m.` as `2:00 \text{pm}`."""
    word = match["half"].lower() + "m"
    return match["time"] + match["gap"] + (word if match["brace"] else f"\\text{{{word}}}")


def _plain_characters(text: str) -> str:
    text = _SUPERSCRIPT.sub(lambda m: "^{" + "".join(_SUPERSCRIPTS[c] for c in m[0]) + "}", text)
    text = _SUBSCRIPT.sub(lambda m: "_{" + "".join(_SUBSCRIPTS[c] for c in m[0]) + "}", text)
    text = _VULGAR.sub(_fraction, text)
    if _CIRCLED.search(text):
        numbers = [str(ord(c) - ord("①") + 1) for c in _CIRCLED.findall(text)]
        if not _CIRCLED.sub("", text).strip(" ,;、和与"):
            return ", ".join(numbers)
    text = text.translate(_TRANSLATION)
    return unicodedata.normalize("NFKC", text)


def _repeating(match: re.Match[str]) -> str:
    r"""`0.1\overline{6}` as the fraction that it is: (16 - 1) / 90."""
    whole, fixed, period = match.groups()
    numerator = int(whole + fixed + period) - int(whole + fixed)
    return f"\\frac{{{numerator}}}{{{10 ** len(fixed) * (10 ** len(period) - 1)}}}"


def _recurring(match: re.Match[str]) -> str:
    """`0.1666...` with its recurring digits named: one thrice or several twice, and dots."""
    period = match["digit"] or match["period"]
    return f"{match['whole']}.{match['fixed']}\\overline{{{period}}}"


def _fraction(match: re.Match[str]) -> str:
    numerator, _, denominator = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return f"\\frac{{{numerator}}}{{{denominator}}}"
