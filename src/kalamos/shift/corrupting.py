"""One image, corrupted."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from kalamos.errors import InvalidArrayError, UsageError, suggest
from kalamos.shift.catalogue import STRENGTHS, Grey
from kalamos.shift.corruptions import CORRUPTIONS
from kalamos.shift.frame import framed

__all__ = ["corrupt"]


def corrupt(image: Grey, name: str, strength: int, seed: int | Sequence[int] = 0) -> Grey:
    """Corrupt one image: a function of its arguments alone.

    Args:
        image: uint8 [H, W], ink bright on black, any size.
        name: one of `CORRUPTIONS`.
        strength: 1, 2 or 3.
        seed: whole numbers from 0; the suite gives (its seed, the image's row in its split).

    Returns:
        uint8 [H', W']: for MNIST-C's kinds ink bright on black, 28 to 64 px; for the photographs a
        page of 96 to 256 px, mostly dark ink on light paper.

    Raises:
        UsageError: no such name, strength or seed.
        InvalidArrayError: not uint8, not of two dimensions, or without pixels.

    >>> stroke = np.zeros((28, 28), np.uint8); stroke[4:24, 12:16] = 255
    >>> corrupt(stroke, "brightness", 2)[0, 0], corrupt(stroke, "ruled_paper", 1).shape
    (np.uint8(128), (200, 200))
    """
    if name not in CORRUPTIONS:
        raise UsageError(f"there is no corruption {name!r}", remedy=suggest(name, CORRUPTIONS))
    if strength not in STRENGTHS:
        raise UsageError(f"strength {strength!r} of {name}", remedy="choose 1, 2 or 3")
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        shape = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InvalidArrayError(f"{name} corrupts uint8 [H, W], not {shape}")
    seeds = [seed] if isinstance(seed, (int, np.integer)) else list(seed)
    if any(number < 0 for number in seeds):
        raise UsageError(f"seed {seed} is negative", remedy="use whole numbers from 0")
    chosen = CORRUPTIONS[name]
    # A checksum, not hash(): that differs from one process to the next.
    rng = np.random.default_rng([*seeds, strength, zlib.crc32(name.encode())])
    return chosen.how(framed(image), chosen.amounts[strength - 1], rng)
