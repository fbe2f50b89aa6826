"""Boxes as corners, and where a homography puts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.template import Box

__all__ = ["Grey", "Matrix", "box_corners", "project", "rms", "sides_of", "square_sides"]

Grey: TypeAlias = NDArray[np.uint8]
"""An image uint8 [H, W]."""

Matrix: TypeAlias = NDArray[np.float64]
"""A homography [3, 3]."""


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
