"""Supervised training of a tiny model on worked solutions: a short, exact loop that repeats."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.benchmarks import load_benchmark
from evalharness.engines.checkpoints import find_checkpoint, load_tokenizer
from evalharness.engines.transformers import (
    choose_device,
    choose_dtype,
    load_model,
    no_progress_bars,
)
from evalharness.errors import InputError, TrainingError
from evalharness.templates import load_template
from evalharness.training.batches import (
    Batch,
    Example,
    backpropagate_mean_loss,
    draw_examples,
    solved_share,
    training_steps,
)
from evalharness.training.forward import check_head, precision
from evalharness.training.practice import PracticeProblem, practice_problems
from evalharness.training.problems import check_contamination
from evalharness.training.solutions import solution_problems, worked_solutions
from evalharness.training.state import parent_of, whole_folder
from evalharness.training.tokenizer import byte_tokenizer
from evalharness.training.toy import ToyModel, make_toy_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NUM_STEPS = 1200
WARMUP_STEPS = 100
EVALUATE_EVERY = 400

VALIDATION_SEED = 7
"""Draws the problems that training is watched on; it neither practises nor is scored on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """One training run; the defaults made the shipped checkpoint."""

    output: Path
    """The checkpoint folder; it must not exist yet."""
    templates: Mapping[str, str]
    """Name -> text with `{{problem}}`."""
    shares: Mapping[str, float] = field(default_factory=lambda: {"no": 0.95, "qwen-math": 0.05})
    """Template name -> its weight among the training problems."""
    model: ToyModel = field(default_factory=ToyModel)
    """A fresh model, where no `start` is given."""
    start: str | None = None
    """A folder or a hub id to start from."""
    problems: str = "practice"
    """What `worked_solutions` takes."""
    problem_column: str | None = None
    solution_column: str | None = None
    evaluate_on: tuple[str, ...] = ()
    """Benchmarks that no training problem may be in."""
    allow_contamination: bool = False
    num_steps: int = NUM_STEPS
    rows_per_step: int = 40
    learning_rate: float = 3e-3
    warmup_steps: int = WARMUP_STEPS
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0
    evaluate_every: int = EVALUATE_EVERY
    num_validation_per_kind: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTMetrics:
    """One line of the metrics file."""

    step: int
    """1-based."""
    loss: float
    """Mean cross entropy of the step's solution tokens, in nats."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    tokens_per_second: float
    """Padding not counted."""
    exact_match: Mapping[str, float] | None = None
    """Template -> share of the validation problems solved by greedy decoding."""


def raw_template(name: str) -> str:
    """The text of a raw template, with `{{problem}}`.

    Raises:
        InputError: no such template, or a chat template, which needs a tokenizer to be rendered.
    """
    template = load_template(name)
    if template.mode != "raw":
        raise InputError(
            f'template "{name}" is a chat template: supervised training takes raw ones, such as '
            "no, r1 or qwen-math"
        )
    return template.text


def learning_rate_at(step: int, config: SFTConfig) -> float:
    """The rate of a 1-based step: linear from 0 over the warmup, then a cosine down to a tenth."""
    if step < config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    rest = max(config.num_steps - config.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * (step - config.warmup_steps) / rest)) / 2
    return config.learning_rate * (0.1 + 0.9 * cosine)


def metrics_path(output: Path) -> Path:
    """The metrics of a run grow beside its checkpoint folder, which appears whole at the end."""
    return output.with_name(f"{output.name}.metrics.jsonl")


def check_sft_config(config: SFTConfig) -> None:
    """Refuse a run that can't be trained, before anything is made.

    Raises:
        InputError: with the field and the remedy.
    """
    if config.output.exists():
        raise InputError(f"{config.output} exists already: remove it or name another folder")
    for name, share in config.shares.items():
        if name not in config.templates:
            known = ", ".join(config.templates) or "none"
            raise InputError(f'shares: no text for the template "{name}" (known: {known})')
        if not share > 0:
            raise InputError(f'shares: the share of "{name}" is {share}: it must be above 0')
    if not config.shares:
        raise InputError("shares: empty, so there is nothing to train on: name a template")
    for name in ("num_steps", "rows_per_step", "evaluate_every", "num_validation_per_kind"):
        if getattr(config, name) < 1:
            raise InputError(f"{name} is {getattr(config, name)}: it must be at least 1")
    for name in ("learning_rate", "max_grad_norm"):
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(f"{name} is {getattr(config, name)}: it must be a number above 0")
    if not 0 <= config.weight_decay < math.inf:
        raise InputError(
            f"weight_decay is {config.weight_decay}: it must be a number of at least 0"
        )
    if not 0 <= config.warmup_steps < config.num_steps:
        raise InputError(
            f"warmup_steps is {config.warmup_steps}: it must be below num_steps, "
            f"which is {config.num_steps}"
        )


def validation_problems(num_per_kind: int) -> tuple[PracticeProblem, ...]:
    """Problems that are in neither the benchmark nor any training run."""
    benchmark = {problem.key for problem in practice_problems()}
    return practice_problems(VALIDATION_SEED, num_per_kind=num_per_kind, excluded=benchmark)


def train_sft(
    config: SFTConfig,
    *,
    progress: Callable[[SFTMetrics], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Train a fresh toy model and return its folder, which other engines load like any checkpoint.

    The same config, torch version and number of threads give the same weights, bit for bit.
    Metrics are written while it trains, to `metrics_path(config.output)`.

    Raises:
        InputError: the config can't be trained.
        EngineError: the model to start from can't be loaded.
        TrainingError: a gradient is no number, or memory runs out; nothing is saved.
    """
    check_sft_config(config)
    refuse_contamination(config, note)
    with parent_of(config.output):
        return _train(config, progress)


