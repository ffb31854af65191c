"""Our losses are TRL's: one step of its own trainers on a tiny random model, and the same by ours.

TRL draws the completions, scores them, computes its advantages and its loss; what went into its
loss and what came out is recorded. Ours gets the token ids and the same rewards, runs the model
itself on rows without padding, and must arrive at the same loss and the same gradient of every
weight.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evalharness.training.algorithms import (
    Algorithm,
    algorithm,
    kl_estimate,
    row_weights,
    surrogate_loss,
    weighted_loss,
)
from evalharness.training.config import RLConfig
from evalharness.training.signals import Evidence, step_advantages
from evalharness.training.tokenizer import byte_tokenizer
from evalharness.training.toy import ToyModel, make_toy_model
from evalharness.training.trl_arguments import TRLOptions, trl_arguments
from evalharness.training.trl_trainers import import_trl

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("trl", reason="needs the extra [train]")
datasets = pytest.importorskip("datasets", reason="needs the base installation")

MICRO = ToyModel(
    hidden_size=32, intermediate_size=64, num_layers=1, num_heads=1, num_kv_heads=1, head_size=32
)
PROMPTS = ("1+1=", "What is two?", "7*8=")
NUM_GENERATIONS = 4
NUM_ROWS = len(PROMPTS) * NUM_GENERATIONS
MAX_TOKENS = 8
EOS = 257
# Sampling sees EOS and 15 bytes only, so that completions end at different lengths.
SUPPRESSED = [token for token in range(288) if token != EOS and token not in range(48, 63)]


class Step(NamedTuple):
    """What TRL's loss of one micro-batch saw, and what it made of it."""

    inputs: dict[str, torch.Tensor]
    loss: float
    gradients: dict[str, torch.Tensor]


class Run(NamedTuple):
    """One step of TRL, and the models as they were in it."""

    steps: list[Step]
    policy: Any
    reference: Any


class Row(NamedTuple):
    """One completion."""

    prompt: list[int]
    completion: list[int]


def _reward(row: Row) -> float:
    """Some reward that both sides can compute; the second problem's are all equal."""
    return 0.0 if len(row.prompt) > 6 else float(row.completion[0] % 2)


def _trl_reward(
    prompts: Sequence[str], completion_ids: Sequence[list[int]], **columns: Any
) -> list[float]:
    return [
        _reward(Row([*prompt.encode()], completion))
        for prompt, completion in zip(prompts, completion_ids, strict=True)
    ]


def _rows(steps: Sequence[Step]) -> list[Row]:
    return [
        Row(
            prompt=step.inputs["prompt_ids"][index][
                step.inputs["prompt_mask"][index] == 1
            ].tolist(),
            completion=step.inputs["completion_ids"][index][
                step.inputs["completion_mask"][index] == 1
            ].tolist(),
        )
        for step in steps
        for index in range(len(step.inputs["prompt_ids"]))
    ]


