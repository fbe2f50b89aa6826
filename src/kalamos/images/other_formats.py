"""Decode GIF, BMP, animated WEBP, and TIFF of fewer than 16 bits a sample with Pillow.

Runs in a worker process alone: the only place where kalamos imports Pillow to decode. Pillow is lenient with
some damage (a GIF's frame beyond its canvas, missing strips of a TIFF), which is looked for here.
"""

from __future__ import annotations

import io
import struct
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kalamos.images.header import ImageHeader, damaged, truncated, unsupported
from kalamos.images.pillow import pillow_to_grey
from kalamos.images.pixels import check_pixels, check_size, decode_here

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = ["decode_with_pillow"]

_MAX_SIDE = 1 << 31
"""Pixels; Pillow takes a BMP's negative width for a larger one."""
_BYTE_MODES = frozenset({"1", "L", "P"})
"""Pillow's modes of one byte a pixel; the others take four at most."""
_TIFF_PARTS = ((273, 279), (324, 325))
"""The tags with the offsets and the sizes of strips, and those of tiles."""
_WEBP_FLAGS, _WEBP_ALPHA = 20, 0x10


def decode_with_pillow(
    data: bytes, kind: str, header: ImageHeader | None, *, where: str, max_pixels: int
) -> NDArray[np.uint8]:
    """Decode an image of the format `kind` to grey uint8 [H, W], C-contiguous and upright.

    Args:
        header: what is known already (TIFF, WEBP).

    Raises:
        UnsupportedImageError: a variant that Pillow does not know.
        CorruptImageError: truncated or damaged.
        ImageTooLargeError: over `max_pixels`, or over `kalamos.images.pixels.MAX_DECODED_BYTES`.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is the limit here
    try:
        image = _open(data, kind)
    except (OSError, SyntaxError, ValueError) as error:
        if kind == "BMP" and "bitfields" in str(error):
            return _decode_masked_bmp(data, where, max_pixels)
        if kind == "TIFF" and header is not None and "unknown" in str(error):
            raise unsupported(where, header.layout) from error
        if "Unsupported" in str(error):
            raise unsupported(where, f"this {kind} ({error})") from error
        raise damaged(where, kind, f"its header cannot be read ({error})") from error
    width, height = image.size
    if max(width, height) >= _MAX_SIDE:
        raise damaged(where, kind, f"its size is {width} x {height} pixels")
    decoded_bytes = width * height * (1 if image.mode in _BYTE_MODES else 4)
    check_size(ImageHeader(kind, width, height, decoded_bytes=decoded_bytes), max_pixels, where)
    picture: Image.Image = image
    if kind == "GIF":
        picture = _on_canvas(image, data, where)
    elif kind == "TIFF" and not _strips_are_inside(image, len(data)):
        raise truncated(where, kind, "pixel data are missing")
    return pillow_to_grey(picture, where=where, max_pixels=max_pixels)


def _open(data: bytes, kind: str) -> ImageFile:
    """Open by the plugin itself: `PIL.Image.open` would load others too, and hide what was wrong."""
    name = {"GIF": "Gif", "BMP": "Bmp", "TIFF": "Tiff", "WEBP": "WebP"}[kind]
    plugin = import_module(f"PIL.{name}ImagePlugin")
    if kind == "TIFF":
        # Pillow's own reader leaves missing strips black.
        plugin.READ_LIBTIFF = True  # type: ignore[attr-defined]
    elif kind == "WEBP":
        # With the flag for alpha, what the first frame does not cover is transparent, and not black.
        data = data[:_WEBP_FLAGS] + bytes([data[_WEBP_FLAGS] | _WEBP_ALPHA]) + data[_WEBP_FLAGS + 1 :]
    image: ImageFile = getattr(plugin, f"{name}ImageFile")(io.BytesIO(data))
    return image


def _on_canvas(image: ImageFile, data: bytes, where: str) -> Image:
    """A GIF's first frame; on a transparent canvas if it does not fill it.

    Pillow would fill the canvas with the first colour, which may be that of the ink.
    """
    left, top, right, bottom = image.tile[0][1] or (0, 0, 0, 0)
    # Pillow enlarges the canvas for a frame that lies beyond it.
    if struct.unpack_from("<HH", data, 6) != image.size or left >= right or top >= bottom:
        raise damaged(where, "GIF", "its first frame does not lie on the canvas")
    if (left, top, right, bottom) == (0, 0, *image.size):
        return image
    try:
        frame = image.crop((left, top, right, bottom)).convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(where, "GIF", f"it cannot be decoded ({error})") from error
    from PIL import Image

    canvas = Image.new("RGBA", image.size)
    canvas.paste(frame, (left, top))
    return canvas


def _strips_are_inside(image: ImageFile, size: int) -> bool:
    """Whether the strips or tiles of a TIFF lie in the file: libtiff leaves some that do not blank."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    parts = [
        zip(tags[offsets], tags[sizes], strict=False) for offsets, sizes in _TIFF_PARTS if offsets in tags
    ]
    return bool(parts) and all(offset + length <= size for offset, length in parts[0])


def _decode_masked_bmp(data: bytes, where: str, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a BMP whose colour masks Pillow does not know: OpenCV reads them at 32 bits in long headers."""
    start, size, width, height, _, bits = struct.unpack_from("<IIiiHH", data, 10)
    if size < 56 or bits != 32:
        raise unsupported(where, "a BMP with unusual colour masks")
    height = abs(height)
    check_pixels(width, height, max_pixels, where)
    if start + 4 * width * height > len(data):
        raise truncated(where, "BMP", "pixel rows are missing")
    return decode_here(data, ImageHeader("BMP", width, height, decoded_bytes=4 * width * height), where=where)
