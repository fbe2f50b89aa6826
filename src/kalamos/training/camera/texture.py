"""Random texture at several grains, made once: cutting a piece costs a hundredth of making one."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["BROAD", "FINE", "MEDIUM", "WHITE", "Floats", "cut"]

Floats = NDArray[np.float32]

WHITE, FINE, MEDIUM, BROAD = 0.0, 0.8, 2.0, 6.0
"""Standard deviation, in px, of the blur that gives noise its grain."""

SIDE = 1024


def cut(grain: float, shape: tuple[int, int], generator: np.random.Generator) -> Floats:
    """A random piece of texture, float32 [H, W] of mean 0 and standard deviation 1. Read it only.

    >>> cut(FINE, (40, 60), np.random.default_rng(0)).shape
    (40, 60)
    """
    tile = _tile(grain)
    height, width = shape
    if max(shape) > SIDE // 2:
        # A piece much smaller than its tile can lie in many places; pieces of one photograph differ.
        tile = np.pad(tile, ((0, height), (0, width)), mode="wrap")
    top = int(generator.random() * (tile.shape[0] - height))
    left = int(generator.random() * (tile.shape[1] - width))
    return tile[top : top + height, left : left + width]


@cache
def _tile(grain: float) -> Floats:
    """float32 [SIDE, SIDE], whose opposite edges fit together."""
    noise = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    if grain:
        reach = int(4 * grain) + 1
        wide = cv2.copyMakeBorder(noise, reach, reach, reach, reach, cv2.BORDER_WRAP)
        noise = cv2.GaussianBlur(wide, (0, 0), grain)[reach:-reach, reach:-reach]  # type: ignore[assignment]
    tile: Floats = (noise - noise.mean()) / noise.std()
    tile.setflags(write=False)
    return tile
