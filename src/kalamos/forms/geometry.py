"""Boxes as corners, and where a homography puts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.template import Box, FormPage

__all__ = [
    "Grey",
    "Matrix",
    "box_corners",
    "is_possible_view",
    "project",
    "rms",
    "sides_of",
    "square_sides",
]

Grey: TypeAlias = NDArray[np.uint8]
"""An image uint8 [H, W]."""

Matrix: TypeAlias = NDArray[np.float64]
"""A homography [3, 3]."""

SMALLEST_PAGE: Final = 0.05
"""The least area of a page, as a share of the scan's: a small sheet on a large table."""

LARGEST_PAGE: Final = 20.0
"""The largest, likewise: of a part of a page."""


def box_corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Return boxes' corners, float64 [N, 4, 2], clockwise from the top left."""
    if not boxes:
        return np.zeros((0, 4, 2))
    x, y, width, height = np.array(boxes, np.float64).T
    return np.stack(
        [np.stack([x, x + width, x + width, x], axis=1), np.stack([y, y, y + height, y + height], axis=1)],
        axis=2,
    )


def project(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points [..., 2] by a homography.

    >>> project(np.diag([2.0, 2.0, 1.0]), np.array([[[3.0, 4.0]]])).tolist()
    [[[6.0, 8.0]]]
    """
    if not points.size:
        return points
    moved = cv2.perspectiveTransform(points.reshape(-1, 1, 2), matrix)
    return np.asarray(moved, np.float64).reshape(points.shape)


def rms(off: NDArray[np.float64]) -> float:
    """Return the root mean square length of vectors [..., 2]."""
    return float(np.sqrt((off**2).sum(axis=-1).mean()))


def square_sides(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sides of squares as large as boxes [N, 4, 2]."""
    return np.sqrt([cv2.contourArea(box.astype(np.float32)) for box in boxes]) + 1e-9


def sides_of(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the shorter and the longer side of boxes [N, 4, 2], each the mean of two: float64 [N, 2].

    >>> sides_of(np.array([[[0, 0], [8.0, 0], [8, 3], [0, 3]]])).tolist()
    [[3.0, 8.0]]
    """
    lengths = np.linalg.norm(boxes - np.roll(boxes, -1, axis=1), axis=-1)
    return np.asarray(np.sort((lengths[:, :2] + lengths[:, 2:]) / 2, axis=1), np.float64)


def is_possible_view(matrix: Matrix, page: FormPage, scan: Grey) -> bool:
    """Whether a camera or scanner may see a page so: not mirrored, not folded, of a size like the scan's."""
    corners = box_corners([Box(0, 0, page.width, page.height)])[0]
    depths = corners @ matrix[2, :2] + matrix[2, 2]
    if depths.min() * depths.max() <= 0 or np.abs(depths).max() > 3 * np.abs(depths).min():
        return False
    x, y = project(matrix, corners).T
    ahead, behind = (np.stack([np.roll(x, by) - x, np.roll(y, by) - y]) for by in (-1, 1))
    turns = ahead[0] * behind[1] - ahead[1] * behind[0]  # twice the area at each corner
    area = (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    return bool(turns.min() > 0 and SMALLEST_PAGE < area / scan.size < LARGEST_PAGE)
