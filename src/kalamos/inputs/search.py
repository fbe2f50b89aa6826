"""All inputs that a command line names, as one stream of items; standard input; how many there are."""

from __future__ import annotations

import io
import os
import re
import sys
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
from kalamos.images.documents import holds_pages
from kalamos.images.files import MAX_MEMBER_BYTES, display_name
from kalamos.inputs.files import (
    ContainerKind,
    ImageSearch,
    SkippedFiles,
    container_kind,
    container_kind_of_bytes,
    is_image_name,
)
from kalamos.inputs.item import STDIN_NAME, Item, NamedImage, SkippedName

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["STDIN", "InputSearch", "count_images", "read_stdin"]

STDIN = "-"

_STDIN_WHERE = "standard input"

MAX_PATH_BYTES = 32_768
"""A longer entry of a list is an error: no system takes such a path (Linux 4,096; Windows 32,767
characters)."""

STDIN_HEAD_BYTES = 4097
"""Looked at to tell what comes: a path of Linux and the NUL behind it, so that the first of a list is in
sight."""

_BLOCK_BYTES = 64 * 1024
_DOCUMENT_SUFFIXES = (".pdf", ".tif", ".tiff")
"""Of files in folders that may hold several pages: of a PDF or a TIFF none may be lost in silence."""

_BINARY_MAGIC = (b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"%PDF-")
_UTF_8_MARK, _UTF_16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1f\x7f]")


