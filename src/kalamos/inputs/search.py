"""Everything that a command line means, as one stream of items."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence

from kalamos.errors import ImageError, ImageNotFoundError, UsageError
from kalamos.folders import ImageSearch
from kalamos.images.files import display_name
from kalamos.inputs.item import STDIN_NAME, Item, NamedImage, SkippedName
from kalamos.inputs.kinds import Kind, kind_of
from kalamos.passed_over import SkippedFiles

__all__ = ["STDIN", "InputSearch"]

STDIN = "-"


class InputSearch:
    """The images under some paths, and in the containers among them, lazily, in order.

    Paths are taken as `kalamos.folders.ImageSearch` does, in case-insensitive name order. In the place of a
    container that is named, itself or by a glob, come its images. Its content decides what it is, whatever it
    is called, save that a CSV has to be called `.csv` or `.tsv`:

    - a tar archive (also gzip, bzip2 or xz): its members, in its order;
    - a zip archive: its members, in case-insensitive name order;
    - a Parquet or CSV file: the rows of one column, in order;
    - `-`: standard input (see `kalamos.inputs.stdin`).

    Containers in searched folders, archives in archives and links in archives are not opened. What members
    are called, `kalamos.inputs` says. A container that is damaged gives the images before the damage, and one
    `NamedImage` with the error.

    Args:
        paths: files, folders, globs, and `-`.
        column: the column of the tables; None where it can be told (see `columns.choose_column`).
        stdin: what `-` reads; by default the process's own.
        timeout: seconds that getting the next image out of an archive or a table may take; None takes
            `kalamos.isolation.TIMEOUT_SECONDS`.

    A path that is not there is passed on, to become a row with its error; where none of the paths is there, a
    `UsageError` names them.

    Raises:
        UsageError: `-` is named twice, or a column where no table is named.

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
    ) -> None:
        if list(paths).count(STDIN) > 1:
            raise UsageError("standard input is named twice", remedy=f"give {STDIN} once")
        if column is not None and not any(map(_may_be_table, paths)):
            raise UsageError(
                f"column {column!r}: no CSV or Parquet file is named", remedy="name the table's file"
            )
        self._search = ImageSearch(paths, refuse_absent=True)
        self._alone = len(paths) == 1
        self._column = column
        self._stdin = stdin
        self._timeout = timeout
        self._inside = SkippedFiles()

    @property
    def passed_over(self) -> SkippedFiles:
        """Files in searched folders and archives whose names are no image's, counted as the search goes."""
        together = SkippedFiles()
        together.merge(self._search.passed_over)
        together.merge(self._inside)
        return together

    @property
    def skipped(self) -> int:
        """How many files were passed over."""
        return self.passed_over.total

    def __iter__(self) -> Iterator[Item]:
        """Raises `UsageError` if none of the paths is there, if the one path given has no image, or if its
        column cannot be told.
        """
        self._inside = SkippedFiles()
        for path, was_named in self._search.entries():
            if path == STDIN:
                yield from self._opened("standard input", STDIN_NAME, self._standard_input())
            elif path in self._search.reasons:
                reason = self._search.reasons[path]
                yield NamedImage(path, ImageNotFoundError(reason.problem, remedy=reason.remedy))
            elif was_named and (kind := kind_of(path)) is not None:
                yield from self._opened(
                    display_name(path), path, _reader(kind, path, self._column, self._timeout)
                )
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
        from kalamos.inputs.stdin import read_stdin

        stream = self._stdin or getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise ImageNotFoundError("standard input: closed")
        yield from read_stdin(stream, timeout=self._timeout)


def _may_be_table(path: str) -> bool:
    """Whether it is one, or a glob that may find one, or not there, which is another mistake."""
    return path != STDIN and (not os.path.lexists(path) or kind_of(path) in {"csv", "parquet"})


def _reader(kind: Kind, path: str, column: str | None, timeout: float | None) -> Iterator[Item | SkippedName]:
    # Each brings its own library, and most runs need none of them.
    if kind == "tar":
        from kalamos.inputs.tars import read_tar

        return read_tar(path, timeout=timeout)
    if kind == "zip":
        from kalamos.inputs.zips import read_zip

        return read_zip(path)
    if kind == "parquet":
        from kalamos.inputs.parquet import read_parquet

        return read_parquet(path, column, timeout=timeout)
    from kalamos.inputs.csvs import read_csv

    return read_csv(path, column, timeout=timeout)
