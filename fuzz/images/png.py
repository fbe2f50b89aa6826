"""PNG: chunks dropped, repeated, moved, resized, flooded; animations; texts that blow up. CRCs are right."""

from __future__ import annotations

import random
import struct
import zlib

from fuzz.case import Case, mutated
from fuzz.images.pictures import encoded, long_zlib, size_near_the_limit

__all__ = ["SIGNATURE", "chunk", "chunks_of", "draw"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Samples a pixel and legal depths of each colour type."""

ANCILLARY = (
    *(b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"bKGD", b"pHYs"),
    *(b"sBIT", b"sPLT", b"hIST", b"tIME", b"eXIf", b"cICP", b"acTL", b"fdAT", b"IDAT", b"abCd", b"XyZW"),
)
"""Names of chunks to put anywhere."""

Chunk = tuple[bytes, bytes]


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk with its length and its CRC."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def chunks_of(data: bytes) -> list[Chunk]:
    """The chunks of a sound file."""
    found, at = [], len(SIGNATURE)
    while at < len(data):
        [length] = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def joined(chunks: list[Chunk]) -> bytes:
    return SIGNATURE + b"".join(chunk(*each) for each in chunks)


def draw(rng: random.Random) -> Case:
    """A PNG file."""
    recipes = {
        _edited: 8,
        _animation: 8,
        _ancillary: 4,
        _large: 1,
        _bomb: 1,
        _flood: 0.15,
        _stream: 3,
        _bytes: 1,
    }
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _case(what: str, data: bytes, zeros: int = 0) -> Case:
    return Case(f"png: {what}", "a.png", data, zeros)


def _header(rng: random.Random, width: int, height: int, colour: int | None = None) -> tuple[bytes, int]:
    """IHDR's body, and the bytes of a row with its filter byte."""
    colour = rng.choice(list(SAMPLES)) if colour is None else colour
    depth = rng.choice(DEPTHS[colour])
    body = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, rng.choice((0, 0, 0, 1)))
    return body, 1 + (width * SAMPLES[colour] * depth + 7) // 8


def _drawn(rng: random.Random) -> list[Chunk]:
    channels, dtype = rng.choice(((1, "uint8"), (3, "uint8"), (4, "uint8"), (1, "uint16"), (4, "uint16")))
    return chunks_of(encoded(rng, ".png", channels=channels, dtype=dtype))


def _edited(rng: random.Random) -> Case:
    """Chunks of a sound file, rearranged."""
    chunks = _drawn(rng)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(chunks))
        name, body = chunks[at]
        match rng.randrange(6):
            case 0:
                chunks.insert(at, chunks[at])
            case 1 if len(chunks) > 1:
                del chunks[at]
            case 2:
                chunks[at] = name, mutated(rng, body, most=2)
            case 3:
                half = len(body) // 2
                chunks[at : at + 1] = [(name, body[:half]), (name, body[half:])]
            case 4:
                rng.shuffle(chunks)
            case _:
                chunks.insert(at, _frame_control(rng, 20, 20) if rng.random() < 0.3 else _any_chunk(rng))
    return _case("chunks rearranged", joined(chunks) + rng.choice((b"", b"", rng.randbytes(20))))


def _frame_control(rng: random.Random, width: int, height: int) -> Chunk:
    sizes = [width, height]
    if rng.random() < 0.3:
        sizes[rng.randrange(2)] = rng.choice((0, 1, width + 1, 2**31 - 1, 2**32 - 1))
    offsets = rng.choice(((0, 0), (0, 0), (1, 0), (2**31, 5)))
    return b"fcTL", struct.pack(
        ">IIIIIHHBB",
        rng.randint(0, 3),
        *sizes,
        *offsets,
        1,
        rng.choice((0, 100)),
        rng.randint(0, 3),
        rng.randint(0, 2),
    )


def _animation(rng: random.Random) -> Case:
    """An animated PNG, its chunks in an order of chance: acTL, fcTL, IDAT, fdAT, a second IHDR, IEND."""
    width, height = rng.randint(1, 40), rng.randint(1, 40)
    header, row = _header(rng, width, height, rng.choice((2, 6, 6)))
    pixels = zlib.compress(bytes(row * height))
    frames = rng.choice((1, 2, 3, 3, 100, 2**31 - 1, 2**32 - 1))
    first: list[Chunk] = [(b"IHDR", header), (b"acTL", struct.pack(">II", frames, rng.randint(0, 1)))]
    middle: list[Chunk] = []
    for _ in range(rng.randint(1, 7)):
        match rng.randrange(6):
            case 0:
                middle.append((b"IDAT", pixels))
            case 1 | 2:
                middle.append(_frame_control(rng, width, height))
            case 3:
                middle.append((b"fdAT", struct.pack(">I", rng.randint(0, 4)) + pixels))
            case 4:
                middle.append(
                    (b"IHDR", header if rng.random() < 0.5 else _header(rng, width + 1, height + 3)[0])
                )
            case _:
                middle.append(_any_chunk(rng))
    if rng.random() < 0.8:
        middle.insert(rng.choice((0, 0, len(middle))), (b"IDAT", pixels))
    many = middle * (rng.choice((50, 2_000)) if rng.random() < 0.03 else 1)
    last: list[Chunk] = [(b"IEND", b"")] if rng.random() < 0.9 else []
    data = joined(first + many + last)
    return _case("animation out of order", data[: rng.randint(40, len(data))] if rng.random() < 0.1 else data)


