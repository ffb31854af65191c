"""Reads the rows of a data set of the Hugging Face hub."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.benchmarks.files import Row
from evalharness.benchmarks.sources import HubDataset, SourceUnavailableError
from evalharness.errors import DataError, InputError
from evalharness.hub import hub_trouble

_TIMEOUT_SECONDS = 30
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubRows(NamedTuple):
    """Rows of a hub data set and the commit that they are of."""

    rows: list[Row]
    commit: str | None
    """None where the data set is a folder."""


def _check_reachable(endpoint: str, source: HubDataset) -> None:
    """Fail at once where there is no network: the hub's own client retries for half a minute."""
    if not endpoint.startswith(("https://", "http://")):
        raise InputError(f"HF_ENDPOINT={endpoint} is not an http address")
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 the scheme is checked above
    try:
        urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS).close()  # noqa: S310 the same
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
        InputError: no such split, or several and none of them is `test`; no row passes the filter.
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
        if column not in data[split].column_names:
            raise InputError(
                f'hub data set {source.hub}: no column "{column}" for "where"; it has '
                f"{', '.join(data[split].column_names)}"
            )
        rows = [row for row in rows if text in str(row.cells.get(column))]
    if not rows:
        wanted = " and ".join(f'"{text}" in {column}' for column, text in source.where.items())
        kept = f" with {wanted}" if wanted else ""
        raise InputError(f"hub data set {source.hub}: split {split} has no rows{kept}")
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
