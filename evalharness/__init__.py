"""Scores checkpoints of language models on mathematics: better, or only longer?

`evaluate`, `load_run` and `compare` are the commands from Python, with frames as the result. The
checker works alone: `from evalharness import check`.
"""

from typing import TYPE_CHECKING, Any

from evalharness.errors import EvalHarnessError

if TYPE_CHECKING:
    from evalharness.api import Run, compare, evaluate, load_run
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
    "EvalHarnessError",
    "Policy",
    "Run",
    "check",
    "check_frame",
    "compare",
    "evaluate",
    "group_answers",
    "load_run",
    "make_reward",
    "reward",
]

_API = ("Run", "compare", "evaluate", "load_run")


def __getattr__(name: str) -> Any:
    """Import a room when something of it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    room = importlib.import_module(f"{__name__}.{'api' if name in _API else 'checking'}")
    return getattr(room, name)


def __dir__() -> list[str]:
    """Also what isn't imported yet, for completion in a notebook."""
    return sorted({*globals(), *__all__})
