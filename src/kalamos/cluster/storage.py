"""URIs, and the folder of Parquet part files that the workers write.

A URI names a filesystem that pyarrow reads and writes: `s3://`, `gs://`, `hdfs://`, `abfs://`, `file://`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kalamos.errors import (
    CorruptImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    KalamosError,
    OutputError,
    UsageError,
)
from kalamos.images.files import MAX_MEMBER_BYTES, display_name
from kalamos.inputs import NamedImage
from kalamos.inputs.files import is_hidden, name_order
from kalamos.predictions import Prediction
from kalamos.utils.atomic_write import write_bytes
from kalamos.writers import open_writer

if TYPE_CHECKING:
    from pyarrow import NativeFile, fs

__all__ = [
    "SUCCESS_FILE",
    "PartFolder",
    "find_tables",
    "is_partitioned",
    "is_uri",
    "open_input",
    "open_place",
    "read_image",
]


SUCCESS_FILE = "_SUCCESS"
"""Appears last. Readers of such folders as tables skip names that begin with `_`."""

_EMPTY_FOLDER_REMEDY = "name a new or an empty folder"


def is_uri(path: str) -> bool:
    """Whether a path names its filesystem.

    >>> is_uri("s3://bucket/scans.parquet"), is_uri("C:/scans.parquet"), is_uri("scans/a://b")
    (True, False, False)
    """
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme.isalnum()


def open_place(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of a URI, and the path in it.

    Raises:
        UsageError: the kind of filesystem is unknown, or it cannot be used from here.
    """
    import pyarrow as pa
    from pyarrow import fs

    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = f"{display_name(uri)}: cannot be opened ({_reason(error)})"
        raise UsageError(
            problem, remedy="give a path, or file://, s3://, gs://, hdfs:// or abfs://"
        ) from error
    return filesystem, path


def find_tables(uri: str) -> list[str]:
    """Return the Parquet file at a URI, or those in the folder there, in name order.

    Names that begin with `.` or `_` are skipped, as is usual for folders of tables.

    Raises:
        UsageError: nothing is there, no Parquet file is in it, or it cannot be listed.
    """
    from pyarrow import fs

    filesystem, path = open_place(uri)
    where = display_name(uri)
    try:
        found = filesystem.get_file_info(path)
        if found.type == fs.FileType.NotFound:
            raise UsageError(f"{where}: no such file or folder")
        if found.type == fs.FileType.File:
            return [uri]
        listed = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise UsageError(f"{where}: cannot be read ({_reason(error)})") from error
    inside = [entry.path[len(path) :].lstrip("/") for entry in listed if entry.type == fs.FileType.File]
    names = [name for name in inside if name.lower().endswith(".parquet") and not _is_skipped(name)]
    if not names:
        raise UsageError(f"{where}: no Parquet file in this folder", remedy="looked for .parquet")
    base, mark, query = uri.partition("?")
    return [f"{base.rstrip('/')}/{name}{mark}{query}" for name in sorted(names, key=name_order)]


def open_input(uri: str) -> NativeFile:
    """Open the file at a URI for random access.

    Raises:
        UsageError: see `open_place`.
        ImageNotFoundError: there is no such file, or it cannot be opened.
    """
    filesystem, path = open_place(uri)
    try:
        return filesystem.open_input_file(path)
    except OSError as error:
        raise ImageNotFoundError(f"{display_name(uri)}: cannot be read ({_reason(error)})") from error


def read_image(uri: str) -> NamedImage:
    """Read the image at a URI; one that cannot be read has its error in place of the bytes."""
    where = display_name(uri)
    try:
        filesystem, path = open_place(uri)
        with filesystem.open_input_stream(path) as stream:
            content: bytes = stream.read(MAX_MEMBER_BYTES + 1)
    except UsageError as error:
        return NamedImage(uri, ImageNotFoundError(error.problem, remedy=error.remedy))
    except FileNotFoundError:
        return NamedImage(uri, ImageNotFoundError(f"{where}: no such file"))
    except OSError as error:
        return NamedImage(uri, CorruptImageError(f"{where}: cannot be read ({_reason(error)})"))
    if len(content) > MAX_MEMBER_BYTES:
        problem = f"{where}: more than the limit of {MAX_MEMBER_BYTES:,} bytes"
        return NamedImage(uri, ImageTooLargeError(problem, remedy="scale the image down"))
    return NamedImage(uri, content)


