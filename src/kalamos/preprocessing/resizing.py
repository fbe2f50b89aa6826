"""Scale images, and the small structuring elements that the steps share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CROSS_3X3", "SQUARE_3X3", "enlarge", "halve", "shrink"]

Grey = NDArray[np.uint8]

CROSS_3X3 = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
SQUARE_3X3 = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


def shrink(image: Grey, scale: float) -> Grey:
    """Scale down by area averaging; a `scale` of 1 or more leaves the image as it is."""
    if scale >= 1:
        return image
    height, width = image.shape
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    # What is left to do after halving is still fine enough not to blur.
    image = halve(image, 4 * max(shape))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def halve(image: Grey, least: float) -> Grey:
    """Half the size, and half again, while the longer side is at least `least` px and no pixel is left over.

    OpenCV has a way of its own to average blocks of 2x2, far faster than that for any other area.
    """
    height, width = image.shape
    while max(height, width) >= least and not (height % 2 or width % 2):
        height, width = height // 2, width // 2
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return image


def enlarge(image: Grey, shape: tuple[int, ...]) -> Grey:
    """Scale to a shape [H, W] by bilinear interpolation; an image of that shape is returned as it is."""
    if image.shape == shape:
        return image
    height, width = shape
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]
