"""GIF headers (GIF89a): blocks are walked to the end of the first frame."""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from kalamos.images.header import Frame, ImageHeader, damaged, truncated

__all__ = ["MAX_BLOCKS", "SIGNATURES", "read_gif"]

SIGNATURES = (b"GIF87a", b"GIF89a")

MAX_BLOCKS = 2_000_000
"""Blocks up to the end of the first frame. A full one holds 255 bytes, and files have at most 256 MiB."""

_SCREEN = Struct("<HHB").unpack_from
_IMAGE = Struct("<HHHHB").unpack_from
_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B


def read_gif(data: bytes, where: str) -> ImageHeader:
    """Read the header of a GIF; the first frame is complete when it returns.

    Raises:
        CorruptImageError: truncated, without a frame, or with a frame outside the canvas.
    """
    try:
        width, height, flags = _SCREEN(data, 6)
        if not (width and height):
            raise damaged(where, "GIF", f"its size is {width} x {height} pixels")
        position, left_over = 13 + _palette_bytes(flags), MAX_BLOCKS
        while data[position] == _EXTENSION:
            position, left_over = _after_sub_blocks(data, position + 2, left_over, where)
        if data[position] == _TRAILER:
            raise damaged(where, "GIF", "it holds no picture")
        if data[position] != _FRAME:
            raise damaged(where, "GIF", f"it holds an unknown block {data[position]:02X}")
        left, top, across, down, flags = _IMAGE(data, position + 1)
        _after_sub_blocks(data, position + 11 + _palette_bytes(flags), left_over, where)
    except (IndexError, StructError):
        raise truncated(where, "GIF", "the first frame is incomplete") from None
    if not (across and down) or left + across > width or top + down > height:
        raise damaged(where, "GIF", "its first frame does not lie on the canvas")
    partial = (across, down) != (width, height)
    return ImageHeader(
        "GIF",
        width,
        height,
        decoded_bytes=width * height * 4,
        frame=Frame(left, top, across, down) if partial else None,
    )


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, position: int, most: int, where: str) -> tuple[int, int]:
    """The position after the empty block that ends a chain, and how many blocks may still come.

    IndexError where the data ends first.
    """
    for left_over in range(most, 0, -1):
        length = data[position]
        position += 1 + length
        if not length:
            return position, left_over - 1
    raise damaged(where, "GIF", f"its first frame has more than {MAX_BLOCKS:,} blocks before its end")