def _train(config: SFTConfig, progress: Callable[[SFTMetrics], None] | None) -> Path:
    import torch

    model, tokenizer, dtype = _open_model(config)
    validation = validation_problems(config.num_validation_per_kind)
    steps = training_steps(
        training_examples(config, tokenizer),
        rows_per_step=config.rows_per_step,
        padding_id=tokenizer.pad_token_id,
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
    )
    last: SFTMetrics | None = None
    for step, batches in zip(range(1, config.num_steps + 1), steps, strict=False):
        try:
            with precision(model.device.type, dtype):
                metrics = _train_step(model, optimizer, batches, step, config)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"step {step}: out of memory with {config.rows_per_step} rows a step: lower "
                "--rows-per-step"
            ) from error
        is_due = step % config.evaluate_every == 0 or step == config.num_steps
        if is_due and config.problems == "practice":
            solved = {
                name: solved_share(model, tokenizer, config.templates[name], validation)
                for name in config.shares
            }
            metrics = dataclasses.replace(metrics, exact_match=solved)
        # A training that fails before its first step leaves the metrics of another alone.
        mode = "w" if last is None else "a"
        with metrics_path(config.output).open(mode, encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(metrics)) + "\n")
        if progress is not None:
            progress(metrics)
        last = metrics
    record = _training_record(config, last)
    with whole_folder(config.output) as folder, no_progress_bars():
        model.save_pretrained(folder)
        # A fresh one: the tokenizer of the run may have got a padding token.
        _open_tokenizer(config).save_pretrained(folder)
        (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return config.output


def training_examples(config: SFTConfig, tokenizer: PreTrainedTokenizerBase) -> Iterator[Example]:
    """The rows of a run, in the order in which it takes them.

    Raises:
        InputError: the solutions can't be read.
    """
    validation = validation_problems(config.num_validation_per_kind)
    held_out = frozenset(problem.key for problem in (*practice_problems(), *validation))
    rng = random.Random(config.seed)
    solutions = worked_solutions(
        config.problems,
        seed=rng.getrandbits(32),
        held_out=held_out,
        problem_column=config.problem_column,
        solution_column=config.solution_column,
    )
    return draw_examples(
        tokenizer,
        templates=config.templates,
        shares=config.shares,
        rng=rng,
        solutions=solutions,
    )


def _open_model(config: SFTConfig) -> tuple[Any, PreTrainedTokenizerBase, str]:
    """Model, tokenizer and the dtype of the forward passes; the weights are in float32."""
    tokenizer = _open_tokenizer(config)
    if config.start is None:
        return make_toy_model(config.model, tokenizer, seed=config.seed), tokenizer, "float32"
    device = choose_device("auto")
    model = load_model(find_checkpoint(config.start), dtype="float32", device=device)
    check_head(model, config.start)
    if tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {config.start} has no EOS token: set eos_token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is never looked at
    return model, tokenizer, choose_dtype("auto", device)


def _open_tokenizer(config: SFTConfig) -> PreTrainedTokenizerBase:
    if config.start is None:
        return byte_tokenizer(max_length=config.model.context_length)
    return load_tokenizer(find_checkpoint(config.start), trust_remote_code=False)


def refuse_contamination(config: SFTConfig, note: Callable[[str], None] | None = None) -> None:
    """Refuse solutions of problems that are in a benchmark of `evaluate_on`, or note what is.

    Raises:
        InputError: names the first.
    """
    evaluated = [each for name in config.evaluate_on for each in load_benchmark(name).problems]
    if not evaluated:
        return
    training = solution_problems(
        config.problems,
        problem_column=config.problem_column,
        solution_column=config.solution_column,
    )
    for line in check_contamination(training, evaluated, allowed=config.allow_contamination):
        if note is not None:
            note(f"contamination: {line}")


def _train_step(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    batches: list[Batch],
    step: int,
    config: SFTConfig,
) -> SFTMetrics:
    import torch

    started = time.perf_counter()
    rate = learning_rate_at(step, config)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss = backpropagate_mean_loss(model, batches)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm).item()
    if not math.isfinite(norm):
        raise TrainingError(
            f"step {step}: the gradient is {norm}: lower the learning rate. Nothing was saved"
        )
    optimizer.step()
    return SFTMetrics(
        step=step,
        loss=loss,
        learning_rate=rate,
        grad_norm=norm,
        tokens_per_second=sum(batch.num_tokens for batch in batches)
        / (time.perf_counter() - started),
    )


def _training_record(config: SFTConfig, last: SFTMetrics | None) -> dict[str, Any]:
    """What is needed to repeat the run, and where it ended; no clock, so that it repeats too."""
    import torch
    import transformers

    settings = dataclasses.asdict(config)
    del settings["output"]
    if config.start is not None:
        settings["model"] = None  # the size is the start's
    return {
        "method": "sft",
        "config": settings,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "num_threads": torch.get_num_threads(),
        "final_loss": last.loss if last else None,
        "exact_match": last.exact_match if last else None,
    }
