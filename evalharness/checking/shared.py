"""The checker for use alone: one verdict, one frame or one batch, with workers that stay."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from evalharness.checking.checkers import DEFAULT_CHECKER
from evalharness.checking.extract import DEFAULT_ANSWER_FORMAT
from evalharness.checking.grouping import Ballot, find_groups
from evalharness.checking.policy import Policy
from evalharness.checking.workers import CheckerPool
from evalharness.records import Judgement

_lock = threading.Lock()
_pools: dict[str, CheckerPool] = {}


def shared_pool(checker: str = DEFAULT_CHECKER) -> CheckerPool:
    """The pool of this process for callers that keep none; its workers end with the process.

    A forked child gets its own: the threads that feed the workers stay with the parent.

    Raises:
        InputError: there is no such checker.
    """
    with _lock:
        if checker not in _pools:
            _pools[checker] = CheckerPool(checker=checker)
        return _pools[checker]


def _start_anew() -> None:
    global _lock, _pools
    _lock = threading.Lock()
    _pools = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def check(
    golds: str | Sequence[str],
    response: str,
    *,
    answer_format: tuple[str, ...] = DEFAULT_ANSWER_FORMAT,
    policy: Policy | None = None,
    checker: str = DEFAULT_CHECKER,
) -> Judgement:
    """One verdict on one response.

    Args:
        golds: the accepted answer, or several of which any will do.
        response: all that the model wrote.
        answer_format: where the answer may stand, in this order; the default is any place.
        policy: what counts as the same answer; None is the default policy.
        checker: `evalharness` or another of `CHECKERS`.

    Raises:
        InputError: an unknown place in `answer_format`, or no such checker.
        CheckerError: no worker process can start.
    """
    accepted = (golds,) if isinstance(golds, str) else tuple(golds)
    return (
        shared_pool(checker).submit(response, accepted, answer_format, policy or Policy()).result()
    )


def group_answers(answers: Sequence[str | None], policy: Policy | None = None) -> list[int]:
    """Which answers are the same, for majority voting: one group number an answer.

    Groups are numbered in the order of their first answer; an answer joins the first group whose
    first answer it equals under the rules that compare it with a gold, in either direction. An
    answer that is None (none was found) votes for nothing: its group is -1.

    Raises:
        CheckerError: no worker process can start.
    """
    return find_groups([Ballot(answers, policy or Policy())], shared_pool())[0].numbers
