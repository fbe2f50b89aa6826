"""BMP: every header size, depths, masks, palettes, run lengths, sizes turned over."""

from __future__ import annotations

import random
import struct

from fuzz.case import Case, mutated
from fuzz.images.pictures import encoded, size_near_the_limit

__all__ = ["draw"]


def draw(rng: random.Random) -> Case:
    """A BMP file."""
    return rng.choice((_header, _header, _runs, _bytes, _hole))(rng)


def _case(what: str, data: bytes, zeros: int = 0) -> Case:
    return Case(f"bmp: {what}", "a.bmp", data, zeros)


def _file(rng: random.Random, width: int, height: int, bits: int, compression: int, pixels: bytes) -> bytes:
    size = rng.choice((12, 40, 40, 52, 56, 64, 108, 124))
    colours = rng.choice((0, 2, 16, 256, 257, 2**31)) if bits <= 8 else 0
    if size == 12:
        header = struct.pack("<IHHHH", 12, width & 0xFFFF, height & 0xFFFF, 1, bits)
    else:
        header = struct.pack(
            "<IiiHHIIiiII", size, width, height, 1, bits, compression, len(pixels), 2835, 2835, colours, 0
        )
        header += struct.pack("<III", 0xFF0000, 0xFF00, rng.choice((0xFF, 0, 0xFFFFFFFF)))
    header = header[:size].ljust(size, b"\0")
    palette = rng.randbytes(4 * min(colours or (1 << bits if bits <= 8 else 0), 300))
    offset = 14 + len(header) + len(palette) + rng.choice((0, 0, 0, -8, 9))
    return (
        b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, max(0, offset)) + header + palette + pixels
    )


def _header(rng: random.Random) -> Case:
    width, height = rng.choice(
        ((20, 20), (20, -20), (-20, 20), (0, 20), (2**31 - 1, 1), (20, -(2**31)), (5, 7))
    )
    bits = rng.choice((1, 2, 4, 8, 16, 24, 32, 0, 64))
    pixels = rng.randbytes(20 * 80)
    return _case("headers", _file(rng, width, height, bits, rng.choice((0, 0, 1, 2, 3, 4, 5, 6, 11)), pixels))


def _runs(rng: random.Random) -> Case:
    """Run lengths, jumps and ends of lines, of a small or a large picture."""
    width, height = rng.choice(((20, 20), size_near_the_limit(rng)))
    codes = b"".join(
        rng.choice((b"\x05\x01", b"\0\0", b"\0\2\xff\xff", b"\0\x04abcd", b"\xff\x07", b"\0\1"))
        for _ in range(60)
    )
    kind = rng.choice(((8, 1), (4, 2)))
    return _case("run lengths", _file(rng, width, height, *kind, codes + b"\0\1"))


def _hole(rng: random.Random) -> Case:
    """A large picture whose pixels are a hole in the file."""
    width, height = size_near_the_limit(rng)
    bits = rng.choice((1, 8, 24, 32))
    return _case(
        "as large as may be",
        _file(rng, width, height, bits, 0, b""),
        height * ((width * bits + 31) // 32 * 4),
    )


def _bytes(rng: random.Random) -> Case:
    return _case("bytes changed", mutated(rng, encoded(rng, ".bmp", channels=rng.choice((1, 3, 4)))))
