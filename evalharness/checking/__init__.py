"""From a response and the golds to a verdict."""

from __future__ import annotations

from evalharness.checking.checkers import (
    CHECKERS,
    DEFAULT_CHECKER,
    check_checker,
    checker_version,
)
from evalharness.checking.extract import (
    ANSWER_PLACES,
    DEFAULT_ANSWER_FORMAT,
    Extraction,
    extract,
    extract_leniently,
)
from evalharness.checking.frames import check_frame
from evalharness.checking.policy import Policy
from evalharness.checking.process import CheckerError
from evalharness.checking.reward import make_reward, reward
from evalharness.checking.shared import check, group_answers, shared_pool
from evalharness.checking.workers import CheckerPool

__all__ = [
    "ANSWER_PLACES",
    "CHECKERS",
    "DEFAULT_ANSWER_FORMAT",
    "DEFAULT_CHECKER",
    "CheckerError",
    "CheckerPool",
    "Extraction",
    "Policy",
    "check",
    "check_checker",
    "check_frame",
    "checker_version",
    "extract",
    "extract_leniently",
    "group_answers",
    "make_reward",
    "reward",
    "shared_pool",
]
