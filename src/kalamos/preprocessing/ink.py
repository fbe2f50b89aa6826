"""Separate the ink from the paper, whatever the light and whichever is darker."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.paper import estimate_background

__all__ = ["foreground_intensity", "foreground_intensity_small"]

Grey = NDArray[np.uint8]

TEXTURE_FRACTION = 0.2
"""On small crops, differences from the paper below this share of the ink's own are paper texture."""

NOISE_DEVIATIONS = 3
"""What stays within so many standard deviations of the paper is paper."""

SIGNIFICANT_DEVIATIONS = 6
"""So many standard deviations no pixel of a blank page reaches, the estimate of its paper included."""

NOISE_SAMPLE_PIXELS = 2_000
"""About as many pixels tell how strong the noise is."""

LARGE_SIDE_PX = 256
"""Above this longer side (px) a wider blur takes away noise and no detail."""


def foreground_intensity(image: Grey) -> tuple[Grey, float]:
    """The share of the paper's light that each pixel swallows.

    A share, because a stroke in the shadow differs from its paper by fewer grey levels than beside it.

    Args:
        image: uint8 [H, W], either polarity.

    Returns:
        uint8 [H, W], 0 where there is paper, 255 where no light is left; and by how many grey levels
        the image differs from its paper at most, or 0 where noise explains it.

    >>> page = np.full((120, 120), 210, np.uint8)
    >>> page[30:90, 55:65] = 42
    >>> ink, difference = foreground_intensity(page)
    >>> int(ink[60, 60]), int(ink[10, 10]), difference       # 255 * (210 - 42) / 210
    (204, 0, 168.0)
    """
    image, paper, dense = estimate_background(image)
    side = 3 if max(image.shape) <= LARGE_SIDE_PX else 5
    smooth: Grey = cv2.GaussianBlur(image, (side, side), 0)  # type: ignore[assignment]
    offset, deviation = (0.0, 0.0) if dense else _noise(paper, smooth)
    gap = cv2.subtract(paper, smooth)
    difference = cv2.minMaxLoc(gap)[1] - offset
    floor = round(offset + NOISE_DEVIATIONS * deviation)  # OpenCV is faster with whole numbers
    ink = cv2.divide(cv2.subtract(gap, floor), paper, scale=255)  # type: ignore[call-overload]
    return np.asarray(ink, np.uint8), difference if difference >= SIGNIFICANT_DEVIATIONS * deviation else 0.0


def foreground_intensity_small(image: Grey) -> tuple[Grey, float]:
    """`foreground_intensity` for crops on which strokes leave too little paper to tell its grain."""
    image, paper, _ = estimate_background(image)
    ink: Grey = cv2.subtract(paper, image)  # type: ignore[assignment]
    return _without_texture(ink), cv2.minMaxLoc(ink)[1]


def _noise(paper: Grey, image: Grey) -> tuple[float, float]:
    """How far the paper lies below its estimate, and its standard deviation there, in grey levels.

    Both from the pixels brighter than the median, among which there is no ink.
    """
    stride = max(1, math.isqrt(image.size // NOISE_SAMPLE_PIXELS))
    gap = np.subtract(paper[::stride, ::stride], image[::stride, ::stride], dtype=np.int16).ravel()
    # The quartile: where a frame is printed near the border, an eighth or more lies above its paper.
    low, middle = (gap.size - 1) // 4, (gap.size - 1) // 2
    ordered = np.partition(gap, (low, middle))
    return max(0.0, float(ordered[middle])), 1.4826 * float(ordered[middle] - ordered[low])


def _without_texture(ink: Grey) -> Grey:
    threshold, _ = cv2.threshold(ink, 0, 255, cv2.THRESH_OTSU)
    strokes = ink[ink > threshold]
    level = float(strokes.mean()) if strokes.size else 0.0
    floor = level * TEXTURE_FRACTION
    if level - floor < 1:
        return ink
    # Linear between the floor (0) and the mean stroke; brighter pixels saturate only in contrast
    # that is already beyond the typical stroke, and the peak stays a measure of the real contrast.
    gain = level / (level - floor)
    return cv2.convertScaleAbs(cv2.subtract(ink, floor), alpha=gain)  # type: ignore[call-overload, return-value]
