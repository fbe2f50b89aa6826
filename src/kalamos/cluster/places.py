"""URIs: what pyarrow's filesystems read and write (`s3://`, `gs://`, `hdfs://`, `abfs://`, `file://`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalamos.errors import CorruptImageError, ImageNotFoundError, ImageTooLargeError, UsageError
from kalamos.folders import is_hidden, name_order
from kalamos.images.files import MAX_MEMBER_BYTES, display_name
from kalamos.inputs import NamedImage

if TYPE_CHECKING:
    from pyarrow import NativeFile, fs  # type: ignore[import-untyped, unused-ignore]

__all__ = ["find_tables", "is_uri", "open_input", "open_place", "read_image"]


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


def _reason(error: Exception) -> str:
    return display_name((str(error).splitlines() or [type(error).__name__])[0])
