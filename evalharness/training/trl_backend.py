"""The same training by TRL's trainers, through their public API: several GPUs, LoRA, vLLM.

TRL's defaults are neither GRPO nor Dr. GRPO, so every setting that touches the loss is spelled out
here and nothing is left to a default that a later version may change. Start several processes with
`accelerate launch` or `torchrun`; each runs the same command.
"""

from __future__ import annotations

import importlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evalharness.checking import Policy
from evalharness.checking.shared import shared_pool
from evalharness.engines.base import prepare_with_tokenizer
from evalharness.engines.checkpoints import end_token_ids, find_checkpoint, load_tokenizer
from evalharness.engines.stops import decode_text
from evalharness.errors import InputError, MissingExtraError
from evalharness.records import Problem, Prompt
from evalharness.templates import Template
from evalharness.training.algorithms import Algorithm
from evalharness.training.batches import Example
from evalharness.training.config import RLConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

METRICS = "metrics.jsonl"
FINAL = "final"
LOSS_TYPES = {"response": "grpo", "constant": "dr_grpo", "token": "dapo", "none": "luspo"}
"""Our length normalisation -> GRPOConfig.loss_type.

With importance sampling by token, `luspo` is the mean over rows of each row's sum.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TRLSettings:
    """What TRL is told, in the words of our own loop."""

    output: Path
    model: str
    """A folder or a hub id."""
    num_steps: int
    problems_per_step: int = 16
    group_size: int = 8
    max_tokens: int = 128
    """Of a completion."""
    temperature: float = 1.0
    learning_rate: float = 1e-6
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    updates_per_step: int = 1
    rows_per_device: int = 8
    """Completions of one forward and backward on one device."""
    seed: int = 0
    save_every: int = 50
    use_vllm: bool = False
    vllm_memory_share: float = 0.3
    """Of a GPU's memory, for the vLLM that shares it with the trainer."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights; on a GPU forward and backward run in bfloat16 either way."""
    lora_rank: int | None = None
    """None trains all weights."""
    gradient_checkpointing: bool = False
    trackers: tuple[str, ...] = ()


class TRLPlan(NamedTuple):
    """Which of TRL's trainers, and the arguments of its config."""

    trainer: Literal["grpo", "rloo"]
    arguments: dict[str, Any]


def settings_of(config: RLConfig, *, lora_rank: int | None = None) -> TRLSettings:
    """The settings of our own loop, for TRL.

    Raises:
        InputError: a setting that TRL has no word for.
    """
    beyond = {
        "--filter-threshold": config.filter_threshold is not None,
        "--no-preemptive-sampling": not config.preemptive_sampling,
        "--evaluate-every": config.evaluate_every != 0,
        "--keep-checkpoints all": config.keep_checkpoints == "all",
    }
    for flag, is_set in beyond.items():
        if is_set:
            raise InputError(f"{flag} is for our own loop: leave it out with --backend trl")
    return TRLSettings(
        output=config.output,
        model=config.model,
        num_steps=config.num_steps,
        problems_per_step=config.problems_per_step,
        group_size=config.group_size,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        updates_per_step=config.updates_per_step,
        rows_per_device=config.micro_batch_rows,
        seed=config.seed,
        save_every=config.save_every,
        use_vllm=config.rollout_engine == "vllm",
        dtype="bfloat16" if config.dtype == "bfloat16" else "float32",
        lora_rank=lora_rank,
        trackers=(config.tracker,) if config.tracker else (),
    )


def trl_arguments(method: Algorithm, settings: TRLSettings) -> TRLPlan:
    """The trainer and the config that make TRL do what `method` says.

    One step of ours is `problems_per_step * group_size` completions, generated at once, and
    `updates_per_step` optimizer steps on equal parts of them, each completion used once.

    Two differences remain where they are TRL's own: with several updates a step, `token`
    normalisation divides by the mean number of tokens of an update and not by the update's own; and
    RLOOTrainer clips the ratio of whole completions, which is another loss only off-policy.

    Raises:
        InputError: TRL has no trainer for the method, or its batches can't be cut as asked.

    Source: TRL 1.16, trl/trainer/grpo_trainer.py and rloo_trainer.py, `_compute_loss`.
    """
    trainer = _trainer_for(method)
    rows = settings.problems_per_step * settings.group_size
    arguments = _shared_arguments(settings, rows) | _rollout_arguments(settings, rows)
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
        "use_bias_correction_kl": False,
        # No paper's loss has this factor; the ratio is taken between the trainer's own policies.
        "vllm_importance_sampling_correction": False,
    }
    return TRLPlan("grpo", arguments)


