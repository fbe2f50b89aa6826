"""Few examples made many: the same characters as other hands might have written them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.steps import GreyImage

__all__ = ["variations"]

MAX_ROTATION_DEGREES, MAX_SHEAR, MAX_STRETCH, MAX_SHIFT_FRACTION = 10.0, 0.15, 0.12, 0.04
"""At most: degrees, radians' tangent, share of the size, share of the side."""

BEND_FRACTION, BEND_KNOTS = 0.03, 5
"""How far points are moved, as a share of the side, and how many control points a side has."""


def variations(image: GreyImage, count: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A prepared image turned, slanted, stretched, moved and bent a little, and its pen changed.

    Args:
        image: uint8 [S, S], ink bright on black.
        count: how many, K.

    Returns:
        uint8 [K, S, S].

    >>> image = np.zeros((28, 28), np.uint8); image[4:24, 13:15] = 255
    >>> variations(image, 3, np.random.default_rng(0)).shape
    (3, 28, 28)
    """
    side = image.shape[0]
    middle = (side - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1) - middle  # [S, S, x and y]
    results = np.empty((count, side, side), np.uint8)
    for result in results:
        angle = np.deg2rad(generator.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        slant = np.array([[1, generator.uniform(-MAX_SHEAR, MAX_SHEAR)], [0, 1]])
        stretch = np.diag(1 + generator.uniform(-MAX_STRETCH, MAX_STRETCH, 2))
        bend = cv2.resize(
            generator.normal(0, BEND_FRACTION * side / 2, (BEND_KNOTS, BEND_KNOTS, 2)),
            (side, side),
            interpolation=cv2.INTER_CUBIC,
        )
        where = (
            grid @ (turn @ slant @ stretch).T
            + bend
            + generator.uniform(-MAX_SHIFT_FRACTION, MAX_SHIFT_FRACTION, 2) * side
            + middle
        )
        x, y = where.astype(np.float32).transpose(2, 0, 1)
        warped = cv2.remap(image, x, y, cv2.INTER_LINEAR)
        result[:] = _repenned(warped, generator.uniform(-0.5, 0.7))
    return results


def _repenned(image: NDArray[Any], amount: float) -> GreyImage:
    """Written with a thicker (above 0) or a thinner pen: part of the way to a dilation or an erosion."""
    kernel = np.ones((3, 3), np.uint8)
    changed = cv2.dilate(image, kernel) if amount > 0 else cv2.erode(image, kernel)
    mixed = cv2.addWeighted(changed, abs(amount), image, 1 - abs(amount), 0)
    return np.asarray(mixed, np.uint8)
