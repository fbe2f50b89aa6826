"""What is to be read, as streams that any process can read again, cut into blocks."""

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

__all__ = ["BLOCK", "Block", "LocalStream", "Stream", "TableStream", "blocks_of", "settle"]

BLOCK = 2048
"""Images of a block: a fraction of a second of work, many times what it costs to send it out."""

BLOCK_BYTES = 8 << 20
"""What the images of a block may bring with them, give or take one chunk."""


class Block(NamedTuple):
    """Consecutive items of a stream."""

    stream: int
    number: int
    """Within the stream, from 0."""
    items: list[Item]
    """Whole chunks of the local engine; none in the last block of a stream that was used up before."""
    last: bool
    passed_over: SkippedFiles
    """Files that the search passed over; told with the last block."""


@dataclass(frozen=True, slots=True)
class LocalStream:
    """All that `kalamos predict` is given on a file system, as one stream."""

    paths: tuple[str, ...]
    column: str | None
    folder: str
    """Where relative paths begin."""
    stdin: str | None = None
    """A file with what standard input brought."""
    timeout: float | None = None
    """Seconds that getting the next image out of an archive or a table may take."""

    def search(self) -> tuple[InputSearch, Iterator[Item]]:
        """Raises `UsageError` as `InputSearch` does, once the items are asked for."""
        stdin = None if self.stdin is None else Path(self.stdin).open("rb")  # noqa: SIM115  (closed at the end)
        search = InputSearch(self.paths, column=self.column, stdin=stdin, timeout=self.timeout)
        return search, _closing(stdin, iter(search))


@dataclass(frozen=True, slots=True)
class TableStream:
    """A Parquet file somewhere."""

    uri: str
    column: str | None
    alone: bool = field(default=True)
    """Whether it is all that is read; then it is refused, where one of several becomes a row."""
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


def blocks_of(stream: Stream, place: int, *, most: int = BLOCK) -> Iterator[Block]:
    """A stream's items in blocks of about `most` images; the same ones whenever they are asked for.

    Args:
        place: the stream's own, among those of a job.

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
        if sum(map(len, parts)) >= most or held >= BLOCK_BYTES:
            yield Block(place, number, [*chain(*parts)], last=False, passed_over=SkippedFiles())
            number, held, parts = number + 1, 0, []
    passed_over = search.passed_over if search else SkippedFiles()
    yield Block(place, number, [*chain(*parts)], last=True, passed_over=passed_over)


def settle(folder: str) -> None:
    """Make a worker process read relative paths as the command does; a machine without that folder cannot."""
    if Path(folder).is_dir():
        os.chdir(folder)
