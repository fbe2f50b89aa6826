"""One door for every kind of source."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError
from kalamos.images.arrays import array_to_grey
from kalamos.images.decoding import MAX_PIXELS, decode_file, decode_grey
from kalamos.images.files import BinaryStream, is_stream, read_stream
from kalamos.images.pillow import PillowImage, is_pillow, pillow_to_grey
from kalamos.images.pixels import out_of_memory

__all__ = ["ImageSource", "load_grey"]


class _ArrayLike(Protocol):
    def __array__(self) -> NDArray[Any]: ...


ImageSource = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryStream
    | NDArray[Any]
    | PillowImage
    | _ArrayLike
)
"""A path, encoded bytes, an open binary file, an array (see `array_to_grey`), a Pillow image, or anything
with `__array__`."""


def load_grey(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    min_decode_pixels: int | None = None,
    timeout: float | None = None,
    stopping: threading.Event | None = None,
) -> NDArray[np.uint8]:
    """Turn any source into one grey uint8 image [H, W], C-contiguous and upright.

    The source is never modified, and the result shares no memory with it. Dark stays dark and light
    stays light. The options are those of `decode_grey`; a Pillow image is decoded by Pillow, in this process.

    Raises:
        ImageNotFoundError: no such file, not a regular file, or not readable.
        UnsupportedImageError: not a PNG, JPEG, BMP, GIF, WEBP or TIFF, or a variant that loses ink.
        CorruptImageError: empty, truncated or damaged.
        ImageTooLargeError: over `max_pixels` or a limit on memory, or a file over 256 MiB.
        ImageTimeoutError: decoding it takes longer than `timeout` seconds.
        InvalidArrayError: an array of another shape, dtype or range, or no image at all.

    >>> load_grey(np.array([[True, False]]))
    array([[255,   0]], dtype=uint8)
    >>> load_grey(b"%PDF-1.7")
    Traceback (most recent call last):
    kalamos.errors.UnsupportedImageError: the bytes: this is not an image kalamos reads; ...
    """
    if isinstance(source, str | os.PathLike):
        return decode_file(
            source,
            max_pixels=max_pixels,
            min_decode_pixels=min_decode_pixels,
            timeout=timeout,
            stopping=stopping,
        )
    if is_stream(source):
        source = read_stream(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return decode_grey(
            bytes(source),
            max_pixels=max_pixels,
            min_decode_pixels=min_decode_pixels,
            timeout=timeout,
            stopping=stopping,
        )
    try:
        if isinstance(source, np.ndarray):
            return array_to_grey(source, max_pixels=max_pixels)
        if is_pillow(source):
            return pillow_to_grey(source, max_pixels=max_pixels)
        return array_to_grey(_as_array(source), max_pixels=max_pixels)
    except (MemoryError, cv2.error) as error:
        raise out_of_memory(error, "the image") or error from None


def _as_array(source: object) -> NDArray[Any]:
    kind = type(source).__name__
    if not hasattr(source, "__array__"):
        raise InvalidArrayError(
            f"{kind} is not an image", remedy="pass a path, bytes, a NumPy array or a PIL image"
        )
    try:
        return np.asarray(source)
    except Exception as error:
        # Foreign code: a tensor on a GPU, for one, raises TypeError, one with gradients RuntimeError.
        raise InvalidArrayError(f"{kind} cannot become an array ({error})") from error
