"""Load any image source as one grey uint8 image with its ink kept.

```
path ── files ─┐            ┌─ png, jpeg ───┐
bytes ─────────┴─ decoding ─┴─ headers ─────┴─ pixels ─┐
Pillow image ───────────────────────────────── pixels ─┼─ grey
array ─────────────────────────────────────────────────┘
```

`decoding` decodes harmless PNG and JPEG in this process, and all else in a worker process, the only place
where Pillow is imported.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError
from kalamos.images.decoding import (
    EXTENSIONS,
    MAX_PIXELS,
    DecodeOptions,
    decode_file,
    decode_grey,
    image_format,
)
from kalamos.images.files import MAX_FILE_BYTES, BinaryStream, is_stream, read_file, read_stream
from kalamos.images.grey import to_grey
from kalamos.images.pixels import PillowImage, check_pixels, is_pillow, out_of_memory, pillow_to_grey

__all__ = [
    "EXTENSIONS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "DecodeOptions",
    "ImageSource",
    "array_to_grey",
    "decode_grey",
    "image_format",
    "load_grey",
    "read_file",
]


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
    stays light. The options are those of `DecodeOptions`. Pillow decodes a Pillow image, in this process.

    Raises:
        ImageNotFoundError: no such file, not a regular file, or not readable.
        UnsupportedImageError: not a PNG, JPEG, BMP, GIF, WEBP, TIFF, AVIF or HEIC, HEIC without the extra
            `kalamos[forms]`, or a variant that loses ink.
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
    options = DecodeOptions(max_pixels, min_decode_pixels, timeout, stopping)
    if isinstance(source, str | os.PathLike):
        return decode_file(source, options)
    if is_stream(source):
        source = read_stream(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return decode_grey(bytes(source), **options._asdict())
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


def array_to_grey(
    array: NDArray[Any], *, where: str = "the array", max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Make an array grey: uint8 [H, W], C-contiguous, never sharing memory with `array`.

    Shapes: [H, W] or [H, W, 1] grey, [H, W, 2] grey and alpha, [H, W, 3] RGB, [H, W, 4] RGBA.
    Values: bool (True is 255), uint8, uint16 (scaled from the 8, 10, 12, 14 or 16 bits in use), other
    integers in 0..255, floats in [0, 1] or [0, 255]. Memory layout and byte order do not matter.

    Raises:
        InvalidArrayError: another shape, dtype or range, NaN, infinity, or nothing at all.
        ImageTooLargeError: over `max_pixels`.

    >>> array_to_grey(np.array([[0.0, 1.0]]))
    array([[  0, 255]], dtype=uint8)
    >>> array_to_grey(np.zeros((1, 28, 28)))
    Traceback (most recent call last):
    kalamos.errors.InvalidArrayError: the array: shape (1, 28, 28) is not that of one image; ...
    """
    _check_shape(array.shape, where)
    check_pixels(array.shape[1], array.shape[0], max_pixels, where)
    if array.dtype != np.uint8:
        _check_dtype(array, where)
    elif array.ndim == 2:
        return np.array(array, order="C", subok=False)
    grey = to_grey(array, order="RGB", where=where, refuse=InvalidArrayError)
    # A uint8 [H, W, 1], or colour under an opaque alpha, may still be a view.
    return np.array(grey, order="C", subok=False, copy=np.may_share_memory(grey, array) or None)


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    problem = f"{where}: shape {shape} is not that of one image"
    if 0 in shape:
        raise InvalidArrayError(f"{where}: shape {shape} holds no pixels")
    if len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4):
        return
    if len(shape) == 3 and shape[0] <= 4:
        raise InvalidArrayError(
            problem, remedy="take one image, array[0], or move channels last: array.transpose(1, 2, 0)"
        )
    if len(shape) >= 3:
        raise InvalidArrayError(problem, remedy="pass one image at a time, [H, W] or [H, W, C] with C <= 4")
    raise InvalidArrayError(problem, remedy="reshape it to [H, W]; encoded files go in as bytes")


def _check_dtype(array: NDArray[Any], where: str) -> None:
    dtype = array.dtype
    if dtype.kind not in "biuf":
        raise InvalidArrayError(
            f"{where}: dtype {dtype} holds no grey values", remedy="convert it to uint8 or float32"
        )
    # Beyond 16 bits unsigned there is no telling which value is white, so it must be 255.
    if dtype.kind in "iu" and dtype.newbyteorder("=") != np.uint16 and (array.min() < 0 or array.max() > 255):
        raise InvalidArrayError(
            f"{where}: its {dtype} values run from {array.min()} to {array.max()}",
            remedy="scale them to 0..255",
        )
