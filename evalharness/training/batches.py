"""From practice problems to batches whose loss counts the solution only, and back to a score."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from evalharness.engines.base import prepare_with_tokenizer
from evalharness.errors import InputError
from evalharness.records import Prompt
from evalharness.training.practice import PracticeProblem
from evalharness.training.rollout import Drawn, ModelSampler, RolloutRequest
from evalharness.training.solutions import Worked

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PLACEHOLDER = "{{problem}}"
_LENGTH_SPREAD = 1.6
"""The longest row of a batch is at most this many times its shortest: that bounds the padding."""


class Example(NamedTuple):
    """One training row."""

    prompt_ids: list[int]
    completion_ids: list[int]
    """EOS included."""

    @property
    def num_tokens(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of prompt and completion, padded on the right."""

    input_ids_BT: torch.Tensor
    loss_mask_BT: torch.Tensor
    """True at the tokens whose prediction is trained: the completion with its EOS."""
    num_tokens: int
    """Prompt and completion, padding not counted."""
    num_counted: int
    """Tokens whose prediction is trained."""


def render(template: str, problem: str) -> str:
    """The prompt text.

    Raises:
        InputError: the template has no place for the problem.
    """
    if PLACEHOLDER not in template:
        raise InputError(f"the template {template[:40]!r} has no {PLACEHOLDER}: add it")
    return template.replace(PLACEHOLDER, problem)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """The tokens of a raw prompt, as evaluation shows it to the model."""
    prepared = prepare_with_tokenizer(Prompt(template="", problem_id="", text=text), tokenizer)
    return prepared.token_ids or ()


def row_texts(template: str, worked: Worked) -> tuple[str, str]:
    """Prompt and completion; the solution starts on a line of its own."""
    prompt = render(template, worked.text)
    return prompt, worked.solution if prompt.endswith("\n") else f"\n{worked.solution}"


def make_example(tokenizer: PreTrainedTokenizerBase, template: str, worked: Worked) -> Example:
    """Prompt and solution as tokens; the solution ends with EOS."""
    prompt, completion = row_texts(template, worked)
    # Special tokens, such as BOS, stand before the prompt alone.
    completion_ids = tokenizer(completion, add_special_tokens=False)["input_ids"]
    return Example(list(prompt_ids(tokenizer, prompt)), [*completion_ids, tokenizer.eos_token_id])


def make_batch(examples: Sequence[Example], padding_id: int) -> Batch:
    """Stack rows to the length of the longest."""
    import torch

    lengths = [row.num_tokens for row in examples]
    input_ids_BT = torch.full((len(examples), max(lengths)), padding_id)
    loss_mask_BT = torch.zeros(input_ids_BT.shape, dtype=torch.bool)
    for index, (row, length) in enumerate(zip(examples, lengths, strict=True)):
        input_ids_BT[index, :length] = torch.tensor(row.prompt_ids + row.completion_ids)
        loss_mask_BT[index, len(row.prompt_ids) : length] = True
    return Batch(
        input_ids_BT=input_ids_BT,
        loss_mask_BT=loss_mask_BT,
        num_tokens=sum(lengths),
        num_counted=sum(len(row.completion_ids) for row in examples),
    )


def draw_rows(
    *,
    templates: Mapping[str, str],
    shares: Mapping[str, float],
    rng: random.Random,
    solutions: Iterator[Worked],
) -> Iterator[tuple[str, Worked]]:
    """Template text and solution of each row without end, the template drawn by its share."""
    names, weights = list(shares), list(shares.values())
    while True:
        template = templates[rng.choices(names, weights)[0]]
        yield template, next(solutions)


def training_steps(
    examples: Iterator[Example], *, rows_per_step: int, padding_id: int
) -> Iterator[list[Batch]]:
    """Steps without end, the rows of each batched by length."""
    while True:
        rows = [next(examples) for _ in range(rows_per_step)]
        yield [make_batch(group, padding_id) for group in groups_by_length(rows)]


def groups_by_length(rows: Sequence[Example]) -> list[list[Example]]:
    """All rows, cut into groups of similar length."""
    groups: list[list[Example]] = []
    for row in sorted(rows, key=lambda row: row.num_tokens):
        if not groups or row.num_tokens > _LENGTH_SPREAD * groups[-1][0].num_tokens:
            groups.append([])
        groups[-1].append(row)
    return groups


def summed_loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Cross entropy summed over the completion tokens of the batch, in nats.

    No attention mask: padding stands on the right, and a causal model never looks there from a
    token that counts. Logits are computed at the counted positions only.
    """
    import torch

    input_ids_BT = batch.input_ids_BT.to(model.device)
    counted_BT = batch.loss_mask_BT.to(model.device)[:, 1:]
    hidden_BTH = model.model(input_ids=input_ids_BT, use_cache=False).last_hidden_state
    logits_NV = model.lm_head(hidden_BTH[:, :-1][counted_BT])
    targets_N = input_ids_BT[:, 1:][counted_BT]
    return torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="sum")


def backpropagate_mean_loss(model: PreTrainedModel, batches: Sequence[Batch]) -> float:
    """Add the gradient of the mean over all counted tokens of a step, however it is batched."""
    num_counted = sum(batch.num_counted for batch in batches)
    total = 0.0
    for batch in batches:
        loss = summed_loss(model, batch) / num_counted
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def greedy_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_tokens: int = 128,
    batch_size: int = 64,
) -> list[Drawn]:
    """The model's most likely continuations, by the loop that evaluation decodes with."""
    sampler = ModelSampler(
        model, tokenizer, end_ids=frozenset({tokenizer.eos_token_id}), temperature=0.0
    )
    requests = [
        RolloutRequest(prompt_ids=prompt_ids(tokenizer, prompt), seed=0, max_tokens=max_tokens)
        for prompt in prompts
    ]
    drawn: list[Drawn] = []
    for start in range(0, len(requests), batch_size):
        drawn += sampler.draw(requests[start : start + batch_size], ())
    return drawn


def is_solved(drawn: Drawn, problem: PracticeProblem) -> bool:
    """Whether a continuation stopped by itself right after the box with the gold."""
    return not drawn.is_truncated and drawn.text.endswith(rf"\boxed{{{problem.gold}}}")


def solved_share(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    problems: Sequence[PracticeProblem],
) -> float:
    """The share of problems that greedy decoding solves."""
    prompts = [render(template, problem.text) for problem in problems]
    drawn = greedy_completions(model, tokenizer, prompts)
    solved = [is_solved(each, problem) for each, problem in zip(drawn, problems, strict=True)]
    return sum(solved) / len(solved)
