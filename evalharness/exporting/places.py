"""Where exported files go: inside the named folder, and over nothing that is there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from evalharness.errors import InputError, StoreError
from evalharness.store import write_atomically
from evalharness.store.files import disk_in_words

_UNSAFE = re.compile(r"[^\w.=+-]+")
_MOST_BYTES = 120
"""Of a name, which gets more around it: a file system takes 255."""


class Target:
    """The file or the folder of an export."""

    def __init__(self, place: Path, *, may_replace: bool) -> None:
        self.place = place
        self.written: list[Path] = []
        self._may_replace = may_replace

    def claim(self, *names: str) -> Path:
        """The path of one file below the place, its folder made; without names the place itself.

        Raises:
            InputError: it is there already.
            StoreError: the folder can't be made.
        """
        path = self.place.joinpath(*names)
        if path.exists() and not self._may_replace:
            raise InputError(f"{path} is there already: name another --out, or give --force")
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file with --out")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: can't be made: {error.strerror}") from error
        return path

    def write(self, text: str, *names: str) -> None:
        """One text file, whole or not at all."""
        path = self.claim(*names)
        with disk_in_words(path):
            write_atomically(path, text)
        self.written.append(path)


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """A file name for each name: no separators, no leading dot, no two alike."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        safe = _UNSAFE.sub("__", name).lstrip(".").encode()[:_MOST_BYTES].decode(errors="ignore")
        if not safe.strip("_") or safe.lower() in taken:
            digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
            safe = f"{safe}-{digest}" if safe else digest
        taken.add(safe.lower())
        found[name] = safe
    return found
