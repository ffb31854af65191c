"""The same training by TRL's trainers, through their public API: several GPUs, LoRA, vLLM.

Start several processes with `accelerate launch` or `torchrun`; each runs the same command. What TRL
is told stands in `trl_arguments`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalharness.checking.shared import shared_pool
from evalharness.engines.base import prepare_with_tokenizer
from evalharness.engines.checkpoints import (
    Checkpoint,
    context_length,
    end_token_ids,
    find_checkpoint,
    load_tokenizer,
)
from evalharness.engines.stops import response_text
from evalharness.errors import InputError
from evalharness.records import Problem, Prompt
from evalharness.store.files import make_folders, remove_folders
from evalharness.templates import Template, load_template
from evalharness.training.config import RLConfig
from evalharness.training.interruption import telling_what_trl_keeps
from evalharness.training.problems import open_problems
from evalharness.training.rollout import Asker, Drawn, check_prompts
from evalharness.training.sft_config import SFTConfig, check_sft_config, learning_rate_at
from evalharness.training.sft_rows import TrainingRows, refuse_contamination
from evalharness.training.trl_arguments import TRLOptions, sft_arguments, trl_arguments
from evalharness.training.trl_trainers import (
    import_trl,
    log_to_file,
    lora_config,
    quiet_trl,
    scheduled,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

METRICS = "metrics.jsonl"
RECORD = "training.json"
FINAL = "final"


class _Model(NamedTuple):
    """A checkpoint that TRL is about to load."""

    checkpoint: Checkpoint
    tokenizer: PreTrainedTokenizerBase


def train_with_trl(
    config: RLConfig,
    options: TRLOptions | None = None,
    *,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Train a policy by TRL and return the folder of its last checkpoint.

    Prompts are the harness's, token for token; the reward is the harness's checker on them: 1 for a
    correct answer where the template wants it, 0 otherwise and for a truncated completion. What TRL
    logs goes to metrics.jsonl under TRL's own names.

    Raises:
        InputError: the config, a problem or the template is beyond TRL.
        EngineError: the model can't be loaded.
        MissingExtraError: trl or peft isn't installed.
    """
    options = options or TRLOptions()
    plan = trl_arguments(config, options)
    template = load_template(config.template)
    if template.stop:
        raise InputError(
            f'template "{template.name}" stops at {template.stop[0]!r}: TRL takes such a '
            "completion for truncated; train with --backend own, or with a template without stop "
            "strings"
        )
    adapter = lora_config(options.lora_rank)
    problems = open_problems(config, note or (lambda _: None))
    model = _open_model(config.model)
    rows = _prompt_rows(config, problems.problems, template, model)
    trl = import_trl()
    trainer_class, config_class = {
        "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
        "rloo": (trl.RLOOTrainer, trl.RLOOConfig),
    }[plan.trainer]
    end_ids = end_token_ids(*model)
    record = {"method": "rl", "identity": config.identity()}
    record |= {"problems_fingerprint": problems.fingerprint, "template_sha256": template.sha256}

    def factor(update: int) -> float:
        step = (update - 1) // config.updates_per_step + 1
        return min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0

    with _opened(config.output, record, plan.arguments, options), quiet_trl():
        trainer = scheduled(trainer_class, factor)(
            model=str(model.checkpoint.folder),
            args=config_class(**plan.arguments),
            reward_funcs=make_trl_reward(problems.problems, template, model.tokenizer, end_ids),
            train_dataset=_dataset(rows),
            processing_class=model.tokenizer,
            peft_config=adapter,
        )
        return _train_and_save(trainer, model.tokenizer, config.output, options)


