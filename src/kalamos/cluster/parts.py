"""A folder of Parquet part files that the workers write; complete once `_SUCCESS` is there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kalamos.atomic import write_bytes
from kalamos.cluster.places import is_uri, open_place
from kalamos.errors import KalamosError, OutputError, UsageError
from kalamos.images.files import display_name
from kalamos.predictions import Prediction
from kalamos.writers import open_writer

if TYPE_CHECKING:
    from pyarrow import fs  # type: ignore[import-untyped, unused-ignore]

__all__ = ["SUCCESS_FILE", "PartFolder", "is_partitioned"]

SUCCESS_FILE = "_SUCCESS"
"""Appears last. Readers of such folders as tables skip names that begin with `_`."""

_EMPTY_FOLDER_REMEDY = "name a new or an empty folder"


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
    removed: bool

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
        with open_writer("parquet", sink, labels=(), top_k=self.top_k, removed=self.removed) as writer:
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
    return (text.splitlines() or [type(error).__name__])[0]
