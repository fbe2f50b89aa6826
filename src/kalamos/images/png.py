"""PNG headers (W3C PNG, third edition): every chunk is walked and its CRC checked.

OpenCV alone would do the same work, but libpng prints its complaints on standard error.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from zlib import crc32

from kalamos.images.header import ImageHeader, damaged, truncated
from kalamos.images.tiff import exif_orientation

__all__ = ["SIGNATURE", "read_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = Struct(">I4s").unpack_from
_U32 = Struct(">I").unpack_from
_IHDR = Struct(">IIBB").unpack_from

_GREY, _PALETTE = 0, 3
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""The bit depths that each colour type may have (PNG, table 10)."""


def read_png(data: bytes, where: str) -> ImageHeader:
    """Reads the header of a PNG; the chunks up to IEND are complete and intact when it returns.

    Raises:
        CorruptImageError: truncated, a wrong CRC, or a header that contradicts the standard.
    """
    chunks = _walk(data, where)
    start, stop = chunks.get(b"IHDR", (0, 0))
    if start != 16 or stop != 29:
        raise damaged(where, "PNG", "it does not begin with an IHDR chunk")
    width, height, depth, colour = _IHDR(data, start)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise damaged(where, "PNG", f"its size is {width} x {height} pixels")
    if depth not in _DEPTHS.get(colour, ()):
        raise damaged(where, "PNG", f"colour type {colour} with {depth} bits does not exist")
    if b"IDAT" not in chunks or (colour == _PALETTE and b"PLTE" not in chunks):
        raise damaged(where, "PNG", "it has no pixels or no palette")
    if len(chunks) == 3:
        return _plain_header(width, height)
    transparent = None
    if colour == _GREY and b"tRNS" in chunks:
        transparent = _transparent_grey(data[slice(*chunks[b"tRNS"])], depth)
    orientation = exif_orientation(data[slice(*chunks[b"eXIf"])]) if b"eXIf" in chunks else 1
    return ImageHeader("PNG", width, height, orientation, transparent=transparent)


@lru_cache(maxsize=64)
def _plain_header(width: int, height: int) -> ImageHeader:
    """The header of a PNG with IHDR, IDAT and IEND alone.

    Characters come by the thousand in one size, and building a frozen dataclass takes as long as
    checking two CRCs.
    """
    return ImageHeader("PNG", width, height)


def _walk(data: bytes, where: str) -> dict[bytes, tuple[int, int]]:
    """Where the first chunk of each name has its body; all chunks are checked."""
    end = len(data)
    view = memoryview(data)
    chunks: dict[bytes, tuple[int, int]] = {}
    start, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if start + 12 > end:
            raise truncated(where, "PNG", "the IEND chunk is missing")
        length, kind = _CHUNK(data, start)
        stop = start + 8 + length
        if stop + 4 > end:
            raise truncated(where, "PNG", f"it ends inside the {_name(kind)} chunk")
        if crc32(view[start + 4 : stop]) != _U32(data, stop)[0]:
            raise damaged(where, "PNG", f"the CRC of the {_name(kind)} chunk is wrong")
        if kind not in chunks:
            chunks[kind] = start + 8, stop
        start = stop + 4
    return chunks


def _transparent_grey(body: bytes, depth: int) -> int | None:
    """The grey value that tRNS makes transparent, as OpenCV decodes it: below 8 bits widened to 8."""
    if len(body) != 2:
        return None
    top = (1 << depth) - 1
    return (int.from_bytes(body, "big") & top) * (255 // top if depth < 8 else 1)


def _name(kind: bytes) -> str:
    return repr(kind)[2:-1]
