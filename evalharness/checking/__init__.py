"""From a response and the golds to a verdict."""

from __future__ import annotations

from evalharness.checking.checkers import (
    CHECKERS,
    DEFAULT_CHECKER,
    check_checker,
    checker_libraries,
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
from evalharness.checking.grouping import NO_GROUP, Ballot, Groups, find_groups
from evalharness.checking.messages import Submission
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
    "NO_GROUP",
    "Ballot",
    "CheckerError",
    "CheckerPool",
    "Extraction",
    "Groups",
    "Policy",
    "Submission",
    "check",
    "check_checker",
    "check_frame",
    "checker_libraries",
    "checker_version",
    "extract",
    "extract_leniently",
    "find_groups",
    "group_answers",
    "make_reward",
    "reward",
    "shared_pool",
]
