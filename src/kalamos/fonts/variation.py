"""One drawing, varied as a hand varies it: size, slant, turn, stroke width, and a slight bend."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "vary"]

SIDE: Final = 64
"""Pixels of an image's side."""

FILL: Final = (0.62, 0.88)
"""The longer side of the ink, as a share of `SIDE`."""

TURN: Final = 8.0
"""Degrees, either way. More is left to the augmentation of a training."""

SLANT: Final = 0.2
STRETCH: Final = 0.12
STROKE: Final = (-1.5, 2.5)
"""Pixels of radius taken from the pen or given to it, at glyphs drawn 128 px to the em."""

BEND: Final = 0.025
"""Standard deviation of the bend, as a share of the longer side."""

LEAST_INK: Final = 0.5
"""A thinner pen that leaves less of the ink than this has cut a hairline, and is not taken."""


def vary(glyph: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a glyph once more, by another moment of the same hand.

    Args:
        glyph: white on black, uint8 [H, W], cut to its ink.
        draw: where chance comes from; the same state gives the same image.

    Returns:
        uint8 [64, 64], white on black, all the ink inside.

    >>> bar = np.full((90, 12), 255, np.uint8)
    >>> image = vary(bar, np.random.default_rng(0))
    >>> image.shape, bool(image[0].any()), bool(image[32].any())
    ((64, 64), False, True)
    """
    margin = max(glyph.shape) // 3 + 4
    page = _repenned(np.pad(glyph, margin), draw.uniform(*STROKE))
    page = _bent(page, draw, max(glyph.shape))
    return _placed(page, draw)


def _repenned(page: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    side = 2 * round(abs(radius)) + 1
    if side == 1:
        return page
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    changed = (cv2.dilate if radius > 0 else cv2.erode)(page, kernel)
    return np.asarray(changed if changed.sum() >= LEAST_INK * page.sum() else page, np.uint8)


def _bent(page: NDArray[np.uint8], draw: np.random.Generator, longer: int) -> NDArray[np.uint8]:
    """Affine and bend in one resampling, about the centre."""
    height, width = page.shape
    turn = np.deg2rad(draw.uniform(-TURN, TURN))
    slant = draw.uniform(-SLANT, SLANT)
    stretch = np.exp(draw.uniform(-STRETCH, STRETCH))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[stretch, slant], [0, 1 / stretch]])
    # Three by three knots bend a stroke; more would make it tremble.
    knots = draw.normal(0, BEND * longer, (2, 3, 3)).astype(np.float32)
    bend = [cv2.resize(knot, (width, height), interpolation=cv2.INTER_CUBIC) for knot in knots]
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    from_x = matrix[0, 0] * x + matrix[0, 1] * y + (width - 1) / 2 + bend[0]
    from_y = matrix[1, 0] * x + matrix[1, 1] * y + (height - 1) / 2 + bend[1]
    moved = cv2.remap(page, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(moved, np.uint8)


def _placed(page: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
    """Cut to the ink, brought to size and put near the middle."""
    rows, columns = np.flatnonzero(page.any(axis=1)), np.flatnonzero(page.any(axis=0))
    ink = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = draw.uniform(*FILL) * SIDE / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    image = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (_jittered(SIDE - side, draw) for side in (height, width))
    image[top : top + height, left : left + width] = small
    return image


def _jittered(free: int, draw: np.random.Generator) -> int:
    return round(free * draw.uniform(0.4, 0.6))
