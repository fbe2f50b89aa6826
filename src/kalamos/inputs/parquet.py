"""Parquet files with a column of encoded images or of paths, read a few rows at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kalamos.errors import (
    CorruptImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    MissingExtraError,
    UsageError,
)
from kalamos.images.files import MAX_FILE_BYTES, display_name
from kalamos.inputs.columns import choose_column
from kalamos.inputs.item import Item, Member

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

__all__ = ["read_parquet"]

BATCH_BYTES, MOST_ROWS = 4 << 20, 1024
"""What is decoded at a time."""

_BUFFER = 1 << 20


def read_parquet(
    path: str, column: str | None = None, *, file: pa.NativeFile | None = None
) -> Iterator[Item]:
    """The images of one column of a Parquet file: bytes, paths, or Hugging Face's structs `{bytes, path}`.

    Bytes are `Member`s called `FILE#ROW`, counted from 0 through all row groups; paths are absolute or
    relative to the file's folder. A row with nothing in it is a `Member` with an error.

    Args:
        column: the column's name; see `choose_column`.
        file: what to read in its stead, where `path` is only what it is called.

    Raises:
        MissingExtraError: pyarrow is not installed.
        UsageError: the column cannot be told, or holds neither bytes nor paths.
        CorruptImageError: damaged; what came before has been yielded.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        problem = f"{display_name(path)}: reading Parquet needs pyarrow"
        raise MissingExtraError(problem, extra="cluster") from error
    row = 0
    try:
        # Page by page: whole column chunks, as it would read them otherwise, may be the whole file.
        with pq.ParquetFile(file or path, pre_buffer=False, buffer_size=_BUFFER) as table:
            name = _column(table.schema_arrow, column, path)
            for group in range(table.num_row_groups):
                most = _rows_at_a_time(table.metadata.row_group(group))
                batches = table.iter_batches(most, row_groups=[group], columns=[name], use_threads=False)
                for batch in batches:
                    for value in batch.column(0).to_pylist():
                        yield _item(value, path, row, name)
                        row += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = display_name((str(error).splitlines() or [type(error).__name__])[0])
        raise CorruptImageError(
            f"{display_name(path)}: the Parquet file is damaged at row {row}, or cannot be read ({reason})",
            remedy="use a complete copy",
        ) from error


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
    return max(1, min(MOST_ROWS, BATCH_BYTES // max(1, mean)))


def _item(value: Any, path: str, row: int, column: str) -> Item:
    name = f"{path}#{row}"
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        if len(value) > MAX_FILE_BYTES:
            problem = (
                f"{display_name(name)}: {len(value):,} bytes are more than the limit of {MAX_FILE_BYTES:,}"
            )
            return Member(name, ImageTooLargeError(problem, remedy="scale the image down"))
        return Member(name, value)
    if isinstance(value, str) and value:
        return os.path.join(os.path.dirname(path), value)  # noqa: PTH118, PTH120  (as it was given)
    return Member(name, ImageNotFoundError(f"{display_name(name)}: nothing in the column {column!r}"))
