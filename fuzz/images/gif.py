"""GIF: frames and extensions in chains, sizes, colour tables, codes."""

from __future__ import annotations

import random
import struct

from fuzz.case import Case, mutated
from fuzz.images.pictures import size_near_the_limit

__all__ = ["draw"]


def draw(rng: random.Random) -> Case:
    """A GIF file."""
    recipes = {_blocks: 6, _flood: 0.4, _large: 1, _bytes: 2}
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _case(what: str, data: bytes) -> Case:
    return Case(f"gif: {what}", "a.gif", data)


def _start(rng: random.Random, width: int, height: int) -> bytes:
    table = rng.choice((None, 0, 1, 7))
    flags = 0 if table is None else 0x80 | table
    colours = b"" if table is None else rng.randbytes(3 << (table + 1))
    return b"GIF89a" + struct.pack("<HHBBB", width, height, flags, rng.choice((0, 255)), 0) + colours


def _frame(rng: random.Random, width: int, height: int) -> bytes:
    """An image descriptor, and codes that begin well: clear, colours, end."""
    left, top = rng.choice(((0, 0), (0, 0), (1, 1), (60_000, 60_000)))
    flags = rng.choice((0, 0, 0x40, 0x80))
    table = rng.randbytes(6) if flags & 0x80 else b""
    least = rng.choice((2, 2, 2, 1, 8, 11, 12, 0))
    codes = rng.choice((b"\x44\x01", b"\x84\x51", b"\x8c\x2d\x99\x87\x2a", rng.randbytes(30)))
    return (
        b","
        + struct.pack("<HHHHB", left, top, width, height, flags)
        + table
        + bytes([least, len(codes)])
        + codes
        + b"\0"
    )


def _extension(rng: random.Random) -> bytes:
    match rng.randrange(4):
        case 0:
            return b"!\xf9\x04" + bytes([rng.randrange(256)]) + b"\0\0" + bytes([rng.randrange(256), 0])
        case 1:
            return b"!\xfe\x05hello\0"
        case 2:
            return b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
        case _:
            return b"!" + bytes([rng.randrange(256), 3]) + rng.randbytes(3) + rng.choice((b"\0", b""))


def _blocks(rng: random.Random) -> Case:
    width, height = rng.randint(0, 40), rng.randint(0, 40)
    blocks = [
        rng.choice((_extension(rng), _frame(rng, width, height), _frame(rng, width + 9, 1)))
        for _ in range(rng.randint(1, 6))
    ]
    return _case(
        "blocks of chance", _start(rng, width, height) + b"".join(blocks) + rng.choice((b";", b"", b"\0"))
    )


def _flood(rng: random.Random) -> Case:
    """Very many frames, extensions or sub-blocks."""
    one, end = rng.choice(
        (
            (b"!\xfe\x01a\0", b""),
            (b"!\xf9\x04\0\0\0\0\0", b""),
            (_frame(rng, 20, 20), b""),
            (b"\x01a", b"\0"),
        )
    )
    count = rng.choice((900_000, 8_000_000, 40_000_000)) // len(one)
    start = b"!\xfe" if end else b""
    return _case(
        "floods of blocks", _start(rng, 20, 20) + start + one * count + end + _frame(rng, 20, 20) + b";"
    )


def _large(rng: random.Random) -> Case:
    width, height = size_near_the_limit(rng)
    frames = [_frame(rng, *rng.choice(((width, height), (20, 20)))) for _ in range(rng.randint(1, 3))]
    return _case("as large as may be", _start(rng, width, height) + b"".join(frames) + b";")


def _bytes(rng: random.Random) -> Case:
    data = _start(rng, 20, 20) + _extension(rng) + _frame(rng, 20, 20) + b";"
    return _case("bytes changed", mutated(rng, data))