def sft_arguments(settings: TRLSettings) -> dict[str, Any]:
    """The config that makes SFTTrainer do what our own SFT does.

    One step is `problems_per_step` rows. The loss is the mean cross entropy over their completion
    tokens, EOS included; rows are neither packed nor cut.

    Raises:
        InputError: the batches can't be cut as asked.
    """
    return _shared_arguments(settings, settings.problems_per_step) | {
        "completion_only_loss": True,
        "assistant_only_loss": False,
        "loss_type": "nll",
        "packing": False,
        "padding_free": False,
        "max_length": None,
        "shuffle_dataset": True,
    }


def train_with_trl(
    method: Algorithm,
    settings: TRLSettings,
    problems: Sequence[Problem],
    template: Template,
) -> Path:
    """Train a policy by TRL and return the folder of the last checkpoint.

    Prompts are the harness's, token for token; the reward is the harness's checker on them: 1 for a
    correct answer where the template wants it, 0 otherwise and for a truncated completion.

    Raises:
        InputError: the method, the template or the batches are beyond TRL.
        EngineError: the model can't be loaded.
        MissingExtraError: trl or peft isn't installed.
    """
    plan = trl_arguments(method, settings)
    if template.stop:
        raise InputError(
            f'template "{template.name}" stops at {template.stop[0]!r}: TRL takes such a '
            "completion for truncated; train with --backend own, or with a template without stop "
            "strings"
        )
    checkpoint = find_checkpoint(settings.model)
    tokenizer = load_tokenizer(checkpoint, trust_remote_code=False)
    rows = [
        {"prompt": trl_prompt(template.render(problem), tokenizer), "place": place}
        for place, problem in enumerate(problems)
    ]
    trl = import_trl()
    trainer_class, config_class = {
        "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
        "rloo": (trl.RLOOTrainer, trl.RLOOConfig),
    }[plan.trainer]
    end_ids = end_token_ids(checkpoint, tokenizer)
    with quiet_trl():
        trainer = trainer_class(
            model=str(checkpoint.folder),
            args=config_class(**plan.arguments),
            reward_funcs=make_trl_reward(problems, template, tokenizer, end_ids),
            train_dataset=_dataset(rows),
            processing_class=tokenizer,
            peft_config=_lora(settings),
        )
        return _train_and_save(trainer, tokenizer, settings)


def train_sft_with_trl(settings: TRLSettings, examples: Sequence[Example]) -> Path:
    """Train on solutions by TRL and return the folder of the last checkpoint.

    The rows go in as tokens, so that TRL neither renders nor cuts anything.

    Raises:
        InputError: no examples, or batches that can't be cut as asked.
        EngineError: the model can't be loaded.
        MissingExtraError: trl or peft isn't installed.
    """
    if not examples:
        raise InputError("there are no examples to train on: give at least one prompt and solution")
    arguments = sft_arguments(settings)
    checkpoint = find_checkpoint(settings.model)
    tokenizer = load_tokenizer(checkpoint, trust_remote_code=False)
    rows = [
        {
            "input_ids": example.prompt_ids + example.completion_ids,
            "completion_mask": [0] * len(example.prompt_ids) + [1] * len(example.completion_ids),
        }
        for example in examples
    ]
    trl = import_trl()
    with quiet_trl():
        trainer = trl.SFTTrainer(
            model=str(checkpoint.folder),
            args=trl.SFTConfig(**arguments),
            train_dataset=_dataset(rows),
            processing_class=tokenizer,
            peft_config=_lora(settings),
        )
        return _train_and_save(trainer, tokenizer, settings)


def trl_prompt(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> str | list[dict[str, str]]:
    """A prompt in a form that TRL makes the same tokens of as the evaluation does.

    TRL takes text, which gets the tokenizer's special tokens, or messages, and no token ids.

    Raises:
        EngineError: chat messages, but the tokenizer has no chat template.
        InputError: neither form gives the tokens that the evaluation would see.
    """
    prepared = prepare_with_tokenizer(prompt, tokenizer)
    wanted = list(prepared.token_ids or ())
    if tokenizer(prepared.text)["input_ids"] == wanted:
        return str(prepared.text)
    if prompt.messages is not None:
        messages = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        rendered: Any = tokenizer.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=True
        )
        if rendered["input_ids"] == wanted:
            return messages
    raise InputError(
        f"{prompt.problem_id}: TRL would tokenize the prompt of template {prompt.template} in "
        "another way than the evaluation: take another template, or train with --backend own"
    )


def make_trl_reward(
    problems: Sequence[Problem],
    template: Template,
    tokenizer: PreTrainedTokenizerBase,
    end_ids: frozenset[int],
) -> Callable[..., list[float]]:
    """The reward function for TRL's trainers; the data set's column `place` numbers the problems.

    1 for a correct answer where the template wants it, else 0; a completion that the cap cut, one
    that doesn't end in EOS, gets 0 even with a box inside.
    """
    ends = end_ids | {tokenizer.pad_token_id}

    def checker(
        completion_ids: Sequence[Sequence[int]],
        place: Sequence[int],
        **_: Any,  # the trainer passes every column of the data set, and its own state
    ) -> list[float]:
        pool = shared_pool()
        futures = [
            pool.submit(
                decode_text(tokenizer, ids),
                problems[index].golds,
                template.answer_format,
                Policy.from_table(problems[index].policy or {}),
            )
            if len(ids) and ids[-1] in ends
            else None
            for ids, index in zip(completion_ids, place, strict=True)
        ]
        return [
            1.0 if future is not None and future.result().status == "correct" else 0.0
            for future in futures
        ]

    return checker


