"""Resize images, and set the width of strokes.

Scale images, and the small structuring elements that the steps share.

How wide the pen was, and another width for it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SQUARE_3X3", "enlarge", "halve", "set_stroke_width", "shrink", "stroke_width"]

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


SOLID_HULL_FRACTION = 0.9
"""A shape that fills this share of its convex hull has no loops and bays to be kept open."""


def stroke_width(mask: Grey) -> float:
    """Mean width of the strokes in px: twice their area over the length of their outline; 0 without ink.

    Args:
        mask: uint8 [H, W], ink where it is not 0.

    >>> stroke = np.zeros((100, 100), np.uint8)
    >>> stroke[10:90, 40:48] = 255
    >>> round(stroke_width(stroke), 1)
    7.4
    """
    area = cv2.countNonZero(mask)
    # Along a diagonal, an outline of pixels that touch at corners is as much too short as one of pixels
    # that touch at sides is too long.
    outline = area - sum(
        cv2.countNonZero(cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)) / 2
        for kernel in (CROSS_3X3, SQUARE_3X3)
    )
    return 2 * area / outline if outline else 0.0


def set_stroke_width(ink: Grey, thinnest: float, thickest: float) -> Grey:
    """The same strokes, bright on black, by a pen that is between `thinnest` and `thickest` px wide.

    The result is larger than `ink` by the width gained.
    """
    _, mask = cv2.threshold(ink, 127, 255, cv2.THRESH_BINARY)
    width = stroke_width(mask)  # type: ignore[arg-type]
    change = round(min(max(width, thinnest), thickest) - width) if width else 0
    if not change or (change < 0 and _is_solid(mask)):  # type: ignore[arg-type]
        return ink
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(change) + 1, abs(change) + 1))
    if change < 0:
        thin = cv2.erode(ink, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        # A hairline beside thick strokes is opened away: it stays as it was.
        return cv2.max(thin, cv2.subtract(ink, cv2.dilate(thin, disc)))  # type: ignore[return-value]
    margin = change // 2 + 1
    wide = cv2.copyMakeBorder(ink, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    return cv2.dilate(wide, disc)  # type: ignore[return-value]


def _is_solid(mask: Grey) -> bool:
    hull = cv2.convexHull(cv2.findNonZero(mask))
    return cv2.countNonZero(mask) >= SOLID_HULL_FRACTION * cv2.contourArea(hull)
