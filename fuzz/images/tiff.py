"""TIFF and BigTIFF: tags twice and of odd types, huge counts, chains of directories, wide samples."""

from __future__ import annotations

import random
import struct

from fuzz.case import Case, mutated
from fuzz.images.pictures import encoded, long_zlib, size_near_the_limit

__all__ = ["Tag", "directory", "draw", "page"]

CODES = {
    1: "B",
    2: "B",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    7: "B",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    13: "I",
} | {
    16: "Q",
    17: "q",
    18: "Q",
}
"""`struct` codes of the types; a rational has two."""

Tag = tuple[int, int, list[int] | None]
"""Number, type, values; None stands for where the strips lie."""

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, ROWS, BYTES = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
)
PLANAR, EXTRA, FORMAT, ORIENTATION, TILE_WIDTH = 284, 338, 339, 274, 322


def directory(
    tags: list[Tag], strip: bytes, strips: int, *, order: str = "<", big: bool = False, following: int = 0
) -> bytes:
    """A TIFF of one directory, all of whose strips are the same bytes."""
    word, count, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8))
    )
    record = struct.calcsize(f"={'HH'}{word}") + inline
    at = len(head) + struct.calcsize("=" + count) + record * len(tags) + struct.calcsize("=" + word)
    behind = strip + bytes(-len(strip) % 2)
    entries = b""
    offset = at
    for number, kind, values in tags:
        listed = [offset] * strips if values is None else values
        packed = b"".join(_value(order, kind, value) for value in listed)
        if len(packed) <= inline:
            field = packed.ljust(inline, b"\0")
        else:
            field = struct.pack(order + word, at + len(behind))
            behind += packed + bytes(-len(packed) % 2)
        entries += struct.pack(f"{order}HH{word}", number, kind, len(listed)) + field
    return (
        head + struct.pack(order + count, len(tags)) + entries + struct.pack(order + word, following) + behind
    )


def _value(order: str, kind: int, value: int) -> bytes:
    code = CODES[kind]
    if code in {"f", "d"}:
        return struct.pack(order + code, float(value))
    bits = 8 * struct.calcsize("=" + code[0])
    value &= (1 << bits) - 1
    if code[0].islower() and value >> (bits - 1):
        value -= 1 << bits
    return struct.pack(order + code, *([value, 1] if len(code) == 2 else [value]))


def draw(rng: random.Random) -> Case:
    """A TIFF file."""
    recipes = {_twice: 4, _large: 2, _edited: 6, _chain: 0.4, _counts: 1.5, _many_entries: 0.2, _encoded: 3}
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _case(what: str, data: bytes, zeros: int = 0) -> Case:
    return Case(f"tiff: {what}", "a.tif", data, zeros)


