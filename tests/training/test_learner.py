"""One step of every algorithm on fixed rollouts: what may and what may not change the gradient."""

from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.errors import TrainingError
from evalharness.records import Problem
from evalharness.training.algorithms import PRESETS, Algorithm, PrimeSettings, algorithm
from evalharness.training.config import RLConfig
from evalharness.training.forward import TokenRow, make_token_batch, score_tokens
from evalharness.training.learner import Learner
from evalharness.training.rollout import Rollout, within_accuracy
from evalharness.training.tokenizer import byte_tokenizer
from evalharness.training.toy import ToyModel, make_toy_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")

MICRO = ToyModel(
    hidden_size=32, intermediate_size=64, num_layers=1, num_heads=1, num_kv_heads=1, head_size=32
)
PROBLEM = Problem(benchmark="b", problem_id="b/0", text="?", golds=("1",))


def _rollout(prompt: list[int], completion: list[int], reward: float) -> Rollout:
    return Rollout(
        problem=PROBLEM,
        row=TokenRow(prompt, completion),
        text="",
        is_truncated=False,
        reward=reward,
    )


# Two groups of two; the second is uniform, so GRPO learns nothing from it.
ROLLOUTS = [
    _rollout([5, 6], [7, 257], 1.0),
    _rollout([5, 6], [9, 10, 11, 12, 257], 0.0),
    _rollout([8, 3, 2], [30, 257], 0.0),
    _rollout([8, 3, 2], [31, 32, 257], 0.0),
]


def _config(method: Algorithm, **changes: object) -> RLConfig:
    values: dict[str, object] = {
        "output": Path("unused"),
        "model": "toy",
        "algorithm": method,
        "problems_per_step": 2,
        "group_size": 2,
        "max_tokens": 8,
        "learning_rate": 1e-2,
    }
    return RLConfig(**(values | changes))  # type: ignore[arg-type]


def _learner(method: Algorithm, **changes: object) -> Learner:
    model = make_toy_model(MICRO, byte_tokenizer(max_length=512), seed=1)
    return Learner(model, _config(method, **changes), "float32")


def _weights(learner: Learner) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in learner.policy.module.parameters()]


def _after_step(method: Algorithm, rollouts: list[Rollout], **changes: object) -> Learner:
    learner = _learner(method, **changes)
    # Plain gradient descent: Adam would hide a wrong scale of the gradient.
    for network in learner.networks().values():
        network.optimizer = torch.optim.SGD(network.module.parameters(), lr=1.0)
        network.learning_rate = 1.0
    learner.learn(rollouts, 1)
    return learner


