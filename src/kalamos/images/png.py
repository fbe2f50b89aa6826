"""PNG files (W3C PNG, third edition): chunks, and whether the pixels can be decoded without a surprise.

Every chunk is walked and its CRC checked. OpenCV alone would do the same work, but libpng prints its
complaints on standard error, and an animation whose chunks are out of order makes OpenCV 5.0.0 crash.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import lru_cache
from struct import Struct, pack
from typing import NamedTuple
from zlib import crc32

from kalamos.images.headers import ImageHeader, damaged, exif_orientation, truncated

__all__ = ["MAX_CHUNKS", "MAX_PIXEL_BYTES", "SIGNATURE", "PngFile", "inspect_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 65_536
"""Chunks in one file. Encoders write 8 KiB of pixels or more into each, and files have at most 256 MiB."""

MAX_PIXEL_BYTES = 16 * 2**20
"""Bytes of inflated pixel data that are decoded in this process: about 0.2 s."""

LIBPNG_SIDE = 1_000_000
"""Pixels beyond which libpng refuses a side."""

_CHUNK = Struct(">I4s").unpack_from
_U32 = Struct(">I").unpack_from
_IHDR = Struct(">IIBBBBB").unpack_from

_GREY, _COLOUR, _PALETTE = 0, 2, 3
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""The samples a pixel in the file, by colour type."""
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
"""The channels that OpenCV decodes to."""
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""The bit depths that each colour type may have (PNG, table 10)."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced picture: first column and row, distance of columns and of rows."""
_BLOCK = Struct("<BHH").pack
_HEADER_END = 33
"""Where the IHDR chunk ends."""
_SURELY_SMALL = 4096
"""Compressed bytes that become some megabytes at most (deflate packs 1,032 to one)."""
_FILTERS = bytes(range(5))
_PLAIN_CHUNKS = 3