def page(
    width: int, height: int, samples: int = 1, bits: int = 8, *, fmt: int = 1, rows: int | None = None
) -> tuple[list[Tag], bytes, int]:
    """Tags, one strip of zeros, and how many strips there are of it."""
    rows = min(height, rows or height)
    strip = long_zlib(rows * ((width * samples * bits + 7) // 8))
    strips = -(-height // rows)
    tags: list[Tag] = [
        (WIDTH, 4, [width]),
        (HEIGHT, 4, [height]),
        (BITS, 3, [bits] * samples),
        (COMPRESSION, 3, [8]),
        (PHOTOMETRIC, 3, [2 if samples > 2 else 1]),
        (OFFSETS, 4, None),
        (SAMPLES, 3, [samples]),
        (ROWS, 4, [rows]),
        (BYTES, 4, [len(strip)] * strips),
        (PLANAR, 3, [1]),
        (FORMAT, 3, [fmt] * samples),
    ]
    if samples == 4:
        tags.insert(10, (EXTRA, 3, [2]))
    return tags, strip, strips


def _form(rng: random.Random) -> dict[str, str | bool]:
    return {"order": rng.choice("<<>"), "big": rng.random() < 0.25}


def _twice(rng: random.Random) -> Case:
    """A size stated twice, in types that a reader may or may not know, the larger first or second."""
    large = (
        size_near_the_limit(rng)
        if rng.random() < 0.3
        else rng.choice(((20_000, 20_000), (32_000, 32_000), (60_000, 9_000)))
    )
    small = rng.randint(20, 60), rng.randint(20, 60)
    tags, strip, strips = page(
        *large, rows=rng.choice((1, 100, None)) if large[0] * large[1] < 10**9 else 100
    )
    kind = rng.choice((9, 9, 9, 9, 8, 17, rng.choice(list(CODES))))
    lies: list[Tag] = [(WIDTH, kind, [large[0]]), (HEIGHT, kind, [large[1]])]
    honest: list[Tag] = [(WIDTH, 4, [small[0]]), (HEIGHT, 4, [small[1]])]
    if rng.random() < 0.3:
        lies, honest = honest, lies
    pairs = sorted(lies + honest, key=lambda tag: tag[0])
    if rng.random() < 0.3:
        pairs = sorted(honest + lies, key=lambda tag: tag[0])
    if rng.random() < 0.2:
        strips = 1
    data = directory(pairs + tags[2:], strip, strips, **_form(rng))  # type: ignore[arg-type]
    return _case("its size twice", data)


def _large(rng: random.Random) -> Case:
    """As many pixels as are let through, of the widest samples."""
    width, height = size_near_the_limit(rng)
    samples, (bits, fmt) = (
        rng.choice((1, 3, 4, 4)),
        rng.choice(((8, 1), (16, 1), (32, 1), (32, 3), (64, 3), (64, 3))),
    )
    tags, strip, strips = page(width, height, samples, bits, fmt=fmt, rows=rng.choice((1, 16, 256)))
    return _case("as large as may be", directory(tags, strip, strips, **_form(rng)))  # type: ignore[arg-type]


def _edited(rng: random.Random) -> Case:
    """Tags removed, repeated, of other types and values."""
    samples, (bits, fmt) = (
        rng.choice((1, 1, 3, 4)),
        rng.choice(((1, 1), (8, 1), (8, 1), (16, 1), (32, 3), (64, 3))),
    )
    tags, strip, strips = page(
        rng.randint(1, 60), rng.randint(1, 60), samples, bits, fmt=fmt, rows=rng.choice((1, 8, None))
    )
    if rng.random() < 0.3:
        strip = rng.randbytes(max(1, len(strip)))
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(tags))
        number, kind, values = tags[at]
        match rng.randrange(5):
            case 0:
                tags.insert(
                    at, (number, rng.choice(list(CODES)), [rng.choice((0, 1, 3, 40, 65_535, 2**32 - 1))])
                )
            case 1 if len(tags) > 1:
                del tags[at]
            case 2:
                tags[at] = (
                    number,
                    kind,
                    [rng.choice((0, 1, 2, 4, 5, 6, 7, 8, 32_773, 2**31 - 1))] * (len(values or [0])),
                )
            case 3:
                tags[at] = number, rng.choice(list(CODES)), values
            case _:
                extra = rng.choice(
                    (
                        ORIENTATION,
                        TILE_WIDTH,
                        323,
                        324,
                        325,
                        266,
                        301,
                        317,
                        320,
                        330,
                        347,
                        512,
                        530,
                        700,
                        34_665,
                    )
                )
                tags.insert(
                    at, (extra, rng.choice((3, 4, 13)), [rng.randint(0, 9)] * rng.choice((1, 1, 3, 40)))
                )
    if rng.random() < 0.8:
        tags.sort(key=lambda tag: tag[0])
    return _case(
        "tags edited", directory(tags, strip, strips, following=rng.choice((0, 0, 8, 2**31)), **_form(rng))
    )  # type: ignore[arg-type]


def _chain(rng: random.Random) -> Case:
    """Directories that point at each other, in a circle or in a long row."""
    tags, strip, strips = page(20, 20)
    first = bytearray(directory(tags, strip, strips))
    count = rng.choice((1, 1_000, 60_000))
    start = len(first)
    entry = struct.pack("<HHHII", 1, 254, 4, 1, 0)
    chain = b"".join(entry + struct.pack("<I", start + (number + 1) * 18) for number in range(count))
    end = start + (count - 1) * 18 + 14
    struct.pack_into("<I", first, 10 + 12 * len(tags), start)
    data = bytearray(first + chain)
    struct.pack_into("<I", data, end, rng.choice((0, 8, start, len(data))))
    return _case("chains of directories", bytes(data))


def _counts(rng: random.Random) -> Case:
    """Tags that say they have very many values, all of which lie in the file."""
    count = rng.choice((19_000_000, 60_000_000, 200_000_000))
    kind = rng.choice((1, 1, 3, 4))
    count //= {1: 1, 3: 2, 4: 4}[kind]
    numbers = [
        WIDTH,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        OFFSETS,
        SAMPLES,
        ROWS,
        BYTES,
        PLANAR,
        FORMAT,
        ORIENTATION,
    ]
    chosen = set(numbers) if rng.random() < 0.5 else set(rng.sample(numbers, rng.randint(1, 4)))
    tags, strip, _ = page(1, 1)
    entries = b""
    known = {number: (code, values) for number, code, values in tags}
    for number in sorted(numbers):
        if number in chosen:
            entries += struct.pack("<HHII", number, kind, count, 1_000)
        else:
            code, values = known.get(number, (3, [1]))
            entries += struct.pack("<HHII", number, code, 1, (values or [500])[0])
    head = b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries + bytes(4)
    data = (head.ljust(500, b"\0") + strip).ljust(1_000, b"\0") + b"\1" * rng.choice((8, 1_000))
    return _case("counts of many values", data, count * {1: 1, 3: 2, 4: 4}[kind])


def _many_entries(rng: random.Random) -> Case:
    """A BigTIFF whose directory has a great many entries."""
    count = rng.choice((30_000, 990_000, 4_000_000))
    entry = struct.pack("<HHQQ", rng.choice((WIDTH, 40_000)), 1, 1, 1)
    head = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, count)
    return _case("very many entries", head + entry * count + bytes(8))


def _encoded(rng: random.Random) -> Case:
    dtype = rng.choice(("uint8", "uint8", "uint16", "float32", "float64"))
    data = encoded(
        rng, ".tiff", 259, rng.choice((1, 5, 8, 32_773)), channels=rng.choice((1, 3, 4)), dtype=dtype
    )
    return _case("bytes changed", mutated(rng, data))
