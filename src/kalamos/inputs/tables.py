"""Images and paths of CSV and Parquet tables.

Which column of a table has the images.

CSV files with a column of paths, read a line at a time.

Parquet files with a column of encoded images or of paths, read a few rows at a time by a worker process.

A file of some kilobytes can announce pages and dictionaries of gigabytes, which pyarrow allocates before it
finds out: see `kalamos.isolation`.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from kalamos.errors import (
    CorruptImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    MissingExtraError,
    UnsupportedImageError,
    UsageError,
    suggest,
)
from kalamos.images.files import MAX_MEMBER_BYTES, display_name, native_separators
from kalamos.inputs.files import is_image_name
from kalamos.inputs.item import Clock, Item, NamedImage
from kalamos.isolation import iterate_isolated

if TYPE_CHECKING:
    from _csv import Reader

    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["IMAGE_COLUMNS", "choose_column", "read_csv", "read_parquet"]

IMAGE_COLUMNS: Final = frozenset(
    {"image", "images", "img", "path", "image_path", "file", "file_name", "filename", "file_path", "filepath"}
    | {"bytes", "image_bytes", "content"}
)
"""What columns of images are called, in lower case."""

_MAX_LISTED_COLUMNS = 20


def choose_column(columns: Sequence[str], asked: str | None, where: str, *, sure: Sequence[str] = ()) -> int:
    """The place of the column with the images: the one asked for; else the only one there is, the only one
    with a name such as `image`, `path`, `file`, `filename` or `bytes`, or the only one of `sure`.

    Args:
        columns: the table's columns.
        asked: a name; in another case it counts too, if that names one column.
        where: the table, in errors.
        sure: columns whose type shows that images are in them.

    Raises:
        UsageError: there is no such column, or it cannot be told; the message lists the columns.

    >>> choose_column(["id", "File", "label"], None, "a.csv")
    1
    >>> choose_column(["id", "label"], None, "a.csv")
    Traceback (most recent call last):
    kalamos.errors.UsageError: a.csv: which column has the images is unclear; name it with --column: id, label
    """
    table = display_name(where)
    if asked is not None:
        places = [place for place, name in enumerate(columns) if name == asked]
        places = places or _places(columns, {asked.strip().casefold()})
        if len(places) == 1:
            return places[0]
        if places:
            raise UsageError(
                f"{table}: {len(places)} columns are called {asked!r}", remedy="rename the others"
            )
        raise UsageError(f"{table}: no column is called {asked!r}", remedy=suggest(asked, _shown(columns)))
    if len(columns) == 1:
        return 0
    for candidates in (_places(columns, IMAGE_COLUMNS), [columns.index(name) for name in sure]):
        if len(candidates) == 1:
            return candidates[0]
    raise UsageError(
        f"{table}: which column has the images is unclear",
        remedy=f"name it with --column: {', '.join(_shown(columns))}",
    )


def _places(columns: Sequence[str], names: frozenset[str] | set[str]) -> list[int]:
    return [place for place, name in enumerate(columns) if name.strip().casefold() in names]


def _shown(columns: Sequence[str]) -> list[str]:
    more = len(columns) - _MAX_LISTED_COLUMNS
    names = [display_name(name) for name in columns[:_MAX_LISTED_COLUMNS]]
    return [*names, f"and {more:,} more"] if more > 0 else names


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
        timeout: seconds of processor time from one row to the next; see `kalamos.inputs.item`.

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


MAX_BATCH_BYTES, MAX_BATCH_ROWS = 4 << 20, 1024
"""What is decoded at a time."""

MAX_DECODE_BYTES = 256 * 2**20
"""Bytes that decoding some rows may allocate in the worker, which pyarrow itself has enlarged by then."""

_READ_BUFFER_BYTES = 1 << 20


def read_parquet(
    path: str,
    column: str | None = None,
    *,
    open_uri: Callable[[str], AbstractContextManager[Any]] | None = None,
    timeout: float | None = None,
) -> Iterator[Item]:
    """Read the images of one column of a Parquet file: bytes, paths, or Hugging Face's `{bytes, path}`.

    Bytes are `NamedImage`s called `FILE#ROW`, counted from 0 through all row groups; paths are absolute or
    relative to the file's folder. A row with nothing in it is a `NamedImage` with an error.

    Args:
        path: the file; or, with `open_uri`, whatever that opens.
        column: the column's name; see `choose_column`.
        open_uri: opens `path` for pyarrow, in the worker process: a function at the top of a module.
        timeout: seconds that the next few rows may take; None takes `kalamos.isolation.TIMEOUT_SECONDS`.

    Raises:
        MissingExtraError: pyarrow is not installed.
        UsageError: the column cannot be told, or holds neither bytes nor paths.
        CorruptImageError: damaged; what came before has been yielded.
        ImageTooLargeError: a few rows need more memory than they may have.
        ImageTimeoutError: a few rows take longer than they may.
    """
    where = display_name(path)
    if not _is_installed("pyarrow"):
        raise MissingExtraError(f"{where}: reading Parquet needs pyarrow", extra="cluster")
    # The worker may have been started in another folder.
    opened = path if open_uri else os.path.abspath(path)  # noqa: PTH100
    try:
        size = 0 if open_uri else max(1, os.path.getsize(opened))  # noqa: PTH202
    except OSError as error:
        raise _damaged(path, 0, error) from error
    for batch in iterate_isolated(
        _batches,
        opened,
        path,
        column,
        open_uri,
        where=where,
        timeout=timeout,
        size=size,
        memory=MAX_DECODE_BYTES,
        imports=("pyarrow.parquet",),
    ):
        yield from batch


def _batches(
    opened: str, path: str, column: str | None, open_uri: Callable[[str], AbstractContextManager[Any]] | None
) -> Iterator[list[Item]]:
    """What `read_parquet` yields, some rows at a time; runs in the worker."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        # Page by page: whole column chunks, as it would read them otherwise, may be the whole file.
        with (
            open_uri(opened) if open_uri else nullcontext(opened) as file,
            pq.ParquetFile(file, pre_buffer=False, buffer_size=_READ_BUFFER_BYTES) as table,
        ):
            name = _column(table.schema_arrow, column, path)
            for group in range(table.num_row_groups):
                most = _rows_at_a_time(table.metadata.row_group(group))
                batches = table.iter_batches(most, row_groups=[group], columns=[name], use_threads=False)
                for batch in batches:
                    values = batch.column(0).to_pylist()
                    yield [_item(value, path, row + i, name) for i, value in enumerate(values)]
                    row += len(values)
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, row, error) from error


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ValueError:  # sys.modules says that it must not be imported
        return False


