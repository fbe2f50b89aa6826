"""Crops that a thick pen fills, or cut out along the stroke's own box: as much ink as paper, or more.

Elsewhere ink is what is narrower than the paper around it. Here it is told by two plain levels with a sharp
outline between them, by a border that is mostly paper, and by being nowhere as wide as a sheet.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["crowded", "explained"]

Grey = NDArray[np.uint8]
Levels = NDArray[np.float32]

LEAST_INK, LEAST_PAPER = 0.3, 0.05
"""Shares of the picture."""

SEPARATED = 0.7
"""Ink and paper explain at least this share of the grey levels' variance: of noise split in two they explain
0.64, and more where outlines are blurred."""

CONTRAST = 40
"""Of grey levels at least, between ink and paper."""

SHARP = 0.3
"""Along the outline the levels change within two pixels by this share of the contrast, on average."""

BORDER, CLEAR_BORDER = 0.6, 0.75
"""The paper's share of the border at least; the greater one, where ink fills a corner."""

THICKEST = 0.3
"""No stroke's middle is farther from its outline than this share of the longer side."""

SQUARE = np.ones((3, 3), np.uint8)


def crowded(overview: Grey) -> tuple[bool, Levels] | None:
    """Whether the ink is dark, and the paper, float32 [H, W], on a crop full of ink; None for other pictures.

    Args:
        overview: uint8 [H, W], at most some 64 px a side.

    >>> crop = np.full((60, 10), 220, np.uint8)
    >>> crop[5:55, 1:9] = 40
    >>> dark, paper = crowded(crop)
    >>> dark, float(paper[30, 5])
    (True, 220.0)
    """
    _, bright = cv2.threshold(overview, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    share = cv2.mean(bright)[0]
    if not LEAST_PAPER <= share <= 1 - LEAST_PAPER:
        return None
    edges = bright[0], bright[-1], bright[:, 0], bright[:, -1]
    ring = b"".join([edge.tobytes() for edge in edges])
    dark = 2 * ring.count(1) >= len(ring)
    paper: Grey = bright if dark else 1 - bright  # type: ignore[assignment]
    if (1 - share if dark else share) < LEAST_INK:
        return None
    corners = paper[0, 0] and paper[0, -1] and paper[-1, 0] and paper[-1, -1]
    if ring.count(1 if dark else 0) < (BORDER if corners else CLEAR_BORDER) * len(ring):
        return None
    ink: Grey = 1 - paper
    if explained(overview, ink) < SEPARATED or not _is_drawn(overview, ink):
        return None
    return dark, _plane(overview, paper)


def explained(levels: Grey, mask: Grey) -> float:
    """The share of the variance of levels that a mask of 0 and 1 explains: both uint8 [H, W]."""
    total = float(cv2.meanStdDev(levels)[1][0, 0]) ** 2
    share = cv2.mean(mask)[0]
    gap = cv2.mean(levels, mask=mask)[0] - cv2.mean(levels, mask=1 - mask)[0]
    return share * (1 - share) * gap**2 / max(total, 1e-9)


def _is_drawn(overview: Grey, ink: Grey) -> bool:
    """Whether it has a pen's outline and width: a flash, a vignette or a sheet of paper has not."""
    contrast = abs(cv2.mean(overview, mask=ink)[0] - cv2.mean(overview, mask=1 - ink)[0])
    if contrast < CONTRAST:
        return False
    outline = cv2.subtract(ink, cv2.erode(ink, SQUARE))
    rise = cv2.mean(cv2.morphologyEx(overview, cv2.MORPH_GRADIENT, SQUARE), mask=outline)[0]
    if rise < SHARP * contrast:
        return False
    depth = cv2.distanceTransform(cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    return bool(cv2.minMaxLoc(depth)[1] <= max(THICKEST * max(overview.shape), 2))


def _plane(overview: Grey, paper: Grey) -> Levels:
    """The plane through the paper's levels, off the ink's blurred outline where there is as much of it."""
    plain = cv2.erode(paper, SQUARE, borderType=cv2.BORDER_REPLICATE)
    chosen = plain if np.count_nonzero(plain) >= np.count_nonzero(paper) / 2 else paper
    y, x = np.nonzero(chosen)
    levels = overview[y, x].astype(np.float64)
    height, width = overview.shape
    monomials = np.stack([np.ones(len(x)), x / max(width - 1, 1) - 0.5, y / max(height - 1, 1) - 0.5])
    # A ridge: where the paper is on one line, the plane does not tilt across it.
    products = monomials @ monomials.T + np.diag([0.0, 0.01, 0.01]) * len(x)
    level, right, down = np.linalg.solve(products, monomials @ levels)
    across, along = np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height)
    plane = level + right * across + down * along[:, np.newaxis]
    within: Levels = np.clip(plane, levels.min(), levels.max()).astype(np.float32)
    return within
