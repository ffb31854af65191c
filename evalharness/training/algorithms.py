"""What makes an algorithm: a handful of switches, and the presets that papers call by name.

The pure functions behind the switches stand in `advantages`, `losses` and `prime`, and can be
imported from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from evalharness.definitions import suggestion
from evalharness.errors import InputError
from evalharness.training.advantages import (
    AdvantagesAndReturns,
    batch_mean_advantages,
    gae,
    gradient_filter,
    group_advantages,
    leave_one_out_advantages,
    rewards_at_end,
    whiten,
)
from evalharness.training.losses import (
    KLEstimator,
    LengthNormalisation,
    SurrogateLoss,
    kl_estimate,
    row_weights,
    surrogate_loss,
    value_loss,
    weighted_loss,
)
from evalharness.training.prime import (
    PrimeSettings,
    implicit_token_rewards,
    prime_advantages,
    prm_loss,
    rewards_to_go,
)

if TYPE_CHECKING:
    import torch

__all__ = [
    "PRESETS",
    "Advantage",
    "AdvantagesAndReturns",
    "Algorithm",
    "KLEstimator",
    "LengthNormalisation",
    "PrimeSettings",
    "SurrogateLoss",
    "algorithm",
    "batch_mean_advantages",
    "gae",
    "gradient_filter",
    "group_advantages",
    "implicit_token_rewards",
    "kl_estimate",
    "leave_one_out_advantages",
    "prime_advantages",
    "prm_loss",
    "rewards_at_end",
    "rewards_to_go",
    "row_advantages",
    "row_weights",
    "surrogate_loss",
    "value_loss",
    "weighted_loss",
    "whiten",
]

Advantage = Literal["group", "leave_one_out", "batch_mean", "gae"]

_CHOICES = {
    "advantage": ("group", "leave_one_out", "batch_mean", "gae"),
    "length_normalisation": ("response", "constant", "token", "none"),
    "kl_estimator": ("k1", "k3"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """Every switch of a policy-gradient method; construct one with `algorithm`, which checks it."""

    name: str
    advantage: Advantage
    std_normalisation: bool
    """group, batch_mean: divide by the std of the group or batch; gae and PRIME: whiten."""
    length_normalisation: LengthNormalisation
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coefficient: float = 0.0
    kl_estimator: KLEstimator = "k3"
    kl_in_reward: bool = False
    """Subtract the KL from the reward and not add it to the loss."""
    gamma: float = 1.0
    gae_lambda: float = 1.0
    value_clip: float | None = 0.2
    process_reward: PrimeSettings | None = None

    @property
    def uses_critic(self) -> bool:
        """Whether a value head is trained."""
        return self.advantage == "gae"

    @property
    def uses_reference(self) -> bool:
        """Whether the log-probabilities of the starting model are needed."""
        return self.kl_coefficient != 0 or self.process_reward is not None


_GRPO = Algorithm(
    name="grpo", advantage="group", std_normalisation=True, length_normalisation="response"
)
_RLOO = Algorithm(
    name="rloo",
    advantage="leave_one_out",
    std_normalisation=False,
    length_normalisation="none",
    kl_estimator="k1",
    kl_in_reward=True,
)
_PPO = Algorithm(
    name="ppo",
    advantage="gae",
    std_normalisation=True,
    length_normalisation="token",
    kl_estimator="k1",
    kl_in_reward=True,
)

PRESETS: dict[str, Algorithm] = {
    preset.name: preset
    for preset in (
        _GRPO,
        replace(_GRPO, name="dr_grpo", std_normalisation=False, length_normalisation="constant"),
        replace(_GRPO, name="grpo_no_std", std_normalisation=False),
        replace(_GRPO, name="grpo_no_length", length_normalisation="constant"),
        replace(_GRPO, name="dapo", length_normalisation="token", clip_high=0.28),
        _RLOO,
        replace(_RLOO, name="reinforce", advantage="batch_mean"),
        _PPO,
        replace(
            _RLOO,
            name="prime",
            std_normalisation=True,
            length_normalisation="token",
            process_reward=PrimeSettings(),
        ),
        replace(_PPO, name="prime_ppo", process_reward=PrimeSettings()),
    )
}
"""Name -> the switches that the paper of that name sets.

