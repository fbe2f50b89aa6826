"""Read WEBP headers (RFC 9649): the size, the orientation, and whether it is an animation.

OpenCV decodes still pictures: Pillow has one decoder for stills and animations, which keeps two canvases of
4 bytes a pixel beside its result. Pillow decodes animations: OpenCV would compose the first frame on the
background colour, mostly black, where black ink is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from kalamos.images.header import ImageHeader, damaged, truncated
from kalamos.images.tiff import exif_orientation

__all__ = ["MAX_CHUNKS", "read_webp"]

MAX_CHUNKS = 65_536
"""Chunks in one file; each frame of an animation is one."""

_CHUNK = Struct("<4sI").unpack_from
_LOSSY = Struct("<3s3sHH").unpack_from
_LOSSLESS = Struct("<BI").unpack_from
_ANIMATION_FLAG = 0x02

ANIMATION_PIXEL_BYTES = 16
"""Two canvases of the decoder, its result, and Pillow's image."""


def read_webp(data: bytes, where: str) -> ImageHeader:
    """Read the header of a WEBP; all its chunks are complete when it returns.

    Raises:
        CorruptImageError: truncated, or without a picture.
    """
    chunks = list(_chunks(data, where))
    if not chunks:
        raise damaged(where, "WEBP", "it holds no picture")
    kind, start, stop = chunks[0]
    if kind != b"VP8X":
        width, height = _bitstream_size(data, kind, start, stop, where)
        return ImageHeader("WEBP", width, height, decoded_bytes=_decoded_bytes(kind, width, height))
    if stop - start < 10:
        raise damaged(where, "WEBP", "its VP8X chunk is too short")
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (start + 4, start + 7))
    animated = bool(data[start] & _ANIMATION_FLAG)
    pictures = (b"ANMF",) if animated else (b"VP8 ", b"VP8L")
    picture = next((kind for kind, _, _ in chunks if kind in pictures), None)
    if picture is None:
        raise damaged(where, "WEBP", "the animation has no frame" if animated else "it holds no picture")
    orientation = next((exif_orientation(data[a:b]) for kind, a, b in chunks if kind == b"EXIF"), 1)
    decoded = _decoded_bytes(picture, width, height)
    return ImageHeader("WEBP", width, height, orientation, animated=animated, decoded_bytes=decoded)


def _chunks(data: bytes, where: str) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name and where its payload starts and stops."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated(where, "WEBP", f"{end} bytes are announced, {len(data)} are there")
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > end:
            return
        kind, length = _CHUNK(data, position)
        stop = position + 8 + length
        if stop > end:
            raise truncated(where, "WEBP", "a chunk is incomplete")
        yield kind, position + 8, stop
        position = stop + (length & 1)
    raise damaged(where, "WEBP", f"it has more than {MAX_CHUNKS:,} chunks")


def _bitstream_size(data: bytes, kind: bytes, start: int, stop: int, where: str) -> tuple[int, int]:
    if kind == b"VP8 " and stop - start >= 10:
        _, _, width, height = _LOSSY(data, start)
        if width & 0x3FFF and height & 0x3FFF:
            return width & 0x3FFF, height & 0x3FFF
    elif kind == b"VP8L" and stop - start >= 5:
        _, packed = _LOSSLESS(data, start)
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    raise damaged(where, "WEBP", "its picture has no valid header")


def _decoded_bytes(kind: bytes, width: int, height: int) -> int:
    """Lossless pictures are decoded to 32 bits a pixel beside the pixels that come out."""
    return width * height * {b"VP8 ": 4, b"VP8L": 8}.get(kind, ANIMATION_PIXEL_BYTES)
