"""Vary a glyph as a hand varies it: size, slant, rotation, stroke width, and a slight bend."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["GLYPH_IMAGE_SIDE_PX", "vary_glyph"]

GLYPH_IMAGE_SIDE_PX: Final = 64
"""Side of the rendered images."""

INK_SIDE_FRACTION: Final = (0.62, 0.88)
"""The longer side of the ink, as a share of `GLYPH_IMAGE_SIDE_PX`."""

MAX_ROTATION_DEGREES: Final = 8.0
"""Either way. More is left to the augmentation of a training."""

MAX_SLANT: Final = 0.2
MAX_LOG_STRETCH: Final = 0.12
STROKE_RADIUS_CHANGE_PX: Final = (-1.5, 2.5)
"""Change of the pen's radius, for glyphs drawn 128 px to the em."""

BEND_STD_FRACTION: Final = 0.025
"""Standard deviation of the bend, as a share of the longer side."""

MIN_INK_LEFT_FRACTION: Final = 0.5
"""A thinner pen that leaves less of the ink than this has cut a hairline, and is not used."""


def vary_glyph(glyph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random variation of a glyph, as the same hand would write it another time.

    Args:
        glyph: white on black, uint8 [H, W], cut to its ink.
        rng: source of randomness; the same state gives the same image.

    Returns:
        uint8 [64, 64], white on black, all the ink inside.

    >>> bar = np.full((90, 12), 255, np.uint8)
    >>> image = vary_glyph(bar, np.random.default_rng(0))
    >>> image.shape, bool(image[0].any()), bool(image[32].any())
    ((64, 64), False, True)
    """
    margin = max(glyph.shape) // 3 + 4
    page = _change_stroke(np.pad(glyph, margin), rng.uniform(*STROKE_RADIUS_CHANGE_PX))
    page = _deform(page, rng, max(glyph.shape))
    return _place(page, rng)


def _change_stroke(page: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    side = 2 * round(abs(radius)) + 1
    if side == 1:
        return page
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    changed = (cv2.dilate if radius > 0 else cv2.erode)(page, kernel)
    return np.asarray(changed if changed.sum() >= MIN_INK_LEFT_FRACTION * page.sum() else page, np.uint8)


def _deform(page: NDArray[np.uint8], rng: np.random.Generator, longer: int) -> NDArray[np.uint8]:
    """Apply the affine map and the bend in one resampling, about the centre."""
    height, width = page.shape
    turn = np.deg2rad(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
    slant = rng.uniform(-MAX_SLANT, MAX_SLANT)
    stretch = np.exp(rng.uniform(-MAX_LOG_STRETCH, MAX_LOG_STRETCH))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[stretch, slant], [0, 1 / stretch]])
    # Three by three knots bend a stroke; more would make it tremble.
    knots = rng.normal(0, BEND_STD_FRACTION * longer, (2, 3, 3)).astype(np.float32)
    bend = [cv2.resize(knot, (width, height), interpolation=cv2.INTER_CUBIC) for knot in knots]
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    from_x = matrix[0, 0] * x + matrix[0, 1] * y + (width - 1) / 2 + bend[0]
    from_y = matrix[1, 0] * x + matrix[1, 1] * y + (height - 1) / 2 + bend[1]
    moved = cv2.remap(page, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(moved, np.uint8)


def _place(page: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Crop to the ink, resize, and place near the middle."""
    rows, columns = np.flatnonzero(page.any(axis=1)), np.flatnonzero(page.any(axis=0))
    ink = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = rng.uniform(*INK_SIDE_FRACTION) * GLYPH_IMAGE_SIDE_PX / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    image = np.zeros((GLYPH_IMAGE_SIDE_PX, GLYPH_IMAGE_SIDE_PX), np.uint8)
    top, left = (_jittered_margin(GLYPH_IMAGE_SIDE_PX - side, rng) for side in (height, width))
    image[top : top + height, left : left + width] = small
    return image


def _jittered_margin(free: int, rng: np.random.Generator) -> int:
    return round(free * rng.uniform(0.4, 0.6))
