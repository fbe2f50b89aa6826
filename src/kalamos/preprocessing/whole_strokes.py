"""Follow strokes that the ink finder found in part for as long as they go on; see lone ones that it did not.

A straight stroke by itself is what a printed line is, and the network, which has seen many of those, may
leave out an arm of an E. A printed line goes on to the border of the picture or closes into a frame; a
character does neither. So this is left to a rule.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import SQUARE_3X3

__all__ = ["follow_strokes", "lone_strokes"]

Grey = NDArray[np.uint8]

PEN_KERNEL: Final = cv2.getStructuringElement(cv2.MORPH_RECT, (9, 9))
"""Wider than a stroke, in px of the network's input: what is darker than all that surrounds it is a line."""

MIN_CONTRAST_FRACTION: Final = 0.7
"""A stroke goes on while its contrast is so much of that of the ink found."""

MIN_CONTRAST_DEVIATIONS: Final = 0.6
"""Fainter ink, in standard deviations of the picture, is not followed: grain looks like its strokes."""

MAX_GROWTH: Final = 6.0
"""Of the ink found; what grows more has to be lone strokes besides."""

FRAME_SIDE_FRACTION: Final = 0.6
"""What grew along so much of each of the four sides is a frame."""

MIN_FRAME_SIDE_PX: Final = 8
"""What is narrower is a stroke."""

MIN_LONE_DEVIATIONS: Final = 2.5
"""Contrast of strokes that are seen although the network found none."""

MIN_LONE_LENGTH_FRACTION: Final = 0.2
"""Of the picture's longer side: shorter ones may be grain, dust or creases."""

MIN_LONE_INK_FRACTION, MAX_LONE_STROKES = 0.8, 6
"""They make up so much of all that contrasts as much, and are no more."""


def follow_strokes(grey: NDArray[np.float32], levels: Grey, mask: Grey) -> tuple[Grey, Grey]:
    """Add to a map the strokes that go on from its ink and end within the picture.

    Args:
        grey: what the network looked at, standardised, float32 [h, w].
        levels: its answer in 255ths, uint8 [h, w].
        mask: 255 where that is ink, else 0.

    Returns:
        Levels and mask, the same arrays if nothing is to be added.
    """
    dark, light = _lines(grey)
    contrasts = cv2.mean(dark, mask=mask)[0], cv2.mean(light, mask=mask)[0]
    line, contrast = (dark, contrasts[0]) if contrasts[0] > contrasts[1] else (light, contrasts[1])
    if contrast < MIN_CONTRAST_DEVIATIONS:
        return levels, mask
    strong: Grey = (line >= MIN_CONTRAST_FRACTION * contrast).view(np.uint8)
    beside = cv2.bitwise_and(cv2.dilate(mask, SQUARE_3X3), cv2.bitwise_not(mask))
    if not cv2.countNonZero(cv2.bitwise_and(strong, beside)):  # no stroke goes on
        return levels, mask
    count, parts = cv2.connectedComponents(cv2.bitwise_or(strong, mask))
    follows = np.zeros(count, bool)
    follows[parts[mask > 0]] = True
    for side in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        follows[side] = False
    grown = follows[parts]
    added = grown & (mask == 0)
    growth = int(np.count_nonzero(added))
    if not growth or _is_frame(added, grown):
        return levels, mask
    if growth > MAX_GROWTH * cv2.countNonZero(mask):
        alone = lone_strokes(grey)
        if alone is None:
            return levels, mask
        return np.maximum(levels, alone), np.maximum(mask, _white(alone))
    strength = np.clip(line * np.float32(255 / contrast), 0, 255).astype(np.uint8)
    return np.where(added, np.maximum(levels, strength), levels), np.where(added, np.uint8(255), mask)


def lone_strokes(grey: NDArray[np.float32]) -> Grey | None:
    """Return strokes that stand alone on a picture: long, strong, and none of them at the border.

    Args:
        grey: what the network looked at, standardised, float32 [h, w].

    Returns:
        Levels uint8 [h, w], bright on black; None where there is anything else of that contrast.
    """
    line = max(_lines(grey), key=lambda each: cv2.minMaxLoc(each)[1])
    strong: Grey = (line >= MIN_LONE_DEVIATIONS).view(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(strong)
    sides = stats[:, (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)].max(axis=1)
    is_stroke = sides >= MIN_LONE_LENGTH_FRACTION * max(grey.shape)
    is_stroke[0] = False
    strokes = is_stroke[parts]
    ink = int(np.count_nonzero(strokes))
    if (
        not 0 < int(np.count_nonzero(is_stroke)) <= MAX_LONE_STROKES
        or ink < MIN_LONE_INK_FRACTION * cv2.countNonZero(strong)
        or any(side.any() for side in (strokes[0], strokes[-1], strokes[:, 0], strokes[:, -1]))
        or _is_frame(strokes, strokes)
    ):
        return None
    levels = np.clip(line * np.float32(255 / line[strokes].mean()), 0, 255).astype(np.uint8)
    return np.where(cv2.dilate(strokes.view(np.uint8), SQUARE_3X3) > 0, levels, np.uint8(0))


def _white(levels: Grey) -> Grey:
    return cv2.threshold(levels, 127, 255, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]


def _lines(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """By how much each pixel is darker, and by how much it is lighter, than all that surrounds it."""
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, PEN_KERNEL)
    light = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, PEN_KERNEL)
    return dark, light  # type: ignore[return-value]


def _is_frame(added: NDArray[np.bool_], grown: NDArray[np.bool_]) -> bool:
    """Return whether what was added runs along all four sides of what there is now."""
    x, y, width, height = cv2.boundingRect(grown.view(np.uint8))
    if min(width, height) < MIN_FRAME_SIDE_PX:
        return False
    inside = added[y : y + height, x : x + width]
    deep, wide = max(2, height // 8), max(2, width // 8)
    sides = (
        inside[:deep].any(axis=0),
        inside[-deep:].any(axis=0),
        inside[:, :wide].any(axis=1),
        inside[:, -wide:].any(axis=1),
    )
    return min(float(side.mean()) for side in sides) >= FRAME_SIDE_FRACTION
