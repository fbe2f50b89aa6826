"""WEBP: tiny files that say they are large, chunks rearranged, animations."""

from __future__ import annotations

import random
import struct

import cv2

from fuzz.case import Case, mutated
from fuzz.images.pictures import encoded, size_near_the_limit

__all__ = ["draw", "riff"]

Chunk = tuple[bytes, bytes]


def riff(chunks: list[Chunk]) -> bytes:
    """A RIFF container with its lengths."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def draw(rng: random.Random) -> Case:
    """A WEBP file."""
    recipes = {_tiny: 3, _edited: 4, _animation: 2, _bytes: 2}
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _case(what: str, data: bytes) -> Case:
    return Case(f"webp: {what}", "a.webp", data)


def _drawn(rng: random.Random) -> Chunk:
    quality = rng.choice((10, 90, 101))  # 101 is lossless
    data = encoded(rng, ".webp", cv2.IMWRITE_WEBP_QUALITY, quality, channels=rng.choice((3, 4)))
    kind = b"VP8L" if b"VP8L" in data[:64] else b"VP8 "
    at = data.index(kind)
    [length] = struct.unpack_from("<I", data, at + 4)
    return kind, data[at + 8 : at + 8 + length]


def _lossless(rng: random.Random, width: int, height: int) -> Chunk:
    """A lossless picture of one colour: a size, and a handful of bits."""
    size = (width - 1) & 0x3FFF | ((height - 1) & 0x3FFF) << 14 | rng.randrange(2) << 28
    one_colour = bytes.fromhex(rng.choice(("8888080000", "0000000000", "88880800fe"))) + bytes(
        rng.choice((0, 4, 8))
    )
    return b"VP8L", b"\x2f" + struct.pack("<I", size) + rng.choice(
        (one_colour, one_colour, rng.randbytes(12))
    )


def _lossy(rng: random.Random, width: int, height: int) -> Chunk:
    first = rng.choice((30, 400)) << 5 | 0x10
    head = (
        struct.pack("<I", first)[:3] + b"\x9d\x01\x2a" + struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    )
    return b"VP8 ", head + rng.choice((bytes(40), rng.randbytes(60), b"\xff" * 40))


def _tiny(rng: random.Random) -> Case:
    """Very few bytes that say they are as many pixels as are let through."""
    width, height = size_near_the_limit(rng, widest=16_383)
    picture = rng.choice((_lossless, _lossless, _lossy))(rng, width, height)
    chunks = [picture]
    if rng.random() < 0.3:
        canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        chunks = [(b"VP8X", bytes([rng.choice((0, 0x10)), 0, 0, 0]) + canvas), picture]
    return _case("tiny and large", riff(chunks))


def _animation(rng: random.Random) -> Case:
    width, height = rng.choice(((20, 20), size_near_the_limit(rng, widest=16_383)))
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunks: list[Chunk] = [(b"VP8X", b"\x12\0\0\0" + canvas), (b"ANIM", bytes(4) + b"\0\0")]
    for _ in range(rng.choice((0, 1, 2, 500))):
        name, data = rng.choice((_drawn(rng), _lossless(rng, width, height)))
        place = rng.choice((bytes(6), bytes(6), rng.randbytes(6)))
        frame = (
            place
            + canvas
            + b"\x64\0\0"
            + b"\0"
            + name
            + struct.pack("<I", len(data))
            + data
            + bytes(len(data) % 2)
        )
        chunks.append((b"ANMF", frame if rng.random() < 0.9 else mutated(rng, frame, most=2)))
    return _case("animation", riff(chunks))


def _edited(rng: random.Random) -> Case:
    chunks = [_drawn(rng)]
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(chunks))
        name = rng.choice((b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF", b"abcd"))
        body = rng.randbytes(rng.choice((0, 1, 6, 10, 16, 30)))
        if name == b"VP8X":
            at, body = 0, bytes([rng.randrange(64), 0, 0, 0, 19, 0, 0, 19, 0, 0])
        chunks.insert(at, (name, body))
    return _case("chunks edited", riff(chunks))


def _bytes(rng: random.Random) -> Case:
    return _case("bytes changed", mutated(rng, riff([_drawn(rng)])))
