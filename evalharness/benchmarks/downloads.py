"""Published files: in the data folder, in the cache, or fetched and verified."""

from __future__ import annotations

import hashlib
import http.client
import logging
import tempfile
import urllib.request
from pathlib import Path

from evalharness import __version__, paths
from evalharness.benchmarks.files import sha256_of
from evalharness.benchmarks.sources import PublishedFile, SourceUnavailableError
from evalharness.errors import DataError, InputError

GITHUB = "https://raw.githubusercontent.com"
TIMEOUT_SECONDS = 30

_log = logging.getLogger(__name__)


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
