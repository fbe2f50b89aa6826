"""From pixels of any depth and colour to one grey uint8 image, with the ink kept."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError

__all__ = ["compose", "eight_bits", "luminance", "to_grey", "upright", "with_key"]

Grey = NDArray[np.uint8]

_DEPTHS = (8, 10, 12, 14, 16)
_UNIFORM = 32.0
"""Visible pixels whose luminance deviates less than this (of 255) are ink alone, without paper."""
_STRAY = 0.01
"""The share of visible pixels that may lie on the other side of mid-grey where all else is ink."""
_CHUNK = 1 << 20


def to_grey(
    pixels: NDArray[Any],
    *,
    order: Literal["RGB", "BGR"],
    premultiplied: bool = False,
    where: str,
    refuse: type[ImageError],
) -> Grey:
    """Makes pixels grey: [H, W] grey, or [H, W, C] with C = 1 grey, 2 grey and alpha, 3 colour, 4 colour
    and alpha.

    The result is uint8 [H, W], BT.601 luminance; it may be `pixels` itself. Transparent pixels are
    composed on a background on which the ink can be seen (see `compose`). `refuse` is raised where
    values are out of range (see `eight_bits`).

    >>> to_grey(np.full((1, 1, 3), (0, 0, 255), np.uint8), order="BGR", where="", refuse=ImageError)
    array([[76]], dtype=uint8)
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels in (2, 4):
        colour, alpha = pixels[..., :-1], pixels[..., -1]
        if pixels.dtype.kind == "f":
            # Each for itself: colours up to 255 often go with an alpha up to 1.
            colour = eight_bits(colour, where=where, refuse=refuse)
            alpha = eight_bits(alpha, where=where, refuse=refuse)
        else:
            # Together: an alpha of full depth tells that dark colours are dark, not shallow.
            both = eight_bits(pixels, where=where, refuse=refuse)
            colour, alpha = both[..., :-1], both[..., -1]
        return compose(luminance(colour, order), alpha, premultiplied=premultiplied)
    return luminance(eight_bits(pixels, where=where, refuse=refuse), order)


def with_key(pixels: NDArray[Any], key: int, *, where: str, refuse: type[ImageError]) -> Grey:
    """Grey [H, W] in which one value stands for "nothing here", as uint8 [H, W, 2], grey and alpha."""
    alpha = np.where(pixels == key, np.uint8(0), np.uint8(255))
    return np.dstack([eight_bits(pixels, where=where, refuse=refuse), alpha])


def eight_bits(values: NDArray[Any], *, where: str, refuse: type[ImageError]) -> Grey:
    """Values of any depth as uint8, of the same shape; uint8 is passed through.

    - bool: True is 255.
    - uint16 and other integers: scaled from the smallest of 8, 10, 12, 14, 16 bits that holds the
      maximum, rounded; so a 12-bit scan in a 16-bit file keeps its contrast.
    - floats: [0, 1] where nothing exceeds 1, else [0, 255], rounded.

    Raises:
        `refuse`: values that are negative, not finite, or beyond 16 bits or 255.0.

    >>> eight_bits(np.array([0, 2048, 4095], np.uint16), where="", refuse=ImageError)
    array([  0, 128, 255], dtype=uint8)
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return np.where(values, np.uint8(255), np.uint8(0))
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (np.isfinite(low) and np.isfinite(high)):
            raise refuse(f"{where}: it holds NaN or infinite values", remedy="replace them first")
        if low < 0 or high > 255:
            raise refuse(
                f"{where}: its values run from {low:.6g} to {high:.6g}",
                remedy="scale them to [0, 1] or [0, 255]",
            )
        scaled = values * np.float32(255) if high <= 1 else values
        return np.asarray(np.rint(scaled), np.uint8)
    if low < 0 or high > 0xFFFF:
        raise refuse(f"{where}: its values run from {low} to {high}", remedy="scale them to 0..255")
    top = next((1 << bits) - 1 for bits in _DEPTHS if high < 1 << bits)
    if top == 255:
        return values.astype(np.uint8)
    return ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def luminance(colour: Grey, order: Literal["RGB", "BGR"]) -> Grey:
    """BT.601 luminance of uint8 [H, W], [H, W, 1] or [H, W, 3], as uint8 [H, W]."""
    if colour.ndim == 2:
        return colour
    if colour.shape[2] == 1:
        return colour[..., 0]
    code = cv2.COLOR_BGR2GRAY if order == "BGR" else cv2.COLOR_RGB2GRAY
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(colour), code), np.uint8)


def compose(grey: Grey, alpha: Grey, *, premultiplied: bool = False) -> Grey:
    """Lays a partly transparent picture (uint8 [H, W] each) on a background that shows its ink.

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
    wide = np.maximum(alpha, 1).astype(np.uint16)
    if premultiplied:
        grey = np.minimum((grey.astype(np.uint16) * 255 + wide // 2) // wide, 255).astype(np.uint8)
    background = np.uint16(_background(grey, alpha))
    wide = alpha.astype(np.uint16)
    # 255 * 255 + 127 still fits 16 bits.
    mixed: NDArray[np.uint16] = grey * wide + background * (255 - wide) + np.uint16(127)
    return (mixed // np.uint16(255)).astype(np.uint8)


def _background(grey: Grey, alpha: Grey) -> int:
    weights = np.zeros(256)
    flat, opacity = grey.ravel(), alpha.ravel()
    # bincount widens its input to 64 bits: in chunks, a large scan does not multiply its memory by 16.
    for start in range(0, flat.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        weights += np.bincount(flat[part], opacity[part], minlength=256)
    total = weights.sum()
    if not total:
        return 255
    levels = np.arange(256)
    mean = weights @ levels / total
    deviation = np.sqrt(weights @ (levels - mean) ** 2 / total)
    light = weights[128:].sum() / total
    if deviation < _UNIFORM or light < _STRAY or light > 1 - _STRAY:
        return 255 if mean < 128 else 0
    return int(np.searchsorted(weights.cumsum(), total / 2))


def upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undoes an EXIF orientation, 1 to 8, of [H, W] or [H, W, C]; the result is a view.

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
