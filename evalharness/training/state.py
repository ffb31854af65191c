"""Checkpoints of a run: whole or not there, loadable by every engine, and enough to go on from."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from evalharness.engines.transformers import no_progress_bars
from evalharness.errors import InputError, TrainingError
from evalharness.store import write_atomically
from evalharness.store.files import make_folders, remove_folders

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from evalharness.training.networks import Network

STATE = "trainer_state.pt"
"""Optimizers and the networks beside the policy; goes when the next checkpoint is whole."""
RECORD = "training.json"
"""What made a run, in its folder and in each checkpoint."""
_CONFIG = "config.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_folder(output: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return output / f"checkpoint-{step:06d}"


def checkpoints(output: Path) -> dict[int, Path]:
    """All whole checkpoints by step, in order."""
    found = {
        int(match[1]): path
        for path in output.glob("checkpoint-*")
        if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    }
    return dict(sorted(found.items()))


def remove_unfinished(output: Path) -> None:
    """Remove what a killed save left behind; nobody else may be writing the run."""
    for path in output.glob(".checkpoint-*"):
        shutil.rmtree(path)
    for path in output.glob(".*.part"):
        path.unlink()


@contextmanager
def parent_of(output: Path) -> Iterator[None]:
    """Make the folder that `output` will stand in, and see that it can be written.

    Where the block fails, what was made goes again unless there is something in it.

    Raises:
        InputError: it can't.
    """
    made: list[Path] = []
    try:
        made += make_folders(output.parent)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        remove_folders(made)
        raise InputError(
            f"{output}: can't be written ({error.strerror}): choose another folder with --out"
        ) from error
    try:
        yield
    except BaseException:
        remove_folders(made)
        raise


@contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """A temporary folder that becomes `output` when the block ends well, and is removed if not."""
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        yield folder
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        folder.rename(output)
    except BaseException:
        shutil.rmtree(folder)
        raise


def save_checkpoint(
    output: Path,
    step: int,
    networks: Mapping[str, Network],
    tokenizer: PreTrainedTokenizerBase,
    record: dict[str, Any],
    *,
    keep_older: bool,
) -> Path:
    """Save the policy with its tokenizer and all that continuing needs; then let older ones go.

    `networks` are all that are trained, by name; the model is "policy".

    Raises:
        TrainingError: it can't be written; older checkpoints are untouched.
    """
    import torch

    folder = checkpoint_folder(output, step)
    try:
        with whole_folder(folder) as unfinished, no_progress_bars():
            networks["policy"].module.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
            text = json.dumps(record, indent=1) + "\n"
            (unfinished / RECORD).write_text(text, encoding="utf-8")
            torch.save(_state(networks), unfinished / STATE)
    except OSError as error:
        raise TrainingError(
            f"{folder} can't be written: {error}. Older checkpoints are intact; make room and "
            "repeat the command to go on"
        ) from error
    for older, path in checkpoints(output).items():
        if older < step and keep_older:
            (path / STATE).unlink(missing_ok=True)
        elif older < step:
            shutil.rmtree(path)
    return folder


def is_finished(output: Path) -> bool:
    """Whether a folder holds a whole model itself: config.json comes last."""
    return (output / _CONFIG).is_file()


def finish(output: Path, step: int, record: dict[str, Any], *, keep_checkpoints: bool) -> None:
    """Put the model of a step's checkpoint into the run's own folder, with the record of its end.

    Engines don't load the folder before all of it is there. Nothing is left to go on with.

    Raises:
        TrainingError: it can't be written; the checkpoint is intact.
    """
    checkpoint = checkpoint_folder(output, step)
    own = {STATE, RECORD, _CONFIG}
    try:
        for path in checkpoint.iterdir():
            if path.name not in own:
                _copy(path, output / path.name)
        write_atomically(output / RECORD, json.dumps(record, indent=1) + "\n")
        _copy(checkpoint / _CONFIG, output / _CONFIG)
    except OSError as error:
        raise TrainingError(
            f"{output}: the model can't be written: {error}. {checkpoint.name} is intact; make "
            "room and repeat the command"
        ) from error
    drop_states(output, keep_checkpoints=keep_checkpoints)


def drop_states(output: Path, *, keep_checkpoints: bool) -> None:
    """Let the checkpoints of a finished run go, or keep their weights for a series."""
    for path in checkpoints(output).values():
        if keep_checkpoints:
            (path / STATE).unlink(missing_ok=True)
        else:
            shutil.rmtree(path)


def _copy(source: Path, target: Path) -> None:
    """All of a file or nothing."""
    unfinished = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, unfinished)
    unfinished.replace(target)


def load_state(folder: Path, networks: Mapping[str, Network]) -> None:
    """Put the optimizers and the networks beside the policy back to where `folder` was saved.

    Raises:
        TrainingError: the folder has no state, or that of another algorithm.
    """
    import torch

    path = folder / STATE
    try:
        state = torch.load(path, weights_only=True, map_location=networks["policy"].module.device)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        what = str(error).splitlines()[0] if str(error) else "it is cut off"
        raise TrainingError(
            f"{path} can't be read: {what}; start again in another --out, from this checkpoint "
            "with --model if its weights are whole"
        ) from error
    if state.keys() != networks.keys():
        raise TrainingError(f"{path} is the state of another algorithm: name another --out")
    for name, network in networks.items():
        if name != "policy":
            network.module.load_state_dict(state[name]["module"])
        network.optimizer.load_state_dict(state[name]["optimizer"])


def _state(networks: Mapping[str, Network]) -> dict[str, Any]:
    return {
        name: {
            # The policy's weights are in model.safetensors.
            "module": {} if name == "policy" else network.module.state_dict(),
            "optimizer": network.optimizer.state_dict(),
        }
        for name, network in networks.items()
    }
