"""Cuts a list of tokens at its separators and takes off what only announces or qualifies."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Tokens

from evalharness.checking.tokens import Token, UnreadableError

OPENING = frozenset({"(", "[", "{", "\\{"})
CLOSING = frozenset({")", "]", "}", "\\}"})
_CLAUSES = frozenset("for where when if with such whenever provided unless depending".split())
_FINAL_CLAUSES = frozenset("where is are which because since so".split())
NEGATIONS = frozenset("not no never cannot can't won't doesn't isn't loses lose neither".split())
_LEAD_IN = frozenset("is are be equals equal".split())
_ANNOUNCEMENTS = frozenset(
    "approximately about approx roughly exactly only just nearly around the final answer so thus "
    "hence therefore value values solution solutions result is are".split()
)
_MEANINGFUL = NEGATIONS | frozenset(
    "base binary octal hexadecimal mod modulo million billion thousand hundred dozen percent "
    "squared cubed negative minus half approximately rounded".split()
)
"""Words that make another number of the one before them."""
_NOISE = frozenset([*',;.:?"&~`=', "and", "or", "newline", "Rightarrow", "therefore"])
_BLACKBOARD = frozenset("RZNQC")


def trimmed(tokens: list[Token]) -> list[Token]:
    """Without punctuation and separators at the ends."""
    start, end = 0, len(tokens)
    while start < end and tokens[start].text in _NOISE and tokens[start].kind != "word":
        start += 1
    while end > start and tokens[end - 1].text in _NOISE and tokens[end - 1].kind != "word":
        end -= 1
    return tokens[start:end]


def depths_of(tokens: Tokens[Token]) -> list[int]:
    """How many brackets are open at each token; an opening one counts from the next token on."""
    depths, depth = [], 0
    for token in tokens:
        is_bracket = token.kind == "operator"
        if is_bracket and token.text in CLOSING:
            depth -= 1
        depths.append(depth)
        if is_bracket and token.text in OPENING:
            depth += 1
        if depth < 0:
            raise UnreadableError("a bracket that never opened")
    if depth:
        raise UnreadableError("a bracket that never closes")
    return depths


def split(tokens: Tokens[Token], is_cut: Callable[[Token], bool]) -> list[list[Token]]:
    """The tokens between those at the outermost level for which `is_cut` holds."""
    parts: list[list[Token]] = [[]]
    for token, depth in zip(tokens, depths_of(tokens), strict=True):
        if depth == 0 and token.kind != "word" and is_cut(token):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def without_lead_in(tokens: list[Token]) -> list[Token]:
    """Without words that only announce: `The answer is 42`, `approximately 42`."""
    start = 0
    while start < len(tokens) and tokens[start].kind == "word":
        start += 1
    leading = {token.text.lower() for token in tokens[:start]}
    if not leading or start == len(tokens) or leading & NEGATIONS:
        return tokens
    if tokens[start].text in (":", "=") and "answer" in leading:
        return tokens[start + 1 :]
    if leading <= _ANNOUNCEMENTS:
        return tokens[start:]
    verbs = [
        index
        for index, (token, depth) in enumerate(zip(tokens, depths_of(tokens), strict=True))
        if depth == 0 and token.kind == "word" and token.text.lower() in _LEAD_IN
    ]
    return tokens[verbs[-1] + 1 :] if verbs and verbs[-1] + 1 < len(tokens) else tokens


def without_clauses(parts: list[list[Token]], clauses: list[str]) -> list[list[Token]]:
    """Without "for all x", "where k is an integer" and "k in Z", which say where a value holds.

    What is taken off is added to `clauses`.
    """
    kept: list[list[Token]] = []
    for index, part in enumerate(parts):
        cut = _clause_start(part)
        if cut is None and kept and _is_membership(part):
            cut = 0
        if cut is None:
            kept.append(_without_remark(_without_membership(part, clauses), clauses))
            continue
        if cut:
            kept.append(trimmed(part[:cut]))
        clauses.append(_text_of(part[cut:]))
        if part[cut].text.lower() in _FINAL_CLAUSES:
            clauses += [_text_of(rest) for rest in parts[index + 1 :]]
            break
    return kept


def _without_remark(part: list[Token], clauses: list[str]) -> list[Token]:
    """Without words in parentheses behind a number, unless they may say which: `5 (see above)`."""
    if len(part) < 4 or part[-1].text != ")":
        return part
    start = max((index for index, token in enumerate(part) if token.text == "("), default=0)
    words = part[start + 1 : -1]
    is_remark = words and all(token.kind == "word" for token in words)
    is_plain = not any(token.text.lower() in _MEANINGFUL for token in words)
    if is_remark and is_plain and start and part[start - 1].kind == "number":
        clauses.append(_text_of(part[start:]))
        return part[:start]
    return part


def is_statement(tokens: Tokens[Token]) -> bool:
    """`n is even`: it says something of a name, and the name without it says nothing."""
    start = [tokens[0].kind, *(token.text.lower() for token in tokens[1:2])]
    return start in (["symbol", "is"], ["symbol", "are"])


def _clause_start(part: list[Token]) -> int | None:
    if is_statement(part):
        return None
    for index, (token, depth) in enumerate(zip(part, depths_of(part), strict=True)):
        word = token.text.lower()
        if depth == 0 and (
            (token.kind == "word" and word in _CLAUSES | _FINAL_CLAUSES) or word == "forall"
        ):
            return index
    return None


def _text_of(tokens: Tokens[Token]) -> str:
    return " ".join(token.text for token in tokens)


def _is_membership(part: Tokens[Token]) -> bool:
    r"""`k \in \mathbb{Z}`."""
    return (
        len(part) >= 3
        and part[0].kind == "symbol"
        and part[1].text == "in"
        and any(token.text == "mathbb" or token.text in _BLACKBOARD for token in part[2:4])
    )


def _without_membership(part: list[Token], clauses: list[str]) -> list[Token]:
    r"""Without a final `(k \in \mathbb{Z})`."""
    if len(part) > 5 and part[-1].text == ")":
        depths = depths_of(part)
        start = max(i for i, depth in enumerate(depths[:-1]) if depth == 0)
        if start and part[start].text == "(" and _is_membership(part[start + 1 : -1]):
            clauses.append(_text_of(part[start:]))
            return part[:start]
    return part
