"""Scores checkpoints of language models on mathematics: better, or only longer?

The checker works alone: `from evalharness import check`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalharness.checking import (
        CheckerPool,
        Policy,
        check,
        check_frame,
        group_answers,
        make_reward,
        reward,
    )

__version__ = "0.1.0"

__all__ = [
    "CheckerPool",
    "Policy",
    "check",
    "check_frame",
    "group_answers",
    "make_reward",
    "reward",
]


def __getattr__(name: str) -> Any:
    """Import the checker when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from evalharness import checking

    return getattr(checking, name)
