"""Resize images, measure and set the width of strokes, and look at borders: what the steps share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SQUARE_3X3",
    "border_bytes",
    "enlarge",
    "halve",
    "is_nested",
    "set_stroke_width",
    "shrink",
    "stroke_width",
]

Grey = NDArray[np.uint8]

CROSS_3X3 = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

SQUARE_3X3 = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))

SOLID_HULL_FRACTION = 0.9
"""A shape that fills this share of its convex hull has no loops or bays to be kept open."""


def border_bytes(image: Grey) -> bytes:
    """Return the pixels along the four sides, uint8 [H, W] -> 2 * (H + W) bytes.

    Counting in bytes takes half as long on small images as any way through arrays.
    """
    return b"".join([edge.tobytes() for edge in (image[0], image[-1], image[:, 0], image[:, -1])])


def shrink(image: Grey, scale: float) -> Grey:
    """Scale down by area averaging; a `scale` of 1 or more leaves the image as it is."""
    if scale >= 1:
        return image
    height, width = image.shape
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    # Enough is left to do after halving that the result does not blur.
    image = halve(image, 4 * max(shape))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def halve(image: Grey, least: float) -> Grey:
    """Halve the size, again and again, while the longer side is at least `least` px and no pixel is left
    over.

    OpenCV averages blocks of 2x2 far faster than any other area.
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


def stroke_width(mask: Grey) -> float:
    """Measure the mean width of the strokes in px: twice their area over their outline; 0 without ink.

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
    """Draw the same strokes, bright on black, with a pen between `thinnest` and `thickest` px wide.

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
        # A hairline beside thick strokes would be eroded away: it stays as it was.
        return cv2.max(thin, cv2.subtract(ink, cv2.dilate(thin, disc)))  # type: ignore[return-value]
    margin = change // 2 + 1
    wide = cv2.copyMakeBorder(ink, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    return cv2.dilate(wide, disc)  # type: ignore[return-value]


def _is_solid(mask: Grey) -> bool:
    hull = cv2.convexHull(cv2.findNonZero(mask))
    return cv2.countNonZero(mask) >= SOLID_HULL_FRACTION * cv2.contourArea(hull)


def is_nested(mask: Grey) -> bool:
    """Return whether a shape lies within the hole of another, as a character within a frame.

    >>> ring = np.zeros((20, 20), np.uint8)
    >>> _ = cv2.rectangle(ring, (2, 2), (17, 17), 255, 1)
    >>> is_nested(ring)
    False
    >>> ring[9:11, 9:11] = 255
    >>> is_nested(ring)
    True
    """
    contours, tree = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return False
    parents = tree[0, :, 3]
    grandparents = parents[parents[parents >= 0]]
    return bool((grandparents >= 0).any())
