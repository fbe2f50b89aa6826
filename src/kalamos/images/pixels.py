"""From encoded bytes whose header is known to one grey, upright uint8 image, with OpenCV, in this process."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images.grey import to_grey, upright, with_key
from kalamos.images.header import ImageHeader, damaged

__all__ = ["MAX_DECODED_BYTES", "MAX_PIXELS", "check_pixels", "check_size", "decode_here", "out_of_memory"]

MAX_PIXELS = 50_000_000
"""The default limit on width x height: 5000 x 10000 pixels, ten times an A4 page at 200 dpi."""

MAX_DECODED_BYTES = 256 * 2**20
"""Bytes that the decoded pixels of one image may take, with all channels in their own depth."""

CROP_PIXELS = 64 * 64
"""Up to this size pictures are decoded with their colours: colours that no screen can show are cut off then,
which changes the luminance by some levels, and the models have seen small crops so."""

_UINT8 = np.dtype(np.uint8)
# Orientation is undone here, for every format alike.
_LUMA = {
    1: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}
"""OpenCV's flags for decoding the luminance alone, by the factor that sides are divided by."""


def check_pixels(width: int, height: int, max_pixels: int, where: str) -> None:
    """Raise ImageTooLargeError where width x height exceeds `max_pixels`."""
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"{where}: {width} x {height} pixels are more than the limit of {max_pixels:,}",
            remedy="scale it down or raise max_pixels",
        )


def check_size(header: ImageHeader, max_pixels: int, where: str) -> None:
    """Raise ImageTooLargeError over `max_pixels`, or where decoding takes over `MAX_DECODED_BYTES`."""
    check_pixels(header.width, header.height, max_pixels, where)
    if header.decoded_bytes > MAX_DECODED_BYTES:
        raise ImageTooLargeError(
            f"{where}: too large to decode here: its {header.width} x {header.height} pixels take "
            f"{header.decoded_bytes:,} bytes of memory, more than the limit of {MAX_DECODED_BYTES:,}",
            remedy="scale it down, or save it in grey with 8 bits a pixel",
        )


def out_of_memory(error: BaseException, where: str) -> ImageTooLargeError | None:
    """The error for an image on which memory ran out; None where `error` means something else.

    >>> out_of_memory(MemoryError(), "a.tif").problem
    'a.tif: too large to decode here: memory ran out'
    >>> out_of_memory(ValueError("odd"), "a.tif") is None
    True
    """
    text = str(error).lower()
    signs = ("insufficient memory", "failed to allocate", "bad_alloc", "out of memory")
    if isinstance(error, MemoryError) or any(sign in text for sign in signs):
        return ImageTooLargeError(
            f"{where}: too large to decode here: memory ran out", remedy="scale it down, or free some memory"
        )
    return None


def decode_here(
    data: bytes, header: ImageHeader, *, where: str, min_decode_pixels: int | None = None
) -> NDArray[np.uint8]:
    """Decode an image whose header is `header` to grey uint8 [H, W], C-contiguous and upright.

    Raises:
        UnsupportedImageError: values that are no grey values.
        CorruptImageError: it cannot be decoded, or to another size than its header announces.
        ImageTooLargeError: memory ran out.
    """
    try:
        pixels = _decode(data, header, where, min_decode_pixels)
        if pixels.dtype == _UINT8 and pixels.ndim == 2 and header.transparent is None:
            # Most character images; to_grey would return them as they are.
            grey: NDArray[np.uint8] = pixels
        else:
            pixels, premultiplied = _with_alpha(pixels, header, where)
            grey = to_grey(
                pixels, order="BGR", premultiplied=premultiplied, where=where, refuse=UnsupportedImageError
            )
        if header.inverted:
            grey = 255 - grey
        if header.orientation != 1:
            grey = upright(grey, header.orientation)
        return grey if grey.flags.c_contiguous else np.ascontiguousarray(grey)
    except (MemoryError, cv2.error) as error:
        raise out_of_memory(error, where) or damaged(where, header.format, "it cannot be decoded") from error


def _decode(data: bytes, header: ImageHeader, where: str, min_decode_pixels: int | None) -> NDArray[Any]:
    """OpenCV's pixels: [H, W] or [H, W, 3 or 4] in BGR(A) order, in the orientation they are stored in."""
    flags, factor = cv2.IMREAD_UNCHANGED, 1
    if header.has_luma and header.width * header.height > CROP_PIXELS:
        factor = _reduction(header, min_decode_pixels)
        flags = _LUMA[factor]
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    # Mypy's stubs do not know that imdecode answers None for what it cannot decode.
    if pixels is None:
        raise _failure(header, where)
    # Rounded up, as JPEG decoders do.
    if pixels.shape[:2] != (-(-header.height // factor), -(-header.width // factor)):
        raise damaged(where, header.format, "its size is not the one its header announces")
    return pixels


def _failure(header: ImageHeader, where: str) -> ImageError:
    """The error for what OpenCV gave nothing for: it does not say whether memory ran out, so try."""
    try:
        np.empty(header.decoded_bytes, np.uint8)
    except MemoryError as error:
        return out_of_memory(error, where) or damaged(where, header.format, "it cannot be decoded")
    return damaged(where, header.format, "it cannot be decoded")


def _reduction(header: ImageHeader, min_decode_pixels: int | None) -> int:
    """The largest factor to divide both sides by that leaves enough pixels."""
    if min_decode_pixels is None:
        return 1
    return next(
        (factor for factor in (8, 4, 2) if header.width * header.height >= min_decode_pixels * factor**2), 1
    )


def _with_alpha(pixels: NDArray[Any], header: ImageHeader, where: str) -> tuple[NDArray[Any], bool]:
    """The pixels with an alpha channel where the header knows of one, and whether it is premultiplied."""
    if header.transparent is not None and pixels.ndim == 2:
        return with_key(pixels, header.transparent, where=where, refuse=UnsupportedImageError), False
    if header.alpha == "ignored" and pixels.ndim == 3:
        return pixels[..., :3], False
    return pixels, header.alpha == "premultiplied"
