"""A folder of Parquet part files, written by the workers, complete once `_SUCCESS` is there."""

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

__all__ = ["DONE", "PartFolder", "names_parts"]

DONE = "_SUCCESS"
"""Appears last. Whoever reads the folder as a table passes over names that begin with `_`."""

REMEDY = "name a new or an empty folder"


def names_parts(output: str | None) -> bool:
    """Whether `-o` asks for a folder of parts: a URI, or a path that ends with a slash.

    >>> names_parts("s3://bucket/labels"), names_parts("labels/"), names_parts("labels.parquet")
    (True, True, False)
    """
    return output is not None and (is_uri(output) or output.endswith("/"))


@dataclass(frozen=True, slots=True)
class PartFolder:
    """Where the parts go. Their names follow the order of the input, and so do the rows in them.

    A part is written again, under its own name and with the same bytes, if the worker that wrote it dies
    before it could tell. On local disks it appears whole; elsewhere as the filesystem has it (object stores
    show an object once it is complete).
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
                raise OutputError(f"{where}: a file, where the parts need a folder", remedy=REMEDY)
            if found.type == fs.FileType.Directory and filesystem.get_file_info(fs.FileSelector(path)):
                raise OutputError(f"{where}: the folder is not empty", remedy=REMEDY)
            filesystem.create_dir(path, recursive=True)
        except (OSError, UsageError) as error:
            raise OutputError(f"cannot write {where}: {_reason(error)}") from error

    def write(self, stream: int, number: int, predictions: Iterable[Prediction]) -> None:
        """One part, from a worker."""
        sink = io.BytesIO()
        with open_writer("parquet", sink, labels=(), top_k=self.top_k, removed=self.removed) as writer:
            for prediction in predictions:
                writer.write(prediction)
        self._put(f"part-{stream:05}-{number:08}.parquet", sink.getvalue())

    def finish(self, parts: int, rows: int) -> None:
        """Say that all is there.

        Raises:
            OutputError: it is not, as where workers on other machines have a local folder of that name.
        """
        from pyarrow import fs

        filesystem, path = self._open()
        found = len(filesystem.get_file_info(fs.FileSelector(path)))
        if found != parts:
            raise OutputError(
                f"{display_name(self.uri)}: the workers wrote {parts:,} parts, of which {found:,} are there",
                remedy="name a folder that all machines share",
            )
        self._put(DONE, json.dumps({"parts": parts, "rows": rows}).encode())

    def discard(self) -> None:
        """Take the parts of a job that failed away, as far as that can be done."""
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
            # Whole, so that a failure on the way leaves no half a part that could be taken for one.
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
