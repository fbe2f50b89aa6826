"""Streams of images that any process can read again, cut into blocks."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias

from kalamos.cluster.places import open_input
from kalamos.errors import ImageError, ImageNotFoundError, UsageError
from kalamos.images.files import display_name
from kalamos.inputs import InputSearch, Item, NamedImage
from kalamos.inputs.item import is_large, nbytes
from kalamos.passed_over import SkippedFiles
from kalamos.recognizer import CHUNK
from kalamos.streaming import chunks_of

__all__ = [
    "IMAGES_PER_BLOCK",
    "Block",
    "LocalStream",
    "Stream",
    "TableStream",
    "blocks_of",
    "chdir_if_exists",
]

IMAGES_PER_BLOCK = 2048
"""A fraction of a second of work, many times what it costs to send it out."""

MAX_BLOCK_BYTES = 8 << 20
"""Bytes that the images of a block may bring with them, give or take one chunk."""


class Block(NamedTuple):
    """Consecutive items of a stream."""

    stream: int
    number: int
    """Within the stream, from 0."""
    items: list[Item]
    """Whole chunks of the local engine; none in the last block if the stream ended with the block before."""
    last: bool
    passed_over: SkippedFiles
    """Files that the search skipped; reported with the last block."""


@dataclass(frozen=True, slots=True)
class LocalStream:
    """Everything on a file system that `kalamos predict` is given, as one stream."""

    paths: tuple[str, ...]
    column: str | None
    folder: str
    """The folder that relative paths begin at."""
    stdin: str | None = None
    """A file with the content of standard input."""
    timeout: float | None = None
    """Seconds that getting the next image out of an archive or a table may take."""

    def search(self) -> tuple[InputSearch, Iterator[Item]]:
        """Start a search. Iterating raises `UsageError` as `InputSearch` does."""
        stdin = None if self.stdin is None else Path(self.stdin).open("rb")  # noqa: SIM115  (closed at the end)
        search = InputSearch(self.paths, column=self.column, stdin=stdin, timeout=self.timeout)
        return search, _closing(stdin, iter(search))


@dataclass(frozen=True, slots=True)
class TableStream:
    """A Parquet file at a URI."""

    uri: str
    column: str | None
    alone: bool = field(default=True)
    """Whether it is all that is read: then an error ends the run, while one of several becomes a row."""
    timeout: float | None = None

    def search(self) -> tuple[None, Iterator[Item]]:
        return None, self._items()

    def _items(self) -> Iterator[Item]:
        from kalamos.inputs.parquet import read_parquet

        found = False
        try:
            for item in read_parquet(self.uri, self.column, open_uri=open_input, timeout=self.timeout):
                found = True
                yield item
            if not found:
                raise UsageError(f"{display_name(self.uri)}: no image in it")  # noqa: TRY301
        except ImageError as error:
            yield NamedImage(self.uri, error)
        except UsageError as error:
            if self.alone:
                raise
            yield NamedImage(self.uri, ImageNotFoundError(error.problem, remedy=error.remedy))


def _closing(file: io.BufferedReader | None, items: Iterator[Item]) -> Iterator[Item]:
    with file or nullcontext():
        yield from items


Stream: TypeAlias = LocalStream | TableStream


def blocks_of(stream: Stream, place: int, *, most: int = IMAGES_PER_BLOCK) -> Iterator[Block]:
    """Yield a stream's items in blocks of about `most` images; the same blocks every time.

    Args:
        place: the number of the stream within its job.

    >>> stream = LocalStream(("src/kalamos/__init__.py", "no-such-file.png"), None, ".")
    >>> [(block.number, block.items, block.last) for block in blocks_of(stream, 0)]
    [(0, ['no-such-file.png', 'src/kalamos/__init__.py'], True)]
    """
    search, items = stream.search()
    number = held = 0
    parts: list[list[Item]] = []
    for part in chunks_of(items, CHUNK, is_large):
        parts.append(part)
        held += sum(map(nbytes, part))
        if sum(map(len, parts)) >= most or held >= MAX_BLOCK_BYTES:
            yield Block(place, number, [*chain(*parts)], last=False, passed_over=SkippedFiles())
            number, held, parts = number + 1, 0, []
    passed_over = search.passed_over if search else SkippedFiles()
    yield Block(place, number, [*chain(*parts)], last=True, passed_over=passed_over)


def chdir_if_exists(folder: str) -> None:
    """Make a worker read relative paths as the command does, if its machine has that folder."""
    if Path(folder).is_dir():
        os.chdir(folder)
