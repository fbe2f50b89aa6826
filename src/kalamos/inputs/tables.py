"""Images and paths in one column of a CSV or Parquet table.

CSV is read a line at a time. Parquet is read a few rows at a time by a worker process: a file of some
kilobytes can announce pages and dictionaries of gigabytes, which pyarrow allocates before it finds out
(`kalamos.isolation`).
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
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    MissingExtraError,
    UnsupportedImageError,
    UsageError,
    suggest,
)
from kalamos.images.files import MAX_MEMBER_BYTES, display_name, native_separators
from kalamos.inputs.files import is_image_name
from kalamos.inputs.item import Item, NamedImage, TimeLimit
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

MAX_LINE_CHARACTERS = 1 << 20
"""A longer line of CSV is an error: this is not a table of text."""

MAX_BATCH_BYTES, MAX_BATCH_ROWS = 4 << 20, 1024
"""Parquet that is decoded at a time."""

MAX_DECODE_BYTES = 256 * 2**20
"""Memory that decoding some rows may take in the worker, beyond what pyarrow itself takes."""

_MAX_LISTED_COLUMNS = 20
_LINES_PER_CHECK = 4096
_READ_BUFFER_BYTES = 1 << 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def choose_column(columns: Sequence[str], asked: str | None, where: str, *, sure: Sequence[str] = ()) -> int:
    """Choose the column with the images; return its index.

    It is the one asked for; else the only one there is, the only one with a name such as `image`, `path`,
    `file`, `filename` or `bytes`, or the only one of `sure`.

    Args:
        columns: the table's columns.
        asked: a name; in another case it counts too, if that names one column.
        where: the table, in errors.
        sure: columns whose type shows that images are in them.

    Raises:
        UsageError: there is no such column, or the choice is unclear; the message lists the columns.

    >>> choose_column(["id", "File", "label"], None, "a.csv")
    1
    >>> choose_column(["id", "label"], None, "a.csv")
    Traceback (most recent call last):
    kalamos.errors.UsageError: a.csv: which column has the images is unclear; name it with --column: id, label
    """
    table = display_name(where)
    if asked is not None:
        found = [index for index, name in enumerate(columns) if name == asked]
        found = found or _indices(columns, {asked.strip().casefold()})
        if not found:
            remedy = suggest(asked, _listed(columns))
            raise UsageError(f"{table}: no column is called {asked!r}", remedy=remedy)
        if len(found) > 1:
            remedy = "rename the others"
            raise UsageError(f"{table}: {len(found)} columns are called {asked!r}", remedy=remedy)
        return found[0]
    if len(columns) == 1:
        return 0
    for candidates in (_indices(columns, IMAGE_COLUMNS), [columns.index(name) for name in sure]):
        if len(candidates) == 1:
            return candidates[0]
    raise UsageError(
        f"{table}: which column has the images is unclear",
        remedy=f"name it with --column: {', '.join(_listed(columns))}",
    )


def _indices(columns: Sequence[str], names: frozenset[str] | set[str]) -> list[int]:
    return [index for index, name in enumerate(columns) if name.strip().casefold() in names]


def _listed(columns: Sequence[str]) -> list[str]:
    more = len(columns) - _MAX_LISTED_COLUMNS
    names = [display_name(name) for name in columns[:_MAX_LISTED_COLUMNS]]
    return [*names, f"and {more:,} more"] if more > 0 else names


def read_csv(path: str, column: str | None = None, *, timeout: float | None = None) -> Iterator[Item]:
    """Read the paths in one column of a CSV file, absolute or relative to the file's folder.

    The file is UTF-8, with or without a byte order mark; its first line names the columns; cells are
    separated by commas, semicolons or tabs, quoted as in RFC 4180. Backslashes are separators if no file is
    called so. Empty lines do not count. A row without a path, or one that cannot be parsed, is a `NamedImage`
    called `FILE#ROW`, counted from 0, whose error names the line.

    Args:
        column: the column's name; see `choose_column`.
        timeout: processor seconds from one row to the next; see `TimeLimit`.

    Raises:
        UsageError: the column is unclear, or the first line is not a header.
        ImageTimeoutError: the next row does not come in time, as in a table of empty lines.
        CorruptImageError: not readable any more, not UTF-8, or lines without end.
    """
    where = display_name(path)
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:  # noqa: PTH123
            if file.buffer.peek(2).startswith(_UTF_16):  # type: ignore[attr-defined]
                raise CorruptImageError(f"{where}: in UTF-16", remedy="save it as UTF-8")
            limit = TimeLimit(where, timeout, os.fstat(file.fileno()).st_size)
            for item in _rows(file, path, column, limit):
                yield item
                limit.restart()
    except OSError as error:
        raise CorruptImageError(f"{where}: cannot be read ({error.strerror})") from error


def _rows(file: io.TextIOWrapper, path: str, column: str | None, limit: TimeLimit) -> Iterator[Item]:
    where = display_name(path)
    lines = _lines(file, where, limit)
    header = next(lines, "")
    reader = csv.reader(
        itertools.chain([header], lines),
        delimiter=max(",;\t", key=header.count),
        skipinitialspace=True,
        strict=True,
    )
    columns = next(_parsed(reader))[1]
    if isinstance(columns, csv.Error):
        raise CorruptImageError(f"{where}, line 1: {columns}", remedy="fix line 1")
    if not columns:
        return
    if column is None and any(map(is_image_name, columns)):
        raise UsageError(
            f"{where}: its first line should name the columns, and looks like an image's row",
            remedy="put a line before it, such as: path",
        )
    index = choose_column(columns, column, path)
    row = 0
    for line, cells in _parsed(reader):
        if not cells:
            continue
        last = reader.line_num
        span = f"{where}, " + (f"line {line}" if line >= last else f"lines {line} to {last}")
        error: ImageError
        if isinstance(cells, csv.Error):
            error = CorruptImageError(f"{span}: {cells}", remedy="fix the quotes there")
        elif any(cells[len(columns) :]):
            remedy = "put quotes around cells with separators"
            error = CorruptImageError(f"{span}: more cells than columns", remedy=remedy)
        elif index >= len(cells) or not cells[index]:
            error = ImageNotFoundError(f"{span}: no path in the column {columns[index]!r}")
        elif not cells[index].isascii() and _SURROGATES.search(cells[index]):
            error = UnsupportedImageError(f"{span}: not UTF-8", remedy="save the table as UTF-8")
        else:
            yield _beside(path, cells[index])
            row += 1
            continue
        yield NamedImage(f"{path}#{row}", error)
        row += 1


def _lines(file: io.TextIOWrapper, where: str, limit: TimeLimit) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_CHARACTERS):
        number += 1
        if not number % _LINES_PER_CHECK:
            limit.check()
        if len(line) == MAX_LINE_CHARACTERS:
            raise CorruptImageError(f"{where}, line {number}: longer than {MAX_LINE_CHARACTERS:,} characters")
        yield line


def _parsed(reader: Reader) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the line where each row begins, and its cells or why it has none."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error
        else:
            yield line, cells


def _beside(table: str, path: str) -> str:
    """Make a path relative to the table's folder, which stays as it was given."""
    return native_separators(os.path.join(os.path.dirname(table), path))  # noqa: PTH118, PTH120


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
        UsageError: the column is unclear, or holds neither bytes nor paths.
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
    """Yield what `read_parquet` does, some rows at a time; runs in the worker."""
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
    """Tell what a column holds: `bytes`, `path`, a `struct` of these, or neither (an empty text)."""
    from pyarrow import types

    if types.is_dictionary(type_):
        type_ = type_.value_type
    if types.is_struct(type_):
        names = {field.name for field in type_}
        return "struct" if {"bytes", "path"} & names else ""
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    if any(is_type(type_) for is_type in binary):
        return "bytes"
    text = (types.is_string, types.is_large_string, types.is_string_view)
    return "path" if any(is_type(type_) for is_type in text) else ""


def _rows_at_a_time(group: pq.RowGroupMetaData) -> int:
    mean: int = group.total_byte_size // max(1, group.num_rows)
    return max(1, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // max(1, mean)))


def _item(value: Any, path: str, row: int, column: str) -> Item:
    name = f"{path}#{row}"
    where = display_name(name)
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        if len(value) > MAX_MEMBER_BYTES:
            problem = f"{where}: {len(value):,} bytes are more than the limit of {MAX_MEMBER_BYTES:,}"
            return NamedImage(name, ImageTooLargeError(problem, remedy="scale the image down"))
        return NamedImage(name, value)
    if isinstance(value, str) and value:
        return _beside(path, value)
    return NamedImage(name, ImageNotFoundError(f"{where}: nothing in the column {column!r}"))
