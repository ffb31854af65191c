"""Rollouts by vLLM: they come from the weights as they are after the last optimizer step."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

if importlib.util.find_spec("vllm") is None:
    pytest.skip("vllm isn't installed", allow_module_level=True)

import torch

from evalharness.engines.checkpoints import end_token_ids, find_checkpoint, load_tokenizer
from evalharness.engines.decoding import Row, decode
from evalharness.engines.transformers import load_model
from evalharness.paths import tiny_checkpoint
from evalharness.records import Sampling
from evalharness.training.algorithms import algorithm
from evalharness.training.config import RLConfig
from evalharness.training.metrics import StepMetrics
from evalharness.training.rollout import RolloutRequest
from evalharness.training.state import checkpoints
from evalharness.training.trainer import train
from evalharness.training.vllm_sampler import VllmSampler

pytestmark = [
    pytest.mark.vllm,
    # vllm and the packages that it imports use names that their own dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# So cold that a draw is the most likely token, whatever the random number: 1e-4 of a logit is as
# far as 1 at temperature 1.
COLD = 1e-4
MAX_TOKENS = 16


@pytest.fixture(scope="module")
def policy():
    return load_model(find_checkpoint(str(tiny_checkpoint())), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def sampler(policy) -> Iterator[VllmSampler]:
    tokenizer = load_tokenizer(find_checkpoint(str(tiny_checkpoint())), trust_remote_code=False)
    sampler = VllmSampler(policy, tokenizer, temperature=COLD, dtype="float32", context_length=128)
    yield sampler
    sampler.close()


def _requests(num: int = 8) -> list[RolloutRequest]:
    return [
        RolloutRequest(
            prompt_ids=tuple(f"What is {7 + number} + {30 - number}?".encode()),
            seed=number,
            max_tokens=MAX_TOKENS,
        )
        for number in range(num)
    ]


def _most_likely(policy, requests: list[RolloutRequest]) -> list[tuple[int, ...]]:
    checkpoint = find_checkpoint(str(tiny_checkpoint()))
    tokenizer = load_tokenizer(checkpoint, trust_remote_code=False)
    ends = end_token_ids(checkpoint, tokenizer)
    rows = [
        Row(
            index=index,
            prompt_ids=request.prompt_ids,
            seed=request.seed,
            max_tokens=request.max_tokens,
        )
        for index, request in enumerate(requests)
    ]
    found = {
        done.index: done.token_ids if done.end_id is None else (*done.token_ids, done.end_id)
        for done in decode(policy, rows, Sampling(), end_ids=ends, batch_size=len(rows))
    }
    return [found[index] for index in range(len(rows))]


def test_cold_draws_are_the_policy_s_most_likely_tokens_before_and_after_it_changes(
    policy, sampler: VllmSampler
) -> None:
    requests = _requests()
    first = _most_likely(policy, requests)
    assert [drawn.token_ids for drawn in sampler.draw(requests, ())] == first
    kept = {name: value.clone() for name, value in policy.state_dict().items()}
    with torch.no_grad():
        policy.model.layers[2].mlp.down_proj.weight.mul_(-2)
    try:
        second = _most_likely(policy, requests)
        assert second != first
        # Until it is told, vLLM draws from the weights that it has.
        assert [drawn.token_ids for drawn in sampler.draw(requests, ())] == first
        sampler.refresh()
        assert [drawn.token_ids for drawn in sampler.draw(requests, ())] == second
    finally:
        policy.load_state_dict(kept)
        sampler.refresh()


def test_a_draw_is_cut_at_a_stop_string_and_at_the_cap(sampler: VllmSampler) -> None:
    [request] = _requests(1)
    [whole] = sampler.draw([request], ())
    stop = whole.text[2:4]
    start = whole.text.index(stop)
    for keep_stop in (True, False):
        [stopped] = sampler.draw([request], (stop,), keep_stop=keep_stop)
        # As in the evaluation, by the template.
        assert stopped.text == whole.text[: start + keep_stop * len(stop)]
        assert not stopped.is_truncated
    [cut] = sampler.draw([replace(request, max_tokens=3)], ())
    assert (cut.token_ids, cut.is_truncated) == (whole.token_ids[:3], True)


def _metrics(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if not name.startswith("seconds")}
        for line in lines
    ]


@pytest.mark.slow
def test_a_run_with_rollouts_by_vllm_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    config = RLConfig(
        output=tmp_path / "whole",
        model=str(tiny_checkpoint()),
        # Two updates a step need the old log-probabilities: the trainer's own.
        algorithm=algorithm("grpo"),
        kinds=("order",),
        num_steps=2,
        problems_per_step=4,
        group_size=4,
        max_tokens=48,
        learning_rate=1e-4,
        updates_per_step=2,
        save_every=1,
        rollout_engine="vllm",
    )
    train(config)
    parts = replace(config, output=tmp_path / "parts")

    def stop(metrics: StepMetrics) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(parts, progress=stop)
    assert list(checkpoints(parts.output)) == [1]
    train(parts)
    whole = _metrics(config.output)
    assert [row["step"] for row in whole] == [1, 2]
    assert any(0 < row["reward"] < 1 for row in whole)
    assert _metrics(parts.output) == whole
    weights = [
        (checkpoints(each.output)[2] / "model.safetensors").read_bytes() for each in (config, parts)
    ]
    assert weights[0] == weights[1]
