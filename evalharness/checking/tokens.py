"""Cuts normalised text into tokens; every character belongs to one or the text can't be read."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple

from evalharness.checking.text import GREEK
from evalharness.checking.units import UNITS

MAX_CHARACTERS = 4000
MAX_TOKENS = 1500
MAX_DIGITS = 2000

Kind = Literal["number", "symbol", "word", "command", "operator"]


class UnreadableError(ValueError):
    """The text is not mathematics that this reader knows; the message says where it stopped."""


class Token(NamedTuple):
    """One piece of the text."""

    kind: Kind
    text: str
    """Of a word the content of `\\text{...}` or the letters; of a command its name."""
    is_spaced: bool
    """Whether white space stands before it."""
    is_upright: bool = False
    """Whether it was set as text (`\\mathrm{m}`): then a letter may be a unit."""


FUNCTIONS = frozenset(
    "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot arcsec arccsc ln log "
    "lg exp max min gcd lcm sgn arsinh arcosh artanh Re Im erf det dim deg arg".split()
)
_ALIASES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "tg": "tan", "ctg": "cot", "cotg": "cot",
    "arctg": "arctan", "cosec": "csc", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac",
    "leq": "le", "leqslant": "le", "leqq": "le", "geq": "ge", "geqslant": "ge", "geqq": "ge",
    "neq": "ne", "varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta", "varrho": "rho",
    "varsigma": "sigma", "varkappa": "kappa", "lbrace": "{", "rbrace": "}", "lvert": "|",
    "rvert": "|", "vert": "|", "mid": "|", "lbrack": "[", "rbrack": "]", "lparen": "(",
    "rparen": ")",    "dotsc": "ldots", "dots": "ldots", "cdots": "ldots", "dotsb": "ldots",
    "dotsm": "ldots",
    "colon": ":", "ast": "*", "bullet": "cdot", "centerdot": "cdot", "tbinom": "binom",
    "dbinom": "binom", "lt": "<", "gt": ">", "prime": "'", "varnothing": "emptyset", "langle": "(",
    "rangle": ")", "land": "and", "wedge": "and", "lor": "or", "vee": "or",
    "implies": "Rightarrow", "iff": "Leftrightarrow", "longrightarrow": "to", "rightarrow": "to",
    "setminus": "setminus", "backslash": "setminus", "simeq": "approx", "cong": "approx",
    "sim": "sim", "degree": "circ", "degrees": "circ", "infin": "infty", "divides": "|",
    "dfraction": "frac", "cfraction": "frac", "overrightarrow": "vec",
    "lVert": "Vert", "rVert": "Vert", "sp": "^", "sb": "_",
}  # fmt: skip
_PLAIN = {
    "sqrt": "sqrt", "cbrt": "cbrt", "pi": "pi", "Pi": "pi", "inf": "infty", "infinity": "infty",
    "oo": "infty", "abs": "abs", "floor": "floor", "ceil": "ceil", "infty": "infty",
    "union": "cup", "intersect": "cap",
}  # fmt: skip
_OPERATOR_COMMANDS = frozenset(
    ["{", "}", "|", "[", "]", "(", ")", ":", "*", "<", ">", "'", "^", "_"]
)
_WRAPPERS = frozenset(
    "text textbf textit textrm textsf texttt mbox hbox mathrm mathbf mathit mathsf mathtt bm bold "
    "mathnormal operatorname boldsymbol rm emph underline boxed fbox textnormal mathop pmb textup "
    "mathord mathbin mathrel ensuremath unit".split()
)
_TEXT_WRAPPERS = frozenset(
    "text textbf textit textrm textsf texttt mbox hbox emph textnormal textup unit".split()
)
WORDS = frozenset(
    "and or for all any every each where if when with is are the an no yes not none odd even true "
    "false to of in by only no one two ten per".split()
)
_SYMBOL_COMMANDS = frozenset(GREEK) | {"hbar", "ell", "nabla", "partial", "mho", "aleph", "imath"}

_TOKEN = re.compile(
    r"(?P<space> )"
    r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d|,\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+(?![\d.]))?"
    r"|\.\d+(?:[eE][-+]?\d+)?)"
    r"|\\(?P<command>[A-Za-z]+)(?P<star>\*)?|\\(?P<escaped>.)"
    r"|(?P<letters>[A-Za-z]+)|(?P<operator><=|>=|!=|==|\*\*|->|=>|[-+*/^_!'|,;:.()\[\]{}=<>&%\"?@`~#])"
)
_COMMA = re.compile(r",(?=\d)")


class Options(NamedTuple):
    """Which of two readings of an ambiguous spelling is taken."""

    thousands: bool = True
    """`1,234` is one number rather than two."""
    scientific: bool = True
    """`2e-1` is a fifth rather than 2e - 1."""
    products: bool = False
    """`xyz` is a product rather than a word."""
    is_text: bool = False
    """Set as text: letters side by side are a word."""


DEFAULT = Options()


def tokenise(text: str, options: Options = DEFAULT) -> list[Token]:
    r"""The tokens of normalised text.

    Raises:
        UnreadableError: a character or a command is unknown, or the text is too long.
    """
    check_length(text)
    tokens = list(_cut(text, options))
    if len(tokens) > MAX_TOKENS:
        raise UnreadableError(f"the text has {len(tokens)} tokens, more than {MAX_TOKENS}")
    return tokens


def check_length(text: str, most: int = MAX_CHARACTERS) -> None:
    """Refuse a long text before any work is put into it.

    Raises:
        UnreadableError: it has more than `most` characters.
    """
    if len(text) > most:
        raise UnreadableError(f"the text has {len(text)} characters, more than {most}")


def _cut(text: str, options: Options) -> list[Token]:
    tokens: list[Token] = []
    position, is_spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise UnreadableError(f"the character {text[position]!r}")
        position = match.end()
        kind = match.lastgroup
        if kind == "space":
            is_spaced = True
            continue
        if kind == "number":
            number, position = _number(match, options, text)
            tokens.append(Token("number", number, is_spaced))
        elif kind in ("command", "star"):
            name = match["command"]
            name = _ALIASES.get(name, name)
            if name in _WRAPPERS:
                content, position = _argument(text, position)
                tokens.extend(_wrapped(name, content, is_spaced, options))
            else:
                tokens.append(_command(name, is_spaced))
        elif kind == "escaped":
            tokens.append(_escaped(match["escaped"], is_spaced))
        elif kind == "letters":
            tokens.extend(_letters(match["letters"], is_spaced, tokens, options))
        else:
            operator = {"**": "^", "==": "=", "->": "to", "=>": "Rightarrow"}.get(
                match[0], match[0]
            )
            is_name = operator.isalpha()
            tokens.append(Token("command" if is_name else "operator", operator, is_spaced))
        is_spaced = False
    return tokens


def _number(match: re.Match[str], options: Options, text: str) -> tuple[str, int]:
    """The digits of a number without separators, and where it ends."""
    written, end = match["number"], match.end()
    before = text[: match.start()].rstrip()[-1:] if "," in written else ""
    is_in_list = before == "," or (before in ("(", "[") and text[end : end + 1] in (")", "]", ","))
    # Nobody writes the items of a list with zeros before them: `1,000` is no 1 and 0.
    if "," in written and ",0" not in written and (is_in_list or not options.thousands):
        cut = written.index(",")
        return written[:cut], match.start() + cut
    lowered = written.lower()
    if "e" in lowered and not options.scientific:
        cut = lowered.index("e")
        return written[:cut].replace(",", ""), match.start() + cut
    return written.replace(",", ""), end


def _argument(text: str, position: int) -> tuple[str, int]:
    """The group or the single character after a command, and where it ends."""
    while text[position : position + 1] == " ":
        position += 1
    if text[position : position + 1] != "{":
        return text[position : position + 1], position + 1
    depth = 0
    for index in range(position, len(text)):
        if text[index] == "{" and text[index - 1] != "\\":
            depth += 1
        elif text[index] == "}" and text[index - 1] != "\\":
            depth -= 1
            if depth == 0:
                return text[position + 1 : index], index + 1
    raise UnreadableError("a brace that never closes")


_IS_WORDS = re.compile(r"[A-Za-z][A-Za-z' .\-]*")
_MATHS_IN_TEXT = re.compile(r"[\d\\^_+=<>(){}\[\]|/*]")


def _wrapped(name: str, content: str, is_spaced: bool, options: Options) -> list[Token]:
    r"""The tokens of the content of `\text{...}`, `\mathrm{...}` and their like."""
    content = content.strip().strip("~").strip()
    if not content:
        return []
    if name in ("boxed", "fbox", "underline", "ensuremath") or _MATHS_IN_TEXT.search(content):
        inner = _cut(content, options._replace(is_text=name in _TEXT_WRAPPERS))
        if inner:
            inner[0] = inner[0]._replace(is_spaced=is_spaced or name in _TEXT_WRAPPERS)
        if name in _TEXT_WRAPPERS or name == "mathrm":
            inner = [t._replace(is_upright=True) if t.kind == "symbol" else t for t in inner]
        return inner
    bare = content.strip(".,;:! ")
    known = _ALIASES.get(bare, bare)
    if known in FUNCTIONS:
        return [Token("command", known, is_spaced)]
    if len(bare) == 1 and bare.isalpha():
        return [
            Token("symbol", bare, is_spaced, is_upright=name in _TEXT_WRAPPERS or name == "mathrm")
        ]
    if name not in _TEXT_WRAPPERS and len(bare) <= 3 and name != "mathrm" and bare.isalpha():
        return [Token("symbol", bare, is_spaced)]
    tokens = []
    for piece in re.findall(r"[A-Za-z][A-Za-z'\-]*|[,;:.\"!?$%&]|\S", content):
        if piece[0].isalpha():
            tokens.append(Token("word", piece, True, is_upright=True))
        else:
            tokens.append(Token("operator", piece, False))
    return tokens


def _command(name: str, is_spaced: bool) -> Token:
    if name in _OPERATOR_COMMANDS:
        return Token("operator", "\\" + name if name in "{}" else name, is_spaced)
    if name in _SYMBOL_COMMANDS:
        return Token("symbol", name, is_spaced)
    return Token("command", name, is_spaced)


def _escaped(character: str, is_spaced: bool) -> Token:
    if character in "{}":
        return Token("operator", "\\" + character, is_spaced)
    if character == "\\":
        return Token("command", "newline", is_spaced)
    if character in "%&#_*":
        return Token("operator", character, is_spaced)
    if character == "|":
        return Token("command", "Vert", is_spaced)
    raise UnreadableError(f"the escape \\{character}")


def _letters(run: str, is_spaced: bool, before: list[Token], options: Options) -> list[Token]:
    """A run of plain letters: a function's name, a word, or a product of variables."""
    name = _ALIASES.get(run, run)
    if name in FUNCTIONS and name not in ("Re", "Im", "deg", "arg", "dim", "det"):
        return [Token("command", name, is_spaced)]
    if run in _PLAIN:
        return [Token("command", _PLAIN[run], is_spaced)]
    if run in GREEK and len(run) > 2:
        return [Token("symbol", run, is_spaced)]
    if len(run) == 1:
        return [Token("symbol", run, is_spaced)]
    follows = before[-1].kind if before else ""
    is_glued = follows in ("number", "symbol") and not is_spaced
    is_ordinal = is_glued and follows == "number" and run in ("st", "nd", "rd", "th")
    is_word = (
        run.lower() in WORDS or is_ordinal or (run in UNITS and _may_have_unit(before, is_spaced))
    )
    is_word = is_word or options.is_text
    if not is_word and len(run) > 2 and not is_glued:
        is_word = not (options.products and len(run) <= 4)
    if is_word or (is_spaced and follows == "word"):
        return [Token("word", run, is_spaced)]
    return [Token("symbol", letter, is_spaced and index == 0) for index, letter in enumerate(run)]


def _may_have_unit(before: list[Token], is_spaced: bool) -> bool:
    """Whether a unit can follow: right after a number, or with a space after a quantity."""
    if not before:
        return False
    return before[-1].kind == "number" or (is_spaced and before[-1].text in ("}", ")", "pi"))


def exact_number(text: str) -> tuple[Fraction, int | None]:
    """The value of a number token, and its digits after the point where it has one.

    Raises:
        UnreadableError: it has too many digits or too large an exponent.
    """
    lowered = text.lower()
    mantissa, _, exponent = lowered.partition("e")
    if len(mantissa) > MAX_DIGITS or len(exponent.lstrip("+-0")) > 4:
        raise UnreadableError("a number with too many digits")
    whole, point, decimals = mantissa.partition(".")
    value = Fraction(int((whole or "0") + decimals), 10 ** len(decimals))
    if exponent:
        if abs(int(exponent)) > MAX_DIGITS:
            raise UnreadableError("a number with too large an exponent")
        return value * Fraction(10) ** int(exponent), None
    return value, len(decimals) if point else None
