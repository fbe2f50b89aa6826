"""One input: a path or a named image; how it is loaded, how large it is, and how long getting it may take."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError, ImageTimeoutError
from kalamos.images import MAX_PIXELS, load_grey
from kalamos.images.decoding import DecodeOptions, Encoded, decode_all, fetch
from kalamos.images.files import display_name, is_stream, read_stream
from kalamos.isolation import TIMEOUT_SECONDS, processor_seconds

if TYPE_CHECKING:
    from kalamos.images import ImageSource

__all__ = [
    "STDIN_NAME",
    "Item",
    "NamedImage",
    "SkippedName",
    "TimeLimit",
    "is_large",
    "load_item",
    "load_items",
    "name_of",
    "nbytes",
]

STDIN_NAME = "stdin"
"""What standard input is called in rows; not `-`, which a spreadsheet takes for a formula."""

LARGE_BYTES, LARGE_PIXELS = 100_000, 1_000_000
"""A file or an array above this is given to a thread by itself."""

_RAW_SUFFIXES, _LARGE_RAW_BYTES = (".bmp", ".dib", ".tif", ".tiff"), 1_000_000
"""Files that are often not compressed, and what is large among them: a worker process takes many at once."""


class NamedImage(NamedTuple):
    """An image with a name, such as an entry of an archive. Can be pickled and hashed.

    >>> NamedImage("forms.zip/7.png", b"GIF89a").name
    'forms.zip/7.png'
    """

    name: str
    """What its row says in `path`; never a path to open."""
    content: bytes | ImageError
    """The encoded image, or why there is none."""


class SkippedName(NamedTuple):
    """An entry of an archive without an image extension."""

    name: str


Item: TypeAlias = str | NamedImage
"""A path, or an image of a container."""


def load_item(
    source: ImageSource | NamedImage,
    *,
    max_pixels: int = MAX_PIXELS,
    min_decode_pixels: int | None = None,
    timeout: float | None = None,
    stopping: threading.Event | None = None,
) -> NDArray[np.uint8]:
    """Load one image as `load_items` does: grey, uint8 [H, W].

    Raises:
        ImageError: it cannot be read; or the error that a `NamedImage` has in place of its bytes.
    """
    [outcome] = load_items(
        [source],
        max_pixels=max_pixels,
        min_decode_pixels=min_decode_pixels,
        timeout=timeout,
        stopping=stopping,
    )
    if isinstance(outcome, ImageError):
        raise outcome
    return outcome


def load_items(
    sources: Sequence[ImageSource | NamedImage],
    *,
    max_pixels: int = MAX_PIXELS,
    min_decode_pixels: int | None = None,
    timeout: float | None = None,
    stopping: threading.Event | None = None,
) -> Generator[NDArray[np.uint8] | ImageError, None, None]:
    """Load images as `kalamos.images.load_grey` does, in order: grey pixels, uint8 [H, W], or an error each.

    Small files are read before the first is decoded, which is faster by a fifth than doing both one by one,
    and those that a worker process decodes go to it together.
    """
    fetched = [_fetch(source) for source in sources]
    encoded = [item for item in fetched if isinstance(item, Encoded | ImageError)]
    decoded = decode_all(encoded, DecodeOptions(max_pixels, min_decode_pixels, timeout, stopping))
    for item in fetched:
        if isinstance(item, Encoded | ImageError):
            yield next(decoded)
            continue
        try:
            yield load_grey(item, max_pixels=max_pixels)
        except ImageError as error:
            yield error


def _fetch(source: ImageSource | NamedImage) -> Encoded | ImageError | ImageSource:
    """Read what is to be decoded, or say why it cannot be; arrays stay as they are."""
    try:
        if isinstance(source, NamedImage):
            content = source.content
            return content if isinstance(content, ImageError) else Encoded(display_name(source.name), content)
        if isinstance(source, str | os.PathLike):
            return fetch(source)
        if isinstance(source, bytes | bytearray | memoryview):
            return Encoded("the bytes", bytes(source))
        if is_stream(source):
            return Encoded("the open file", read_stream(source))
    except ImageError as error:
        return error
    return source


def name_of(source: ImageSource | NamedImage) -> str | None:
    """Give what a source's row says in `path`; None if it has no name."""
    if isinstance(source, str):
        return source
    if isinstance(source, NamedImage):
        return source.name
    return Path(source).as_posix() if isinstance(source, os.PathLike) else None


def nbytes(source: ImageSource | NamedImage) -> int:
    """Count the bytes of memory that a source holds; a path holds none."""
    content = source.content if isinstance(source, NamedImage) else source
    if isinstance(content, np.ndarray):
        return content.nbytes
    return len(content) if isinstance(content, bytes | bytearray) else 0


def is_large(source: ImageSource | NamedImage) -> bool:
    """Whether an image takes long enough to be worth a thread: a photograph, not a character's crop."""
    if isinstance(source, str | os.PathLike):
        try:
            raw = os.fspath(source).lower().endswith(_RAW_SUFFIXES)
            # This runs once an image.
            return os.stat(source).st_size > (_LARGE_RAW_BYTES if raw else LARGE_BYTES)  # noqa: PTH116
        except (OSError, ValueError):
            return False
    if isinstance(source, np.ndarray):
        return source.size > LARGE_PIXELS
    return nbytes(source) > LARGE_BYTES


class TimeLimit:
    """A bound on this thread's processor time from one image of a container to the next.

    Not on wall-clock time: a pipe's writer and whoever reads the images may take their time.

    Args:
        where: what the container is called in errors.
        timeout: seconds at most; None takes `kalamos.isolation.TIMEOUT_SECONDS`.
        size: bytes of the container; small ones get less time (`kalamos.isolation.processor_seconds`). None
            if it
            is unknown, as of a pipe.

    >>> limit = TimeLimit("x.tar", timeout=1e-9)
    >>> limit.check()
    Traceback (most recent call last):
    kalamos.errors.ImageTimeoutError: x.tar: getting the next image out takes too long (the limit is ...
    """

    def __init__(self, where: str, timeout: float | None = None, size: int | None = None) -> None:
        seconds = TIMEOUT_SECONDS if timeout is None else timeout
        self._where = where
        self._seconds = seconds if size is None else min(seconds, processor_seconds(size))
        self.restart()

    def restart(self) -> None:
        """Give the next image the whole time again."""
        self._started = time.thread_time()

    def check(self) -> None:
        """Raise `ImageTimeoutError` once the time is over."""
        if time.thread_time() - self._started > self._seconds:
            raise ImageTimeoutError(
                f"{self._where}: getting the next image out takes too long "
                f"(the limit is {self._seconds:g} s)",
                remedy="unpack it and name the folder, or raise the timeout",
            )
