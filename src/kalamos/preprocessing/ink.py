"""Find the ink: separate it from the paper, whatever the light and whichever is darker."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["bright_on_black", "grain", "remove_specks", "shrink"]

OVERVIEW = 96
"""The paper is estimated on a copy whose longer side is at most this many pixels."""

NOISE_SHARE = 0.2
"""Differences from the paper below this share of the ink's own are paper texture."""

INK_LEVEL = 96
"""A part counts as ink when it reaches this level (of 255) somewhere."""

NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
SAMPLES = 10_000
"""About as many pixels tell how strong the noise is."""

SPECK_SHARE = 0.01
"""A part smaller than this share of the largest is dust; the dots of an i or a ya are well above."""


def bright_on_black(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How far each pixel differs from the paper under it, in the ink's direction.

    The paper's level is estimated by a morphological closing (opening for light ink on a dark
    ground) wider than any stroke, so that shadows and uneven light go with it.

    Args:
        image: uint8 [H, W].

    Returns:
        uint8 [H, W], 0 where there is paper. A blank image gives zeros, or low values only.
    """
    overview = shrink(image, OVERVIEW / max(image.shape))
    threshold, _ = cv2.threshold(overview, 0, 255, cv2.THRESH_OTSU)
    border = np.concatenate((overview[0], overview[-1], overview[:, 0], overview[:, -1]))
    # The ground is what the border is mostly made of: ink rarely runs along all four edges.
    light_ground = bool(np.count_nonzero(border > threshold) * 2 >= border.size)
    paper = _paper(overview, light_ground=light_ground)
    if paper.shape != image.shape:
        height, width = image.shape
        paper = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    ink = cv2.subtract(paper, image) if light_ground else cv2.subtract(image, paper)
    return _drop_texture(ink)  # type: ignore[arg-type]


def grain(image: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise, in grey levels (Immerkaer 1996, with a median for the mean).

    The difference of two Laplacians answers noise and hardly anything else; strokes, which it does
    answer, cover too little of a page to move the median.

    >>> generator = np.random.default_rng(0)
    >>> paper = np.full((200, 200), 128.0)
    >>> round(grain((paper + generator.normal(0, 10, paper.shape)).astype(np.uint8)))
    10
    """
    response = cv2.filter2D(image, cv2.CV_16S, NOISE_KERNEL)
    stride = max(1, math.isqrt(response.size // SAMPLES))
    # 0.6745: the median of the absolute value of a standard normal; 6: the kernel's norm.
    return float(np.median(np.abs(response[::stride, ::stride]))) / (0.6745 * 6)


def remove_specks(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blacken the connected parts that are too faint or too small to have been written."""
    _, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count <= 2:
        return ink
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    inked = np.zeros(count, bool)
    inked[np.unique(labels[ink >= INK_LEVEL])] = True
    keep = inked & (areas >= areas.max(where=inked, initial=0) * SPECK_SHARE)
    keep[0] = False
    return np.where(keep[labels], ink, np.uint8(0))


def shrink(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Scale down by area averaging; a `scale` of 1 or more leaves the image as it is."""
    if scale >= 1:
        return image
    height, width = image.shape
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _paper(overview: NDArray[np.uint8], *, light_ground: bool) -> NDArray[np.uint8]:
    longer = max(overview.shape)
    width = (longer // 3) | 1
    # A little blur first: closing takes maxima, and single bright pixels would lift the paper.
    smooth = cv2.GaussianBlur(overview, (3, 3), 0) if longer > 32 else overview
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (width, width))
    how = cv2.MORPH_CLOSE if light_ground else cv2.MORPH_OPEN
    # With its edges drawn out, light that falls off towards one of them is paper up to the last pixel.
    reach = width // 2
    wide = cv2.copyMakeBorder(smooth, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    height, columns = overview.shape
    paper = cv2.morphologyEx(wide, how, kernel)
    return paper[reach : reach + height, reach : reach + columns]  # type: ignore[return-value]


def _drop_texture(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    threshold, _ = cv2.threshold(ink, 0, 255, cv2.THRESH_OTSU)
    strokes = ink[ink > threshold]
    level = float(strokes.mean()) if strokes.size else 0.0
    floor = level * NOISE_SHARE
    if level - floor < 1:
        return ink
    # Linear between the floor (0) and the mean stroke; brighter pixels saturate only in contrast
    # that is already beyond the typical stroke, and the peak stays a measure of the real contrast.
    gain = level / (level - floor)
    return cv2.convertScaleAbs(cv2.subtract(ink, floor), alpha=gain)  # type: ignore[call-overload, return-value]
