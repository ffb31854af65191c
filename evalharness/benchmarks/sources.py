"""Where rows come from: a published file at a pinned commit, a file, or a hub data set."""

from __future__ import annotations

import csv
import hashlib
import http.client
import json
import logging
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from evalharness import __version__, paths
from evalharness.definitions import display_path
from evalharness.errors import DataError, InputError
from evalharness.hub import hub_trouble

GITHUB = "https://raw.githubusercontent.com"
SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
TIMEOUT_SECONDS = 30

_log = logging.getLogger(__name__)


class SourceUnavailableError(DataError):
    """The data isn't here and can't be fetched now; another source may have it."""


_COMMIT = re.compile(r"[0-9a-f]{40}")


class Row(NamedTuple):
    """One row of a file or data set and how to say where it stands."""

    place: str
    cells: Mapping[str, Any]


class HubRows(NamedTuple):
    """Rows of a hub data set and the commit that they are of."""

    rows: list[Row]
    commit: str | None
    """None where the data set is a folder."""


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


def sha256_of(path: Path) -> str:
    """Of the file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_local(source: PublishedFile) -> Path | None:
    """The verified file in the data folder or in the cache; None where it has to be fetched.

    Raises:
        DataError: the data folder has the file with another sha256.
    """
    folder = paths.data_folder()
    if folder is not None:
        path = folder / "sources" / source.place
        if path.is_file():
            found = sha256_of(path)
            if found != source.sha256:
                raise DataError(
                    f"{path}: sha256 {found}, but the definition pins {source.sha256}: "
                    "put the published file there, or remove this one to download it"
                )
            return path
    if source.cached.is_file():
        if sha256_of(source.cached) == source.sha256:
            return source.cached
        _log.warning("%s is damaged and will be fetched again", source.cached)
    return None


def download(source: PublishedFile, base_url: str = GITHUB) -> Path:
    """Fetch a file into the cache, where it appears whole and verified or not at all.

    Raises:
        SourceUnavailableError: no answer, with the address and the place to put the file by hand.
        DataError: what came has another sha256, or the cache can't be written.
    """
    url = f"{base_url}/{source.place}"
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url}: only http and https addresses are fetched")
    request = urllib.request.Request(url, headers={"User-Agent": f"evalharness/{__version__}"})  # noqa: S310 the scheme is checked above
    digest = hashlib.sha256()
    folder = source.cached.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="part-", delete=False) as file:
            part = Path(file.name)
    except OSError as error:
        raise DataError(
            f"the cache {folder} can't be written ({error}): set EVALHARNESS_CACHE to a folder "
            "that can"
        ) from error
    _log.info("fetching %s", url)
    try:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 the scheme is checked above
                blocks = iter(lambda: answer.read(1 << 16), b"")
                with part.open("wb") as file:
                    for block in blocks:
                        digest.update(block)
                        file.write(block)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise SourceUnavailableError(
                f"can't be fetched ({reason}): download {url} (sha256 {source.sha256}) to "
                f"{source.cached}, or to sources/{source.place} in the folder that "
                "EVALHARNESS_DATA names"
            ) from error
        if digest.hexdigest() != source.sha256:
            raise DataError(
                f"{url} ({part.stat().st_size} bytes): sha256 {digest.hexdigest()}, but the "
                f"definition pins {source.sha256}: the download was damaged, or what is published "
                "there has changed; nothing was kept"
            )
        part.replace(source.cached)
    finally:
        part.unlink(missing_ok=True)
    return source.cached


def read_file(path: Path, suffix: str | None = None) -> list[Row]:
    """All rows of a JSONL, JSON, Parquet, CSV or Arrow file, in order, nothing skipped.

    Raises:
        InputError: it can't be read, isn't what its suffix says, or has no rows.
    """
    name = display_path(path)
    kind = suffix or path.suffix.lower()
    try:
        if kind == ".jsonl":
            rows = _read_jsonl(path, name)
        elif kind == ".json":
            rows = _read_json(path, name)
        elif kind == ".csv":
            rows = _read_csv(path, name)
        elif kind in (".parquet", ".arrow"):
            rows = _read_columns(path, name, kind)
        else:
            raise InputError(f"{name}: a benchmark file ends in one of {', '.join(SUFFIXES)}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: can't be read: {error}") from error
    if not rows:
        raise InputError(f"{name}: there are no rows in it")
    return rows


def _read_jsonl(path: Path, name: str) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{name}:{number}"
            try:
                cells = json.loads(line)
            # A ValueError is a syntax error, or a number of thousands of digits.
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place}: not valid JSON: {error}") from error
            rows.append(_row(place, cells))
    return rows


def _read_json(path: Path, name: str) -> list[Row]:
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{name}:{error.lineno}: not valid JSON: {error.msg}") from error
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not valid JSON: {error}") from error
    if not isinstance(table, list):
        raise InputError(f"{name}: must be a list of objects, one a problem")
    return [_row(f"{name}: row {index}", cells) for index, cells in enumerate(table)]


def _row(place: str, cells: object) -> Row:
    if not isinstance(cells, dict):
        raise InputError(f"{place}: a row must be an object with a problem and a gold")
    return Row(place, {_storable(name): _storable(value) for name, value in cells.items()})


def _storable(value: Any) -> Any:
    """JSON can name half of a character, which no file can hold: it becomes a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return [_storable(each) for each in value] if isinstance(value, list) else value


