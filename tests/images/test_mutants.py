"""Mutants of every format end in an image or an `ImageError`, with nothing on standard error."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from kalamos.errors import ImageError
from kalamos.images.decoding import DecodeOptions, Encoded, decode_all
from kalamos.images.png import SIGNATURE

MUTANTS = 250
"""Of each format; some seconds in all. Seeds are fixed, so that a failure can be looked at."""

EXTRA_CHUNKS = b"tRNS PLTE bKGD gAMA sBIT hIST iCCP zTXt eXIf cHRM acTL fcTL fdAT sPLT pHYs tIME cICP".split()


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seeds(kind: str) -> list[bytes]:
    """Small valid files of one format, in several modes."""
    pixels = np.full((24, 20), 235, np.uint8)
    pixels[4:20, 8:11] = 20
    grey = Image.fromarray(pixels)
    frames = [Image.new("RGBA", (20, 24), (tone, tone, tone, 255)) for tone in (10, 200, 90)]
    animation = {"save_all": True, "append_images": frames[1:]}
    match kind:
        case "PNG":
            return [
                encoded(grey.convert(mode), kind) for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16")
            ]
        case "APNG":
            return [
                encoded(frames[0], "PNG", default_image=default, **animation) for default in (False, True)
            ]
        case "JPEG":
            options = ({}, {"progressive": True}, {"restart_marker_blocks": 1})
            return [encoded(grey.convert(mode), kind, **some) for mode in ("L", "CMYK") for some in options]
        case "WEBP":
            return [
                encoded(grey.convert("RGB"), kind),
                encoded(grey.convert("RGBA"), kind, lossless=True),
                encoded(frames[0], kind, **animation),
            ]
        case "HEIF" | "AVIF":
            pytest.importorskip("pillow_heif").register_heif_opener()
            return [encoded(grey.convert(mode), kind) for mode in ("L", "RGB", "RGBA")]
        case "GIF":
            return [encoded(grey, kind), encoded(frames[0], kind, **animation)]
        case "BMP":
            return [encoded(grey.convert(mode), kind) for mode in ("L", "P", "RGB", "RGBA", "1")]
    packed = [{}, *({"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"))]
    return [encoded(grey.convert(mode), kind, **some) for mode in ("L", "RGB") for some in packed] + [
        encoded(grey.convert("1"), kind, compression="group4"),
        encoded(grey, kind, big_tiff=True),
    ]


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Other bytes, missing ones, additional ones."""
    mutant = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        if not mutant:
            break
        place = dice.randrange(len(mutant))
        match dice.randrange(6):
            case 0:
                mutant[place] = dice.randrange(256)
            case 1:
                mutant[place] = dice.choice((0, 1, 2, 9, 16, 127, 128, 254, 255))
            case 2:
                mutant[place] ^= 1 << dice.randrange(8)
            case 3:
                del mutant[place : place + dice.randrange(1, 9)]
            case 4:
                mutant[place:place] = dice.randbytes(dice.randrange(1, 9))
            case 5:
                other = dice.randrange(len(mutant))
                mutant[place : place + 8] = mutant[other : other + 8]
    return bytes(mutant)


def chunks_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def mutated_chunks(data: bytes, dice: random.Random) -> bytes:
    """A PNG with chunks changed, doubled, moved, renamed, added or gone, whose CRCs are right."""
    chunks = list(chunks_of(data))
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(chunks))
        kind, body = chunks[place]
        match dice.randrange(7):
            case 0 if len(chunks) > 1:
                del chunks[place]
            case 1:
                chunks.insert(dice.randrange(len(chunks) + 1), chunks[place])
            case 2:
                chunks.append(chunks.pop(place))
            case 3:
                chunks[place] = kind, mutated(body, dice)
            case 4:
                chunks[place] = dice.choice(EXTRA_CHUNKS), body
            case 5:
                body = dice.randbytes(dice.choice((0, 1, 2, 3, 4, 6, 8, 26)))
                chunks.insert(place, (dice.choice(EXTRA_CHUNKS), body))
            case 6 if kind == b"IDAT":
                chunks[place] = kind, zlib.compress(mutated(zlib.decompress(body), dice))
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return SIGNATURE + b"".join(parts)


@pytest.mark.parametrize("kind", ["PNG", "APNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_mutants_end_in_an_image_or_an_error(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(f"{kind} 19")  # noqa: S311
    change: Callable[[bytes, random.Random], bytes] = mutated_chunks if kind.endswith("PNG") else mutated
    files = seeds(kind)
    mutants = [Encoded("x", change(dice.choice(files), dice)) for _ in range(MUTANTS)]
    outcomes = list(decode_all(mutants, DecodeOptions()))
    assert len(outcomes) == MUTANTS
    for outcome in outcomes:
        if isinstance(outcome, ImageError):
            assert str(outcome).startswith("x: ")
        else:
            assert outcome.dtype == np.uint8
            assert outcome.ndim == 2
    said = capfd.readouterr().err
    if kind == "JPEG":
        # That the bits of a scan are damaged nobody knows beforehand: see kalamos.cli._shared.
        said = "".join(line for line in said.splitlines() if not line.startswith("Corrupt JPEG data"))
    assert said == ""
