"""Where on the page the character stands."""

from __future__ import annotations

import math

import numpy as np

from kalamos.shift.catalogue import PHOTOGRAPH, Grey, corruption
from kalamos.shift.photograph import GLYPH, PAPER, PEN, photographed, written

__all__: list[str] = []

WIDE = 256
"""Side in px of a page with room for a character of usual size to stand elsewhere than in the middle."""


@corruption(PHOTOGRAPH, (0.5, 0.8, 1.0))
def off_centre(ink: Grey, share: float, rng: np.random.Generator) -> Grey:
    """Towards an edge or a corner of the page, at last right at it."""
    room = share * (WIDE / 2 - GLYPH / 2 - 10)  # all of it stays on the page
    angle = rng.integers(8) * math.pi / 4
    # To the corner itself, not on a circle about the middle.
    x, y = round(math.cos(angle)) * room, round(math.sin(angle)) * room
    cover = written(ink, rng, side=WIDE, middle=(x, y))
    return photographed(PAPER, PEN, cover, rng)


@corruption(PHOTOGRAPH, (64, 36, 24))
def small_on_page(ink: Grey, pixels: int, rng: np.random.Generator) -> Grey:
    """A small character somewhere on a page of 256 px: 64, 36 or 24 px high."""
    room = WIDE / 2 - pixels / 2 - 12
    x, y = rng.uniform(-room, room, 2).tolist()
    cover = written(ink, rng, side=WIDE, longer=pixels, middle=(x, y))
    return photographed(PAPER, PEN, cover, rng)


@corruption(PHOTOGRAPH, (5.0, 10.0, 15.0))
def tilted(ink: Grey, degrees: float, rng: np.random.Generator) -> Grey:
    """The page turned by 5, 10 or 15 degrees to either side."""
    turned = degrees if rng.integers(2) else -degrees
    return photographed(PAPER, PEN, written(ink, rng, degrees=turned), rng)