def _is_skipped(name: str) -> bool:
    return is_hidden(name) or any(part.startswith("_") for part in name.split("/"))


def is_partitioned(output: str | None) -> bool:
    """Whether `-o` asks for a folder of parts: a URI, or a path that ends with a slash.

    >>> is_partitioned("s3://bucket/labels"), is_partitioned("labels/"), is_partitioned("labels.parquet")
    (True, True, False)
    """
    return output is not None and (is_uri(output) or output.endswith("/"))


@dataclass(frozen=True, slots=True)
class PartFolder:
    """A folder for part files, which hold the rows in the order of the input, as do their names.

    A part is written again, under its own name and with the same bytes, if the worker that wrote it dies
    before it could report it. On local disks it appears whole; elsewhere as the filesystem has it (object
    stores show an object once it is complete).
    """

    uri: str
    """A URI, or an absolute path."""
    top_k: int
    columns: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            OutputError: it is not empty, or cannot be made.
        """
        from pyarrow import fs

        where = display_name(self.uri)
        try:
            filesystem, path = self._open()
            found = filesystem.get_file_info(path)
            if found.type == fs.FileType.File:
                raise OutputError(
                    f"{where}: the parts need a folder, and this is a file", remedy=_EMPTY_FOLDER_REMEDY
                )
            if found.type == fs.FileType.Directory and filesystem.get_file_info(fs.FileSelector(path)):
                raise OutputError(f"{where}: the folder is not empty", remedy=_EMPTY_FOLDER_REMEDY)
            filesystem.create_dir(path, recursive=True)
        except (OSError, UsageError) as error:
            raise OutputError(f"cannot write {where}: {_reason(error)}") from error

    def write(self, stream: int, number: int, predictions: Iterable[Prediction]) -> None:
        """Write one part, from a worker."""
        sink = io.BytesIO()
        with open_writer("parquet", sink, labels=(), top_k=self.top_k, columns=self.columns) as writer:
            for prediction in predictions:
                writer.write(prediction)
        self._put(f"part-{stream:05}-{number:08}.parquet", sink.getvalue())

    def finish(self, parts: int, rows: int) -> None:
        """Mark the folder as complete.

        Raises:
            OutputError: parts are missing, as if workers on other machines wrote to local folders.
        """
        from pyarrow import fs

        filesystem, path = self._open()
        found = len(filesystem.get_file_info(fs.FileSelector(path)))
        if found != parts:
            raise OutputError(
                f"{display_name(self.uri)}: the workers wrote {parts:,} parts, of which {found:,} are there",
                remedy="name a folder that all machines share",
            )
        self._put(SUCCESS_FILE, json.dumps({"parts": parts, "rows": rows}).encode())

    def discard(self) -> None:
        """Delete the parts of a failed job, as far as possible."""
        from pyarrow import fs

        with suppress(OSError, KalamosError):
            filesystem, path = self._open()
            for entry in filesystem.get_file_info(fs.FileSelector(path)):
                if entry.base_name.startswith("part-"):
                    filesystem.delete_file(entry.path)

    def _put(self, name: str, content: bytes) -> None:
        filesystem, path = self._open()
        if filesystem.type_name == "local":
            write_bytes(f"{path}/{name}", content)
            return
        try:
            # In one piece, so that a failure leaves no half part that could be taken for a whole one.
            with filesystem.open_output_stream(f"{path}/{name}") as stream:
                stream.write(content)
        except OSError as error:
            raise OutputError(f"cannot write {display_name(self.uri)}/{name}: {_reason(error)}") from error

    def _open(self) -> tuple[fs.FileSystem, str]:
        from pyarrow import fs

        return open_place(self.uri) if is_uri(self.uri) else (fs.LocalFileSystem(), self.uri)


def _reason(error: Exception) -> str:
    text = error.problem if isinstance(error, KalamosError) else str(error)
    return display_name((text.splitlines() or [type(error).__name__])[0])
