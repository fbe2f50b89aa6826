"""Pictures to begin with, and pixel streams that are long when decoded and short when stored."""

from __future__ import annotations

import random
import zlib
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["LIMIT_PIXELS", "character", "encoded", "long_deflate", "long_zlib", "size_near_the_limit"]

LIMIT_PIXELS = 50_000_000
"""What kalamos accepts by default: just below lie the largest pictures that must be decoded."""

BLOCK = 1 << 20


def character(rng: random.Random, *, channels: int = 1, dtype: str = "uint8") -> NDArray[np.generic]:
    """A stroke on paper, of a crop's size: [H, W] or [H, W, channels]."""
    height, width = rng.randint(8, 64), rng.randint(8, 64)
    page = np.full((height, width, channels), 235, np.uint8)
    page[height // 5 : -height // 5, width // 2 : width // 2 + 3] = 20
    if channels in {2, 4}:
        page[..., -1] = 255
    scale = np.iinfo(dtype).max // 255 if np.issubdtype(dtype, np.integer) else 1 / 255
    return (page[..., 0] if channels == 1 else page).astype(dtype) * np.dtype(dtype).type(scale)


def encoded(rng: random.Random, suffix: str, *options: int, channels: int = 1, dtype: str = "uint8") -> bytes:
    """A character as OpenCV writes it."""
    done, data = cv2.imencode(suffix, character(rng, channels=channels, dtype=dtype), list(options))
    assert done
    return data.tobytes()


def size_near_the_limit(rng: random.Random, *, widest: int = 65_000) -> tuple[int, int]:
    """Width and height of just under, or a little over, `LIMIT_PIXELS` or a tenth of it, in any shape."""
    pixels = rng.choice((LIMIT_PIXELS, LIMIT_PIXELS, LIMIT_PIXELS // 10))
    low = max(1, pixels // widest)
    width = rng.choice((round(pixels**0.5), rng.randint(low, min(widest, pixels)), low))
    return width, max(1, min(widest, pixels // width + rng.choice((0, 0, 0, 2))))


@cache
def _full_block() -> bytes:
    """`BLOCK` zeros as deflate blocks that may stand in any number behind each other."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)


def long_deflate(length: int) -> bytes:
    """A raw deflate stream of `length` zeros, made without compressing them all.

    >>> zlib.decompress(long_deflate(3_000_000), wbits=-15) == bytes(3_000_000)
    True
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    rest = packer.compress(bytes(length % BLOCK)) + packer.flush()
    return _full_block() * (length // BLOCK) + rest


def long_zlib(length: int) -> bytes:
    """The same with zlib's head and checksum.

    >>> zlib.decompress(long_zlib(3_000_000)) == bytes(3_000_000)
    True
    """
    # Adler-32 of n zeros: the low half stays 1, the high half counts them.
    checksum = (length % 65_521) << 16 | 1
    return b"\x78\xda" + long_deflate(length) + checksum.to_bytes(4, "big")
