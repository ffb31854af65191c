"""The checkers by name: ours, and others behind the same interface to compare it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evalharness.checking.equivalence import Equivalence, Identity, identify_text
from evalharness.checking.policy import Policy
from evalharness.definitions import suggestion
from evalharness.errors import InputError

CHECKERS = ("evalharness", "math-verify")
DEFAULT_CHECKER = CHECKERS[0]

_REVISION = 2
"""Of ours: goes up with every change to extraction or equivalence that can change a verdict."""

_MATH_VERIFY_LAYER = 1
"""The same for the layer over math-verify."""


class Checker(NamedTuple):
    """The functions that make up one way to compare an answer with golds."""

    judge: Callable[[tuple[str, ...], str, Policy], Equivalence]
    """Bounds neither time nor memory: only for a process that can be killed."""
    cheap: Callable[[tuple[str, ...], str, Policy], Equivalence | None]
    """What can be decided in microseconds, in any process; None where it can't."""
    identify: Callable[[str, Policy], Identity]
    """What an answer is by itself, so that many of them need no comparing in pairs."""


def open_checker(name: str) -> Checker:
    """The checker of that name.

    Raises:
        InputError: there is none.
    """
    check_checker(name)
    if name == "math-verify":
        from evalharness.checking import mathverify

        return Checker(mathverify.judge_answer, mathverify.cheap_judgement, identify_text)
    from evalharness.checking import equivalence

    return Checker(
        equivalence.judge_answer, equivalence.cheap_judgement, equivalence.identify_answer
    )


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


_LIBRARIES = ("math-verify", "latex2sympy2-extended", "sympy", "mpmath", "gmpy2")


def checker_libraries() -> dict[str, str]:
    """The versions of what a verdict may depend on; gmpy2, which is optional, where it is there."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
