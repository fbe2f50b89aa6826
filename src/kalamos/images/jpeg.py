"""JPEG headers (ITU-T T.81): segments are walked, and so is the scan data, up to the end marker.

Decoders fill what a truncated JPEG lacks with grey, so its completeness is checked here.
"""

from __future__ import annotations

import re
from struct import Struct

from kalamos.images.header import ImageHeader, damaged, truncated, unsupported
from kalamos.images.tiff import exif_orientation

__all__ = ["SIGNATURE", "read_jpeg"]

SIGNATURE = b"\xff\xd8\xff"
_U16 = Struct(">H").unpack_from
_SOF = Struct(">BHHB").unpack_from

# Stuffed zeros and restart markers belong to the scan; any other marker ends it. A marker may have fill
# bytes before it, of which the last will do: a pattern that begins with one plain byte is searched 50
# times as fast as one that begins with a repeat, and this goes through every byte of a photograph.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_TEM, _SOI, _EOI, _SOS, _APP1 = 0x01, 0xD8, 0xD9, 0xDA, 0xE1
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_READABLE_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended and progressive; the others are lossless or hierarchical."""


def read_jpeg(data: bytes, where: str) -> ImageHeader:
    """Reads the header of a JPEG; a frame, a scan and the end marker are there when it returns.

    Raises:
        CorruptImageError: truncated, or without a picture.
        UnsupportedImageError: a lossless, hierarchical or 12-bit JPEG.
    """
    width = height = components = 0
    orientation: int | None = None
    scan = False
    position = 2
    while True:
        marker = _MARKER.search(data, position)
        if marker is None:
            raise truncated(where, "JPEG", "the end marker is missing")
        code, position = marker[1][0], marker.end()
        if code == _EOI:
            break
        if code in (_TEM, _SOI):
            continue
        if position + 2 > len(data):
            raise truncated(where, "JPEG", f"it ends inside segment FF{code:02X}")
        (length,) = _U16(data, position)
        if position + length > len(data):
            raise truncated(where, "JPEG", f"it ends inside segment FF{code:02X}")
        if code in _FRAMES and not width:
            width, height, components = _frame(data, position, code, length, where)
        elif code == _APP1 and orientation is None and data.startswith(b"Exif\0", position + 2):
            orientation = exif_orientation(data[position + 2 : position + length])
        elif code == _SOS:
            scan = True
        position += max(length, 2)
    if not (width and scan):
        raise damaged(where, "JPEG", "it holds no picture")
    return ImageHeader("JPEG", width, height, orientation or 1, has_luma=components != 4)


def _frame(data: bytes, position: int, code: int, length: int, where: str) -> tuple[int, int, int]:
    """Width, height and the number of components."""
    if length < 8:
        raise damaged(where, "JPEG", "its frame header is too short")
    precision, height, width, components = _SOF(data, position + 2)
    if code not in _READABLE_FRAMES:
        raise unsupported(where, "a lossless or hierarchical JPEG", remedy="save it as PNG or plain JPEG")
    if precision != 8:
        raise unsupported(where, f"a {precision}-bit JPEG", remedy="save it as PNG or 8-bit JPEG")
    if components not in (1, 3, 4):
        raise unsupported(where, f"a JPEG of {components} components")
    if not (width and height):
        raise damaged(where, "JPEG", f"its size is {width} x {height} pixels")
    return width, height, components