def _read_csv(path: Path, name: str) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for cells in reader:
                place = f"{name}:{reader.line_num}"
                if None in cells or None in cells.values():
                    raise InputError(
                        f"{place}: the header has {len(reader.fieldnames or ())} "
                        "columns and this row doesn't"
                    )
                rows.append(Row(place, cells))
        except csv.Error as error:
            raise InputError(
                f"{name}: after line {reader.line_num}: not valid CSV: {error}"
            ) from error
    return rows


def _read_columns(path: Path, name: str, kind: str) -> list[Row]:
    import pyarrow

    try:
        if kind == ".parquet":
            from pyarrow import parquet

            table = parquet.read_table(path).to_pylist()
        else:
            from datasets import Dataset

            # from_file memory-maps where it lies: no copy goes into the hub's cache.
            table = Dataset.from_file(str(path)).to_list()
    except pyarrow.ArrowException as error:
        raise InputError(f"{name}: not a valid {kind[1:]} file: {error}") from error
    return [Row(f"{name}: row {index}", cells) for index, cells in enumerate(table)]


def _check_reachable(endpoint: str, source: HubDataset) -> None:
    """Fail at once where there is no network: the hub's own client retries for half a minute."""
    if not endpoint.startswith(("https://", "http://")):
        raise InputError(f"HF_ENDPOINT={endpoint} is not an http address")
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 the scheme is checked above
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()  # noqa: S310 the same
    except urllib.error.HTTPError:
        pass  # It answered, and that is all that is asked here.
    except (OSError, http.client.HTTPException) as error:
        raise SourceUnavailableError(
            f"hub data set {source.hub}: no answer from {endpoint} "
            f"({getattr(error, 'reason', None) or error}): check the network; HF_HUB_OFFLINE=1 "
            "takes the hub's cache"
        ) from error


def read_hub(source: HubDataset) -> HubRows:
    """All rows of one split that pass the source's filter; `HF_HUB_OFFLINE` is respected.

    Raises:
        SourceUnavailableError: no network, no such data set, config or revision.
        DataError: what is in the cache isn't the pinned revision, which `datasets` doesn't mind.
        InputError: no such split, or several and none of them is `test`.
    """
    from datasets import DatasetDict, config, load_dataset
    from datasets.exceptions import DatasetsError

    if not config.HF_HUB_OFFLINE and not Path(source.hub).is_dir():
        _check_reachable(config.HF_ENDPOINT, source)
    try:
        data = load_dataset(source.hub, source.config, revision=source.revision)
    except (OSError, ValueError, DatasetsError) as error:
        known = _hub_refusal(source) or error
        trouble = hub_trouble("dataset", source.hub, source.revision, known)
        raise SourceUnavailableError(f"hub data set {source.hub} {trouble}") from error
    if not isinstance(data, DatasetDict):
        raise InputError(f"hub data set {source.hub}: has no splits to choose from")
    split = source.split or (next(iter(data)) if len(data) == 1 else "test")
    if split not in data:
        raise InputError(
            f'hub data set {source.hub}: no split "{split}"; it has {", ".join(map(str, data))}: '
            f"name one as {source.hub}:SPLIT"
        )
    commit = _commit_of(data[split])
    if source.revision and commit:
        _check_revision(source.hub, source.revision, commit)
    rows = [
        Row(f"{source.hub} ({split}): row {index}", cells)
        for index, cells in enumerate(data[split].to_list())
    ]
    for column, text in source.where.items():
        rows = [row for row in rows if text in str(row.cells.get(column))]
    if not rows:
        raise InputError(f"hub data set {source.hub}: split {split} has no rows")
    return HubRows(rows, commit)


def _hub_refusal(source: HubDataset) -> Exception | None:
    """Why the hub gives no file of a data set, which `datasets` only says in words."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    name = f"{source.hub.rpartition('/')[2]}.py"  # `datasets` asks for it as well
    try:
        hf_hub_download(source.hub, name, repo_type="dataset", revision=source.revision)
    except LocalEntryNotFoundError as error:
        return error
    except EntryNotFoundError:
        return None  # It gives what it has.
    except (HfHubHTTPError, OSError, ValueError) as error:
        return error
    return None


def _commit_of(data: Any) -> str | None:
    """The commit that a split was made from, as the name of its cache folder; None if unknown."""
    for file in data.cache_files:
        name = Path(file["filename"]).parent.name
        if _COMMIT.fullmatch(name):
            return name
    return None


def _check_revision(hub: str, revision: str, commit: str) -> None:
    """Refuse what `datasets` takes from its cache when it can't have the pinned revision."""
    from huggingface_hub import constants

    is_hash = re.fullmatch(r"[0-9a-f]{7,40}", revision) is not None
    reference = Path(constants.HF_HUB_CACHE) / f"datasets--{hub.replace('/', '--')}" / "refs"
    reference /= revision
    known = reference.read_text().strip() if reference.is_file() else None
    if commit == known or (is_hash and commit.startswith(revision)):
        return
    if known is None and not is_hash and not constants.HF_HUB_OFFLINE:
        return  # Just resolved by the hub.
    raise DataError(
        f"hub data set {hub}: the cache of this machine has commit {commit} and not the pinned "
        f"revision {revision}: fetch that where there is a network, or pin what is here as "
        f"{hub}@{commit}"
    )
