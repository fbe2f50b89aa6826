"""One input: a path or a named image, with bounds on time and size.

What a stream of inputs is made of, and what a reader has to know of each.

How long getting the next image out of a container may take.
"""

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
from kalamos.images.decoding import Encoded, decode_all, fetch
from kalamos.images.files import display_name, is_stream, read_stream
from kalamos.isolation import TIMEOUT_SECONDS, processor_seconds

if TYPE_CHECKING:
    from kalamos.images import ImageSource

__all__ = [
    "STDIN_NAME",
    "Clock",
    "Item",
    "NamedImage",
    "SkippedName",
    "is_large",
    "load_item",
    "load_items",
    "name_of",
    "nbytes",
]

STDIN_NAME = "stdin"
"""Of what standard input brings; not `-`, which a spreadsheet takes for a formula."""

LARGE_BYTES, LARGE_PIXELS = 100_000, 1_000_000
"""A file or an array above this is shared out by itself."""

_RAW_SUFFIXES, _LARGE_RAW_BYTES = (".bmp", ".dib", ".tif", ".tiff"), 1_000_000
"""Files that are often not compressed, and what is large among them: a worker
process takes many at once."""


class NamedImage(NamedTuple):
    """One image of a container. Can be pickled, hashed and sent to another process.

    >>> NamedImage("forms.zip/7.png", b"GIF89a").name
    'forms.zip/7.png'
    """

    name: str
    """What its row says in `path`; never a path to open."""
    content: bytes | ImageError
    """The encoded image, or why there is none."""


class SkippedName(NamedTuple):
    """A member of an archive whose name is no image's."""

    name: str


Item: TypeAlias = str | NamedImage
"""A path, or what a container held."""


def load_item(
    source: ImageSource | NamedImage,
    *,
    max_pixels: int = MAX_PIXELS,
    min_decode_pixels: int | None = None,
    timeout: float | None = None,
    stopping: threading.Event | None = None,
) -> NDArray[np.uint8]:
    """`kalamos.images.load_grey`, for members too.

    Raises:
        ImageError: see there; or the one that a member has in place of its bytes.
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
    """Load some images, in order: each one's grey pixels, uint8 [H, W], or the error that it has instead.

    As `load_item` for each. Small files are read before the first is decoded, which is faster by a fifth than
    doing both one by one, and those that a worker process decodes go to it together.
    """
    loaded = [_read_bytes(source) for source in sources]
    encoded = [item for item in loaded if isinstance(item, Encoded | ImageError)]
    decoded = decode_all(
        encoded,
        max_pixels=max_pixels,
        min_decode_pixels=min_decode_pixels,
        timeout=timeout,
        stopping=stopping,
    )
    for item in loaded:
        if isinstance(item, Encoded | ImageError):
            yield next(decoded)
            continue
        try:
            yield load_grey(item, max_pixels=max_pixels)
        except ImageError as error:
            yield error


def _read_bytes(source: ImageSource | NamedImage) -> Encoded | ImageError | ImageSource:
    """What is to be decoded, read as far as this process does, or why it cannot be; arrays as they are."""
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
    """What a source's row says in `path`; None for what has no name."""
    if isinstance(source, str):
        return source
    if isinstance(source, NamedImage):
        return source.name
    return Path(source).as_posix() if isinstance(source, os.PathLike) else None


def nbytes(source: ImageSource | NamedImage) -> int:
    """The memory that a source brings with it; a path brings none."""
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


class Clock:
    """Bounds the processor time of this thread from one image of a container to the next.

    The processor's: a pipe's writer and whoever reads the images may take their time.

    Args:
        where: what the container is called in errors.
        timeout: the most seconds; None takes `kalamos.isolation.TIMEOUT_SECONDS`.
        size: bytes of the container; small ones get less time (`kalamos.isolation.processor_seconds`). None
            where nobody knows, as of a pipe.

    >>> clock = Clock("x.tar", timeout=1e-9)
    >>> clock.check()
    Traceback (most recent call last):
    kalamos.errors.ImageTimeoutError: x.tar: getting the next image out takes too long (the limit is ...
    """

    def __init__(self, where: str, timeout: float | None = None, size: int | None = None) -> None:
        most = TIMEOUT_SECONDS if timeout is None else timeout
        self._where = where
        self._seconds = most if size is None else min(most, processor_seconds(size))
        self.restart()

    def restart(self) -> None:
        """Give the way to the next image the whole time again."""
        self._started = time.thread_time()

    def check(self) -> None:
        """Raise `ImageTimeoutError` once the time is over."""
        if time.thread_time() - self._started > self._seconds:
            raise ImageTimeoutError(
                f"{self._where}: getting the next image out takes too long "
                f"(the limit is {self._seconds:g} s)",
                remedy="unpack it and name the folder, or raise the timeout",
            )