def import_trl() -> Any:
    """TRL with its trainers, without the warnings that its import prints.

    Raises:
        MissingExtraError: it isn't installed.
    """
    try:
        with quiet_trl():
            trl: Any = importlib.import_module("trl")
            # They load when they are first named.
            _ = trl.GRPOTrainer, trl.RLOOTrainer, trl.SFTTrainer
    except ModuleNotFoundError as error:
        raise MissingExtraError("training with --backend trl", "train") from error
    return trl


@contextmanager
def quiet_trl() -> Iterator[None]:
    """Holds back the warnings of TRL that nobody can act on."""
    with warnings.catch_warnings():
        for message, category in _WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # TRL names the versions of vLLM that it was tried with, whether or not vLLM is used.
    ("TRL currently supports vLLM versions", UserWarning),
    # Of torch itself, at TRL's import of what it compiles.
    ("`torch.jit.script", DeprecationWarning),
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


def _shared_arguments(settings: TRLSettings, rows: int) -> dict[str, Any]:
    import torch

    rows_at_once, num_accumulated = _cut(settings, rows)
    return {
        "output_dir": str(settings.output),
        "model_init_kwargs": {"dtype": settings.dtype},
        "max_steps": settings.num_steps * settings.updates_per_step,
        "per_device_train_batch_size": rows_at_once,
        "gradient_accumulation_steps": num_accumulated,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": settings.warmup_steps,
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "fp16": False,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "save_strategy": "steps",
        "save_steps": settings.save_every * settings.updates_per_step,
        "logging_steps": 1,
        "report_to": list(settings.trackers) or "none",
        "disable_tqdm": True,
        "push_to_hub": False,
    }


def _rollout_arguments(settings: TRLSettings, rows: int) -> dict[str, Any]:
    return {
        "generation_batch_size": rows,
        "num_generations": settings.group_size,
        "max_completion_length": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "use_vllm": settings.use_vllm,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": settings.vllm_memory_share,
        # Dropout would make the policy that learns another one than the policy that drew.
        "disable_dropout": True,
        "shuffle_dataset": True,
        # The reward needs the column that says which problem a row is.
        "remove_unused_columns": False,
    }


def _cut(settings: TRLSettings, rows: int) -> tuple[int, int]:
    """Rows of one forward on one device, and how many of those make an optimizer step."""
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    parts = num_processes * settings.updates_per_step
    if rows % parts or rows < parts:
        raise InputError(
            f"{rows} rows a step can't be cut into {settings.updates_per_step} equal updates on "
            f"{num_processes} processes: make the number of rows a multiple of {parts}"
        )
    share = rows // parts
    rows_at_once = next(
        number
        for number in range(min(settings.rows_per_device, share), 0, -1)
        if not share % number
    )
    return rows_at_once, share // rows_at_once


def _lora(settings: TRLSettings) -> Any:
    """The adapter's config; None trains all weights."""
    if settings.lora_rank is None:
        return None
    try:
        peft: Any = importlib.import_module("peft")
    except ModuleNotFoundError as error:
        raise InputError(
            "LoRA needs the package peft: pip install peft, or leave --lora-rank out"
        ) from error
    return peft.LoraConfig(
        r=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _dataset(rows: list[dict[str, Any]]) -> Any:
    import datasets

    return datasets.Dataset.from_list(rows)


def _train_and_save(
    trainer: Any, tokenizer: PreTrainedTokenizerBase, settings: TRLSettings
) -> Path:
    """Train; the whole model with its tokenizer, an adapter merged in, goes to `final`."""
    _log_to_file(trainer, settings.output / METRICS)
    trainer.train()
    folder = settings.output / FINAL
    if settings.lora_rank is None:
        trainer.save_model(str(folder))  # gathers the parts of a sharded model
    elif trainer.is_world_process_zero():
        trainer.accelerator.unwrap_model(trainer.model).merge_and_unload().save_pretrained(folder)
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(folder)
    return folder


def _log_to_file(trainer: Any, path: Path) -> None:
    """What TRL logs, one JSON object a step, and nothing of it on stdout."""
    from transformers import PrinterCallback, TrainerCallback

    class Log(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **columns: Any) -> None:  # noqa: ARG002 - transformers' own signature
            logs = columns.get("logs")
            if state.is_world_process_zero and logs:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": state.global_step, **logs}) + "\n")

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Log())
