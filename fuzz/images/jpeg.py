"""JPEG: scans multiplied, segments edited, sizes and sampling changed, streams cut."""

from __future__ import annotations

import io
import random
import struct

from PIL import Image

from fuzz.case import Case, mutated
from fuzz.images.pictures import character, size_near_the_limit

__all__ = ["draw", "long_runs", "segment", "segments_of"]

Segment = tuple[int, bytes, bytes]
"""Marker, body without its length, and the coded data that follow."""

SOF, DHT, SOI, EOI, SOS, DQT, DNL, DRI = 0xC0, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD
ALONE = {SOI, EOI, 0x01, *range(0xD0, 0xD8)}


def segment(marker: int, body: bytes) -> bytes:
    """A marker with its length and body."""
    return bytes([0xFF, marker]) + (b"" if marker in ALONE else struct.pack(">H", len(body) + 2) + body)


def segments_of(data: bytes) -> list[Segment]:
    """The segments of a sound file."""
    found, at = [], 0
    while at + 1 < len(data):
        marker, stop = data[at + 1], at + 2
        body = b""
        if marker not in ALONE:
            [length] = struct.unpack_from(">H", data, stop)
            body, stop = data[stop + 2 : stop + length], stop + length
        start = stop
        while stop < len(data) and not (data[stop] == 0xFF and data[stop + 1] not in {0, *range(0xD0, 0xD8)}):
            stop += 1
        found.append((marker, body, data[start:stop]))
        at = stop
    return found


def joined(segments: list[Segment]) -> bytes:
    return b"".join(segment(marker, body) + coded for marker, body, coded in segments)


def draw(rng: random.Random) -> Case:
    """A JPEG file."""
    recipes = {_edited: 6, _many_scans: 1, _long_runs: 1.5, _frame: 4, _cut: 1, _bytes: 2}
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _case(what: str, data: bytes) -> Case:
    return Case(f"jpeg: {what}", "a.jpg", data)


def _drawn(rng: random.Random, *, progressive: bool | None = None) -> list[Segment]:
    channels = rng.choice((1, 3, 4))
    picture = Image.fromarray(character(rng, channels=channels), {1: "L", 3: "RGB", 4: "CMYK"}[channels])
    stream = io.BytesIO()
    picture.save(
        stream,
        "JPEG",
        quality=rng.randint(5, 98),
        progressive=rng.random() < 0.5 if progressive is None else progressive,
        restart_marker_blocks=rng.choice((0, 0, 2)),
        subsampling=rng.randint(0, 2),
    )
    return segments_of(stream.getvalue())


def _edited(rng: random.Random) -> Case:
    segments = _drawn(rng)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(segments))
        marker, body, coded = segments[at]
        match rng.randrange(7):
            case 0:
                segments.insert(at, segments[at])
            case 1 if len(segments) > 1:
                del segments[at]
            case 2:
                segments[at] = marker, mutated(rng, body, most=2), coded
            case 3:
                segments[at] = marker, body, mutated(rng, coded, most=2)
            case 4:
                segments.insert(at, (DNL, struct.pack(">H", rng.choice((0, 1, 40, 65_535))), b""))
            case 5:
                segments.insert(
                    at, (rng.choice((0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xC8, 0xCC, 0xDF)), rng.randbytes(40), b"")
                )
            case _:
                segments.insert(at, (DRI, struct.pack(">H", rng.choice((0, 1, 65_535))), b""))
    return _case("segments edited", joined(segments))


def _resized(segments: list[Segment], width: int, height: int) -> list[Segment]:
    """The same scans for another size, which the frame's header then states."""
    return [
        (marker, body[:1] + struct.pack(">HH", height, width) + body[5:], coded)
        if SOF <= marker <= 0xCF and marker not in {DHT, 0xC8, 0xCC}
        else (marker, body, coded)
        for marker, body, coded in segments
    ]


def _many_scans(rng: random.Random) -> Case:
    """The scans of a progressive picture over and over, for a picture that is said to be large."""
    segments = _resized(_drawn(rng, progressive=True), *size_near_the_limit(rng))
    scans = [each for each in segments if each[0] == SOS]
    one = joined([rng.choice(scans)])
    count = min(rng.choice((50, 1_000, 20_000)), 900_000 // len(one))
    ahead = [each for each in segments if each[0] != EOI]
    return _case("scans multiplied", joined(ahead) + one * count + segment(EOI, b""))


def _long_runs(rng: random.Random) -> Case:
    """A picture as large as may be, of few or of very many such scans."""
    return long_runs(*size_near_the_limit(rng), rng.choice((30, 1_000, 13_000)))


def long_runs(width: int, height: int, scans: int) -> Case:
    """Scans that cover a large picture in a few bytes, by end-of-band runs; less than 900 kB of them."""
    blocks = -(-width // 8) * -(-height // 8)
    bits, left = "", blocks
    while left > 0:
        run = max(min(left, (1 << 15) - 1), 1 << 14)
        bits += "0" + format(run - (1 << 14), "014b")
        left -= run
    bits += "1" * (-len(bits) % 8)
    coded = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    scan = segment(SOS, bytes([1, 1, 0, 1, 63, 0])) + coded
    data = (
        segment(SOI, b"")
        + segment(DQT, b"\0" + b"\1" * 64)
        + segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
        + segment(DHT, b"\0\1" + bytes(15) + b"\0")
        + segment(DHT, b"\x10\1" + bytes(15) + b"\xe0")
        + segment(SOS, bytes([1, 1, 0, 0, 0, 0]))
        + bytes(-(-blocks // 8))
    )
    count = min(scans, max(1, 900_000 // len(scan)))
    return _case("scans of long runs", data + scan * count + segment(EOI, b""))


def _frame(rng: random.Random) -> Case:
    """Another size, precision, process, number of components or sampling factor in the frame's header."""
    segments = _drawn(rng)
    width, height = rng.choice(
        (size_near_the_limit(rng), (rng.randint(0, 100), rng.randint(0, 100)), (65_535, rng.randint(1, 700)))
    )
    segments = _resized(segments, width, height)
    at = next(i for i, (marker, _, _) in enumerate(segments) if marker in {0xC0, 0xC1, 0xC2})
    marker, body, coded = segments[at]
    frame = bytearray(body)
    match rng.randrange(4):
        case 0:
            frame[7 + 3 * rng.randrange((len(frame) - 6) // 3)] = rng.choice(
                (0, 0x11, 0x14, 0x41, 0x44, 0x22, 0xFF)
            )
        case 1:
            frame[0] = rng.choice((1, 8, 12, 16))
        case 2:
            frame[5] = rng.randint(0, 5)
        case _:
            marker = rng.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA))
    segments[at] = marker, bytes(frame), coded
    return _case("another frame", joined(segments))


def _cut(rng: random.Random) -> Case:
    data = joined(_drawn(rng))
    return _case("cut off", data[: rng.randrange(3, len(data))] + rng.choice((b"", b"\xff\xd9")))


def _bytes(rng: random.Random) -> Case:
    return _case("bytes changed", mutated(rng, joined(_drawn(rng))))
