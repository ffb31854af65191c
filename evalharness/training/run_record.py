"""training.json: what made a run, so that it goes on as itself or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from evalharness.errors import InputError
from evalharness.plan import identity_changes
from evalharness.store import LOCK, FolderLock, write_atomically
from evalharness.training.metrics import METRICS
from evalharness.training.state import RECORD, checkpoints, is_finished

Method = Literal["rl", "sft"]


def open_record(output: Path, method: Method, identity: dict[str, Any]) -> dict[str, Any]:
    """Write the record of a new run, or compare it with the one that is there.

    `identity` is what decides the weights: settings, fingerprints of problems and templates, the
    revision of the model it starts from. A folder without a checkpoint is no run yet: its first
    command may have been mistyped. The folder has passed `check_folder`.

    Raises:
        InputError: the folder holds another run, with what changed.
    """
    identity = plain(identity)
    path = output / RECORD
    if checkpoints(output) or is_finished(output):
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _refuse_another_run(output, record["identity"], identity)
        return record
    record = {"method": method, "identity": identity} | _versions()
    write_atomically(path, json.dumps(record, indent=1) + "\n")
    return record


def check_folder(output: Path, method: Method) -> None:
    """Refuse a folder that is neither new nor a run's: nothing that is in it may be written over.

    Raises:
        InputError: with what it holds.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file: name another --out")
    if not output.exists() or not any(path.name != LOCK for path in output.iterdir()):
        return
    remedy = "name another --out"
    try:
        record = json.loads((output / RECORD).read_text(encoding="utf-8"))
        found, is_run = record["method"], "identity" in record
        is_checkpoint, by_trl = "step" in record, "backend" in record
    except FileNotFoundError:
        raise InputError(f"{output} isn't empty and holds no run: {remedy}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{output / RECORD} isn't what a run writes ({error}): {remedy}") from None
    if by_trl:
        raise InputError(f"{output} holds a run by TRL, which isn't continued: {remedy}")
    if not is_run or is_checkpoint:
        raise InputError(f"{output} holds a checkpoint, not the run of one: {remedy}")
    if found != method:
        raise InputError(f"{output} holds a run of train {found}: {remedy}")


@contextmanager
def held_folder(output: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; of a run that fails before its first step nothing stays."""
    is_recorded = (output / RECORD).exists()
    lock = FolderLock(output)
    try:
        yield
    except BaseException:
        if not (output / METRICS).exists() and not checkpoints(output):
            with suppress(OSError):  # it would hide what the run failed of
                lock.retract([] if is_recorded else [output / RECORD])
        raise
    finally:
        lock.release()


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _refuse_another_run(output: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    changes = identity_changes(before, now)
    if changes:
        raise InputError(
            f"{output} holds another run. What changed:\n" + "\n".join(changes) + "\nName another "
            "--out, or repeat the first command to go on with that run."
        )


def _versions() -> dict[str, Any]:
    import torch
    import transformers

    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "num_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
