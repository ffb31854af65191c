"""The checkers by name: ours, and others behind the same interface to compare it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evalharness.checking.equivalence import Equivalence
from evalharness.checking.policy import Policy
from evalharness.definitions import suggestion
from evalharness.errors import InputError

CHECKERS = ("evalharness", "math-verify")
DEFAULT_CHECKER = CHECKERS[0]

_REVISION = 1
"""Of ours: goes up with every change to extraction or equivalence that can change a verdict."""

_MATH_VERIFY_LAYER = 1
"""The same for the layer over math-verify."""


class Checker(NamedTuple):
    """The functions that make up one way to compare an answer with golds."""

    judge: Callable[[tuple[str, ...], str, Policy], Equivalence]
    """Bounds neither time nor memory: only for a process that can be killed."""
    cheap: Callable[[tuple[str, ...], str, Policy], Equivalence | None]
    """What can be decided in microseconds, in any process; None where it can't."""


def open_checker(name: str) -> Checker:
    """The checker of that name.

    Raises:
        InputError: there is none.
    """
    check_checker(name)
    if name == "math-verify":
        from evalharness.checking import mathverify

        return Checker(mathverify.judge_answer, mathverify.cheap_judgement)
    from evalharness.checking import equivalence

    return Checker(equivalence.judge_answer, equivalence.cheap_judgement)


def check_checker(name: str) -> None:
    """Refuse a name that is no checker's.

    Raises:
        InputError: there is none of that name.
    """
    if name not in CHECKERS:
        raise InputError(
            f'unknown checker "{name}"{suggestion(name, CHECKERS)} '
            f"The checkers are {', '.join(CHECKERS)}."
        )


def checker_version(name: str = DEFAULT_CHECKER) -> str:
    """What a verdict table is marked with: our revision, or math-verify's and its layer's."""
    check_checker(name)
    if name == "evalharness":
        return str(_REVISION)
    from importlib.metadata import version

    return f"{version('math-verify')}+{_MATH_VERIFY_LAYER}"
