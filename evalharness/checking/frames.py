"""Verdicts on a table: one row in, one row out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalharness.checking.checkers import DEFAULT_CHECKER
from evalharness.checking.extract import DEFAULT_ANSWER_FORMAT
from evalharness.checking.messages import Submission
from evalharness.checking.policy import Policy
from evalharness.checking.shared import shared_pool
from evalharness.definitions import suggestion
from evalharness.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def check_frame(
    frame: pd.DataFrame,
    response_column: str = "response",
    gold_column: str = "gold",
    *,
    answer_format: tuple[str, ...] = DEFAULT_ANSWER_FORMAT,
    policy: Policy | None = None,
    checker: str = DEFAULT_CHECKER,
) -> pd.DataFrame:
    """The verdict on every row, in a frame with the same index and the fields of a judgement.

    A gold is a text, a number, or a list of accepted answers. Equal pairs are compared once.

    Raises:
        InputError: no such column, a row without a gold or a response, an unknown place in
            `answer_format`, or no such checker.
        CheckerError: no worker process can start.
    """
    import pandas as pd

    from evalharness.records import Judgement

    for column in (response_column, gold_column):
        if column not in frame.columns:
            names = list(map(str, frame.columns))
            raise InputError(
                f'the frame has no column "{column}"{suggestion(column, names)} '
                f"It has {', '.join(names)}."
            )
    chosen = policy or Policy()
    submissions = []
    for index, response, gold in zip(
        frame.index, frame[response_column], frame[gold_column], strict=True
    ):
        if not isinstance(response, str):
            raise InputError(f"row {index}: the response must be a text, not {response!r}")
        golds = accepted_answers(gold, f"row {index}")
        submissions.append(Submission(response, golds, answer_format, chosen))
    judgements = shared_pool(checker).submit_all(submissions).result()
    columns = [field.name for field in dataclasses.fields(Judgement)]
    rows = [dataclasses.astuple(each) for each in judgements]
    return pd.DataFrame(rows, columns=columns, index=frame.index)


def accepted_answers(gold: Any, place: str) -> tuple[str, ...]:
    """A cell of golds as texts: a text, a number, or a list of them.

    Raises:
        InputError: it is missing, empty or something else; `place` says where.
    """
    is_many = isinstance(gold, Sequence) and not isinstance(gold, str)
    if not is_many and hasattr(gold, "tolist"):
        gold = gold.tolist()
        is_many = isinstance(gold, list)
    golds = list(gold) if is_many else [gold]
    for each in golds:
        is_number = isinstance(each, int | float) and not isinstance(each, bool) and each == each
        if not (isinstance(each, str) and each.strip()) and not is_number:
            raise InputError(f"{place}: a gold must be a text, a number or a list, not {gold!r}")
    if not golds:
        raise InputError(f"{place}: the list of golds is empty")
    return tuple(str(each) for each in golds)
