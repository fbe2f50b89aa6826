"""Standard input: a list of paths, one image, or a tar archive, told apart by how it begins."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kalamos.errors import CorruptImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images.files import MAX_MEMBER_BYTES
from kalamos.inputs.item import STDIN_NAME, Item, NamedImage, SkippedName
from kalamos.inputs.kinds import kind_of_bytes
from kalamos.inputs.tars import read_tar

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["read_stdin"]

STDIN_WHERE = "standard input"

MAX_PATH_BYTES = 32_768
"""Bytes: more than any system takes for a path (Linux 4,096; Windows 32,767 characters)."""

HEAD_BYTES = 4097
"""A path of Linux and the NUL behind it: where NULs separate the paths, the first is in sight."""

_STDIN_BLOCK_BYTES = 64 * 1024
_BINARY_MAGIC = (b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"%PDF-")
_UTF_8_MARK, _UTF_16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1f\x7f]")


def read_stdin(stream: io.BufferedIOBase, *, timeout: float | None = None) -> Iterator[Item | SkippedName]:
    r"""The images that come through a pipe, and the names of other members of an archive.

    What comes is told by its first 4,097 bytes (or all, if there are fewer):

    1. a tar archive, plain or compressed with gzip, bzip2 or xz: its members, called `stdin/NAME`;
    2. other binary data, as every image is: one image, called `stdin`. Data are binary that begin like a
       JPEG, a GIF, a WEBP or a PDF, or have two NULs in a row, or no NUL but other control codes than white
       space;
    3. anything else is a list of paths: separated by NULs if there is one (`find -print0`), else by line
       ends, `\n` or `\r\n`. They are taken as they are, in their order, relative to the current folder; empty
       ones do not count. Folders, globs and archives in the list are not opened.

    Raises:
        ImageError: the archive is damaged, or a zip or a Parquet file, which pipes cannot carry; the list is
            in UTF-16, or a path in it has no end. What came before has been yielded.

    >>> list(read_stdin(io.BytesIO(b"a.png\nb.png\n")))
    ['a.png', 'b.png']
    """
    try:
        head = stream.read(HEAD_BYTES)
        whole: io.BufferedReader = io.BufferedReader(_Rejoined(head, stream), _STDIN_BLOCK_BYTES)
        kind = kind_of_bytes(head)
        if kind == "tar":
            yield from read_tar(STDIN_NAME, whole, timeout=timeout)
        elif kind is not None:
            what = "a zip archive" if kind == "zip" else "a Parquet file"
            problem = f"{STDIN_WHERE}: {what} cannot come through a pipe, as what is in it is told at its end"
            raise UnsupportedImageError(problem, remedy="save it and name the file")
        elif head.startswith(_UTF_16_MARKS):
            raise UnsupportedImageError(f"{STDIN_WHERE}: a list in UTF-16", remedy="write it in UTF-8")
        elif _is_binary(head):
            yield _image(whole)
        else:
            yield from _paths(whole, b"\0" if b"\0" in head else b"\n")
    except OSError as error:
        raise CorruptImageError(f"{STDIN_WHERE}: cannot be read ({error.strerror})") from error


def _is_binary(head: bytes) -> bool:
    if head.startswith(_BINARY_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return b"\0\0" in head or (b"\0" not in head and bool(_CONTROLS.search(head)))


def _image(stream: io.BufferedReader) -> NamedImage:
    data = stream.read(MAX_MEMBER_BYTES + 1)
    if len(data) <= MAX_MEMBER_BYTES:
        return NamedImage(STDIN_NAME, data)
    problem = f"{STDIN_WHERE}: more than the limit of {MAX_MEMBER_BYTES:,} bytes"
    return NamedImage(STDIN_NAME, ImageTooLargeError(problem, remedy="scale the image down"))


def _paths(stream: io.BufferedReader, separator: bytes) -> Iterator[str]:
    line_end = b"\r" if separator == b"\n" else b""
    left, data = b"", stream.read1().removeprefix(_UTF_8_MARK)
    while data:
        *entries, left = (left + data).split(separator)
        for entry in entries:
            if path := entry.removesuffix(line_end):
                yield os.fsdecode(path)
        if len(left) > MAX_PATH_BYTES:
            problem = f"{STDIN_WHERE}: more than {MAX_PATH_BYTES:,} bytes without an end are no path"
            raise CorruptImageError(problem, remedy="give a path a line")
        data = stream.read1()
    if path := left.removesuffix(line_end):
        yield os.fsdecode(path)


class _Rejoined(io.RawIOBase):
    """A stream with what was read from it put back before it."""

    def __init__(self, head: bytes, stream: io.BufferedIOBase) -> None:
        self._head, self._stream = memoryview(head), stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._head:
            return self._stream.readinto1(buffer)
        view = memoryview(buffer).cast("B")
        part = self._head[: len(view)]
        view[: len(part)] = part
        self._head = self._head[len(part) :]
        return len(part)
