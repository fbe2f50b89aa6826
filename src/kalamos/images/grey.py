"""From pixels of any depth and colour to one grey uint8 image, with the ink kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError

__all__ = ["BAND_PIXELS", "compose", "eight_bits", "luminance", "to_grey", "upright", "with_key"]

Grey = NDArray[np.uint8]
Order = Literal["RGB", "BGR"]

_DEPTHS = (8, 10, 12, 14, 16)
MAX_INK_DEVIATION = 32.0
"""Visible pixels whose luminance deviates less than this (of 255) are ink alone, without paper."""
MAX_STRAY_FRACTION = 0.01
"""The share of visible pixels that may lie on the other side of mid-grey where all else is ink."""
BAND_PIXELS = 1 << 20
"""Pixels that are converted at a time."""


def to_grey(
    pixels: NDArray[Any],
    *,
    order: Order,
    premultiplied: bool = False,
    where: str,
    refuse: type[ImageError],
) -> Grey:
    """Make pixels grey: [H, W] grey, or [H, W, C] with C = 1 grey, 2 grey and alpha, 3 colour, 4 colour
    and alpha.

    The result is uint8 [H, W], BT.601 luminance; it may be `pixels` itself. Transparent pixels are
    composed on a background on which the ink can be seen (see `compose`). `refuse` is raised where
    values are out of range (see `eight_bits`).

    >>> to_grey(np.full((1, 1, 3), (0, 0, 255), np.uint8), order="BGR", where="", refuse=ImageError)
    array([[76]], dtype=uint8)
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels not in (2, 4):
        return _luminance(pixels, _to_eight_bits(pixels, where, refuse), order)
    colour, alpha = pixels[..., :-1], pixels[..., -1]
    if pixels.dtype.kind == "f":
        # Each for itself: colours up to 255 often go with an alpha up to 1.
        narrow_colour, narrow_alpha = (_to_eight_bits(part, where, refuse) for part in (colour, alpha))
    else:
        # Together: an alpha of full depth tells that dark colours are dark, not shallow.
        narrow_colour = narrow_alpha = _to_eight_bits(pixels, where, refuse)
    grey = _luminance(colour, narrow_colour, order)
    opacity = alpha if alpha.dtype == np.uint8 else _in_bands(narrow_alpha, alpha)
    return compose(grey, opacity, premultiplied=premultiplied)


def _luminance(colour: NDArray[Any], narrow: Callable[[NDArray[Any]], Grey], order: Order) -> Grey:
    return _in_bands(lambda part: luminance(narrow(part), order), colour)


