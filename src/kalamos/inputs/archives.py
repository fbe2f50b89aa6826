"""Images of untrusted tar and zip archives: nothing is written to disk, and nothing they say is believed.

Hidden entries and folders are left out, as in folders on disk; links are never followed.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from kalamos.errors import CorruptImageError, ImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images.files import MAX_MEMBER_BYTES, display_name
from kalamos.inputs.files import is_hidden, is_image_name, name_order
from kalamos.inputs.item import NamedImage, SkippedName, TimeLimit

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["DAMAGED", "ZIP_DAMAGE", "entry_name", "is_link", "list_zip", "read_entry", "read_tar", "read_zip"]

MAX_HEADER_BYTES = 1 << 20
"""Headers of one tar entry: tarfile reads names and attributes whole, whatever length they claim."""

MAX_XZ_BYTES = 96 * 2**20
"""Memory that decompressing xz may take: `xz -9`, the most that its levels take, needs 65 MiB."""

_BLOCK_BYTES, _PIECE_BYTES = 64 * 1024, 2**20
"""Read at once of what is skipped, and of an image."""

# RecursionError: a thousand headers before one entry. zlib.error and LZMAError are no OSError.
_TAR_DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error, lzma.LZMAError)

# What zipfile raises beside its own: NotImplementedError is a RuntimeError, UnicodeError a ValueError.
ZIP_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, OverflowError, struct.error)
"""The exceptions that `zipfile` raises for what is not an archive, or a damaged one."""

DAMAGED = "copy or download the file again"
"""The remedy for `ZIP_DAMAGE`."""


def read_tar(
    path: str, stream: io.BufferedReader | None = None, *, timeout: float | None = None
) -> Iterator[NamedImage | SkippedName]:
    """Yield the images of a tar archive, and the names of other entries.

    It may be plain, or compressed with gzip, bzip2 or xz. Entries come in the archive's order, as it streams
    by, without going back.

    Args:
        path: the archive, as the names of its entries begin.
        stream: its bytes, if they are not those of the file at `path`; may be a pipe.
        timeout: processor seconds from one image to the next; None takes `kalamos.isolation.TIMEOUT_SECONDS`.
            Small archives have less: see `TimeLimit`.

    Raises:
        ImageTimeoutError: unpacking takes longer; what came before has been yielded.
        CorruptImageError: not a tar archive, or damaged, or cut short; what came before has been yielded.
    """
    last = ""
    where = display_name(path)
    try:
        with stream or open(path, "rb") as packed:  # noqa: PTH123
            limit = TimeLimit(where, timeout, None if stream else os.path.getsize(path))  # noqa: PTH202
            unpacked = _ForwardStream(_decompressed(packed, where), limit)
            archive = tarfile.TarFile(
                fileobj=unpacked,  # type: ignore[arg-type]  # all that is used of a file
                tarinfo=_StrictTarInfo,
                encoding="utf-8",
                errors="surrogateescape",
            )
            while (info := archive.next()) is not None:
                # It would keep them all, for random access.
                archive.members.clear()  # type: ignore[attr-defined]
                last = info.name
                if (item := _read_tar_entry(info, unpacked, path)) is not None:
                    yield item
                    limit.restart()
                unpacked.allow(MAX_HEADER_BYTES)
            unpacked.drain()
    except _TAR_DAMAGE as error:
        after = f" at or after {display_name(last)}" if last else ""
        raise CorruptImageError(
            f"{where}: not a tar archive, or damaged{after} ({display_name(str(error))})",
            remedy="use a complete copy",
        ) from error


def _read_tar_entry(
    info: tarfile.TarInfo, unpacked: _ForwardStream, path: str
) -> NamedImage | SkippedName | None:
    """Read the image that follows a header; None for folders and hidden entries."""
    if info.size < 0:
        raise tarfile.ReadError("a member's size is negative")
    name = info.name.removeprefix("./")
    if info.isdir() or is_hidden(name):
        return None
    if not is_image_name(name):
        return SkippedName(name)
    full = f"{path}/{name}"
    if (error := _tar_entry_error(info, display_name(full))) is not None:
        return NamedImage(full, error)
    unpacked.allow(info.size)
    content = unpacked.read(info.size)
    if len(content) < info.size:
        raise tarfile.ReadError("unexpected end of data")
    return NamedImage(full, content)


def _tar_entry_error(info: tarfile.TarInfo, where: str) -> ImageError | None:
    if info.issym() or info.islnk():
        remedy = "make the archive with tar's --dereference and --hard-dereference"
        return UnsupportedImageError(f"{where}: a link inside an archive is not followed", remedy=remedy)
    if not info.isfile():
        return UnsupportedImageError(f"{where}: not a regular file")
    if info.issparse():
        remedy = "make the archive without --sparse"
        return UnsupportedImageError(f"{where}: stored with holes", remedy=remedy)
    if info.size > MAX_MEMBER_BYTES:
        problem = f"{where}: {info.size:,} bytes are more than the limit of {MAX_MEMBER_BYTES:,}"
        return ImageTooLargeError(problem, remedy="scale the image down")
    return None


def _decompressed(stream: io.BufferedReader, where: str) -> io.BufferedIOBase:
    head = stream.peek(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if head.startswith(b"\xfd7zXZ"):
        return io.BufferedReader(_XZStream(stream, where), _BLOCK_BYTES)
    return stream


class _XZStream(io.RawIOBase):
    """A decompressed xz stream, as `lzma.LZMAFile` gives it, but with a bound on the dictionary.

    The decompressor allocates the dictionary that the file announces, up to 4 GiB, before it reads on.
    """

    def __init__(self, stream: io.BufferedReader, where: str) -> None:
        self._stream, self._where = stream, where
        self._begin(behind=False)

    def _begin(self, *, behind: bool) -> None:
        self._behind = behind
        """Whether nothing was decompressed yet of what lies behind a stream: it may be garbage."""
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            packed = b""
            if self._decompressor.eof:  # streams may follow one another
                packed = self._decompressor.unused_data
                self._begin(behind=True)
            if not packed and self._decompressor.needs_input:
                packed = self._stream.read(_BLOCK_BYTES)
                if not packed and self._behind:
                    return 0
                if not packed:
                    raise EOFError("the compressed data end before their end mark")
            try:
                data = self._decompressor.decompress(packed, len(view))
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


class _StrictTarInfo(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive; here only the end mark is one."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, where a member or the end mark should be") from error


class _ForwardStream:
    """The file that tarfile reads: it goes forward only, and gives no more bytes than allowed.

    `tarfile.open(mode="r|*")` has neither this bound nor a time limit, does not check gzip's checksum, and
    stops after the first of several gzip streams.
    """

    def __init__(self, stream: io.BufferedIOBase, limit: TimeLimit) -> None:
        self._stream, self._limit = stream, limit
        self._position = 0
        self.allow(MAX_HEADER_BYTES)

    def allow(self, size: int) -> None:
        """Let `size` bytes be read from now on; seeking over any number is free."""
        self._left = size

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(f"a member's headers take more than {MAX_HEADER_BYTES:,} bytes")
        parts: list[bytes] = []
        while size and (part := self._take(min(size, _PIECE_BYTES))):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position:
            if not self._take(min(_BLOCK_BYTES, position - self._position)):
                raise tarfile.ReadError("unexpected end of data")

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        self._limit.check()
        return data

    def drain(self) -> None:
        """Read up to 1 MiB behind the end mark.

        A pipe's writer would fail if nobody took its padding, and gzip's checksum comes last.
        """
        for _ in range(16):
            if not self._stream.read(_BLOCK_BYTES):
                return


def read_zip(path: str) -> Iterator[NamedImage | SkippedName]:
    """Yield the images of a zip archive, in case-insensitive name order, and the names of other entries.

    Raises:
        CorruptImageError: not a zip archive, or a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name, entry in list_zip(archive):
                if is_image_name(name):
                    yield _read_zip_entry(archive, entry, f"{path}/{name}")
                else:
                    yield SkippedName(name)
    except ZIP_DAMAGE as error:
        raise CorruptImageError(
            f"{display_name(path)}: not a zip archive, or a damaged one ({display_name(str(error))})",
            remedy=DAMAGED,
        ) from error


