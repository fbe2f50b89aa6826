"""CSV files with a column of paths, read a line at a time."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kalamos.errors import CorruptImageError, ImageNotFoundError, UnsupportedImageError, UsageError
from kalamos.folders import is_image_name
from kalamos.images.files import display_name, native_separators
from kalamos.inputs.clock import Clock
from kalamos.inputs.columns import choose_column
from kalamos.inputs.item import Item, NamedImage

if TYPE_CHECKING:
    from _csv import Reader

__all__ = ["read_csv"]

MAX_LINE_CHARACTERS = 1 << 20
"""Characters: what has no line end for longer is no table of text."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


LINES_PER_CHECK = 4096
"""Lines between two looks at the clock."""


def read_csv(path: str, column: str | None = None, *, timeout: float | None = None) -> Iterator[Item]:
    """The images that a CSV file names in one column: paths, absolute or relative to the file's folder.

    UTF-8, with or without a byte order mark; the first line names the columns; separated by commas,
    semicolons or tabs; quotes as in RFC 4180. Backslashes are separators where no file is called so. Empty
    lines do not count. A row without a path, or one that cannot be parsed, is a `NamedImage` called
    `FILE#ROW`, counted from 0, whose error names the line.

    Args:
        column: the column's name; see `choose_column`.
        timeout: seconds of processor time from one row to the next; see `kalamos.inputs.clock`.

    Raises:
        UsageError: the column cannot be told, or the first line is no header.
        ImageTimeoutError: the next row does not come in time: a table of empty lines.
        CorruptImageError: not readable any more, not UTF-8, or lines without end.
    """
    where = display_name(path)
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:  # noqa: PTH123
            if file.buffer.peek(2).startswith(_UTF_16):  # type: ignore[attr-defined]
                raise CorruptImageError(f"{where}: in UTF-16", remedy="save it as UTF-8")
            clock = Clock(where, timeout, os.fstat(file.fileno()).st_size)
            for item in _rows(file, path, column, clock):
                yield item
                clock.restart()
    except OSError as error:
        raise CorruptImageError(f"{where}: cannot be read ({error.strerror})") from error


def _rows(file: io.TextIOWrapper, path: str, column: str | None, clock: Clock) -> Iterator[Item]:
    where, folder = display_name(path), os.path.dirname(path)  # noqa: PTH120  (it stays as it was given)
    lines = _lines(file, where, clock)
    header = next(lines, "")
    reader = csv.reader(
        itertools.chain([header], lines),
        delimiter=max(",;\t", key=header.count),
        skipinitialspace=True,
        strict=True,
    )
    columns = next(_parsed(reader))[1]
    if isinstance(columns, csv.Error):
        raise CorruptImageError(f"{where}, line 1: {columns}", remedy="mend that line")
    if not columns:
        return
    if column is None and any(map(is_image_name, columns)):
        raise UsageError(
            f"{where}: its first line should name the columns, and looks like an image's row",
            remedy="put a line before it, such as: path",
        )
    place = choose_column(columns, column, path)
    row = 0
    for line, cells in _parsed(reader):
        if not cells:
            continue
        told, name = f"{where}, {_span(line, reader.line_num)}", f"{path}#{row}"
        row += 1
        if isinstance(cells, csv.Error):
            yield NamedImage(name, CorruptImageError(f"{told}: {cells}", remedy="mend the quotes there"))
        elif any(cells[len(columns) :]):
            problem = f"{told}: more cells than columns"
            yield NamedImage(
                name, CorruptImageError(problem, remedy="put quotes around cells with separators")
            )
        elif place >= len(cells) or not cells[place]:
            yield NamedImage(name, ImageNotFoundError(f"{told}: no path in the column {columns[place]!r}"))
        elif not cells[place].isascii() and _SURROGATES.search(cells[place]):
            yield NamedImage(
                name, UnsupportedImageError(f"{told}: not UTF-8", remedy="save the table as UTF-8")
            )
        else:
            yield native_separators(os.path.join(folder, cells[place]))  # noqa: PTH118  (so does the path)


def _lines(file: io.TextIOWrapper, where: str, clock: Clock) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_CHARACTERS):
        number += 1
        if not number % LINES_PER_CHECK:
            clock.check()
        if len(line) == MAX_LINE_CHARACTERS:
            raise CorruptImageError(f"{where}, line {number}: longer than {MAX_LINE_CHARACTERS:,} characters")
        yield line


def _parsed(reader: Reader) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The line where each row begins, and its cells, or why it has none."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield line, error
        else:
            if cells is None:
                return
            yield line, cells


def _span(first: int, last: int) -> str:
    return f"line {first}" if first >= last else f"lines {first} to {last}"
