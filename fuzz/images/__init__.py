"""Image files of all eight formats, broken in ways that each format allows."""

from __future__ import annotations

import random

from fuzz.case import Case
from fuzz.images import bmp, gif, heif, jpeg, png, tiff, webp

__all__ = ["draw"]

FORMATS = {png.draw: 6, jpeg.draw: 4, tiff.draw: 5, gif.draw: 2, webp.draw: 2, heif.draw: 2, bmp.draw: 1}
"""Generators, and how often each is taken."""


def draw(rng: random.Random) -> Case:
    """An image file."""
    [chosen] = rng.choices(list(FORMATS), list(FORMATS.values()))
    return chosen(rng)
