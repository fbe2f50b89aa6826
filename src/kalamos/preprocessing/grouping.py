"""Group the parts of ink that belong to one character: a dot lies above or below its letter."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["count_characters"]

Grey = NDArray[np.uint8]

INK_LEVEL: Final = 64
"""Of a prepared image: what is at least as bright is ink."""

MIN_SIZE_FRACTION: Final = 0.45
"""Of the largest group's extent across the line: smaller groups are dots, accents and broken strokes."""

MIN_AREA_FRACTION, MIN_AREA_FRACTION_ABOVE = 0.15, 0.5
"""Of the largest group's ink, for characters side by side, and one above the other: three dots are wide."""


def count_characters(image: Grey) -> int:
    """Estimate how many characters stand side by side, or one above the other, on a prepared image.

    Parts whose extents along the line overlap are one character.

    Args:
        image: uint8 [H, W], ink bright on black.

    Returns:
        At least 1; 0 without ink. An estimate: characters that touch count as one, one in two halves as two.

    >>> image = np.zeros((28, 28), np.uint8)
    >>> image[8:20, 4:7] = image[8:20, 12:15] = image[8:20, 20:23] = 255
    >>> count_characters(image), count_characters(image[:, :10])
    (3, 1)
    >>> image[:] = 0
    >>> image[12:24, 12:15] = image[6:8, 12:14] = 255                    # an i with its dot
    >>> count_characters(image)
    1
    """
    mask = (image >= INK_LEVEL).view(np.uint8)
    stats = np.asarray(cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:], np.int32)
    if not len(stats):
        return 0
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    width, height = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    area = stats[:, cv2.CC_STAT_AREA]
    beside = _count_groups(left, left + width, top, top + height, area, MIN_AREA_FRACTION)
    above = _count_groups(top, top + height, left, left + width, area, MIN_AREA_FRACTION_ABOVE)
    return max(beside, above)


def _count_groups(
    start: NDArray[np.int32],
    end: NDArray[np.int32],
    low: NDArray[np.int32],
    high: NDArray[np.int32],
    area: NDArray[np.int32],
    min_area: float,
) -> int:
    """Groups of parts, int32 [N] each, that overlap from `start` to `end`; small ones do not count."""
    groups: list[list[int]] = []  # end, low, high, area
    for row in np.argsort(start, kind="stable").tolist():
        if groups and start[row] < groups[-1][0]:
            last = groups[-1]
            last[0], last[1] = max(last[0], int(end[row])), min(last[1], int(low[row]))
            last[2], last[3] = max(last[2], int(high[row])), last[3] + int(area[row])
        else:
            groups.append([int(end[row]), int(low[row]), int(high[row]), int(area[row])])
    sizes = np.array([group[2] - group[1] for group in groups])
    areas = np.array([group[3] for group in groups])
    large = (sizes >= MIN_SIZE_FRACTION * sizes.max()) & (areas >= min_area * areas.max())
    return int(large.sum())
