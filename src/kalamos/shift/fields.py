"""Random fields, quickly: grain of a sensor, clouds of any size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Field", "clouds", "grain"]

Field: TypeAlias = NDArray[np.floating]
SHEET = 512


def grain(side: int, rng: np.random.Generator, *, blur: float = 0.0) -> Field:
    """Noise of mean 0 and standard deviation 1, float32 [side, side]; side at most 256.

    A random cut of one large sheet: drawing 40,000 normal numbers for each image would take longer
    than everything else that is done to it.

    Args:
        blur: px; 0 makes it white.
    """
    top, left = rng.integers(0, SHEET - side, 2).tolist()
    return _sheet(blur)[top : top + side, left : left + side]


def clouds(side: int, cells: Sequence[int], decay: float, rng: np.random.Generator) -> Field:
    """Smooth noise float32 [side, side], about -1 to 1, the sum of octaves (value noise; Perlin 1985).

    Args:
        cells: grid cells along a side, an octave each, the coarsest first.
        decay: each octave's amplitude is that of the one before divided by this.
    """
    total = np.zeros((side, side), np.float32)
    amplitude, sum_of_amplitudes = 1.0, 0.0
    for count in cells:
        grid = rng.random((count + 1, count + 1), np.float32)
        grid *= 2 * amplitude
        grid -= amplitude
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        sum_of_amplitudes += amplitude
        amplitude /= decay
    total /= sum_of_amplitudes
    return total


@lru_cache(maxsize=4)
def _sheet(blur: float) -> Field:
    sheet: Field = np.random.default_rng(0).standard_normal((SHEET, SHEET), np.float32)
    if blur:
        sheet = cv2.GaussianBlur(sheet, (0, 0), blur)  # type: ignore[assignment]
        sheet /= sheet.std()
    sheet.flags.writeable = False  # every image is cut from it
    return sheet
