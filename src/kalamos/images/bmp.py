"""BMP headers (Windows BITMAPINFOHEADER and its kin, OS/2 core headers)."""

from __future__ import annotations

from struct import Struct

from kalamos.images.header import Alpha, ImageHeader, damaged, truncated, unsupported

__all__ = ["HEADER_SIZES", "SIGNATURE", "read_bmp"]

SIGNATURE = b"BM"
HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
_CORE, _INFO, _WITH_ALPHA_MASK = 12, 40, 56
_OFFSETS = Struct("<II").unpack_from
_CORE_SIZE = Struct("<HHHH").unpack_from
_INFO_SIZE = Struct("<iiHHI").unpack_from
_MASKS = Struct("<III").unpack_from
_DEPTHS = {0: (1, 4, 8, 16, 24, 32), 1: (8,), 2: (4,), 3: (16, 32)}
"""The bits a pixel that each compression may have: none, RLE8, RLE4, bit fields."""
_PLAIN_MASKS = {
    16: ((0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)),
    32: ((0xFF0000, 0xFF00, 0xFF),),
}
"""The red, green and blue masks that OpenCV assumes, by bits a pixel."""


def read_bmp(data: bytes, where: str) -> ImageHeader:
    """Read the header of a BMP.

    Raises:
        CorruptImageError: truncated, or of no size.
        UnsupportedImageError: an embedded JPEG or PNG, or unusual colour masks.
    """
    if len(data) < 30:
        raise truncated(where, "BMP", "it ends inside its header")
    start, size = _OFFSETS(data, 10)
    if size == _CORE:
        width, height, _, bits = _CORE_SIZE(data, 18)
        compression = 0
    else:
        if len(data) < 54:
            raise truncated(where, "BMP", "it ends inside its header")
        width, height, _, bits, compression = _INFO_SIZE(data, 18)
        # A negative height says that rows run from top to bottom.
        height = abs(height)
    if width <= 0 or height == 0:
        raise damaged(where, "BMP", f"its size is {width} x {height} pixels")
    if bits not in _DEPTHS.get(compression, ()):
        raise unsupported(where, f"a BMP of {bits} bits with compression {compression}")
    if compression == 3 and len(data) < 66:
        raise truncated(where, "BMP", "its colour masks are missing")
    if compression == 3 and not _masks_honoured(data, size, bits):
        raise unsupported(where, "a BMP with unusual colour masks")
    if compression in (0, 3) and start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise truncated(where, "BMP", "pixel rows are missing")
    # Shorter headers have no alpha mask: the fourth byte is padding there, and often zero.
    alpha: Alpha = "straight" if size >= _WITH_ALPHA_MASK else "ignored"
    channels = 4 if bits == 32 else 3
    return ImageHeader("BMP", width, height, alpha=alpha, decoded_bytes=width * height * channels)


def _masks_honoured(data: bytes, size: int, bits: int) -> bool:
    """Whether OpenCV decodes with the file's colour masks: it reads them in long headers of 32 bits alone."""
    if size >= _WITH_ALPHA_MASK and bits == 32:
        return True
    return size == _INFO and _MASKS(data, 54) in _PLAIN_MASKS[bits]
