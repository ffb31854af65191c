"""Finds what ships with the harness, in a checkout and in a wheel, and the downloaded data."""

from __future__ import annotations

import os
from pathlib import Path

from evalharness.errors import InputError

PACKAGE = Path(__file__).resolve().parent


def shipped_folder(name: str) -> Path:
    """A folder such as `benchmarks`: in an installed wheel, else beside the package."""
    for candidate in (PACKAGE / "_data" / name, PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise InputError(f"this installation has no {name}/ folder: install evalharness again")


DEMO_MODELS = ("tiny-base", "tiny-grpo", "tiny-dr_grpo")
"""Shipped: what `evalharness run` scores when neither a model nor a benchmark is named."""


def tiny_checkpoint() -> Path:
    """The shipped checkpoint that can work out some of the practice problems."""
    return PACKAGE / "checkpoints" / "tiny"


def shipped_checkpoints() -> tuple[str, ...]:
    """Names that mean a checkpoint of the package wherever a model is named."""
    return tuple(sorted(path.name for path in (PACKAGE / "checkpoints").iterdir()))


def cache_folder() -> Path:
    """Where downloaded files are kept by sha256: `EVALHARNESS_CACHE`, else the user's cache."""
    named = os.environ.get("EVALHARNESS_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "evalharness"


def data_folder() -> Path | None:
    """The folder that `EVALHARNESS_DATA` names, searched before any download; None when unset.

    Raises:
        InputError: it names something that isn't a folder.
    """
    named = os.environ.get("EVALHARNESS_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise InputError(f"EVALHARNESS_DATA={named} is not a folder: correct it or unset it")
    return folder


def model_location(name: str) -> str:
    """Where the model called `name` is: some ship, everything else is taken as given."""
    if name in shipped_checkpoints() and not Path(name).exists():
        return str(PACKAGE / "checkpoints" / name)
    return name