def _read_zip_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> NamedImage:
    where = display_name(name)
    if is_link(entry):
        return NamedImage(name, UnsupportedImageError(f"{where}: a link inside an archive is not followed"))
    try:
        return NamedImage(name, read_entry(archive, entry, where))
    except ImageError as error:
        return NamedImage(name, error.with_traceback(None))


def list_zip(archive: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
    """List names and entries that are neither hidden nor folders, in case-insensitive name order."""
    named = [
        (name, entry)
        for entry in archive.infolist()
        if not ((name := entry_name(entry)).endswith("/") or is_hidden(name))
    ]
    named.sort(key=lambda pair: name_order(pair[0]))
    return named


def read_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str, limit: int = MAX_MEMBER_BYTES
) -> bytes:
    """Read one entry of a zip archive, called `where` in errors. No more than its promised size is unpacked.

    Raises:
        ImageTooLargeError: it promises more than `limit` bytes.
        UnsupportedImageError: encrypted, or compressed by another method than deflate.
        CorruptImageError: damaged, or longer than it promises.
    """
    if entry.flag_bits & 1:
        raise UnsupportedImageError(f"{where}: encrypted", remedy="unpack it and name the folder")
    if entry.file_size > limit:
        raise ImageTooLargeError(f"{where}: {entry.file_size:,} bytes are more than the limit of {limit:,}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # For the others zipfile cannot bound what a few bytes are blown up to.
        raise UnsupportedImageError(
            f"{where}: compressed by another method than deflate", remedy="zip it again"
        )
    try:
        with archive.open(entry) as file:
            # One more than promised: the end is reached, so the checksum is checked. Without a count, zipfile
            # would decompress far beyond a promised size that is a lie.
            return file.read(entry.file_size + 1)
    except (*ZIP_DAMAGE, EOFError, zlib.error) as error:
        reason = display_name(str(error))
        raise CorruptImageError(f"{where}: damaged in the archive ({reason})", remedy=DAMAGED) from error


def is_link(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry of a zip archive is a symbolic link."""
    return stat.S_ISLNK(entry.external_attr >> 16)


def entry_name(entry: zipfile.ZipInfo) -> str:
    """Decode an entry's name: as UTF-8 if it is that, though the archive claims the old code page."""
    name = entry.orig_filename
    if entry.flag_bits & 0x800 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name
