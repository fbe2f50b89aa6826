"""Tar archives, plain or compressed, as they stream by: in their own order, without going back."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import Self

from kalamos.errors import CorruptImageError, ImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.folders import is_hidden, is_image_name
from kalamos.images.files import MAX_FILE_BYTES, display_name
from kalamos.inputs.item import Member

__all__ = ["read_tar"]

MOST_HEADER = 1 << 20
"""Bytes of one member's headers: tarfile reads names and attributes whole, whatever length they claim."""

_BLOCK = 64 * 1024
# RecursionError: a thousand headers before one member. zlib.error and LZMAError are no OSError.
_DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error, lzma.LZMAError)


def read_tar(path: str, stream: io.BufferedReader | None = None) -> Iterator[Member | None]:
    """The images of a tar archive, in its order; None for a member that is none by name.

    Plain, or compressed with gzip, bzip2 or xz. Hidden members and folders are passed over, as in folders on
    disk.

    Args:
        path: the archive, as its members' names begin.
        stream: its bytes, if they are not those of the file at `path`; may be a pipe.

    Raises:
        CorruptImageError: not a tar archive, or damaged, or broken off; what came before has been yielded.
    """
    last = ""
    try:
        with stream or open(path, "rb") as packed:  # noqa: PTH123
            unpacked = _Forward(_unpacked(packed))
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
                yield from _members(info, unpacked, path)
                unpacked.allow(MOST_HEADER)
            unpacked.drain()
    except _DAMAGE as error:
        after = f" at or after {display_name(last)}" if last else ""
        raise CorruptImageError(
            f"{display_name(path)}: not a tar archive, or damaged{after} ({display_name(str(error))})",
            remedy="use a complete copy",
        ) from error


def _members(info: tarfile.TarInfo, unpacked: _Forward, path: str) -> Iterator[Member | None]:
    """The image that follows a header; nothing for what is passed over."""
    if info.size < 0:
        raise tarfile.ReadError("a member's size is negative")
    name = info.name.removeprefix("./")
    if info.isdir() or is_hidden(name):
        return
    if not is_image_name(name):
        yield None
        return
    full = f"{path}/{name}"
    refused = _refusal(info, display_name(full))
    if refused is None:
        unpacked.allow(info.size)
        content = unpacked.read(info.size)
        if len(content) < info.size:
            raise tarfile.ReadError("unexpected end of data")
        yield Member(full, content)
    else:
        yield Member(full, refused)


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
    if info.size > MAX_FILE_BYTES:
        problem = f"{where}: {info.size:,} bytes are more than the limit of {MAX_FILE_BYTES:,}"
        return ImageTooLargeError(problem, remedy="scale the image down")
    return None


def _unpacked(stream: io.BufferedReader) -> io.BufferedIOBase:
    """The stream, decompressed where it is compressed."""
    head = stream.peek(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    return lzma.LZMAFile(stream) if head.startswith(b"\xfd7zXZ") else stream


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

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._position = 0
        self.allow(MOST_HEADER)

    def allow(self, size: int) -> None:
        """From now on `size` bytes may be read; passing over any number is free."""
        self._left = size

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(f"a member's headers take more than {MOST_HEADER:,} bytes")
        data = self._stream.read(size)
        self._position += len(data)
        return data

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position:
            passed = len(self._stream.read(min(_BLOCK, position - self._position)))
            if not passed:
                raise tarfile.ReadError("unexpected end of data")
            self._position += passed

    def drain(self) -> None:
        """Read what is behind the end mark, up to 1 MiB: a pipe's writer would fail where its padding is not
        taken, and gzip's checksum comes last.
        """
        for _ in range(16):
            if not self._stream.read(_BLOCK):
                return
