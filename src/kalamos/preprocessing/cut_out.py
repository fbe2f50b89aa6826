"""Take the ink from a photograph that was cut out along a character's own strokes.

Where a stroke runs along the border, nothing tells it from a printed line but that it belongs to the one and
only shape on the crop. So this is left to a rule: ink and paper are two levels, and what is not paper is one
connected shape that reaches all four sides.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import border_bytes, halve, is_nested, shrink

__all__ = ["ink_of_cut_out"]

Grey = NDArray[np.uint8]

OVERVIEW_SIDE_PX: Final = 64
"""The shape is judged on a copy whose longer side is at most this many pixels."""

MIN_CONTRAST_LEVELS: Final = 20
"""Between ink and paper."""

MIN_EXPLAINED_VARIANCE: Final = 0.75
"""Ink and paper explain at least this share of the grey levels' variance: of noise split in two they explain
0.64."""

MAX_INK_FRACTION, MAX_UPRIGHT_INK_FRACTION = 0.62, 0.93
"""Of the crop. Paper within a cell fills more of it than the thickest pen does, but for an upright stroke."""

MIN_UPRIGHT_ASPECT: Final = 2.2
"""Height over width of a crop of one upright stroke."""

MAX_GAP_FRACTION: Final = 0.06
"""The shape is at most this share of the longer side away from each side of the crop."""

MAX_BORDER_FRACTION: Final = 0.45
"""Of the border that is ink; a frame along the border, or the table on two sides of a sheet, takes more."""

MAX_DEPTH_FRACTION: Final = 0.2
"""No stroke's middle is farther from its outline than this share of the longer side; shadows are wider."""

MIN_SHAPE_FRACTION: Final = 0.85
"""Of what is not paper: the rest are dots and noise. A frame with a character in it has two shapes."""

MIN_DOT_FRACTION: Final = 0.035
"""Of what is not paper: less is a speck, which does not count for what reaches the sides."""

FAINT_FRACTION: Final = 0.3
"""Of the contrast: what differs less from the paper is its grain."""


def ink_of_cut_out(image: Grey) -> Grey | None:
    """Return the ink of a crop that was cut out along it; None for all other pictures.

    Args:
        image: uint8 [H, W], either polarity.

    Returns:
        uint8 [H, W], bright on black.

    >>> crop = np.full((60, 40), 210, np.uint8)
    >>> crop[:9] = crop[:, 16:25] = 60                                  # a T, its bar along the border
    >>> ink = ink_of_cut_out(crop)
    >>> int(ink[3, 3]), int(ink[40, 20]), int(ink[40, 3])
    (255, 255, 0)
    """
    small = halve(image, OVERVIEW_SIDE_PX + 1)
    small = shrink(small, OVERVIEW_SIDE_PX / max(small.shape))
    if max(small.shape) < OVERVIEW_SIDE_PX // 4:
        return None
    bright = np.asarray(cv2.threshold(small, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)
    dark: Grey = 1 - bright
    low, high = cv2.mean(small, mask=dark)[0], cv2.mean(small, mask=bright)[0]
    if high - low < MIN_CONTRAST_LEVELS or not _are_two_levels(small, bright, high - low):
        return None
    is_dark, is_bright = _is_cut_out(dark), _is_cut_out(bright)
    if is_dark == is_bright:
        return None
    pen, paper = (low, high) if is_dark else (high, low)
    share = (image.astype(np.float32) - np.float32(paper)) / np.float32(pen - paper)
    share[share < FAINT_FRACTION] = 0
    ink: Grey = (255 * np.minimum(share, 1)).astype(np.uint8)
    return ink


def _are_two_levels(image: Grey, bright: Grey, gap: float) -> bool:
    """Return whether two levels, so far apart, explain most of the variance."""
    total = float(cv2.meanStdDev(image)[1][0, 0]) ** 2
    share = cv2.mean(bright)[0]
    explained = share * (1 - share) * gap**2
    return explained >= MIN_EXPLAINED_VARIANCE * total


def _is_cut_out(mask: Grey) -> bool:
    """Return whether a mask of 0 and 1 is one shape of strokes that reaches all sides."""
    is_upright = mask.shape[0] >= MIN_UPRIGHT_ASPECT * mask.shape[1]
    if cv2.mean(mask)[0] > (MAX_UPRIGHT_INK_FRACTION if is_upright else MAX_INK_FRACTION):
        return False
    border = border_bytes(mask)
    if border.count(1) > MAX_BORDER_FRACTION * len(border):
        return False
    gap = max(1, round(MAX_GAP_FRACTION * max(mask.shape))) + 1
    if not all(map(cv2.countNonZero, (mask[:gap], mask[-gap:], mask[:, :gap], mask[:, -gap:]))):
        return False  # it does not reach all sides; most pictures end here
    padded: Grey = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)  # type: ignore[assignment]
    _, parts, stats, _ = cv2.connectedComponentsWithStats(padded)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas) or areas.max() < MIN_SHAPE_FRACTION * areas.sum():
        return False
    main = 1 + int(areas.argmax())
    boxes = stats[1:][areas >= MIN_DOT_FRACTION * areas.sum(), :4]
    first, last = boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    farthest = max(*(first - 1), *((mask.shape[1] + 1, mask.shape[0] + 1) - last))
    if farthest > max(1, MAX_GAP_FRACTION * max(mask.shape)):
        return False
    depths = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    deepest = float(depths[parts == main].max())
    if not deepest <= MAX_DEPTH_FRACTION * max(mask.shape):
        return False
    # Dots are no broader than the pen; a character is than the lines of the cell around it.
    return float(depths.max()) <= deepest and not is_nested(padded)
