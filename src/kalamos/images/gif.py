"""GIF headers (GIF89a): blocks are walked to the end of the first frame."""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from kalamos.images.header import Frame, ImageHeader, damaged, truncated

__all__ = ["SIGNATURES", "read_gif"]

SIGNATURES = (b"GIF87a", b"GIF89a")
_SCREEN = Struct("<HHB").unpack_from
_IMAGE = Struct("<HHHHB").unpack_from
_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B


def read_gif(data: bytes, where: str) -> ImageHeader:
    """Reads the header of a GIF; the first frame is complete when it returns.

    Raises:
        CorruptImageError: truncated, without a frame, or with a frame outside the canvas.
    """
    try:
        width, height, flags = _SCREEN(data, 6)
        if not (width and height):
            raise damaged(where, "GIF", f"its size is {width} x {height} pixels")
        position = 13 + _palette_bytes(flags)
        while data[position] == _EXTENSION:
            position = _after_sub_blocks(data, position + 2)
        if data[position] == _TRAILER:
            raise damaged(where, "GIF", "it holds no picture")
        if data[position] != _FRAME:
            raise damaged(where, "GIF", f"it holds an unknown block {data[position]:02X}")
        left, top, across, down, flags = _IMAGE(data, position + 1)
        _after_sub_blocks(data, position + 11 + _palette_bytes(flags))
    except (IndexError, StructError):
        raise truncated(where, "GIF", "the first frame is incomplete") from None
    if not (across and down) or left + across > width or top + down > height:
        raise damaged(where, "GIF", "its first frame does not lie on the canvas")
    partial = (across, down) != (width, height)
    return ImageHeader("GIF", width, height, frame=Frame(left, top, across, down) if partial else None)


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, position: int) -> int:
    """The position after the empty block that ends a chain; IndexError where the data ends first."""
    while length := data[position]:
        position += 1 + length
    return position + 1
