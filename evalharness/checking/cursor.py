"""A place in a list of tokens, and what a parser of expressions offers to its parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from evalharness.checking.expressions import Expression
from evalharness.checking.tokens import Token, UnreadableError

MAX_DEPTH = 60


class Parser(ABC):
    """Tokens with the position of the next one; every method reads on from there.

    `depth` is how deeply nested the caller is; below `MAX_DEPTH` nothing is read.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.num_open_bars = 0

    @property
    def text(self) -> str:
        """Of the token at hand; empty at the end and for words."""
        if self.position >= len(self.tokens):
            return ""
        token = self.tokens[self.position]
        return token.text if token.kind not in ("word", "number") else ""

    @property
    def token(self) -> Token | None:
        """The one at hand; None at the end."""
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self, text: str) -> bool:
        """Pass the token where it is this one, and say whether it was."""
        if self.text == text:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Pass this token.

        Raises:
            UnreadableError: another one is at hand.
        """
        if not self.take(text):
            raise UnreadableError(f"{text!r} is missing before {self.text!r}")

    def one(self) -> Token:
        """The token at hand, which is passed.

        Raises:
            UnreadableError: there is none.
        """
        token = self.token
        if token is None:
            raise UnreadableError("an argument is missing")
        self.position += 1
        return token

    def group_tokens(self) -> list[Token]:
        """The tokens between the braces at hand, which are passed."""
        self.expect("{")
        start, level = self.position, 1
        while self.position < len(self.tokens):
            text = self.text
            level += (text == "{") - (text == "}")
            self.position += 1
            if level == 0:
                return list(self.tokens[start : self.position - 1])
        raise UnreadableError("a brace that never closes")

    @abstractmethod
    def sum(self, depth: int) -> Expression:
        """Terms between plus and minus signs."""

    @abstractmethod
    def product(self, depth: int) -> Expression:
        """Factors, side by side or between their signs."""

    @abstractmethod
    def factor(self, depth: int) -> Expression:
        """An atom with its powers, factorials, percent and degree signs."""

    @abstractmethod
    def signed_factor(self, depth: int) -> Expression:
        """A factor behind any number of signs."""

    @abstractmethod
    def signed_power(self, depth: int) -> Expression:
        """An exponent without braces."""

    @abstractmethod
    def symbol(self, name: str, depth: int) -> Expression:
        """The name, of which the first letter is read, or the function of it."""

    @abstractmethod
    def inside(self, tokens: Sequence[Token], depth: int) -> Expression:
        """The expression that these tokens are, all of them."""

    @abstractmethod
    def argument(self, depth: int) -> Expression:
        """The argument of a command: a group, or one digit, letter or command."""

    @abstractmethod
    def arguments(
        self, depth: int, opening: str = "(", closing: str = ")"
    ) -> tuple[Expression, ...]:
        """What stands in the brackets at hand, cut at its commas."""

    @abstractmethod
    def starts_factor(self) -> bool:
        """Whether a factor can begin at the token at hand, by mere juxtaposition."""