No preset has a KL term by default; `kl_estimator` and `kl_in_reward` say what a coefficient would
mean. Sources: grpo arXiv 2402.03300, dr_grpo 2503.20783, dapo 2503.14476 (its dynamic sampling and
overlong penalty are no part of it), rloo 2402.14740, ppo 1707.06347 with the value clip of TRL's
former PPOTrainer and lambda 1 as in Open-Reasoner-Zero (2503.24290), since the reward comes at the
end only; the critic is a network of its own, so its loss needs no coefficient. prime 2502.01456.
grpo_no_std and grpo_no_length each take one of GRPO's two normalisations away: together they are
dr_grpo.
"""


def algorithm(name: str, /, **switches: Any) -> Algorithm:
    """A preset, with some of its switches set otherwise.

    Args:
        name: of a preset.
        switches: other values for fields of `Algorithm`.

    Raises:
        InputError: an unknown name, switch or choice, or switches that contradict each other.
    """
    if name not in PRESETS:
        raise InputError(
            f'unknown algorithm "{name}"{suggestion(name, PRESETS)} There are {", ".join(PRESETS)}.'
        )
    names = [field.name for field in fields(Algorithm) if field.name != "name"]
    for switch in switches:
        if switch not in names:
            raise InputError(
                f'unknown switch "{switch}" of an algorithm{suggestion(switch, names)} '
                f"There are {', '.join(names)}."
            )
    chosen = replace(PRESETS[name], **switches)
    _check(chosen)
    return chosen


def row_advantages(rewards_PG: torch.Tensor, method: Algorithm) -> torch.Tensor:
    """The advantage of each completion, shape (P, G), where a method gives a row one advantage.

    Raises:
        InputError: the method gives each token an advantage of its own; or a group of one.
    """
    if method.advantage == "gae" or method.process_reward is not None:
        raise InputError(
            f"{method.name} has an advantage for each token: use gae or prime_advantages"
        )
    if method.advantage == "group":
        return group_advantages(rewards_PG, std_normalisation=method.std_normalisation)
    if method.advantage == "batch_mean":
        return batch_mean_advantages(rewards_PG, std_normalisation=method.std_normalisation)
    return leave_one_out_advantages(rewards_PG)


def _check(method: Algorithm) -> None:
    for switch, choices in _CHOICES.items():
        value = getattr(method, switch)
        if value not in choices:
            raise InputError(
                f'{switch} "{value}" is unknown{suggestion(str(value), choices)} '
                f"There are {', '.join(choices)}."
            )
    _check_range("clip_low", method.clip_low, 0, 1)
    _check_range("clip_high", method.clip_high, 0, None)
    _check_range("kl_coefficient", method.kl_coefficient, 0, None)
    _check_range("gamma", method.gamma, 0, 1)
    _check_range("gae_lambda", method.gae_lambda, 0, 1)
    if method.value_clip is not None:
        _check_range("value_clip", method.value_clip, 0, None)
    _check_contradictions(method)


def _check_range(name: str, value: float, low: float, high: float | None) -> None:
    is_inside = low <= value <= (math.inf if high is None else high)  # false for NaN
    if not is_inside or math.isinf(value):
        span = f"between {low} and {high}" if high is not None else f"at least {low}"
        raise InputError(f"{name} must be {span}, not {value}")


def _check_contradictions(method: Algorithm) -> None:
    if method.kl_coefficient and method.kl_estimator == "k1" and not method.kl_in_reward:
        raise InputError(
            f"{method.name}: k1 in the loss has an expected gradient of 0 and holds nothing back: "
            "set kl_in_reward, or take the estimator k3"
        )
    if not method.uses_critic and (method.gamma, method.gae_lambda) != (1, 1):
        raise InputError(
            f"{method.name}: gamma and gae_lambda are GAE's, and without a critic nothing is "
            "discounted: leave them out, or take ppo or prime_ppo"
        )
    if method.process_reward is not None and method.advantage not in ("leave_one_out", "gae"):
        raise InputError(
            f"{method.name}: a process reward needs the advantage leave_one_out or gae, not "
            f"{method.advantage}: start from the preset prime or prime_ppo"
        )
    if (
        method.std_normalisation
        and method.advantage == "leave_one_out"
        and method.process_reward is None
    ):
        raise InputError(
            f"{method.name}: leave-one-out advantages of whole responses have no std "
            "normalisation: switch it off, or take the preset grpo or reinforce"
        )
