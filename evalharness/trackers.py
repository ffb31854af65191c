"""Metrics to a tracker that the user has installed and asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from evalharness.errors import InputError

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
        InputError: no such tracker, its package isn't installed, or it refuses to start.
    """
    if name not in TRACKERS:
        raise InputError(f'unknown tracker "{name}": choose from {", ".join(TRACKERS)}')
    try:
        if name == "tensorboard":
            return _TensorBoard(folder)
        return _Online(name, folder, config)
    except ModuleNotFoundError as error:
        # TensorBoard's writer is a part of torch, which may be what is missing.
        package = "torch" if error.name == "torch" else name
        raise InputError(
            f"--tracker {name}: the package {error.name} isn't installed: pip install {package}, "
            "or leave the tracker out; the folder has the same numbers"
        ) from error


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._open: Any = SummaryWriter
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        # Not before there is something to write: the folder may turn out to hold another run.
        if self._writer is None:
            self._writer = self._open(str(self._folder))
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Online:
    """wandb and trackio, which have the same three calls."""

    def __init__(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        import importlib

        self._module: Any = importlib.import_module(name)
        try:
            self._module.init(project="evalharness", name=folder.name, config=dict(config))
        # Their errors have no base in common.
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"--tracker {name}: it doesn't start: {reason}; log in to it, or leave it out"
            ) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=step)

    def close(self) -> None:
        self._module.finish()
