"""Where rows come from: a published file at a pinned commit, a file, or a hub data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalharness import paths
from evalharness.errors import DataError


class SourceUnavailableError(DataError):
    """The data isn't here and can't be fetched now; another source may have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """A file of a public repository at a pinned commit."""

    repository: str
    """`owner/name`."""
    commit: str
    path: str
    sha256: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """`problem_column`, `gold_column` where they aren't the definition's own."""

    @property
    def place(self) -> str:
        """Below the base address of raw files, and below `sources/` of a data folder."""
        return f"{self.repository}/{self.commit}/{self.path}"

    @property
    def cached(self) -> Path:
        return paths.cache_folder() / "files" / self.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file beside the definition, or one that the user named."""

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataset:
    """A data set of the Hugging Face hub."""

    hub: str
    config: str | None = None
    split: str | None = None
    """None takes the only split, or `test`."""
    revision: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    """Column -> text that its value must contain; other rows aren't part of the benchmark."""
    columns: Mapping[str, str] = field(default_factory=dict)


Source = PublishedFile | LocalFile | HubDataset