def _in_bands(function: Callable[..., Grey], *images: NDArray[Any]) -> Grey:
    """Apply a function of pixels to some rows at a time, so that what it makes on the way stays small."""
    height, width = images[0].shape[:2]
    rows = max(1, BAND_PIXELS // max(width, 1))
    if rows >= height:
        return function(*images)
    result = np.empty((height, width), np.uint8)
    for start in range(0, height, rows):
        band = slice(start, start + rows)
        result[band] = function(*(image[band] for image in images))
    return result


def with_key(pixels: NDArray[Any], key: int, *, where: str, refuse: type[ImageError]) -> Grey:
    """Turn grey [H, W], in which one value means "nothing here", into uint8 [H, W, 2], grey and alpha."""
    alpha = np.where(pixels == key, np.uint8(0), np.uint8(255))
    return np.dstack([eight_bits(pixels, where=where, refuse=refuse), alpha])


def eight_bits(values: NDArray[Any], *, where: str, refuse: type[ImageError]) -> Grey:
    """Convert values of any depth to uint8, of the same shape; return uint8 as it is.

    - bool: True is 255.
    - uint16 and other integers: scaled from the smallest of 8, 10, 12, 14, 16 bits that holds the
      maximum, rounded; so a 12-bit scan in a 16-bit file keeps its contrast.
    - floats: [0, 1] where nothing exceeds 1, else [0, 255], rounded.

    Raises:
        `refuse`: values that are negative, not finite, or beyond 16 bits or 255.0.

    >>> eight_bits(np.array([0, 2048, 4095], np.uint16), where="", refuse=ImageError)
    array([  0, 128, 255], dtype=uint8)
    """
    return _to_eight_bits(values, where, refuse)(values)


def _to_eight_bits(
    values: NDArray[Any], where: str, refuse: type[ImageError]
) -> Callable[[NDArray[Any]], Grey]:
    """Return what converts any part of `values`, by the range of all of them; raise as `eight_bits` does."""
    if values.dtype == np.uint8:
        return lambda part: part
    if values.dtype == np.bool_:
        return lambda part: np.where(part, np.uint8(255), np.uint8(0))
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (np.isfinite(low) and np.isfinite(high)):
            raise refuse(f"{where}: it holds NaN or infinite values", remedy="replace them first")
        if low < 0 or high > 255:
            raise refuse(
                f"{where}: its values run from {low:.6g} to {high:.6g}",
                remedy="scale them to [0, 1] or [0, 255]",
            )
        if high <= 1:
            return lambda part: np.asarray(np.rint(part * np.float32(255)), np.uint8)
        return lambda part: np.asarray(np.rint(part), np.uint8)
    if low < 0 or high > 0xFFFF:
        raise refuse(f"{where}: its values run from {low} to {high}", remedy="scale them to 0..255")
    top = next((1 << bits) - 1 for bits in _DEPTHS if high < 1 << bits)
    if top == 255:
        return lambda part: part.astype(np.uint8)
    return lambda part: ((part.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def luminance(colour: Grey, order: Order) -> Grey:
    """Compute the BT.601 luminance of uint8 [H, W], [H, W, 1] or [H, W, 3], as uint8 [H, W]."""
    if colour.ndim == 2:
        return colour
    if colour.shape[2] == 1:
        return colour[..., 0]
    code = cv2.COLOR_BGR2GRAY if order == "BGR" else cv2.COLOR_RGB2GRAY
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(colour), code), np.uint8)


def compose(grey: Grey, alpha: Grey, *, premultiplied: bool = False) -> Grey:
    """Lay a partly transparent picture (uint8 [H, W] each) on a background that shows its ink.

    What lies under alpha 0 is arbitrary, often black, so black ink on nothing would vanish if alpha
    were merely dropped. The visible pixels, weighted by alpha, choose the background:

    - nearly uniform ones, or ones that are all dark or all light, are ink alone: dark ink goes on
      white, light ink on black;
    - otherwise paper is visible too: its tone, the median, is continued.

    A fully transparent picture becomes white.

    >>> ink = np.zeros((1, 3), np.uint8)
    >>> compose(ink, np.array([[255, 0, 255]], np.uint8))
    array([[  0, 255,   0]], dtype=uint8)
    """
    if alpha.min() == 255:
        return grey
    if premultiplied:
        grey = _in_bands(_straight, grey, alpha)
    background = np.uint16(_background(grey, alpha))

    def mix(grey: Grey, alpha: Grey) -> Grey:
        wide = alpha.astype(np.uint16)
        # 255 * 255 + 127 still fits 16 bits.
        mixed: NDArray[np.uint16] = grey * wide + background * (255 - wide) + np.uint16(127)
        return (mixed // np.uint16(255)).astype(np.uint8)

    return _in_bands(mix, grey, alpha)


def _straight(grey: Grey, alpha: Grey) -> Grey:
    """Undo the multiplication of grey values with their alpha."""
    wide = np.maximum(alpha, 1).astype(np.uint16)
    straight: NDArray[np.uint16] = (grey.astype(np.uint16) * 255 + wide // 2) // wide
    return np.minimum(straight, 255).astype(np.uint8)


def _background(grey: Grey, alpha: Grey) -> int:
    weights = np.zeros(256)
    # bincount widens its input to 64 bits: in bands, a large scan does not multiply its memory by 16.
    rows = max(1, BAND_PIXELS // grey.shape[1])
    for start in range(0, grey.shape[0], rows):
        band = slice(start, start + rows)
        weights += np.bincount(grey[band].ravel(), alpha[band].ravel(), minlength=256)
    total = weights.sum()
    if not total:
        return 255
    levels = np.arange(256)
    mean = weights @ levels / total
    deviation = np.sqrt(weights @ (levels - mean) ** 2 / total)
    light = weights[128:].sum() / total
    if deviation < MAX_INK_DEVIATION or light < MAX_STRAY_FRACTION or light > 1 - MAX_STRAY_FRACTION:
        return 255 if mean < 128 else 0
    return int(np.searchsorted(weights.cumsum(), total / 2))


def upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation, 1 to 8, of [H, W] or [H, W, C]; the result is a view.

    >>> upright(np.array([[1, 2], [3, 4]]), 6)
    array([[3, 1],
           [4, 2]])
    """
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
