"""What TRL is told, so that its trainers do what an algorithm of ours says.

TRL's defaults are neither GRPO nor Dr. GRPO, so every setting that touches the loss is spelled out
here and nothing is left to a default that a later version may change.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from evalharness.engines.transformers import choose_device, choose_dtype
from evalharness.errors import InputError
from evalharness.training.algorithms import Algorithm
from evalharness.training.config import RLConfig
from evalharness.training.sft_config import SFTConfig

LOSS_TYPES = {"response": "grpo", "constant": "dr_grpo", "token": "dapo", "none": "luspo"}
"""Our length normalisation -> GRPOConfig.loss_type.

With importance sampling by token, `luspo` is the mean over rows of each row's sum.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TRLOptions:
    """What only TRL knows of."""

    rows_per_device: int = 8
    """Rows of one forward and backward on one device, at most."""
    lora_rank: int | None = None
    """None trains all weights."""
    weights_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights and the optimizer; RLConfig's `dtype` is that of the forward passes."""
    gradient_checkpointing: bool = False
    vllm_memory_share: float = 0.3
    """Of a GPU's memory, for the vLLM that shares it with the trainer."""


class TRLPlan(NamedTuple):
    """Which of TRL's trainers, and the arguments of its config."""

    trainer: Literal["grpo", "rloo"]
    arguments: dict[str, Any]


def trl_arguments(config: RLConfig, options: TRLOptions) -> TRLPlan:
    """The trainer and the config that make TRL do what `config.algorithm` says.

    One step of ours is `rows_per_step` completions, generated at once, and `updates_per_step`
    optimizer steps on equal parts of them, each completion used once.

    Three differences remain where they are TRL's own: the order of the problems and the random
    numbers; with several updates a step, `token` normalisation divides by the mean number of tokens
    of an update and not by the update's own; and RLOOTrainer clips the ratio of whole completions,
    which is another loss off-policy only.

    Raises:
        InputError: TRL can't do what the config asks for.

    Source: TRL 1.16, trl/trainer/grpo_trainer.py and rloo_trainer.py, `_compute_loss`.
    """
    method = config.algorithm
    trainer = _trainer_for(method)
    _check(config)
    arguments = _shared_arguments(config, config.rows_per_step, config.updates_per_step, options)
    device = choose_device(config.device)
    arguments |= _precision(device, choose_dtype(config.dtype, device))
    arguments |= {
        "max_steps": config.num_steps * config.updates_per_step,
        "adam_beta2": 0.999,
        "save_steps": config.save_every * config.updates_per_step,
        "save_strategy": "steps",
        "save_total_limit": 1 if config.keep_checkpoints == "last" else None,
        "logging_steps": config.updates_per_step,
        "report_to": [config.tracker] if config.tracker else "none",
    }
    arguments |= _rollout_arguments(config, options)
    arguments |= {
        "beta": method.kl_coefficient,
        "epsilon": method.clip_low,
        "epsilon_high": method.clip_high,
        # Each completion is used once; updates_per_step cuts the batch instead.
        "num_iterations": 1,
        # A truncated completion gets reward 0 and counts: it isn't taken out of the loss.
        "mask_truncated_completions": False,
        "reward_weights": None,
        "sync_ref_model": False,
    }
    if trainer == "rloo":
        arguments |= {"normalize_advantages": False, "reward_clip_range": None}
        return TRLPlan("rloo", arguments)
    arguments |= {
        "loss_type": LOSS_TYPES[method.length_normalisation],
        "scale_rewards": "group" if method.std_normalisation else "none",
        "importance_sampling_level": "token",
        "multi_objective_aggregation": "sum_then_normalize",
        "delta": None,
        "top_entropy_quantile": 1.0,
        "entropy_coef": 0.0,
        "use_adaptive_entropy": False,
        "off_policy_mask_threshold": None,
        # On by default in TRL 1.16; the paper's KL term isn't multiplied by the ratio.
        "use_bias_correction_kl": False,
        # No paper's loss has this factor; the ratio is taken between the trainer's own policies.
        "vllm_importance_sampling_correction": False,
    }
    return TRLPlan("grpo", arguments)


def sft_arguments(config: SFTConfig, options: TRLOptions) -> dict[str, Any]:
    """The config that makes SFTTrainer do what our own SFT does.

    The loss of a step is the mean cross entropy over the completion tokens of its rows, EOS
    included; rows are neither packed nor cut, and come in the order of the data set.

    Raises:
        InputError: the rows of a step can't be cut for the devices.
    """
    device = choose_device("auto")
    arguments = _shared_arguments(config, config.rows_per_step, 1, options)
    return (
        arguments
        | _precision(device, choose_dtype("auto", device))
        | {
            "max_steps": config.num_steps,
            "adam_beta2": 0.98,
            "save_strategy": "steps",
            "save_steps": config.save_every,
            "save_total_limit": 1 if config.keep_checkpoints == "last" else None,
            "logging_steps": 1,
            "report_to": "none",
            "completion_only_loss": True,
            "assistant_only_loss": False,
            "loss_type": "nll",
            "packing": False,
            "padding_free": False,
            "max_length": None,
            "shuffle_dataset": False,
            "train_sampling_strategy": "sequential",
        }
    )


