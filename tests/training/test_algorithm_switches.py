"""The presets are what the papers call by their names; contradictions are refused."""

from dataclasses import replace

import pytest

from evalharness.errors import InputError
from evalharness.training.algorithms import PRESETS, PrimeSettings, algorithm


def test_dr_grpo_is_grpo_without_its_two_normalisations() -> None:
    switched = algorithm("grpo", std_normalisation=False, length_normalisation="constant")
    assert replace(switched, name="dr_grpo") == PRESETS["dr_grpo"]
    first = algorithm("grpo_no_std", length_normalisation="constant")
    second = algorithm("grpo_no_length", std_normalisation=False)
    assert replace(first, name="dr_grpo") == replace(second, name="dr_grpo") == PRESETS["dr_grpo"]


def test_what_each_preset_needs() -> None:
    assert {name for name, preset in PRESETS.items() if preset.uses_critic} == {"ppo", "prime_ppo"}
    # No KL by default, so only a process reward needs the starting model's log-probabilities.
    assert {name for name, preset in PRESETS.items() if preset.uses_reference} == {
        "prime",
        "prime_ppo",
    }
    assert algorithm("grpo", kl_coefficient=0.04).uses_reference


def test_every_preset_passes_its_own_check() -> None:
    assert [algorithm(name).name for name in PRESETS] == list(PRESETS)


@pytest.mark.parametrize(
    ("name", "switches", "message"),
    [
        ("gppo", {}, 'unknown algorithm "gppo"; did you mean "ppo"'),
        ("grpo", {"clip_hi": 0.3}, 'unknown switch "clip_hi".*did you mean "clip_high"'),
        ("grpo", {"name": "mine"}, 'unknown switch "name"'),
        ("grpo", {"length_normalisation": "tokens"}, 'did you mean "token"'),
        ("grpo", {"clip_low": 1.5}, "clip_low must be between 0 and 1, not 1.5"),
        ("grpo", {"clip_high": float("nan")}, "clip_high must be at least 0, not nan"),
        ("grpo", {"kl_coefficient": -0.1}, "kl_coefficient must be at least 0"),
        ("grpo", {"kl_coefficient": 0.1, "kl_estimator": "k1"}, "k1 in the loss.*set kl_in_reward"),
        ("rloo", {"kl_coefficient": 0.1, "kl_in_reward": False}, "k1 in the loss"),
        ("rloo", {"std_normalisation": True}, "no std normalisation"),
        ("grpo", {"process_reward": PrimeSettings()}, "needs the advantage leave_one_out or gae"),
        ("ppo", {"gae_lambda": 1.1}, "gae_lambda must be between 0 and 1"),
        ("grpo", {"kl_coefficient": float("inf")}, "kl_coefficient must be at least 0, not inf"),
        ("grpo", {"gamma": 0.5}, "grpo: gamma and gae_lambda are GAE's"),
        ("prime", {"gae_lambda": 0.5}, "prime: gamma and gae_lambda are GAE's"),
        ("ppo", {"value_clip": -1.0}, "value_clip must be at least 0"),
    ],
)
def test_unknown_and_contradictory_switches_are_refused(
    name: str, switches: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        algorithm(name, **switches)