def _assert_same_weights(one: Learner, other: Learner) -> None:
    for first, second in zip(_weights(one), _weights(other), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", PRESETS)
def test_micro_batches_do_not_change_the_step(name: str) -> None:
    whole = _after_step(algorithm(name), ROLLOUTS)
    cut = _after_step(algorithm(name), ROLLOUTS, micro_batch_tokens=1)
    _assert_same_weights(whole, cut)
    assert any(
        not torch.equal(before, after)
        for before, after in zip(_weights(_learner(algorithm(name))), _weights(whole), strict=True)
    )


@pytest.mark.parametrize("name", PRESETS)
def test_the_order_of_the_groups_does_not_change_the_step(name: str) -> None:
    swapped = [ROLLOUTS[3], ROLLOUTS[2], ROLLOUTS[1], ROLLOUTS[0]]
    _assert_same_weights(
        _after_step(algorithm(name), ROLLOUTS), _after_step(algorithm(name), swapped)
    )


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo", "dapo", "reinforce"])
def test_filtering_rows_without_an_advantage_keeps_the_step(name: str) -> None:
    whole = _after_step(algorithm(name), ROLLOUTS)
    learner = _learner(algorithm(name), filter_threshold=0.0)
    learner.policy.optimizer = torch.optim.SGD(learner.policy.module.parameters(), lr=1.0)
    learner.policy.learning_rate = 1.0
    metrics = learner.learn(ROLLOUTS, 1)
    _assert_same_weights(whole, learner)
    # Against the batch's mean no row is without an advantage; against its group's, two are.
    assert metrics.num_trained == (4 if name == "reinforce" else 2)


def test_a_step_whose_rows_are_all_filtered_is_the_step_that_their_zero_gradients_take() -> None:
    uniform = [replace(rollout, reward=0.0) for rollout in ROLLOUTS]
    whole, filtered = _learner(algorithm("grpo")), _learner(algorithm("grpo"), filter_threshold=0.0)
    for learner in (whole, filtered):
        learner.learn(ROLLOUTS, 1)
        before = _weights(learner)
        metrics = learner.learn(uniform, 2)
        assert metrics.grad_norm == 0
    assert metrics.num_trained == 0
    # Adam goes on by what it remembers of the first step, filter or no filter.
    assert not torch.equal(before[0], _weights(filtered)[0])
    _assert_same_weights(whole, filtered)


def test_problems_outside_the_accuracy_bounds_leave_and_the_bounds_belong_to_it() -> None:
    # Groups of five with 0, 1, 4 and 5 right: shares 0, 0.2, 0.8, 1.
    shares = (0, 1, 4, 5)
    rollouts = [
        _rollout([place], [7, 257], float(sample < right))
        for place, right in enumerate(shares)
        for sample in range(5)
    ]
    kept = within_accuracy(rollouts, 5, 0.2, 0.8)
    assert [rollout.row.prompt_ids[0] for rollout in kept] == [1] * 5 + [2] * 5
    assert within_accuracy(rollouts, 5, 0.0, 1.0) == rollouts
    assert within_accuracy(rollouts, 5, 0.4, 0.6) == []


def test_a_problem_that_left_is_counted_nowhere_in_the_step() -> None:
    # The step on the first group alone is the step on both, the second (share 0) left out.
    kept = within_accuracy(ROLLOUTS, 2, 0.2, 0.8)
    assert kept == ROLLOUTS[:2]
    for name in ("prime", "dr_grpo", "ppo"):
        learner = _after_step(algorithm(name), kept)
        whole = _after_step(algorithm(name), ROLLOUTS[:2], problems_per_step=1)
        _assert_same_weights(learner, whole)


def test_without_a_rollout_nothing_moves() -> None:
    learner = _learner(algorithm("prime"))
    before = _weights(learner)
    metrics = learner.learn([], 1)
    assert (metrics.num_trained, metrics.entropy, metrics.prm_loss) == (0, None, None)
    assert all(torch.equal(now, then) for now, then in zip(_weights(learner), before, strict=True))


def test_a_step_makes_the_rewarded_completion_likelier_and_the_other_less_likely() -> None:
    for name in ("grpo", "dr_grpo", "rloo", "prime"):
        before, after = _learner(algorithm(name)), _after_step(algorithm(name), ROLLOUTS)
        batch = make_token_batch([rollout.row for rollout in ROLLOUTS[:2]])
        change_B = (
            score_tokens(after.policy.module, batch).logprobs_BT
            - score_tokens(before.policy.module, batch).logprobs_BT
        ).sum(dim=1)
        assert change_B[0] > 0 > change_B[1], name


def test_grpo_punishes_a_longer_wrong_completion_less_a_token_and_dr_grpo_does_not() -> None:
    def first_token_gradient(name: str, num_filler: int) -> float:
        """d loss / d logit of the wrong completion's first token, as plain descent moves it."""
        long = [9] + [10] * num_filler + [257]
        rollouts = [ROLLOUTS[0], _rollout([5, 6], long, 0.0)]
        learner = _learner(algorithm(name), problems_per_step=1, max_tokens=64)
        # Only the output matrix row of token 9, which the rewarded completion doesn't hold:
        # its gradient is -advantage x weight x (1 - p) x state, and the state is the prompt's.
        captured = {}
        learner.policy.optimizer.step = lambda *_: captured.update(  # type: ignore[method-assign]
            gradient=learner.policy.module.lm_head.weight.grad.clone()
        )
        learner.config = _config(
            algorithm(name), problems_per_step=1, max_tokens=64, max_grad_norm=1e9
        )
        learner.learn(rollouts, 1)
        return float(captured["gradient"][9].norm())

    # Filler never predicts token 9, up to p(9) ~ 1/288 at each filler position, which is 2 % here.
    assert first_token_gradient("grpo", 8) / first_token_gradient("grpo", 3) == pytest.approx(
        5 / 10, rel=0.05
    )
    assert first_token_gradient("dr_grpo", 8) / first_token_gradient("dr_grpo", 3) == pytest.approx(
        1, rel=0.05
    )


def test_several_updates_on_the_same_rollouts_use_the_ratio_to_the_first_policy() -> None:
    learner = _learner(algorithm("grpo"), updates_per_step=2, learning_rate=0.3)
    metrics = learner.learn(ROLLOUTS, 1)
    # One group a step: the second update meets a policy that the first has moved.
    assert metrics.num_trained == 4
    assert metrics.clip_share == 0  # the second group is uniform: no advantage, so nothing to clip


def test_kl_holds_the_policy_at_the_reference() -> None:
    free = _after_step(algorithm("grpo"), ROLLOUTS)
    start = _weights(_learner(algorithm("grpo")))

    def distance(learner: Learner) -> float:
        pairs = zip(_weights(learner), start, strict=True)
        return sum(float((now - then).square().sum()) for now, then in pairs)

    held = _learner(algorithm("grpo", kl_coefficient=5.0))
    loose = _learner(algorithm("grpo", kl_coefficient=0.001))
    for learner in (held, loose):
        for step in range(1, 9):
            metrics = learner.learn(ROLLOUTS, step)
    assert metrics.kl is not None
    assert metrics.kl > 0
    assert distance(held) < 0.5 * distance(loose)
    assert free.reference is None


def test_critic_learns_the_return() -> None:
    learner = _learner(algorithm("ppo"), critic_learning_rate=0.02)
    losses = [learner.learn(ROLLOUTS, step).critic_loss for step in range(1, 40)]
    # It starts at value 0: half the mean squared return, 2 of 12 tokens have return 1: 1/12.
    assert losses[0] == pytest.approx(1 / 12)
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < 0.3 * losses[0]


def test_process_reward_model_learns_the_outcome() -> None:
    learner = _learner(algorithm("prime"))
    assert learner.prm is not None
    for group in learner.prm.network.optimizer.param_groups:
        group["lr"] = 0.02
    losses = [learner.learn(ROLLOUTS, step).prm_loss for step in range(1, 40)]
    # It starts as the reference: the sum of log ratios is 0, so every outcome costs ln 2.
    assert losses[0] == pytest.approx(0.6931, abs=1e-4)
    assert losses[-1] is not None
    assert losses[-1] < 0.6


def test_process_rewards_begin_at_zero_at_any_temperature() -> None:
    settings = PrimeSettings(updates_before_rewards=False)
    learner = _learner(algorithm("prime", process_reward=settings), temperature=0.5)
    rows = [rollout.row for rollout in ROLLOUTS]
    assert learner.prm is not None
    batch = make_token_batch(rows)
    # Log-probabilities at temperature 0.5 are other numbers than at 1: an untrained PRM compared
    # across the two would reward every token for nothing.
    reference_BT = score_tokens(learner.reference, batch, temperature=0.5).logprobs_BT.detach()
    assert (score_tokens(learner.reference, batch).logprobs_BT - reference_BT).abs().max() > 0.01
    outcomes_B = torch.tensor([rollout.reward for rollout in ROLLOUTS])
    rewards_BT, loss = learner.prm.rewards(rows, outcomes_B, reference_BT, batch.mask_BT, 1)
    assert rewards_BT.abs().max() < 1e-6
    assert loss == pytest.approx(0.6931, abs=1e-4)  # ln 2: it starts without an opinion


@pytest.mark.parametrize(("kl_coefficient", "forwards"), [(0.0, 1), (0.1, 2)])
def test_the_policy_is_read_before_the_update_only_for_a_kl_in_the_reward(
    kl_coefficient: float, forwards: int
) -> None:
    learner = _learner(algorithm("prime", kl_coefficient=kl_coefficient))
    seen: list[int] = []
    learner.policy.module.model.register_forward_hook(lambda *_: seen.append(1))
    learner.learn(ROLLOUTS, 1)
    assert len(seen) == forwards


def test_a_gradient_that_is_no_number_is_refused_and_the_weights_stay() -> None:
    learner = _learner(algorithm("grpo"))
    before = _weights(learner)
    with torch.no_grad():
        learner.policy.module.lm_head.weight[9, 0] = float("nan")
    with pytest.raises(
        TrainingError, match=r"step 3: the gradient is nan: lower the learning rate"
    ):
        learner.learn(ROLLOUTS, 3)
    for name, parameter in learner.policy.module.named_parameters():
        if "embed" not in name and "lm_head" not in name:
            assert torch.isfinite(parameter).all()
    unchanged = [
        torch.equal(now, then) for now, then in zip(_weights(learner), before, strict=True)
    ]
    assert unchanged.count(False) == 1  # the row that the test broke


def test_memory_that_runs_out_names_the_micro_batches_and_moves_no_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = _learner(algorithm("grpo"))
    before = _weights(learner)

    def exhausted(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(learner.policy.module.lm_head, "forward", exhausted)
    with pytest.raises(
        TrainingError,
        match=r"step 2: out of memory with micro-batches of \d+ tokens: lower --micro-batch-tokens",
    ):
        learner.learn(ROLLOUTS, 2)
    assert all(torch.equal(now, then) for now, then in zip(_weights(learner), before, strict=True))