class InputSearch:
    """The images under some paths, and in the containers among them, found lazily, in order.

    Paths are taken as `kalamos.inputs.files.ImageSearch` does, in case-insensitive name order. A container
    that is named, itself or by a glob, is replaced by its images. Its content decides what it is, whatever it
    is called, except that a CSV has to be called `.csv` or `.tsv`:

    - a tar archive (also gzip, bzip2 or xz): its entries, in its order;
    - a zip archive: its entries, in case-insensitive name order;
    - a Parquet or CSV file: the rows of one column, in order;
    - a PDF, or a TIFF of several pages: its pages (with the extra `kalamos[forms]`, for a PDF);
    - `-`: standard input (see `read_stdin`).

    Archives and tables in searched folders, archives in archives and links in archives are not opened.
    `kalamos.inputs` says what entries are called. A damaged container gives the images before the damage, and
    one `NamedImage` with the error. A path that does not exist is passed on, to become a row with its error;
    if none of the paths exists, a `UsageError` names them.

    Args:
        paths: files, folders, globs, and `-`.
        column: the column of the tables; None chooses it (see `kalamos.inputs.tables.choose_column`).
        stdin: what `-` reads; by default the process's own.
        timeout: seconds that getting the next image out of an archive or a table may take; None takes
            `kalamos.isolation.TIMEOUT_SECONDS`.
        pdfs: whether PDFs are taken from searched folders too.

    Raises:
        UsageError: `-` is named twice, or a column is named and no table is.

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
        pdfs: bool = False,
    ) -> None:
        if list(paths).count(STDIN) > 1:
            raise UsageError("standard input is named twice", remedy=f"give {STDIN} once")
        if column is not None and not any(map(_may_be_table, paths)):
            raise UsageError(
                f"column {column!r}: no CSV or Parquet file is named", remedy="name the table's file"
            )
        self._search = ImageSearch(paths, refuse_absent=True, pdfs=pdfs)
        self._alone = len(paths) == 1
        self._column = column
        self._stdin = stdin
        self._timeout = timeout
        self._inside = SkippedFiles()

    @property
    def skipped(self) -> SkippedFiles:
        """Files in searched folders and archives without an image extension, counted as the search goes."""
        both = SkippedFiles()
        both.merge(self._search.skipped)
        both.merge(self._inside)
        return both

    def __iter__(self) -> Iterator[Item]:
        """Raises `UsageError` if no path exists, or the only one has no image or an unclear column."""
        self._inside = SkippedFiles()
        for path, was_named in self._search.entries():
            if path == STDIN:
                yield from self._opened(_STDIN_WHERE, STDIN_NAME, self._standard_input())
            elif path in self._search.reasons:
                reason = self._search.reasons[path]
                yield NamedImage(path, ImageNotFoundError(reason.problem, remedy=reason.remedy))
            elif (kind := _kind_to_open(path, was_named=was_named)) is not None:
                items = _read_container(kind, path, self._column, self._timeout)
                yield from self._opened(display_name(path), path, items)
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
            raise ImageNotFoundError(f"{_STDIN_WHERE}: closed")
        yield from read_stdin(stream, timeout=self._timeout)


def _kind_to_open(path: str, *, was_named: bool) -> ContainerKind | None:
    """Return the kind of a container that is to be opened; None for images, and for archives in folders."""
    if not (was_named or path.lower().endswith(_DOCUMENT_SUFFIXES)):
        return None
    kind = container_kind(path)
    return kind if was_named or kind == "document" else None


def _may_be_table(path: str) -> bool:
    """Whether a path is a table, a glob that may find one, or absent, which is another mistake."""
    return path != STDIN and (not os.path.lexists(path) or container_kind(path) in {"csv", "parquet"})


def _read_container(
    kind: ContainerKind, path: str, column: str | None, timeout: float | None
) -> Iterator[Item | SkippedName]:
    # Each brings its own library, and most runs need none of them.
    if kind == "document":
        from kalamos.inputs.documents import read_document

        return read_document(path, path, timeout=timeout)
    if kind in {"tar", "zip"}:
        from kalamos.inputs import archives

        return archives.read_tar(path, timeout=timeout) if kind == "tar" else archives.read_zip(path)
    from kalamos.inputs import tables

    return (tables.read_csv if kind == "csv" else tables.read_parquet)(path, column, timeout=timeout)


def read_stdin(stream: io.BufferedIOBase, *, timeout: float | None = None) -> Iterator[Item | SkippedName]:
    r"""Read the images that come through a pipe, and the names of other entries of an archive.

    The first 4,097 bytes (or all, if there are fewer) decide what comes:

    1. a tar archive, plain or compressed with gzip, bzip2 or xz: its entries, called `stdin/NAME`; 2. other
       binary data, as every image is: one image, called `stdin`, or the pages of a PDF or TIFF, `stdin#2`.
       Data are binary if they begin like a JPEG, a GIF, a WEBP or a PDF, or have two NULs in a row, or no NUL
       but other control codes than white space;
    3. anything else is a list of paths: separated by NULs if there is one (`find -print0`), else by line
       ends, `\n` or `\r\n`. They are taken as they are, in their order, relative to the current folder; empty
       ones do not count. Folders, globs and archives in the list are not opened.

    Raises:
        ImageError: the archive is damaged, or a zip or a Parquet file, which pipes cannot carry; the list is
            in
            UTF-16, or a path in it has no end. What came before has been yielded.

    >>> list(read_stdin(io.BytesIO(b"a.png\nb.png\n")))
    ['a.png', 'b.png']
    """
    try:
        head = stream.read(STDIN_HEAD_BYTES)
        whole: io.BufferedReader = io.BufferedReader(_Rejoined(head, stream), _BLOCK_BYTES)
        kind = container_kind_of_bytes(head)
        if kind == "tar":
            from kalamos.inputs.archives import read_tar

            yield from read_tar(STDIN_NAME, whole, timeout=timeout)
        elif kind is not None and kind != "document":
            what = "a zip archive" if kind == "zip" else "a Parquet file"
            problem = (
                f"{_STDIN_WHERE}: {what} cannot come through a pipe, as what is in it is told at its end"
            )
            raise UnsupportedImageError(problem, remedy="save it and name the file")
        elif head.startswith(_UTF_16_MARKS):
            raise UnsupportedImageError(f"{_STDIN_WHERE}: a list in UTF-16", remedy="write it in UTF-8")
        elif _is_binary(head):
            image = _image(whole)
            if isinstance(image.content, bytes) and holds_pages(image.content):
                from kalamos.inputs.documents import read_document

                yield from read_document(image.content, STDIN_NAME, timeout=timeout)
            else:
                yield image
        else:
            yield from _paths(whole, b"\0" if b"\0" in head else b"\n")
    except OSError as error:
        raise CorruptImageError(f"{_STDIN_WHERE}: cannot be read ({error.strerror})") from error


def _is_binary(head: bytes) -> bool:
    if head.startswith(_BINARY_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return b"\0\0" in head or (b"\0" not in head and bool(_CONTROLS.search(head)))


def _image(stream: io.BufferedReader) -> NamedImage:
    data = stream.read(MAX_MEMBER_BYTES + 1)
    if len(data) <= MAX_MEMBER_BYTES:
        return NamedImage(STDIN_NAME, data)
    problem = f"{_STDIN_WHERE}: more than the limit of {MAX_MEMBER_BYTES:,} bytes"
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
            problem = f"{_STDIN_WHERE}: more than {MAX_PATH_BYTES:,} bytes without an end are not a path"
            raise CorruptImageError(problem, remedy="give a path a line")
        data = stream.read1()
    if path := left.removesuffix(line_end):
        yield os.fsdecode(path)


class _Rejoined(io.RawIOBase):
    """A stream behind the bytes that were read from it already."""

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
    """Count the rows that `InputSearch(paths)` will give; None if only reading tells.

    Names are listed and nothing is decoded: those of a folder, or in a zip's directory. A tar archive, a
    table and standard input tell only when they are read.

    >>> count_images(["samples"]) == len(list(ImageSearch(["samples"])))
    True
    >>> count_images(["-"]) is None
    True
    """
    total = 0
    try:
        for path, was_named in ImageSearch(paths, refuse_absent=True).entries():
            kind = None if path == STDIN else _kind_to_open(path, was_named=was_named)
            count = _count_zip(path) if kind == "zip" else 1
            if path == STDIN or kind not in {None, "zip"} or count is None:
                return None
            total += count
    except (OSError, UsageError):
        return None
    return total


def _count_zip(path: str) -> int | None:
    """Count the images in a zip; an archive without any is itself one row. None if it is damaged."""
    from zipfile import ZipFile

    from kalamos.inputs.archives import ZIP_DAMAGE, list_zip

    try:
        with ZipFile(path) as archive:
            return max(1, sum(is_image_name(name) for name, _ in list_zip(archive)))
    except ZIP_DAMAGE:
        return None
