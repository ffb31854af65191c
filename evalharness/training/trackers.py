"""Metrics to a tracker that the user has installed and asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from evalharness.errors import InputError

METRICS = "metrics.jsonl"
TRACKERS = ("wandb", "trackio", "tensorboard")


class Tracker(Protocol):
    """Takes numbers as they come."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """The numbers of one step."""
        ...

    def close(self) -> None:
        """Everything is sent."""
        ...


def open_tracker(name: str, *, folder: Path, config: Mapping[str, Any]) -> Tracker:
    """A tracker for the run in `folder`; it gets the settings `config` where it keeps such.

    Raises:
        InputError: no such tracker, or its package isn't installed.
    """
    if name not in TRACKERS:
        raise InputError(f'unknown tracker "{name}": choose from {", ".join(TRACKERS)}')
    try:
        if name == "tensorboard":
            return _TensorBoard(folder)
        return _Online(name, folder, config)
    except ModuleNotFoundError as error:
        raise InputError(
            f"--tracker {name}: the package {error.name} isn't installed: pip install {name}, or "
            f"leave the tracker out; {METRICS} has the same numbers"
        ) from error


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Online:
    """wandb and trackio, which have the same three calls."""

    def __init__(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        import importlib

        self._module: Any = importlib.import_module(name)
        self._module.init(project="evalharness", name=folder.name, config=dict(config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=step)

    def close(self) -> None:
        self._module.finish()
