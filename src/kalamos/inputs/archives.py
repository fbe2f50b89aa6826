"""Images of tar and zip archives, untrusted.

Tar archives, plain or compressed, as they stream by: in their own order, without going back.

Read zip archives entry by entry, without writing anything to disk or believing what the archive says.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kalamos.errors import CorruptImageError, ImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images.files import MAX_MEMBER_BYTES, display_name
from kalamos.inputs.files import is_hidden, is_image_name, name_order
from kalamos.inputs.item import Clock, NamedImage, SkippedName
from kalamos.inputs.zip_entries import DAMAGED, ZIP_DAMAGE, entry_name, is_link, read_entry

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["list_zip", "read_tar", "read_zip"]

MAX_HEADER_BYTES = 1 << 20
"""Bytes of one member's headers: tarfile reads names and attributes whole, whatever length they claim."""

MAX_XZ_BYTES = 96 * 2**20
"""What decompressing xz may allocate: `xz -9`, the most that its levels take, needs 65 MiB."""

_TAR_BLOCK_BYTES, _TAR_PIECE_BYTES = 64 * 1024, 2**20
"""Bytes: what is read at once of what is passed over, and of an image."""
# RecursionError: a thousand headers before one member. zlib.error and LZMAError are no OSError.
_DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error, lzma.LZMAError)


def read_tar(
    path: str, stream: io.BufferedReader | None = None, *, timeout: float | None = None
) -> Iterator[NamedImage | SkippedName]:
    """Read the images of a tar archive, in its order, and the names of other members.

    Plain, or compressed with gzip, bzip2 or xz. Hidden members and folders are passed over, as in folders on
    disk.

    Args:
        path: the archive, as its members' names begin.
        stream: its bytes, if they are not those of the file at `path`; may be a pipe.
        timeout: seconds of processor time that getting from one image to the next may take; None takes
            `kalamos.isolation.TIMEOUT_SECONDS`. Small archives have less: see `Clock`.

    Raises:
        ImageTimeoutError: unpacking takes longer; what came before has been yielded.
        CorruptImageError: not a tar archive, or damaged, or broken off; what came before has been yielded.
    """
    last = ""
    try:
        with stream or open(path, "rb") as packed:  # noqa: PTH123
            where = display_name(path)
            clock = Clock(where, timeout, None if stream else os.path.getsize(path))  # noqa: PTH202
            unpacked = _Forward(_unpacked(packed, where), clock)
            archive = tarfile.TarFile(
                fileobj=unpacked,  # type: ignore[arg-type]  # all that is used of a file
                tarinfo=_StrictInfo,
                encoding="utf-8",
                errors="surrogateescape",
            )
            while (info := archive.next()) is not None:
                # It would keep them all, for random access.
                archive.members.clear()  # type: ignore[attr-defined]
                last = info.name
                for member in _members(info, unpacked, path):
                    yield member
                    clock.restart()
                unpacked.allow(MAX_HEADER_BYTES)
            unpacked.drain()
    except _DAMAGE as error:
        after = f" at or after {display_name(last)}" if last else ""
        raise CorruptImageError(
            f"{display_name(path)}: not a tar archive, or damaged{after} ({display_name(str(error))})",
            remedy="use a complete copy",
        ) from error


def _members(info: tarfile.TarInfo, unpacked: _Forward, path: str) -> Iterator[NamedImage | SkippedName]:
    """The image that follows a header; nothing for what is passed over."""
    if info.size < 0:
        raise tarfile.ReadError("a member's size is negative")
    name = info.name.removeprefix("./")
    if info.isdir() or is_hidden(name):
        return
    if not is_image_name(name):
        yield SkippedName(name)
        return
    full = f"{path}/{name}"
    refused = _refusal(info, display_name(full))
    if refused is None:
        unpacked.allow(info.size)
        content = unpacked.read(info.size)
        if len(content) < info.size:
            raise tarfile.ReadError("unexpected end of data")
        yield NamedImage(full, content)
    else:
        yield NamedImage(full, refused)


def _refusal(info: tarfile.TarInfo, where: str) -> ImageError | None:
    if info.issym() or info.islnk():
        remedy = "make the archive with tar's --dereference and --hard-dereference"
        return UnsupportedImageError(f"{where}: a link inside an archive is not followed", remedy=remedy)
    if not info.isfile():
        return UnsupportedImageError(f"{where}: not a regular file")
    if info.issparse():
        return UnsupportedImageError(
            f"{where}: stored with holes", remedy="make the archive without --sparse"
        )
    if info.size > MAX_MEMBER_BYTES:
        problem = f"{where}: {info.size:,} bytes are more than the limit of {MAX_MEMBER_BYTES:,}"
        return ImageTooLargeError(problem, remedy="scale the image down")
    return None