def _trainer_for(method: Algorithm) -> Literal["grpo", "rloo"]:
    own = "train with --backend own"
    if method.process_reward is not None:
        raise InputError(f"{method.name}: TRL has no process reward model (PRIME): {own}")
    if method.uses_critic:
        raise InputError(f"{method.name}: TRL has no PPO trainer any more: {own}")
    if method.advantage == "batch_mean":
        raise InputError(
            f"{method.name}: TRL always compares within the group, never with the batch: {own}, or "
            "take rloo"
        )
    if method.advantage == "leave_one_out":
        if method.length_normalisation != "none":
            raise InputError(
                f"{method.name}: TRL's RLOO takes a completion as one action: {own}, or set "
                "length_normalisation none"
            )
        if method.kl_coefficient and not (method.kl_in_reward and method.kl_estimator == "k1"):
            raise InputError(
                f"{method.name}: TRL's RLOO takes the KL from the reward, by k1: {own}, or set "
                "kl_in_reward and the estimator k1"
            )
        return "rloo"
    if method.kl_coefficient and (method.kl_in_reward or method.kl_estimator != "k3"):
        raise InputError(
            f"{method.name}: TRL's GRPO has the KL in the loss, by k3: {own}, or switch "
            "kl_in_reward off and take the estimator k3"
        )
    return "grpo"


def _check(config: RLConfig) -> None:
    own = "leave it out, or train with --backend own"
    if config.filter_threshold is not None:
        raise InputError(f"filter_threshold: TRL can't drop rows before the forward: {own}")
    if config.filters_problems:
        raise InputError(f"accuracy_low and accuracy_high: TRL learns from every problem: {own}")
    if not config.preemptive_sampling:
        raise InputError(f"TRL always draws all completions of a step at once: {own}")
    if config.evaluate_every:
        raise InputError(
            "evaluate_every: TRL's steps aren't interrupted for an evaluation: set 0 and keep all "
            "checkpoints, then `evalharness run` them; or train with --backend own"
        )


def _shared_arguments(
    config: RLConfig | SFTConfig, rows: int, updates: int, options: TRLOptions
) -> dict[str, Any]:
    rows_at_once, num_accumulated = _cut(rows, updates, options.rows_per_device)
    return {
        "output_dir": str(config.output),
        "model_init_kwargs": {"dtype": options.weights_dtype},
        "per_device_train_batch_size": rows_at_once,
        "gradient_accumulation_steps": num_accumulated,
        "learning_rate": config.learning_rate,
        # `trl_backend` gives the trainer our own schedule.
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_epsilon": 1e-8,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "gradient_checkpointing": options.gradient_checkpointing,
        "seed": config.seed,
        "data_seed": config.seed,
        "disable_tqdm": True,
        "push_to_hub": False,
        # Every weight has a gradient in every step.
        "ddp_find_unused_parameters": False,
    }


def _precision(device: str, dtype: str) -> dict[str, Any]:
    return {
        "use_cpu": device == "cpu",
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
    }


def _rollout_arguments(config: RLConfig, options: TRLOptions) -> dict[str, Any]:
    return {
        "generation_batch_size": config.rows_per_step,
        "num_generations": config.group_size,
        "max_completion_length": config.max_tokens,
        "temperature": config.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "use_vllm": config.rollout_engine == "vllm",
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": options.vllm_memory_share,
        # Dropout would make the policy that learns another one than the policy that drew.
        "disable_dropout": True,
        "shuffle_dataset": True,
        # The reward needs the column that says which problem a row is.
        "remove_unused_columns": False,
    }


def _cut(rows: int, updates: int, rows_per_device: int) -> tuple[int, int]:
    """Rows of one forward on one device, and how many of those make an optimizer step."""
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    parts = num_processes * updates
    if rows_per_device < 1:
        raise InputError(f"rows_per_device is {rows_per_device}: it must be at least 1")
    if rows % parts:
        raise InputError(
            f"{rows} rows a step can't be cut into {updates} equal updates on {num_processes} "
            f"processes: make the number of rows a multiple of {parts}"
        )
    share = rows // parts
    sizes = range(min(rows_per_device, share), 0, -1)
    rows_at_once = next(size for size in sizes if share % size == 0)
    return rows_at_once, share // rows_at_once
