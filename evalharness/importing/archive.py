"""Reads the members of a zip archive that nobody vouches for, in bounded memory."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from evalharness.definitions import display_path
from evalharness.errors import InputError

MOST_MEMBERS = 1_000_000
MOST_BYTES = 256 * 2**20
"""Of one member, unpacked: one sample of a log with its attachments is far smaller."""
_MOST_IN_ALL = 32 * 2**30
_ZSTD = 93
"""The method that Inspect writes; the standard library reads it from Python 3.14 on."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1


class Archive:
    """The names and the unpacked bytes of a zip archive; nothing is written anywhere.

    Raises:
        InputError: it is no zip archive, or it has a member that is too large or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.name = display_path(path)
        self._num_bytes = 0
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(f"{self.name}: can't be read: {error}") from error
        try:
            with zipfile.ZipFile(self._file) as archive:
                self._members = {each.filename: each for each in archive.infolist()}
        # What the standard library calls not implemented is a version that nobody writes.
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            self._file.close()
            raise InputError(f"{self.name}: not a valid zip archive: {error}") from error
        if len(self._members) > MOST_MEMBERS:
            self._file.close()
            raise InputError(f"{self.name}: more than {MOST_MEMBERS} members")

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def read(self, name: str) -> bytes:
        """One member, unpacked."""
        place = f"{self.name}: {name}"
        member = self._members.get(name)
        if member is None:
            raise InputError(f"{place}: no such member in the archive")
        if member.flag_bits & _ENCRYPTED:
            raise InputError(f"{place}: is encrypted: unpack the archive and pack it again")
        if max(member.file_size, member.compress_size) > MOST_BYTES:
            raise InputError(f"{place}: {member.file_size} bytes, more than {MOST_BYTES}")
        try:
            content = _unpacked(self._packed(member), member.compress_type)
        except (OSError, zlib.error, struct.error) as error:
            raise InputError(f"{place}: damaged: {error}") from error
        if content is None:
            raise InputError(f"{place}: unknown compression method {member.compress_type}")
        self._num_bytes += len(content)
        if len(content) > MOST_BYTES or self._num_bytes > _MOST_IN_ALL:
            raise InputError(f"{place}: unpacks to more than {MOST_BYTES} bytes: a zip bomb?")
        if zlib.crc32(content) != member.CRC:
            raise InputError(f"{place}: damaged: its checksum is another one")
        return content

    def _packed(self, member: zipfile.ZipInfo) -> bytes:
        self._file.seek(member.header_offset)
        mark, name_length, extra_length = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        if mark != b"PK\x03\x04":
            raise OSError("no header where the list of members says one")
        self._file.seek(name_length + extra_length, 1)
        return self._file.read(member.compress_size)


def _unpacked(packed: bytes, method: int) -> bytes | None:
    """At most one byte more than a member may have; None for an unknown method."""
    if method == zipfile.ZIP_STORED:
        return packed
    if method == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, MOST_BYTES + 1)
    if method == _ZSTD:
        import pyarrow

        with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd") as stream:
            return bytes(stream.read(MOST_BYTES + 1))
    return None
