"""What TRL's trainers are wrapped in: a quiet import, our schedule, our log, an adapter."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalharness.errors import MissingExtraError

_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # TRL names the versions of vLLM that it was tried with, whether or not vLLM is used.
    ("TRL currently supports vLLM versions", UserWarning),
    # Of torch itself, at TRL's import of what it compiles.
    ("`torch.jit.script", DeprecationWarning),
)


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


def lora_config(rank: int | None) -> Any:
    """The adapter of a rank; None trains all weights.

    Raises:
        MissingExtraError: peft isn't installed.
    """
    if rank is None:
        return None
    try:
        peft: Any = importlib.import_module("peft")
    except ModuleNotFoundError as error:
        raise MissingExtraError("training with --lora-rank", "train") from error
    return peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def scheduled(trainer_class: Any, factor: Callable[[int], float]) -> Any:
    """The trainer with a learning rate of `factor` times the config's at a 1-based update.

    transformers counts updates from 0, so that the first one of a warm-up has rate 0.
    """
    import torch

    class Scheduled(trainer_class):  # type: ignore[misc]
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: ARG002 - its own signature
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda done: factor(done + 1)
            )
            return self.lr_scheduler

    return Scheduled


def log_to_file(trainer: Any, path: Path) -> None:
    """What TRL logs, one JSON object a step, and nothing of it on stdout."""
    from transformers import PrinterCallback, TrainerCallback

    class Log(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **columns: Any) -> None:  # noqa: ARG002 - transformers' own signature
            logs = columns["logs"]
            if state.is_world_process_zero and "loss" in logs:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": state.global_step, **logs}) + "\n")

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Log())
