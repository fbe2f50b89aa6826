"""What a file says about its picture before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kalamos.errors import CorruptImageError, UnsupportedImageError

__all__ = ["Alpha", "ImageHeader", "damaged", "truncated", "unsupported"]

Alpha = Literal["straight", "premultiplied", "ignored"]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of an encoded image: enough to refuse it, or to make its pixels grey and upright.

    >>> ImageHeader("PNG", width=28, height=28).orientation
    1
    """

    format: str
    """One of PNG, JPEG, BMP, GIF, WEBP, TIFF."""
    width: int
    """In pixels, as stored: before `orientation` is applied."""
    height: int
    orientation: int = 1
    """EXIF orientation, 1 to 8 (TIFF 6.0, tag 274); 1 is upright."""
    alpha: Alpha = "straight"
    """What a fourth decoded channel means. Files without one say "straight" too."""
    transparent: int | None = None
    """The decoded grey value that stands for "nothing here" (PNG's tRNS on grey), which OpenCV drops."""
    inverted: bool = False
    """The decoded values count up from white to black (TIFF's WhiteIsZero if OpenCV does not invert it)."""
    animated: bool = False
    """An animation that Pillow has to decode (WEBP)."""
    deep: bool = False
    """16 bits or more a sample, which OpenCV has to decode (TIFF)."""
    layout: str = ""
    """The samples of a pixel in words, for errors (TIFF)."""
    decoded_bytes: int = 0
    """About as many bytes as decoding takes: the pixels, and what the decoder keeps beside them."""
    has_luma: bool = False
    """The luminance can be decoded by itself, at a half, a quarter or an eighth of the size if need be (JPEG,
    except CMYK)."""


def damaged(where: str, kind: str, what: str) -> CorruptImageError:
    """The error for contents that contradict the format."""
    return CorruptImageError(f"{where}: the {kind} is damaged: {what}", remedy="use an intact copy")


def truncated(where: str, kind: str, what: str) -> CorruptImageError:
    """The error for contents that end too early."""
    return CorruptImageError(f"{where}: the {kind} is truncated: {what}", remedy="use a complete copy")


def unsupported(where: str, what: str, *, remedy: str = "save it as an 8-bit PNG") -> UnsupportedImageError:
    """The error for a variant that is valid but cannot be read faithfully."""
    return UnsupportedImageError(f"{where}: {what} cannot be read", remedy=remedy)