def _damaged(path: str, row: int, error: Exception) -> CorruptImageError:
    reason = display_name((str(error).splitlines() or [type(error).__name__])[0])
    return CorruptImageError(
        f"{display_name(path)}: the Parquet file is damaged at row {row}, or cannot be read ({reason})",
        remedy="use a complete copy",
    )


def _column(schema: pa.Schema, asked: str | None, path: str) -> str:
    kinds = [_kind(field.type) for field in schema]
    sure = [name for name, kind in zip(schema.names, kinds, strict=True) if kind in {"bytes", "struct"}]
    place = choose_column(schema.names, asked, path, sure=sure)
    name: str = schema.names[place]
    if not kinds[place]:
        raise UsageError(
            f"{display_name(path)}: the column {name!r} has neither paths nor bytes: {schema.types[place]}",
            remedy="name another with --column",
        )
    if schema.names.count(name) > 1:
        raise UsageError(f"{display_name(path)}: two columns are called {name!r}", remedy="rename one")
    return name


def _kind(type_: pa.DataType) -> str:
    from pyarrow import types

    if types.is_dictionary(type_):
        type_ = type_.value_type
    if types.is_struct(type_):
        names = {field.name for field in type_}
        return "struct" if {"bytes", "path"} & names else ""
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_):
        return "bytes"
    if types.is_binary_view(type_):
        return "bytes"
    text = types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)
    return "path" if text else ""


def _rows_at_a_time(group: pq.RowGroupMetaData) -> int:
    mean: int = group.total_byte_size // max(1, group.num_rows)
    return max(1, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // max(1, mean)))


def _item(value: Any, path: str, row: int, column: str) -> Item:
    name = f"{path}#{row}"
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        if len(value) > MAX_MEMBER_BYTES:
            problem = (
                f"{display_name(name)}: {len(value):,} bytes are more than the limit of {MAX_MEMBER_BYTES:,}"
            )
            return NamedImage(name, ImageTooLargeError(problem, remedy="scale the image down"))
        return NamedImage(name, value)
    if isinstance(value, str) and value:
        # As it was given.
        return native_separators(os.path.join(os.path.dirname(path), value))  # noqa: PTH118, PTH120
    return NamedImage(name, ImageNotFoundError(f"{display_name(name)}: nothing in the column {column!r}"))