def _unpacked(stream: io.BufferedReader, where: str) -> io.BufferedIOBase:
    """The stream, decompressed where it is compressed."""
    head = stream.peek(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    return io.BufferedReader(_XZ(stream, where), _TAR_BLOCK_BYTES) if head.startswith(b"\xfd7zXZ") else stream


class _XZ(io.RawIOBase):
    """A decompressed xz stream, as `lzma.LZMAFile` gives it, but with a bound on the dictionary.

    The decompressor allocates the dictionary that the file announces, up to 4 GiB, before it reads on.
    """

    def __init__(self, stream: io.BufferedReader, where: str) -> None:
        self._stream, self._where = stream, where
        self._begin(behind=False)

    def _begin(self, *, behind: bool) -> None:
        self._behind = behind
        """Whether nothing was unpacked yet of what lies behind a stream: it may be none."""
        self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            packed = b""
            if self._unpacker.eof:  # streams may follow one another
                packed = self._unpacker.unused_data
                self._begin(behind=True)
            if (
                self._unpacker.needs_input
                and not packed
                and not (packed := self._stream.read(_TAR_BLOCK_BYTES))
            ):
                if self._behind:
                    return 0
                raise EOFError("the compressed data end before their end mark")
            try:
                data = self._unpacker.decompress(packed, len(view))
            except lzma.LZMAError as error:
                if self._behind:
                    return 0
                raise self._refusal(error) from error
            if data:
                self._behind = False
                view[: len(data)] = data
                return len(data)

    def _refusal(self, error: lzma.LZMAError) -> Exception:
        if "memory" not in str(error).lower():
            return error
        return ImageTooLargeError(
            f"{self._where}: unpacking it needs more than {MAX_XZ_BYTES:,} bytes of memory",
            remedy="compress it with xz's levels 0 to 9, or with gzip",
        )


class _StrictInfo(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive; here only the end mark is one."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, where a member or the end mark should be") from error


class _Forward:
    """A stream as the file that tarfile wants: it goes forward only, and reads no more than allowed."""

    def __init__(self, stream: io.BufferedIOBase, clock: Clock) -> None:
        self._stream, self._clock = stream, clock
        self._position = 0
        self.allow(MAX_HEADER_BYTES)

    def allow(self, size: int) -> None:
        """From now on `size` bytes may be read; passing over any number is free."""
        self._left = size

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(f"a member's headers take more than {MAX_HEADER_BYTES:,} bytes")
        parts: list[bytes] = []
        while size:
            parts.append(self._stream.read(min(size, _TAR_PIECE_BYTES)))
            self._clock.check()
            if not parts[-1]:
                break
            size -= len(parts[-1])
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._position += len(data)
        return data

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position:
            passed = len(self._stream.read(min(_TAR_BLOCK_BYTES, position - self._position)))
            if not passed:
                raise tarfile.ReadError("unexpected end of data")
            self._position += passed
            self._clock.check()

    def drain(self) -> None:
        """Read what is behind the end mark, up to 1 MiB: a pipe's writer would fail where its padding is not
        taken, and gzip's checksum comes last.
        """
        for _ in range(16):
            if not self._stream.read(_TAR_BLOCK_BYTES):
                return


def read_zip(path: str) -> Iterator[NamedImage | SkippedName]:
    """Yield the images of a zip archive, in case-insensitive name order, and the names of other entries.

    Hidden entries and folders are left out, as in folders on disk.

    Raises:
        CorruptImageError: not a zip archive, or a damaged one.
    """
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            for name, entry in list_zip(archive):
                if is_image_name(name):
                    yield _read_image(archive, entry, f"{path}/{name}")
                else:
                    yield SkippedName(name)
    except ZIP_DAMAGE as error:
        raise CorruptImageError(
            f"{display_name(path)}: not a zip archive, or a damaged one ({display_name(str(error))})",
            remedy=DAMAGED,
        ) from error


def list_zip(archive: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
    """Name the entries that are neither hidden nor folders, in case-insensitive name order."""
    named = [
        (name, entry)
        for entry in archive.infolist()
        if not ((name := entry_name(entry)).endswith("/") or is_hidden(name))
    ]
    named.sort(key=lambda pair: name_order(pair[0]))
    return named


def _read_image(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> NamedImage:
    where = display_name(name)
    if is_link(entry):
        return NamedImage(name, UnsupportedImageError(f"{where}: a link inside an archive is not followed"))
    try:
        return NamedImage(name, read_entry(archive, entry, where))
    except ImageError as error:
        return NamedImage(name, error.with_traceback(None))
