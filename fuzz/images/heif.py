"""HEIC and AVIF: boxes twice, without end, of lengths and sizes that are lies."""

from __future__ import annotations

import io
import random
import struct

from PIL import Image

from fuzz.case import INTERESTING, Case, mutated
from fuzz.images.pictures import character

__all__ = ["draw"]

CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6}
"""Boxes of boxes, and the bytes before the first of these."""


def draw(rng: random.Random) -> Case:
    """A HEIC or AVIF file."""
    recipes = {_boxes: 5, _sizes: 3, _nested: 1, _brands: 1, _bytes: 4}
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    kind = rng.choice(("HEIF", "AVIF"))
    what, data = recipe(rng, _file(rng, kind))
    return Case(f"heif: {what}", "a.heic" if kind == "HEIF" else "a.avif", data)


def _file(rng: random.Random, kind: str) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    mode = rng.choice(("L", "RGB", "RGBA"))
    buffer = io.BytesIO()
    Image.fromarray(character(rng)).convert(mode).save(buffer, kind, quality=50)
    return buffer.getvalue()


def _places(data: bytes, start: int = 0, stop: int | None = None) -> list[tuple[int, int, bytes]]:
    """Where each box starts and stops, and its name, outer ones before those in them."""
    found = []
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + length
        if length < 8 or end > stop:
            break
        found.append((start, end, name))
        if name in CONTAINERS:
            found += _places(data, start + 8 + CONTAINERS[name], end)
        start = end
    return found


def _boxes(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """A box doubled, gone, renamed, or of another length."""
    start, end, _ = rng.choice(_places(data))
    box = data[start:end]
    match rng.randrange(4):
        case 0:
            return "a box doubled", data[:end] + box * rng.choice((1, 1, 1_000)) + data[end:]
        case 1:
            return "a box gone", data[:start] + data[end:]
        case 2:
            return "a box renamed", data[: start + 4] + rng.choice(_places(data))[2] + data[start + 8 :]
        case _:
            length = rng.choice((0, 1, 7, 8, end - start - 1, end - start + 1, 2**31, 2**32 - 1))
            return "a box of another length", data[:start] + struct.pack(">I", length) + data[start + 4 :]


def _sizes(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Sizes of the picture that are not its own."""
    [(start, _, _), *_] = [place for place in _places(data) if place[2] == b"ispe"]
    size = rng.choice((0, 1, 27, 7_000, 65_535, 2**31, 2**32 - 1))
    other = rng.choice((0, 28, 7_000, 2**32 - 1))
    return "other sizes", data[: start + 12] + struct.pack(">II", size, other) + data[start + 20 :]


def _nested(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Boxes in boxes, very many levels."""
    levels = rng.choice((10, 1_000, 20_000))
    name = rng.choice((b"ipco", b"iprp", b"dinf"))
    inner = b"".join(struct.pack(">I4s", 8 * (levels - level), name) for level in range(levels))
    [(start, end, _), *_] = [place for place in _places(data) if place[2] == b"meta"]
    meta = data[start + 8 : end] + inner
    return "many levels", data[:start] + struct.pack(">I4s", 8 + len(meta), b"meta") + meta + data[end:]


def _brands(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Brands of the other format, of sequences, of films."""
    brands = b"".join(
        rng.choice((b"heic", b"avif", b"mif1", b"msf1", b"hevc", b"avis", b"isom", b"jpeg")) for _ in range(3)
    )
    [(_, end, _), *_] = _places(data)
    return "other brands", struct.pack(">I4s4sI", 24, b"ftyp", brands[:4], 0) + brands[4:] + data[end:]


def _bytes(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    if rng.random() < 0.5:
        at = rng.randrange(len(data))
        return "a byte changed", data[:at] + bytes([rng.choice(INTERESTING)]) + data[at + 1 :]
    return "bytes changed", mutated(rng, data)
