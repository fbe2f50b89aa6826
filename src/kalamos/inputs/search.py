"""Everything that a command line means, as one stream of items.

Standard input: a list of paths, one image, or a tar archive, told apart by how it begins.

How many images there are to read, where that can be known without reading them.
"""

from __future__ import annotations

import io
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    UnsupportedImageError,
    UsageError,
)
from kalamos.images.files import MAX_MEMBER_BYTES, display_name
from kalamos.inputs.archives import list_zip, read_tar
from kalamos.inputs.files import ImageSearch, Kind, is_image_name, kind_of, kind_of_bytes
from kalamos.inputs.item import STDIN_NAME, Item, NamedImage, SkippedName
from kalamos.inputs.skipped import SkippedFiles
from kalamos.inputs.zip_entries import ZIP_DAMAGE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["STDIN", "InputSearch", "count_images", "read_stdin"]

STDIN = "-"


class InputSearch:
    """The images under some paths, and in the containers among them, lazily, in order.

    Paths are taken as `kalamos.inputs.files.ImageSearch` does, in case-insensitive name order. In the
    place of a container that is named, itself or by a glob, come its images. Its content decides what it
    is, whatever it is called, save that a CSV has to be called `.csv` or `.tsv`:

    - a tar archive (also gzip, bzip2 or xz): its members, in its order;
    - a zip archive: its members, in case-insensitive name order;
    - a Parquet or CSV file: the rows of one column, in order;
    - `-`: standard input (see `kalamos.inputs.search`).

    Containers in searched folders, archives in archives and links in archives are not opened. What members
    are called, `kalamos.inputs` says. A container that is damaged gives the images before the damage, and one
    `NamedImage` with the error.

    Args:
        paths: files, folders, globs, and `-`.
        column: the column of the tables; None where it can be told (see `columns.choose_column`).
        stdin: what `-` reads; by default the process's own.
        timeout: seconds that getting the next image out of an archive or a table may take; None takes
            `kalamos.isolation.TIMEOUT_SECONDS`.

    A path that is not there is passed on, to become a row with its error; where none of the paths is there, a
    `UsageError` names them.

    Raises:
        UsageError: `-` is named twice, or a column where no table is named.

    >>> list(InputSearch(["no-such-file.png"]))
    Traceback (most recent call last):
    kalamos.errors.UsageError: no-such-file.png: no such file or folder
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        column: str | None = None,
        stdin: io.BufferedIOBase | None = None,
        timeout: float | None = None,
    ) -> None:
        if list(paths).count(STDIN) > 1:
            raise UsageError("standard input is named twice", remedy=f"give {STDIN} once")
        if column is not None and not any(map(_may_be_table, paths)):
            raise UsageError(
                f"column {column!r}: no CSV or Parquet file is named", remedy="name the table's file"
            )
        self._search = ImageSearch(paths, refuse_absent=True)
        self._alone = len(paths) == 1
        self._column = column
        self._stdin = stdin
        self._timeout = timeout
        self._inside = SkippedFiles()

    @property
    def passed_over(self) -> SkippedFiles:
        """Files in searched folders and archives whose names are no image's, counted as the search goes."""
        together = SkippedFiles()
        together.merge(self._search.passed_over)
        together.merge(self._inside)
        return together

    @property
    def skipped(self) -> int:
        """How many files were passed over."""
        return self.passed_over.total

    def __iter__(self) -> Iterator[Item]:
        """Raises `UsageError` if none of the paths is there, if the one path given has no image, or if its
        column cannot be told.
        """
        self._inside = SkippedFiles()
        for path, was_named in self._search.entries():
            if path == STDIN:
                yield from self._opened("standard input", STDIN_NAME, self._standard_input())
            elif path in self._search.reasons:
                reason = self._search.reasons[path]
                yield NamedImage(path, ImageNotFoundError(reason.problem, remedy=reason.remedy))
            elif was_named and (kind := kind_of(path)) is not None:
                yield from self._opened(
                    display_name(path), path, _reader(kind, path, self._column, self._timeout)
                )
            else:
                yield path

    def _opened(self, where: str, path: str, items: Iterator[Item | SkippedName]) -> Iterator[Item]:
        found = False
        inside = SkippedFiles()
        try:
            for item in items:
                if isinstance(item, SkippedName):
                    inside.add(item.name)
                    self._inside.add(item.name)
                else:
                    found = True
                    yield item
        except ImageError as error:
            yield NamedImage(path, error)
        except UsageError as error:
            yield self._refused(path, error)
        else:
            if not found:
                but = f", but {inside}" if inside.total else ""
                yield self._refused(path, UsageError(f"{where}: no image in it{but}"))

    def _refused(self, path: str, error: UsageError) -> NamedImage:
        if self._alone:
            raise error
        return NamedImage(path, ImageNotFoundError(error.problem, remedy=error.remedy))

    def _standard_input(self) -> Iterator[Item | SkippedName]:

        stream = self._stdin or getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise ImageNotFoundError("standard input: closed")
        yield from read_stdin(stream, timeout=self._timeout)


def _may_be_table(path: str) -> bool:
    """Whether it is one, or a glob that may find one, or not there, which is another mistake."""
    return path != STDIN and (not os.path.lexists(path) or kind_of(path) in {"csv", "parquet"})


def _reader(kind: Kind, path: str, column: str | None, timeout: float | None) -> Iterator[Item | SkippedName]:
    # Each brings its own library, and most runs need none of them.
    if kind == "tar":
        from kalamos.inputs.archives import read_tar

        return read_tar(path, timeout=timeout)
    if kind == "zip":
        from kalamos.inputs.archives import read_zip

        return read_zip(path)
    if kind == "parquet":
        from kalamos.inputs.tables import read_parquet

        return read_parquet(path, column, timeout=timeout)
    from kalamos.inputs.tables import read_csv

    return read_csv(path, column, timeout=timeout)


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


def count_images(paths: Sequence[str]) -> int | None:
    """Count the rows that `InputSearch(paths)` will give; None where only reading tells.

    Names are listed and nothing is decoded: of a folder the names, of a zip its directory. A tar archive, a
    table and standard input tell only when they are read.

    >>> count_images(["samples"]) == len(list(ImageSearch(["samples"])))
    True
    >>> count_images(["-"]) is None
    True
    """
    total = 0
    try:
        for path, was_named in ImageSearch(paths, refuse_absent=True).entries():
            kind = kind_of(path) if was_named and path != STDIN else None
            if path == STDIN or kind not in {None, "zip"}:
                return None
            total += 1 if kind is None else _count_zip(path)
    except (OSError, UsageError, *ZIP_DAMAGE):
        return None
    return total


def _count_zip(path: str) -> int:
    """Count the images in a zip; an archive without any is itself one row."""
    with zipfile.ZipFile(path) as archive:
        return max(1, sum(is_image_name(name) for name, _ in list_zip(archive)))