def _logprobs(model: Any, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-probability of each completion token, padded on the right, with its mask."""
    logprobs_BT = torch.zeros(len(rows), MAX_TOKENS)
    mask_BT = torch.zeros(len(rows), MAX_TOKENS, dtype=torch.bool)
    parts = []
    for index, row in enumerate(rows):
        logits_TV = model(input_ids=torch.tensor([row.prompt + row.completion])).logits[0]
        completion_T = torch.tensor(row.completion)
        predicted_TV = logits_TV[len(row.prompt) - 1 : -1].log_softmax(-1)
        mask_BT[index, : len(completion_T)] = True
        parts.append(predicted_TV.gather(1, completion_T[:, None])[:, 0])
    return logprobs_BT.masked_scatter(mask_BT, torch.cat(parts)), mask_BT


def _old_logprobs(model: Any, rows: Sequence[Row]) -> torch.Tensor:
    """Those of a policy that drew the rows and isn't the present one; decided by the rows alone."""
    with torch.no_grad():
        logprobs_BT, _ = _logprobs(model, rows)
    noise = [torch.sin(torch.arange(MAX_TOKENS) + 7.0 * sum(row.completion)) for row in rows]
    return logprobs_BT + 0.5 * torch.stack(noise)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    tokenizer = byte_tokenizer(max_length=512)
    make_toy_model(MICRO, tokenizer, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _run_trl(
    method: Algorithm, checkpoint: Path, folder: Path, *, num_micro_batches: int, off_policy: bool
) -> Run:
    trl = import_trl()
    config = RLConfig(
        output=folder,
        model=str(checkpoint),
        algorithm=method,
        num_steps=1,
        problems_per_step=len(PROMPTS),
        group_size=NUM_GENERATIONS,
        max_tokens=MAX_TOKENS,
        seed=5,
        device="cpu",
    )
    options = TRLOptions(rows_per_device=NUM_ROWS // num_micro_batches)
    kind, arguments = trl_arguments(config, options)
    # The weights stay what they were, for our side.
    arguments |= {"learning_rate": 0.0}
    arguments |= {"generation_kwargs": {"suppress_tokens": SUPPRESSED}, "save_strategy": "no"}
    trainer_class: Any = {"grpo": trl.GRPOTrainer, "rloo": trl.RLOOTrainer}[kind]
    config_class = {"grpo": trl.GRPOConfig, "rloo": trl.RLOOConfig}[kind]
    steps: list[Step] = []

    class Recorder(trainer_class):
        def compute_loss(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            if off_policy:
                rows = _rows([Step(inputs, 0.0, {})])
                old_BT = _old_logprobs(model, rows)[:, : inputs["completion_ids"].shape[1]]
                if kind == "grpo":
                    inputs["old_per_token_logps"] = old_BT
                else:
                    inputs["old_logps"] = (old_BT * inputs["completion_mask"]).sum(1)
            loss = super().compute_loss(model, inputs, *rest, **named)
            weights = dict(model.named_parameters())
            gradients = torch.autograd.grad(loss, list(weights.values()), retain_graph=True)
            steps.append(
                Step(
                    inputs={name: value.clone() for name, value in inputs.items()},
                    loss=loss.item(),
                    gradients=dict(zip(weights, gradients, strict=True)),
                )
            )
            return loss

    trainer = Recorder(
        model=str(checkpoint),
        args=config_class(**arguments),
        reward_funcs=_trl_reward,
        train_dataset=datasets.Dataset.from_list([{"prompt": text} for text in PROMPTS]),
    )
    if trainer.ref_model is not None:
        generator = torch.Generator().manual_seed(2)
        for weight in trainer.ref_model.parameters():
            weight.data += 0.02 * torch.randn(weight.shape, generator=generator)
    trainer.train()
    assert len(steps) == num_micro_batches
    return Run(steps, trainer.model, trainer.ref_model)


def _advantages(
    rows: Sequence[Row], method: Algorithm, penalty_BT: torch.Tensor | None = None
) -> torch.Tensor:
    """One advantage a row, in the order of the rows, in which TRL has shuffled the groups."""
    order = sorted(range(len(rows)), key=lambda index: rows[index].prompt)
    lengths_B = torch.tensor([len(rows[index].completion) for index in order])
    mask_BT = torch.arange(MAX_TOKENS) < lengths_B[:, None]
    evidence = Evidence(
        rewards_B=torch.tensor([_reward(rows[index]) for index in order]),
        mask_BT=mask_BT,
        penalty_BT=torch.zeros(mask_BT.shape) if penalty_BT is None else penalty_BT[order],
    )
    found = step_advantages(method, evidence, NUM_GENERATIONS)
    advantages_B1 = torch.empty(len(rows), 1)
    advantages_B1[order] = found.advantages_BT
    return advantages_B1


def _assert_same_gradient(run: Run, loss: torch.Tensor) -> None:
    weights = dict(run.policy.named_parameters())
    gradients = torch.autograd.grad(loss, list(weights.values()))
    sizes = []
    for name, gradient in zip(weights, gradients, strict=True):
        theirs = torch.stack([step.gradients[name] for step in run.steps]).sum(0)
        torch.testing.assert_close(gradient, theirs, atol=1e-5, rtol=1e-5)
        sizes.append(theirs.abs().max().item())
    assert max(sizes) > 1e-3  # there is a gradient to compare


CASES = [
    (name, *case)
    for name in ("grpo", "dr_grpo", "dapo")
    for case in [(False, 0.0, 1), (True, 0.0, 3), (False, 0.1, 3), (True, 0.1, 1)]
]


@pytest.mark.parametrize(
    ("name", "off_policy", "kl_coefficient", "num_micro_batches"),
    [*CASES, ("grpo_no_std", True, 0.0, 3), ("grpo_no_length", True, 0.0, 3)],
)
def test_loss_and_gradient_are_those_of_trls_grpo_trainer(
    name: str,
    off_policy: bool,
    kl_coefficient: float,
    num_micro_batches: int,
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    method = algorithm(name, kl_coefficient=kl_coefficient)
    run = _run_trl(
        method,
        checkpoint,
        tmp_path,
        num_micro_batches=num_micro_batches,
        off_policy=off_policy,
    )
    rows = _rows(run.steps)
    advantages_B1 = _advantages(rows, method)
    theirs_B = torch.cat([step.inputs["advantages"] for step in run.steps])
    torch.testing.assert_close(advantages_B1[:, 0], theirs_B, atol=1e-5, rtol=0)

    logprobs_BT, mask_BT = _logprobs(run.policy, rows)
    assert len(set(mask_BT.sum(1).tolist())) > 2  # lengths differ
    old_BT = _old_logprobs(run.policy, rows) if off_policy else logprobs_BT.detach()
    loss_BT, is_clipped_BT = surrogate_loss(
        logprobs_BT,
        old_BT,
        advantages_B1,
        clip_low=method.clip_low,
        clip_high=method.clip_high,
    )
    assert bool((is_clipped_BT & mask_BT).any()) == off_policy
    if kl_coefficient:
        with torch.no_grad():
            reference_BT, _ = _logprobs(run.reference, rows)
        kl_BT = kl_estimate(logprobs_BT, reference_BT, method.kl_estimator)
        assert kl_BT[mask_BT].mean() > 1e-3
        loss_BT = loss_BT + kl_coefficient * kl_BT
    weights_B = row_weights(
        mask_BT.sum(1),
        method.length_normalisation,
        num_rows=NUM_ROWS,
        max_tokens=MAX_TOKENS,
        total_tokens=int(mask_BT.sum()),
    )
    loss = weighted_loss(loss_BT, mask_BT, weights_B)
    assert loss.item() == pytest.approx(sum(step.loss for step in run.steps), abs=1e-5)
    _assert_same_gradient(run, loss)


@pytest.mark.parametrize("kl_coefficient", [0.0, 0.05])
def test_rloo_has_the_advantages_and_on_policy_the_gradient_of_trls(
    kl_coefficient: float, checkpoint: Path, tmp_path: Path
) -> None:
    method = algorithm("rloo", kl_coefficient=kl_coefficient)
    run = _run_trl(method, checkpoint, tmp_path, num_micro_batches=1, off_policy=False)
    rows = _rows(run.steps)
    logprobs_BT, mask_BT = _logprobs(run.policy, rows)
    penalty_BT = torch.zeros(mask_BT.shape)
    if kl_coefficient:
        with torch.no_grad():
            reference_BT, _ = _logprobs(run.reference, rows)
        kl_BT = kl_estimate(logprobs_BT.detach(), reference_BT, method.kl_estimator)
        penalty_BT = (kl_coefficient * kl_BT).masked_fill(~mask_BT, 0.0)
    advantages_B1 = _advantages(rows, method, penalty_BT)
    theirs_B = run.steps[0].inputs["advantages"]
    torch.testing.assert_close(advantages_B1[:, 0], theirs_B, atol=1e-5, rtol=0)
    # By token: the loss is another number, its gradient the same.
    loss_BT, _ = surrogate_loss(
        logprobs_BT, logprobs_BT.detach(), advantages_B1, clip_low=0.2, clip_high=0.2
    )
    weights_B = row_weights(
        mask_BT.sum(1),
        method.length_normalisation,
        num_rows=NUM_ROWS,
        max_tokens=MAX_TOKENS,
        total_tokens=int(mask_BT.sum()),
    )
    _assert_same_gradient(run, weighted_loss(loss_BT, mask_BT, weights_B))


def test_rloo_by_whole_completions_is_trls_off_policy_too(checkpoint: Path, tmp_path: Path) -> None:
    method = algorithm("rloo")
    run = _run_trl(method, checkpoint, tmp_path, num_micro_batches=1, off_policy=True)
    rows = _rows(run.steps)
    logprobs_BT, mask_BT = _logprobs(run.policy, rows)
    old_BT = _old_logprobs(run.policy, rows)
    loss_B1, is_clipped_B1 = surrogate_loss(
        (logprobs_BT * mask_BT).sum(1, keepdim=True),
        (old_BT * mask_BT).sum(1, keepdim=True),
        _advantages(rows, method),
        clip_low=method.clip_low,
        clip_high=method.clip_high,
    )
    assert 0 < is_clipped_B1.sum() < NUM_ROWS
    assert loss_B1.mean().item() == pytest.approx(run.steps[0].loss, abs=1e-5)
    _assert_same_gradient(run, loss_B1.mean())
