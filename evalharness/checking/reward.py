"""The verdict as a reward, with the signature that TRL's trainers call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalharness.checking.checkers import DEFAULT_CHECKER
from evalharness.checking.extract import DEFAULT_ANSWER_FORMAT, check_answer_format
from evalharness.checking.frames import accepted_answers
from evalharness.checking.messages import Submission
from evalharness.checking.policy import Policy
from evalharness.checking.shared import shared_pool
from evalharness.errors import InputError
from evalharness.records import Judgement

GOLD_COLUMNS = ("gold", "answer", "solution", "ground_truth")
"""Columns that `reward` takes golds from; the first that the data set has."""

Completion = str | Sequence[Mapping[str, Any]]


def make_reward(
    gold_column: str | None = None,
    *,
    answer_format: tuple[str, ...] = DEFAULT_ANSWER_FORMAT,
    policy: Policy | None = None,
    is_lenient: bool = False,
    checker: str = DEFAULT_CHECKER,
) -> Callable[..., list[float | None]]:
    """A reward function for `GRPOTrainer(reward_funcs=...)`: 1.0 for a correct answer, else 0.0.

    A row whose gold is None gets None, which is TRL's word for a reward that doesn't apply to it.

    Args:
        gold_column: the data set's column of golds; None takes the first of `GOLD_COLUMNS`.
        answer_format: where the template tells the model to put its answer.
        policy: what counts as the same answer; None is the default policy.
        is_lenient: reward an answer in another place too.
        checker: `evalharness` or another of `CHECKERS`.

    Raises:
        InputError: an unknown place in `answer_format`; from the function, no gold column or a
            gold that is none.
    """
    check_answer_format(answer_format)
    chosen = policy or Policy()

    def evalharness_reward(
        completions: Sequence[Completion],
        **columns: Any,  # the trainer passes every column of the data set, and its own state
    ) -> list[float | None]:
        """1.0 for each completion with the right answer, otherwise 0.0."""
        golds = _golds(columns, gold_column)
        submissions = [
            Submission(
                _text(completion),
                accepted_answers(gold, f"completion {index}"),
                answer_format,
                chosen,
            )
            for index, (completion, gold) in enumerate(zip(completions, golds, strict=True))
            if gold is not None
        ]
        found = iter(shared_pool(checker).submit_all(submissions).result())
        return [None if gold is None else _value(next(found), is_lenient) for gold in golds]

    return evalharness_reward


def reward(completions: Sequence[Completion], **columns: Any) -> list[float | None]:
    """`make_reward` with its defaults: an answer in any place, golds from `GOLD_COLUMNS`.

    Raises:
        InputError: no gold column, or a gold that is none.
    """
    return make_reward()(completions, **columns)


def _value(found: Judgement, is_lenient: bool) -> float:
    status = found.lenient_status if is_lenient else found.status
    return 1.0 if status == "correct" else 0.0


def _golds(columns: Mapping[str, Any], gold_column: str | None) -> Sequence[Any]:
    names = [gold_column] if gold_column else list(GOLD_COLUMNS)
    for name in names:
        if name in columns:
            golds: Sequence[Any] = columns[name]
            return golds
    raise InputError(
        f"the data set has no column {' or '.join(names)}; it gives "
        f"{', '.join(sorted(columns)) or 'none'}: name it with make_reward(gold_column=...)"
    )


def _text(completion: Completion) -> str:
    """A completion's text: itself, or what the messages of a conversation say, one a paragraph."""
    if isinstance(completion, str):
        return completion
    return "\n\n".join(str(message.get("content") or "") for message in completion)
