"""A zip archive's entries in order; of a large archive a part at a time, for `zipfile` remembers them all.

A large archive's directory is read here, put in order outside memory, and given back to `zipfile` in parts:
each an archive of its own, whose directory has that part's entries alone.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import BinaryIO, NamedTuple, TypeAlias

from kalamos.external_sort import externally_sorted
from kalamos.folders import is_hidden, name_order
from kalamos.zip_entries import entry_name

__all__ = ["Part", "zip_parts"]

Part: TypeAlias = tuple[zipfile.ZipFile, list[tuple[str, zipfile.ZipInfo]]]
"""An archive, and the names and entries to take from it."""

LARGE = 1 << 20
"""From so many bytes on, a directory is read in parts."""

PART = 500
"""Entries of a part."""

UNSIGNED_32 = 0xFFFFFFFF

# APPNOTE.TXT of PKWARE, 4.3.12 to 4.3.16.
RECORD = struct.Struct("<4s4xH18x3H12x")
"""Signature, flags, lengths of the name, the extra field and the comment; all of them follow."""
END = struct.Struct("<4s8x2L2x")
"""Signature, the directory's size and its offset."""
END_64 = struct.Struct("<4sQ2H2L4Q")
"""Signature, own size, versions, disks, entries, the directory's size and its offset."""
LOCATOR_64 = struct.Struct("<4sLQL")
"""Signature, disk, where the record before it begins, number of disks."""


def zip_parts(file: BinaryIO) -> Iterator[Part]:
    """What is neither hidden nor a folder, in case-insensitive name order.

    Raises:
        What `zipfile` raises; see `kalamos.zip_entries.ZIP_DAMAGE`.
    """
    directory = _directory(file)
    if directory is None or directory.size < LARGE:
        with zipfile.ZipFile(file) as archive:
            named = [(entry_name(entry), entry) for entry in archive.infolist()]
            named = [(name, entry) for name, entry in named if _is_wanted(name)]
            yield archive, sorted(named, key=lambda pair: name_order(pair[0]))
        return
    wanted = ((name_order(name), record) for name, record in _records(file, directory) if _is_wanted(name))
    ordered = externally_sorted(wanted, key=itemgetter(0))
    while records := [record for _, record in islice(ordered, PART)]:
        with zipfile.ZipFile(_WithPart(file, directory, records)) as archive:
            yield archive, [(entry_name(entry), entry) for entry in archive.infolist()]


class _Directory(NamedTuple):
    start: int
    """In the file."""

    size: int
    offset: int
    """Where it starts, by its own account: less by what was put before the archive."""


def _directory(file: BinaryIO) -> _Directory | None:
    """None where `zipfile` may say what is wrong."""
    end = file.seek(0, io.SEEK_END)
    before = max(0, end - END.size - 0xFFFF - LOCATOR_64.size - END_64.size)  # a comment may follow
    file.seek(before)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + END.size:
        return None
    _, size, offset = END.unpack_from(tail, at)
    locator = at - LOCATOR_64.size
    if locator >= END_64.size and tail.startswith(b"PK\x06\x07", locator):
        at = locator - END_64.size
        signature, *_, size, offset = END_64.unpack_from(tail, at)
        if signature != b"PK\x06\x06":
            return None
    start = before + at - size
    return _Directory(start, size, offset) if start >= offset else None


def _records(file: BinaryIO, directory: _Directory) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the directory's records, as they come."""
    file.seek(directory.start)
    left = directory.size
    while left:
        head = file.read(min(RECORD.size, left))
        if len(head) < RECORD.size:
            raise zipfile.BadZipFile("Truncated central directory")
        signature, flags, *lengths = RECORD.unpack(head)
        if signature != b"PK\x01\x02":
            raise zipfile.BadZipFile("Bad magic number for central directory")
        rest = file.read(sum(lengths))
        left -= len(head) + sum(lengths)
        if len(rest) < sum(lengths) or left < 0:
            raise zipfile.BadZipFile("Truncated central directory")
        entry = zipfile.ZipInfo(rest[: lengths[0]].decode("utf-8" if flags & 0x800 else "cp437"))
        entry.flag_bits = flags
        yield entry_name(entry), head + rest


def _is_wanted(name: str) -> bool:
    return not (name.endswith("/") or is_hidden(name))


class _WithPart(io.RawIOBase):
    """The archive's file up to its directory, and then a directory of some of its entries."""

    def __init__(self, file: BinaryIO, directory: _Directory, records: list[bytes]) -> None:
        self._file = file
        self._start = directory.start
        self._tail = _with_end(b"".join(records), len(records), directory)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._start + len(self._tail)}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            size = max(0, self._start + len(self._tail) - self._at)
        found = b""
        if self._at < self._start:
            self._file.seek(self._at)
            found = self._file.read(min(size, self._start - self._at))
        if self._at + len(found) >= self._start:
            begin = self._at + len(found) - self._start
            found += self._tail[begin : begin + size - len(found)]
        self._at += len(found)
        return found


def _with_end(records: bytes, count: int, directory: _Directory) -> bytes:
    if directory.offset <= UNSIGNED_32:
        return records + struct.pack(
            "<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(records), directory.offset, 0
        )
    own = END_64.pack(
        b"PK\x06\x06", END_64.size - 12, 45, 45, 0, 0, count, count, len(records), directory.offset
    )
    locator = LOCATOR_64.pack(b"PK\x06\x07", 0, directory.offset + len(records), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, UNSIGNED_32, UNSIGNED_32, 0)
    return records + own + locator + end