def train_sft_with_trl(
    config: SFTConfig,
    options: TRLOptions | None = None,
    *,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Train on solutions by TRL and return the folder of the checkpoint.

    The rows of every step are those of our own loop, and go in as tokens, so that TRL neither
    renders nor cuts anything. `evaluate_every` has no place here: nothing is solved on the way.

    Raises:
        InputError: the config can't be trained, or names no model to start from.
        EngineError: the model can't be loaded.
        MissingExtraError: trl or peft isn't installed.
    """
    options = options or TRLOptions()
    if config.start is None:
        raise InputError("TRL starts from a checkpoint: name it with --model")
    check_sft_config(config)
    refuse_contamination(config, note or (lambda _: None))
    arguments = sft_arguments(config, options)
    adapter = lora_config(options.lora_rank)
    model = _open_model(config.start)
    rows = TrainingRows(
        config,
        model.tokenizer,
        context=_context(config.start, model),
        note=note or (lambda _: None),
    )
    dataset = [
        {
            "input_ids": example.prompt_ids + example.completion_ids,
            "completion_mask": [0] * len(example.prompt_ids) + [1] * len(example.completion_ids),
        }
        for example in islice(rows.examples(), config.num_steps * config.rows_per_step)
    ]
    trl = import_trl()
    with _opened(config.output, {"method": "sft"}, arguments, options), quiet_trl():
        trainer = scheduled(
            trl.SFTTrainer, lambda step: learning_rate_at(step, config) / config.learning_rate
        )(
            model=str(model.checkpoint.folder),
            args=trl.SFTConfig(**arguments),
            train_dataset=_dataset(dataset),
            processing_class=model.tokenizer,
            peft_config=adapter,
        )
        return _train_and_save(trainer, model.tokenizer, config.output, options)


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

    The rewards are `Asker`'s, those of our own loop. A completion is truncated when it doesn't end
    in one of `end_ids`, or in the padding that TRL may leave there.
    """
    asker = Asker(template=template, tokenizer=tokenizer, pool=shared_pool())
    ends = end_ids | {tokenizer.pad_token_id}

    def checker(
        completion_ids: Sequence[Sequence[int]],
        place: Sequence[int],
        **_: Any,  # the trainer passes every column of the data set, and its own state
    ) -> list[float]:
        drawn = [
            Drawn(
                token_ids=tuple(ids),
                text=response_text(tokenizer, _without_end(ids, ends)),
                is_truncated=not ids or ids[-1] not in ends,
            )
            for ids in completion_ids
        ]
        return asker.rewards([problems[index] for index in place], drawn)

    return checker


def _without_end(token_ids: Sequence[int], ends: Collection[int]) -> Sequence[int]:
    """What the model said: an end token is no text, also where it isn't a special one."""
    end = len(token_ids)
    while end and token_ids[end - 1] in ends:
        end -= 1
    return token_ids[:end]


def _open_model(name: str) -> _Model:
    checkpoint = find_checkpoint(name)
    tokenizer = load_tokenizer(checkpoint, trust_remote_code=False)
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"the tokenizer of {name} has no EOS token, so a completion never ends: set eos_token "
            "in tokenizer_config.json"
        )
    return _Model(checkpoint, tokenizer)


def _context(name: str, model: _Model) -> int:
    from transformers import AutoConfig

    return context_length(name, AutoConfig.from_pretrained(model.checkpoint.folder), None)


def _prompt_rows(
    config: RLConfig, problems: Sequence[Problem], template: Template, model: _Model
) -> list[dict[str, Any]]:
    """The data set's rows; none of them is too long for the model."""
    prompts = [template.render(problem) for problem in problems]
    check_prompts(
        [prepare_with_tokenizer(prompt, model.tokenizer) for prompt in prompts],
        max_tokens=config.max_tokens,
        context=_context(config.model, model),
        name=config.problems,
    )
    return [
        {"prompt": trl_prompt(prompt, model.tokenizer), "place": place}
        for place, prompt in enumerate(prompts)
    ]


@contextmanager
def _opened(
    output: Path, record: dict[str, Any], arguments: dict[str, Any], options: TRLOptions
) -> Iterator[None]:
    """Start a run's folder with what made it; the first process does.

    Where the block fails before there is anything else in the folder, it goes again.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    if output.exists() and any(output.iterdir()):
        raise InputError(
            f"{output} isn't empty, and a run by TRL isn't continued: name another --out"
        )
    made = make_folders(output)
    record = {"backend": "trl", **record, "trl": arguments, "options": dataclasses.asdict(options)}
    (output / RECORD).write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    try:
        yield
    except BaseException:
        if [path.name for path in output.iterdir()] == [RECORD]:
            (output / RECORD).unlink()
            remove_folders(made)
        raise


def _dataset(rows: list[dict[str, Any]]) -> Any:
    import datasets

    return datasets.Dataset.from_list(rows)


def _train_and_save(
    trainer: Any, tokenizer: PreTrainedTokenizerBase, output: Path, options: TRLOptions
) -> Path:
    """Train; the whole model with its tokenizer, an adapter merged in, goes to `final`."""
    log_to_file(trainer, output / METRICS)
    with telling_what_trl_keeps(output):
        trainer.train()
    folder = output / FINAL
    if options.lora_rank is None:
        trainer.save_model(str(folder))  # gathers the parts of a sharded model
    elif trainer.is_world_process_zero():
        trainer.accelerator.unwrap_model(trainer.model).merge_and_unload().save_pretrained(folder)
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(folder)
        # Pickled settings, which training.json has in the open.
        (folder / "training_args.bin").unlink(missing_ok=True)
    return folder