def _any_chunk(rng: random.Random) -> Chunk:
    """An ancillary chunk, of a body that suits its name more or less."""
    name = rng.choice(ANCILLARY)
    match name:
        case b"zTXt" | b"iCCP":
            body = b"k\0\0" + zlib.compress(rng.randbytes(rng.choice((0, 10, 3000))))
        case b"iTXt":
            body = b"k\0" + rng.choice((b"\0", b"\1")) + b"\0\0\0" + zlib.compress(b"text")
        case b"PLTE":
            body = rng.randbytes(rng.choice((0, 3, 5, 768, 771)))
        case b"eXIf":
            body = (
                b"II*\0"
                + struct.pack("<IH", 8, 1)
                + struct.pack("<HHII", 274, rng.choice((3, 4, 9)), 1, rng.randint(0, 9))
            )
        case _:
            body = rng.randbytes(rng.choice((0, 1, 2, 4, 6, 7, 9, 32, 33)))
    return name, body


def _ancillary(rng: random.Random) -> Case:
    """Ancillary chunks that libpng grumbles at."""
    chunks = _drawn(rng)
    for _ in range(rng.randint(1, 4)):
        chunks.insert(rng.randint(1, len(chunks) - 1), _any_chunk(rng))
    return _case("ancillary chunks", joined(chunks))


def _large(rng: random.Random) -> Case:
    """As many pixels as are let through, of any depth and colour: the most bytes that a picture can have."""
    width, height = size_near_the_limit(rng, widest=1_000_000)
    header, row = _header(rng, width, height, rng.choice((0, 2, 4, 6, 6)))
    return _case(
        "as large as may be", joined([(b"IHDR", header), (b"IDAT", long_zlib(row * height)), (b"IEND", b"")])
    )


def _bomb(rng: random.Random) -> Case:
    """Texts, profiles and pixel streams that are far longer unpacked."""
    chunks = _drawn(rng)
    packed = long_zlib(rng.choice((7_500_000, 60_000_000, 400_000_000)))
    name, head = rng.choice(
        ((b"zTXt", b"k\0\0"), (b"iCCP", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"IDAT", b""))
    )
    if name == b"IDAT":
        chunks = [(each, packed if each == b"IDAT" else body) for each, body in chunks]
    else:
        chunks[1:1] = [(name, head + packed)] * rng.choice((1, 1, 20))
    return _case("unpacks to far more", joined(chunks))


def _flood(rng: random.Random) -> Case:
    """A great many chunks of nearly nothing."""
    name = rng.choice((b"teXt", b"tEXt", b"IDAT", b"abCd"))
    one = chunk(name, b"a\0" if name == b"tEXt" else b"")
    count = rng.choice((50_000, 800_000, 1_700_000, 6_000_000))
    chunks = _drawn(rng)
    at = rng.randint(1, 2)
    data = b"".join(
        [
            SIGNATURE,
            *(chunk(*each) for each in chunks[:at]),
            one * count,
            *(chunk(*each) for each in chunks[at:]),
        ]
    )
    return _case("floods of chunks", data)


def _stream(rng: random.Random) -> Case:
    """Pixel data that do not fit the header."""
    width, height = rng.randint(1, 70), rng.randint(1, 70)
    header, row = _header(rng, width, height)
    rows = [bytes([rng.choice((0, 1, 2, 3, 4, 4, 9))]) + rng.randbytes(row - 1) for _ in range(height)]
    stream = zlib.compress(b"".join(rows))
    match rng.randrange(4):
        case 0:
            stream = mutated(rng, stream, most=2)
        case 1:
            stream = zlib.compress(b"".join(rows)[: rng.randrange(row * height)])
        case 2:
            stream += rng.randbytes(30)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", rng.randbytes(3 * rng.randint(1, 256))),
        (b"IDAT", stream),
        (b"IEND", b""),
    ]
    return _case("pixels at odds with the header", joined(chunks))


def _bytes(rng: random.Random) -> Case:
    return _case("bytes changed", mutated(rng, joined(_drawn(rng))))
