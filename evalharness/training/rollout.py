"""Rollouts: the completions that a policy draws, and the rewards that the checker gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evalharness.checking import CheckerPool, Policy, Submission
from evalharness.engines.base import PreparedPrompt, prepare_with_tokenizer
from evalharness.engines.decoding import Finished, Row, decode
from evalharness.engines.stops import StopWatch, ended_text
from evalharness.errors import EngineError, InputError
from evalharness.records import Problem, Sampling
from evalharness.templates import Template
from evalharness.training.forward import TokenRow

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRequest:
    """One completion to be drawn."""

    prompt_ids: tuple[int, ...]
    seed: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One completion."""

    token_ids: tuple[int, ...]
    """With the EOS that the policy wrote; a truncated one, or one cut at a stop string, has none.
    """
    text: str
    is_truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One completion with its reward."""

    problem: Problem
    row: TokenRow
    text: str
    is_truncated: bool
    reward: float
    """1 for a correct answer where the template wants it, else 0; a truncated completion gets 0."""

    @property
    def num_tokens(self) -> int:
        """Of the completion, EOS included."""
        return len(self.row.completion_ids)


class Sampler(Protocol):
    """Draws completions from the policy as it is now."""

    def draw(
        self, requests: Sequence[RolloutRequest], stop: tuple[str, ...], *, keep_stop: bool = False
    ) -> list[Drawn]:
        """One completion a request, in their order; `keep_stop` is about their text."""
        ...

    def refresh(self) -> None:
        """Take over the policy's weights; called after every optimizer step."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class ModelSampler:
    """Draws with the model that is being trained, in this process."""

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        end_ids: frozenset[int],
        temperature: float,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._sampling = Sampling(temperature=temperature)

    def draw(
        self, requests: Sequence[RolloutRequest], stop: tuple[str, ...], *, keep_stop: bool = False
    ) -> list[Drawn]:
        """All rows in one batch; a finished row leaves it.

        Raises:
            EngineError: a completion can't be had: memory, or logits that are no numbers.
        """
        rows = [
            Row(
                index=index,
                prompt_ids=request.prompt_ids,
                seed=request.seed,
                max_tokens=request.max_tokens,
            )
            for index, request in enumerate(requests)
        ]
        watches: dict[int, StopWatch] = {}

        def should_stop(index: int, token_ids: Sequence[int]) -> bool:
            if len(token_ids) == 1:
                watches[index] = StopWatch(self._tokenizer, stop)
            return watches[index].is_complete(token_ids)

        drawn: dict[int, Drawn] = {}
        for finished in decode(
            self._model,
            rows,
            self._sampling,
            end_ids=self._end_ids,
            batch_size=len(rows),
            should_stop=should_stop if stop else None,
        ):
            drawn[finished.index] = self._drawn(finished, stop, keep_stop=keep_stop)
        return [drawn[index] for index in range(len(rows))]

    def _drawn(self, finished: Finished, stop: tuple[str, ...], *, keep_stop: bool) -> Drawn:
        if finished.finish == "error":
            raise EngineError(f"a rollout failed: {finished.error}")
        is_truncated = finished.finish == "length"
        text, _ = ended_text(
            self._tokenizer,
            finished.token_ids,
            stop,
            keep_stop=keep_stop,
            is_truncated=is_truncated,
        )
        ids = finished.token_ids
        if finished.end_id is not None:
            ids = (*ids, finished.end_id)
        return Drawn(token_ids=ids, text=text, is_truncated=is_truncated)

    def refresh(self) -> None:
        """Nothing to do: it is the same model."""

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Problems to prompts, answers to rewards: template and checker as in evaluation."""

    template: Template
    tokenizer: PreTrainedTokenizerBase
    pool: CheckerPool

    def prompt(self, problem: Problem) -> PreparedPrompt:
        """As the evaluation's engines would show it."""
        return prepare_with_tokenizer(self.template.render(problem), self.tokenizer)

    def rewards(self, problems: Sequence[Problem], drawn: Sequence[Drawn]) -> list[float]:
        """1.0 or 0.0 each; truncated is 0 even with a box inside."""
        submissions = [
            Submission(
                each.text,
                problem.golds,
                self.template.answer_format,
                Policy.from_table(problem.policy or {}),
            )
            for problem, each in zip(problems, drawn, strict=True)
            if not each.is_truncated
        ]
        found = iter(self.pool.submit_all(submissions).result())
        return [
            1.0 if not each.is_truncated and next(found).status == "correct" else 0.0
            for each in drawn
        ]


def within_accuracy(
    rollouts: Sequence[Rollout], group_size: int, low: float, high: float
) -> list[Rollout]:
    """The groups whose share of rewarded completions lies between the bounds, both included.

    Source: the online prompt filter of PRIME (arXiv 2502.01456) as its code has it, between 0.2 and
    0.8 (PRIME-RL/PRIME, ray_trainer.py). That code draws further problems until the batch is full;
    here the step learns from fewer, and B is what remains.
    """
    kept: list[Rollout] = []
    for start in range(0, len(rollouts), group_size):
        group = rollouts[start : start + group_size]
        if low <= sum(each.reward for each in group) / len(group) <= high:
            kept += group
    return kept


def rollout_seed(seed: int, step: int, place: int, sample: int) -> int:
    """The seed of one completion of a step, a 48-bit integer; the same whenever it is drawn."""
    text = f"{seed}\x1f{step}\x1f{place}\x1f{sample}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def check_prompts(
    prompts: Sequence[PreparedPrompt], *, max_tokens: int, context: int, name: str
) -> int:
    """Refuse problems whose prompt and completion don't fit the model's context.

    Returns the tokens of the longest prompt.

    Raises:
        InputError: with the longest prompt.
    """
    longest = max(len(prompt.token_ids or ()) for prompt in prompts)
    if longest + max_tokens > context:
        raise InputError(
            f"{name}: a prompt of {longest} tokens and max_tokens {max_tokens} don't fit the "
            f"model's context of {context}: lower max_tokens or leave long problems out"
        )
    return longest
