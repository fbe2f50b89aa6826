"""Make Pillow images grey, without importing Pillow."""

from __future__ import annotations

import sys
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import CorruptImageError, InvalidArrayError, UnsupportedImageError
from kalamos.images.grey import BAND_PIXELS, compose, eight_bits, luminance, to_grey, upright, with_key
from kalamos.images.pixels import MAX_PIXELS, check_pixels

__all__ = ["PillowImage", "is_pillow", "pillow_to_grey"]

_ORIENTATION = 274
_WIDE = ("I", "F")
"""How modes of more than 8 bits a channel begin: their values are scaled by the range of all of them."""
_PLAIN = frozenset({"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes whose array holds what `to_grey` expects."""
_CONVERTED = {
    "P": "RGBA",
    "PA": "RGBA",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
_KEYED = {"1": "LA", "L": "LA", "RGB": "RGBA"}
"""Modes in which one colour can stand for "nothing here", and what to convert them to then."""


class PillowImage(Protocol):
    """The part of `PIL.Image.Image` that is used."""

    info: dict[Any, Any]

    @property
    def mode(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    def load(self) -> Any: ...
    def getexif(self) -> Any: ...
    def convert(self, mode: str) -> Any: ...
    def crop(self, box: tuple[int, int, int, int]) -> Any: ...
    def getchannel(self, channel: int) -> Any: ...


def is_pillow(source: object) -> TypeGuard[PillowImage]:
    # Whoever holds a Pillow image has imported Pillow already.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def pillow_to_grey(
    image: PillowImage, *, where: str = "the PIL image", max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Make a Pillow image grey: uint8 [H, W], C-contiguous, upright by its EXIF.

    All common modes are read, with transparency in any of Pillow's three ways.

    Raises:
        ImageTooLargeError: over `max_pixels`, seen before the pixels are loaded.
        CorruptImageError: a lazily opened file that proves truncated or damaged.
        InvalidArrayError: of no size, or values out of range in modes I and F.
        UnsupportedImageError: an unusual mode.
    """
    width, height = image.size
    if not (width and height):
        raise InvalidArrayError(f"{where}: {width} x {height} pixels hold nothing")
    check_pixels(width, height, max_pixels, where)
    try:
        image.load()
        if image.mode.startswith(_WIDE):
            grey = to_grey(_pixels(image, where), order="RGB", where=where, refuse=InvalidArrayError)
        else:
            grey = _grey_in_bands(image, where)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        raise CorruptImageError(f"{where}: its pixels cannot be loaded ({error})") from error
    return np.array(upright(grey, _orientation(image)), order="C")


def _grey_in_bands(image: PillowImage, where: str) -> NDArray[np.uint8]:
    """Convert some rows of an image of 8 bits a channel at a time: Pillow and NumPy would copy it twice."""
    width, height = image.size
    grey = np.empty((height, width), np.uint8)
    alpha = None
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        part = image if rows >= height else image.crop((0, band.start, width, band.stop))
        pixels = eight_bits(_pixels(part, where), where=where, refuse=InvalidArrayError)
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            alpha = np.empty_like(grey) if alpha is None else alpha
            alpha[band] = pixels[..., -1]
            pixels = pixels[..., :-1]
        grey[band] = luminance(pixels, "RGB")
    return grey if alpha is None else compose(grey, alpha)


def _pixels(image: PillowImage, where: str) -> NDArray[Any]:
    if image.mode == "LAB":
        # Pillow cannot convert LAB without a colour profile; its first channel is the lightness.
        return np.asarray(image.getchannel(0))
    key = image.info.get("transparency")
    if key is not None and image.mode in _KEYED:
        return np.asarray(image.convert(_KEYED[image.mode]))
    if image.mode in _CONVERTED:
        return np.asarray(image.convert(_CONVERTED[image.mode]))
    if image.mode not in _PLAIN:
        raise UnsupportedImageError(
            f"{where}: mode {image.mode!r} cannot be read", remedy="convert it: image.convert('RGB')"
        )
    pixels = np.asarray(image)
    if isinstance(key, int) and pixels.ndim == 2:
        return with_key(pixels, key, where=where, refuse=InvalidArrayError)
    return pixels


def _orientation(image: PillowImage) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block fails in many ways, none of which matters
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
