"""WEBP headers (RFC 9649), and the first frame of an animation as a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, pack

from kalamos.images.header import Frame, ImageHeader, damaged, truncated
from kalamos.images.tiff import exif_orientation

__all__ = ["MAX_CHUNKS", "first_frame", "looks_like_webp", "read_webp"]

MAX_CHUNKS = 65_536
"""Chunks in one file; each frame of an animation is one."""

_CHUNK = Struct("<4sI").unpack_from
_LOSSY = Struct("<3s3sHH").unpack_from
_START_CODE = b"\x9d\x01\x2a"
_LOSSLESS = Struct("<BI").unpack_from
_ALPHA_FLAG, _ANIMATION_FLAG = 0x10, 0x02


def looks_like_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


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
    width, height = _u24(data, start + 4) + 1, _u24(data, start + 7) + 1
    orientation = next((exif_orientation(data[a:b]) for k, a, b in chunks if k == b"EXIF"), 1)
    if not data[start] & _ANIMATION_FLAG:
        kind = _check_picture(data, chunks, (width, height), where)
        decoded = _decoded_bytes(kind, width, height)
        return ImageHeader("WEBP", width, height, orientation, decoded_bytes=decoded)
    frame = _first_frame_place(data, chunks, where)
    if frame.left + frame.width > width or frame.top + frame.height > height:
        raise damaged(where, "WEBP", "its first frame does not lie on the canvas")
    return ImageHeader(
        "WEBP",
        width,
        height,
        orientation,
        animated=True,
        frame=frame,
        # The frame's own pixels, whatever they are encoded with, and the canvas.
        decoded_bytes=_decoded_bytes(b"VP8L", frame.width, frame.height) + 4 * width * height,
    )


def first_frame(data: bytes) -> bytes:
    """The first frame of an animated WEBP, already seen by `read_webp`, as a still WEBP.

    OpenCV would compose it on the background colour, mostly black, where black ink is lost.
    """
    start, stop = next((a, b) for k, a, b in _chunks(data, "") if k == b"ANMF")
    size = data[start + 6 : start + 12]
    still = b"WEBPVP8X" + pack("<II", 10, _ALPHA_FLAG) + size + data[start + 16 : stop]
    return b"RIFF" + pack("<I", len(still)) + still


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
        _, code, width, height = _LOSSY(data, start)
        width, height = width & 0x3FFF, height & 0x3FFF
        if code == _START_CODE and width and height:
            return width, height
    elif kind == b"VP8L" and stop - start >= 5:
        signature, packed = _LOSSLESS(data, start)
        if signature == 0x2F:
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    raise damaged(where, "WEBP", "its picture has no valid header")


def _check_picture(
    data: bytes, chunks: list[tuple[bytes, int, int]], size: tuple[int, int], where: str
) -> bytes:
    """The kind of a still picture's bitstream, once its size is known to be the canvas's."""
    for kind, start, stop in chunks:
        if kind in (b"VP8 ", b"VP8L"):
            if _bitstream_size(data, kind, start, stop, where) != size:
                raise damaged(where, "WEBP", "its picture and its canvas differ in size")
            return kind
    raise damaged(where, "WEBP", "it holds no picture")


def _decoded_bytes(kind: bytes, width: int, height: int) -> int:
    """Lossless pictures are decoded to 32 bits a pixel beside the pixels that come out."""
    return width * height * (8 if kind == b"VP8L" else 4)


def _first_frame_place(data: bytes, chunks: list[tuple[bytes, int, int]], where: str) -> Frame:
    for kind, start, stop in chunks:
        if kind == b"ANMF" and stop - start > 16:
            left, top, width, height = (_u24(data, start + i) for i in (0, 3, 6, 9))
            return Frame(2 * left, 2 * top, width + 1, height + 1)
    raise damaged(where, "WEBP", "the animation has no frame")


def _u24(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 3], "little")