def _chunk(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", crc32(kind + body))


_END = _chunk(b"IEND", b"")


class PngFile(NamedTuple):
    """What a walk over the chunks has found."""

    header: ImageHeader
    chunks: dict[bytes, tuple[int, int]]
    """Where the first chunk of each name has its body."""
    pixels: list[tuple[int, int]]
    """Where each IDAT chunk has its body; empty if there is just one."""
    plain: bool
    """IHDR, IDAT and IEND are all there is."""

    @property
    def animated(self) -> bool:
        return not self.chunks.keys().isdisjoint((b"acTL", b"fcTL", b"fdAT"))

    def harmless(self, data: bytes) -> bytes | None:
        """Rewrite the file so that libpng decodes it quickly, without failing or printing anything.

        The pixels are inflated for that: what is wrong with them cannot be known otherwise. They stay so in
        the file that is returned, so that nothing is inflated twice. None if they are damaged, deeper than
        8 bits, or more than `MAX_PIXEL_BYTES`, and for animations.
        """
        rows, expected = _layout(data[16:29])
        if not 0 < expected <= MAX_PIXEL_BYTES or (not self.plain and self.animated):
            return None
        compressed = self._compressed(data)
        try:
            if len(compressed) <= _SURELY_SMALL:
                raw = zlib.decompress(compressed)
            else:
                inflater = zlib.decompressobj()
                raw = inflater.decompress(compressed, expected + 1)
                if len(raw) == expected and not inflater.eof:  # its checksum has not been reached
                    return None
        except zlib.error:
            return None
        if len(raw) < expected:
            return None
        at = 0
        for count, size in rows:
            if raw[at : at + count * size : size].translate(None, _FILTERS):
                return None
            at += count * size
        start = data[:_HEADER_END] if self.plain else b"".join(self._start(data))
        return start + _chunk(b"IDAT", _stored(raw[:expected])) + _END

    def essential(self, data: bytes) -> bytes:
        """Keep only the chunks that make its pixels: no text, profile or animation."""
        if self.plain:
            return data
        view = memoryview(data)
        pixels = (view[start - 8 : stop + 4] for start, stop in self.pixels or [self.chunks[b"IDAT"]])
        return b"".join([*self._start(data), *pixels, _END])

    def _start(self, data: bytes) -> list[bytes]:
        """Return the signature and the chunks that are needed to read the pixels."""
        colour = data[25]
        parts = [data[:_HEADER_END]]
        if colour == _PALETTE:
            palette = self._body(data, b"PLTE")[: 3 << data[24]]
            parts.append(_chunk(b"PLTE", palette))
        key = self._body(data, b"tRNS")
        # Of another length, or elsewhere, libpng would complain of it and pass over it; OpenCV passes over
        # one in a grey picture.
        if colour == _PALETTE and 0 < len(key) <= len(palette) // 3 and self._before_pixels(b"PLTE", b"tRNS"):
            parts.append(_chunk(b"tRNS", key))
        elif colour == _COLOUR and len(key) == 6 and self._before_pixels(b"tRNS"):
            # What 8 bits do not hold it would complain of, and cut off.
            parts.append(_chunk(b"tRNS", bytes([0, key[1], 0, key[3], 0, key[5]]) if data[24] == 8 else key))
        return parts

    def _before_pixels(self, *kinds: bytes) -> bool:
        """Return whether the chunks come in this order, and then the pixels."""
        starts = [self.chunks[kind][0] for kind in (*kinds, b"IDAT")]
        return starts == sorted(starts)

    def _body(self, data: bytes, kind: bytes) -> bytes:
        return data[slice(*self.chunks.get(kind, (0, 0)))]

    def _compressed(self, data: bytes) -> bytes | memoryview:
        if self.plain:
            return memoryview(data)[slice(*self.chunks[b"IDAT"])]
        return b"".join([data[start:stop] for start, stop in self.pixels or [self.chunks[b"IDAT"]]])


def inspect_png(data: bytes, where: str) -> PngFile:
    """Walk over all chunks of a PNG; those up to IEND are complete and intact when it returns.

    Raises:
        CorruptImageError: truncated, a wrong CRC, or a header that contradicts the standard.
    """
    chunks, pixels, count = _walk(data, where)
    start, stop = chunks.get(b"IHDR", (0, 0))
    if start != 16 or stop != 29:
        raise damaged(where, "PNG", "it does not begin with an IHDR chunk")
    width, height, depth, colour, compression, filtering, interlaced = _IHDR(data, start)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise damaged(where, "PNG", f"its size is {width} x {height} pixels")
    if depth not in _DEPTHS.get(colour, ()):
        raise damaged(where, "PNG", f"colour type {colour} with {depth} bits does not exist")
    if compression or filtering or interlaced > 1:
        raise damaged(where, "PNG", "its compression, filter or interlace method does not exist")
    if b"IDAT" not in chunks or (colour == _PALETTE and b"PLTE" not in chunks):
        raise damaged(where, "PNG", "it has no pixels or no palette")
    last_start, last_stop = chunks[b"IEND"]
    if count == len(chunks) == _PLAIN_CHUNKS and last_start == last_stop:
        return PngFile(_plain_header(width, height, depth, colour), chunks, pixels, plain=True)
    _check_known(chunks, where)
    if colour == _PALETTE:
        _check_palette(chunks[b"PLTE"], chunks[b"IDAT"], where)
    transparent = None
    if colour == _GREY and b"tRNS" in chunks:
        transparent = _transparent_grey(data[slice(*chunks[b"tRNS"])], depth)
    orientation = exif_orientation(data[slice(*chunks[b"eXIf"])]) if b"eXIf" in chunks else 1
    header = ImageHeader(
        "PNG",
        width,
        height,
        orientation,
        transparent=transparent,
        decoded_bytes=_decoded_bytes(width, height, depth, colour) * (2 if b"tRNS" in chunks else 1),
    )
    return PngFile(header, chunks, pixels, plain=False)


@lru_cache(maxsize=64)
def _plain_header(width: int, height: int, depth: int, colour: int) -> ImageHeader:
    """Make the header of a PNG with IHDR, IDAT and IEND alone.

    Characters come by the thousand in one size, and building a frozen dataclass takes as long as
    checking two CRCs.
    """
    return ImageHeader("PNG", width, height, decoded_bytes=_decoded_bytes(width, height, depth, colour))


def _decoded_bytes(width: int, height: int, depth: int, colour: int) -> int:
    return width * height * _CHANNELS[colour] * (2 if depth == 16 else 1)


def _walk(data: bytes, where: str) -> tuple[dict[bytes, tuple[int, int]], list[tuple[int, int]], int]:
    """Check all chunks.

    Returns:
        Where the first of each name has its body; where all IDAT have theirs, if there are several; how many
        chunks there are.
    """
    end = len(data)
    view = memoryview(data)
    chunks: dict[bytes, tuple[int, int]] = {}
    pixels: list[tuple[int, int]] = []
    start, kind, last, count = len(SIGNATURE), b"", b"", 0
    while kind != b"IEND":
        if start + 12 > end:
            raise truncated(where, "PNG", "the IEND chunk is missing")
        length, kind = _CHUNK(data, start)
        stop = start + 8 + length
        if stop + 4 > end:
            raise truncated(where, "PNG", f"it ends inside the {_name(kind)} chunk")
        if crc32(view[start + 4 : stop]) != _U32(data, stop)[0]:
            raise damaged(where, "PNG", f"the CRC of the {_name(kind)} chunk is wrong")
        count += 1
        if kind not in chunks:
            chunks[kind] = start + 8, stop
        elif kind == b"IDAT":
            if last != b"IDAT":
                raise damaged(where, "PNG", "other chunks lie between those of its pixels")
            if not pixels:
                pixels.append(chunks[kind])
            pixels.append((start + 8, stop))
        elif kind in (b"IHDR", b"PLTE"):
            raise damaged(where, "PNG", f"it has a second {_name(kind)} chunk")
        if count > MAX_CHUNKS:
            raise damaged(where, "PNG", f"it has more than {MAX_CHUNKS:,} chunks")
        start, last = stop + 4, kind
    return chunks, pixels, count


_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


def _check_known(kinds: Iterable[bytes], where: str) -> None:
    for kind in kinds:
        # A lower-case first letter says that the picture can be shown without the chunk (PNG, section 5.4).
        if kind not in _CRITICAL and not kind[0] & 0x20:
            raise damaged(where, "PNG", f"it needs an unknown chunk, {_name(kind)}")


def _check_palette(palette: tuple[int, int], pixels: tuple[int, int], where: str) -> None:
    length = palette[1] - palette[0]
    if length % 3 or not 0 < length <= 3 * 256 or palette > pixels:
        raise damaged(where, "PNG", "its palette is malformed or out of place")


@lru_cache(maxsize=64)
def _layout(header: bytes) -> tuple[list[tuple[int, int]], int]:
    """Return the rows (see `_row_bytes`) of an IHDR's body and their bytes in all; 0 for a worker's work."""
    width, height, depth, colour, _, _, interlaced = _IHDR(header, 0)
    if depth > 8 or width > LIBPNG_SIDE or height > LIBPNG_SIDE:
        return [], 0
    rows = _row_bytes(width, height, depth * _SAMPLES[colour], interlaced)
    return rows, sum(count * size for count, size in rows)


def _stored(raw: bytes) -> bytes:
    """Make a zlib stream (RFC 1950) that holds bytes as they are."""
    parts = [b"\x78\x01"]
    for start in range(0, len(raw), 0xFFFF):
        block = raw[start : start + 0xFFFF]
        last = start + 0xFFFF >= len(raw)
        parts += [_BLOCK(last, len(block), len(block) ^ 0xFFFF), block]
    parts.append(zlib.adler32(raw).to_bytes(4, "big"))
    return b"".join(parts)


def _row_bytes(width: int, height: int, bits: int, interlaced: int) -> list[tuple[int, int]]:
    """Count the rows of each pass, and the bytes of each, its filter byte included."""
    if not interlaced:
        return [(height, 1 + (width * bits + 7) // 8)]
    sizes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _ADAM7)
    return [(down, 1 + (across * bits + 7) // 8) for across, down in sizes if across > 0 and down > 0]


def _transparent_grey(body: bytes, depth: int) -> int | None:
    """Return the grey value that tRNS makes transparent, as OpenCV decodes it: widened to 8 bits."""
    if len(body) != 2:
        return None
    top = (1 << depth) - 1
    return (int.from_bytes(body, "big") & top) * (255 // top if depth < 8 else 1)


def _name(kind: bytes) -> str:
    return repr(kind)[2:-1]
