"""Supervised training of a small model on worked solutions: an exact loop that repeats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.engines.checkpoints import context_length, find_checkpoint, load_tokenizer
from evalharness.engines.transformers import choose_device, choose_dtype, load_model
from evalharness.errors import InputError, TrainingError
from evalharness.training.batches import (
    Batch,
    backpropagate_mean_loss,
    solved_share,
    training_steps,
)
from evalharness.training.forward import check_head, precision
from evalharness.training.interruption import telling_what_is_kept
from evalharness.training.metrics import METRICS, cut_metrics, read_metrics, write_metrics
from evalharness.training.networks import Network, clip_gradient, refuse_nonfinite
from evalharness.training.run_record import check_folder, held_folder, open_record, plain
from evalharness.training.sft_config import SFTConfig, check_sft_config, learning_rate_at
from evalharness.training.sft_rows import TrainingRows, refuse_contamination, validation_problems
from evalharness.training.state import (
    checkpoints,
    drop_states,
    finish,
    is_finished,
    load_state,
    remove_unfinished,
    save_checkpoint,
)
from evalharness.training.tokenizer import byte_tokenizer
from evalharness.training.toy import make_toy_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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


def train_sft(
    config: SFTConfig,
    *,
    progress: Callable[[SFTMetrics], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Train a model, or go on with the run that `config.output` holds, and return that folder.

    At the end it holds the model, which engines load like any checkpoint. The same config, package
    versions and number of threads give the same weights, bit for bit, however often the run was
    interrupted.

    Raises:
        InputError: the config can't be trained, or the folder holds another run.
        EngineError: the model to start from can't be loaded.
        TrainingError: a gradient is no number, or memory runs out; the last checkpoint is intact.
    """
    check_sft_config(config)
    check_folder(config.output, "sft")
    tell = note or (lambda _: None)
    refuse_contamination(config, tell)
    rows = TrainingRows(config, _open_tokenizer(config), context=_context(config), note=tell)
    with held_folder(config.output):
        record = open_record(config.output, "sft", _identity(config, rows))
        remove_unfinished(config.output)
        if is_finished(config.output):
            drop_states(config.output, keep_checkpoints=config.keep_checkpoints == "all")
            tell(f"{config.output} is trained already: nothing was left to do")
            return config.output
        run = _Run(config, rows, record, tell)
        with telling_what_is_kept(config.output, config.save_every):
            for step in range(run.first_step, config.num_steps + 1):
                metrics = run.step(step)
                if progress is not None:
                    progress(metrics)
            run.finish()
    return config.output


class _Run:
    """A run that is open and has steps or its end before it."""

    def __init__(
        self,
        config: SFTConfig,
        rows: TrainingRows,
        record: dict[str, Any],
        note: Callable[[str], None],
    ) -> None:
        self.config, self.record = config, record
        known = checkpoints(config.output)
        last = max(known, default=0)
        self.first_step = last + 1
        self.model, self.tokenizer, self.dtype = _open_model(config, known.get(last))
        self.networks = {"policy": _network(self.model, config)}
        if known:
            load_state(known[last], self.networks)
            note(f"going on after step {last} of {config.output}")
        cut_metrics(config.output / METRICS, last)
        self.validation = validation_problems(config.num_validation_per_kind)
        self.steps: Iterator[list[Batch]] = training_steps(
            rows.examples(first=last * config.rows_per_step),
            rows_per_step=config.rows_per_step,
            padding_id=self.tokenizer.pad_token_id,
        )

    def step(self, step: int) -> SFTMetrics:
        """One step, with its checkpoint and evaluation where they are due."""
        import torch

        config = self.config
        try:
            with precision(self.model.device.type, self.dtype):
                metrics = _train_step(self.networks["policy"], next(self.steps), step, config)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"step {step}: out of memory with {config.rows_per_step} rows a step: lower "
                "--rows-per-step"
            ) from error
        is_last = step == config.num_steps
        if config.problems == "practice" and (is_last or step % config.evaluate_every == 0):
            metrics = replace(metrics, exact_match=self._exact_match())
        # Before the checkpoint, from which on a run that goes on doesn't take this step again.
        write_metrics(config.output, metrics, None)
        if is_last or step % config.save_every == 0:
            save_checkpoint(
                config.output,
                step,
                self.networks,
                # A fresh one: that of the run may have got a padding token.
                _open_tokenizer(config),
                self.record | {"step": step},
                keep_older=config.keep_checkpoints == "all",
            )
        return metrics

    def finish(self) -> None:
        """Make the folder of the run the model's."""
        config = self.config
        last = read_metrics(config.output, config.num_steps) or {}
        end = {
            "config": plain(config.settings()),
            "final_loss": last.get("loss"),
            "exact_match": last.get("exact_match"),
        }
        finish(
            config.output,
            config.num_steps,
            self.record | end,
            keep_checkpoints=config.keep_checkpoints == "all",
        )

    def _exact_match(self) -> dict[str, float]:
        templates = self.config.templates
        return {
            name: solved_share(self.model, self.tokenizer, templates[name], self.validation)
            for name in self.config.shares
        }


def _identity(config: SFTConfig, rows: TrainingRows) -> dict[str, Any]:
    revision = find_checkpoint(config.start).revision if config.start is not None else None
    return config.identity() | {
        "problems_fingerprint": rows.fingerprint,
        "model_revision": revision,
    }


def _open_model(
    config: SFTConfig, checkpoint: Path | None
) -> tuple[Any, PreTrainedTokenizerBase, str]:
    """Model, tokenizer and the dtype of the forward passes; the weights are in float32.

    The weights are those of `checkpoint`, or where the run begins.
    """
    tokenizer = _open_tokenizer(config)
    device = "cpu" if config.start is None else choose_device("auto")
    if config.start is not None and tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {config.start} has no EOS token: set eos_token")
    source = config.start if checkpoint is None else str(checkpoint)
    if source is None:
        model: Any = make_toy_model(config.model, tokenizer, seed=config.seed)
    else:
        model = load_model(find_checkpoint(source), dtype="float32", device=device)
        check_head(model, source)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is never looked at
    return model, tokenizer, choose_dtype("auto", device)


def _context(config: SFTConfig) -> int:
    from transformers import AutoConfig

    if config.start is None:
        return config.model.context_length
    folder = find_checkpoint(config.start).folder
    return context_length(config.start, AutoConfig.from_pretrained(folder), None)


def _open_tokenizer(config: SFTConfig) -> PreTrainedTokenizerBase:
    if config.start is None:
        return byte_tokenizer(max_length=config.model.context_length)
    return load_tokenizer(find_checkpoint(config.start), trust_remote_code=False)


def _network(model: Any, config: SFTConfig) -> Network:
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
    )
    return Network(module=model, optimizer=optimizer, learning_rate=config.learning_rate)


def _train_step(network: Network, batches: list[Batch], step: int, config: SFTConfig) -> SFTMetrics:
    started = time.perf_counter()
    rate = learning_rate_at(step, config)
    for group in network.optimizer.param_groups:
        group["lr"] = rate
    network.optimizer.zero_grad()
    loss = backpropagate_mean_loss(network.module, batches)
    norm = clip_gradient(network, config.max_grad_norm)
    refuse_nonfinite(norm, "the gradient", step, "lower the learning rate")
    network.optimizer.step()
    return SFTMetrics(
        step=step,
        loss=loss,
        learning_rate=rate,
        grad_norm=norm,
        tokens_per_second=sum(batch.num_tokens for batch in batches)
        / (time.perf_counter() - started),
    )
