"""Parquet files with a column of encoded images or of paths, read a few rows at a time by a worker process.

A file of some kilobytes can announce pages and dictionaries of gigabytes, which pyarrow allocates before it
finds out: see `kalamos.isolation`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kalamos.errors import (
    CorruptImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    MissingExtraError,
    UsageError,
)
from kalamos.images.files import MAX_MEMBER_BYTES, display_name, native_separators
from kalamos.inputs.columns import choose_column
from kalamos.inputs.item import Item, NamedImage
from kalamos.isolation import iterate_isolated

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

__all__ = ["read_parquet"]

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
