"""The checkers by name: ours, and others behind the same interface to compare it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from evalharness.checking.equivalence import Equivalence, Identity, identify_text
from evalharness.checking.extract import Extraction, extract, extract_leniently
from evalharness.checking.policy import Policy
from evalharness.definitions import suggestion
from evalharness.errors import InputError

PUBLISHED = ("drgrpo", "drgrpo-fast", "drgrpo-orz", "qwen2.5-math")
"""The rules of published evaluations, their extraction included."""

CHECKERS = ("evalharness", "math-verify", *PUBLISHED)
DEFAULT_CHECKER = CHECKERS[0]

_REVISION = 4
"""Of ours: goes up with every change to extraction or equivalence that can change a verdict."""

_MATH_VERIFY_LAYER = 1
"""The same for the layer over math-verify."""

_RULES = 1
"""The same for the published rules."""


class Checker(NamedTuple):
    """The functions that make up one way to compare an answer with golds."""

    judge: Callable[[tuple[str, ...], str, Policy], Equivalence]
    """Bounds neither time nor memory: only for a process that can be killed."""
    cheap: Callable[[tuple[str, ...], str, Policy], Equivalence | None]
    """What can be decided in microseconds, in any process; None where it can't."""
    identify: Callable[[str, Policy], Identity]
    """What an answer is by itself, so that many of them need no comparing in pairs."""
    find: Callable[[str, tuple[str, ...]], tuple[Extraction, Extraction]]
    """The strict and the lenient reading of a response; the same one where a rule knows no other.

    Raises:
        InputError: the answer format is wrong.
    """


def find_readings(response: str, answer_format: tuple[str, ...]) -> tuple[Extraction, Extraction]:
    """Both readings by our own rules.

    Raises:
        InputError: the answer format is wrong.
    """
    strict = extract(response, answer_format)
    return strict, extract_leniently(response, strict)


def open_checker(name: str) -> Checker:
    """The checker of that name.

    Raises:
        InputError: there is none.
    """
    check_checker(name)
    if name == "math-verify":
        from evalharness.checking import mathverify

        return Checker(
            mathverify.judge_answer, mathverify.cheap_judgement, identify_text, find_readings
        )
    if name in PUBLISHED:
        from evalharness.checking.rules import open_rules

        rules = open_rules(name)
        return Checker(rules.judge, rules.cheap, identify_text, rules.find)
    from evalharness.checking import equivalence

    return Checker(
        equivalence.judge_answer,
        equivalence.cheap_judgement,
        equivalence.identify_answer,
        find_readings,
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
    """What a verdict table is marked with: the revision of all that decides."""
    check_checker(name)
    if name == "evalharness":
        return str(_REVISION)
    from importlib.metadata import version

    if name == "math-verify":
        return f"{version('math-verify')}+{_MATH_VERIFY_LAYER}"
    # Our reader stands in for theirs, and the slow grader asks math-verify too.
    own = f"{_RULES}+{_REVISION}"
    return f"{own}+{version('math-verify')}" if name in ("drgrpo", "drgrpo-orz") else own


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
