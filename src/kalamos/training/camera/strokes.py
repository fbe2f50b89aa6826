"""A glyph's strokes as smooth distances, from which a pen of any width draws them at any size.

A small antialiased glyph knows its outline to a fraction of a pixel. Enlarged smoothly, cut at half of
its strokes' own level and turned into a signed distance field, it gives clean outlines far beyond its
own size (Green 2007, "Improved alpha-tested magnification"). Beside the distance stands the half width
of the stroke around each place: their difference is the distance from the stroke's middle line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.training.camera.texture import Floats

__all__ = ["Strokes", "trace"]

SIDE = 56
"""The ink's longer side in the field, in its px."""

PAD = 0.22
"""Field around the ink, in which strokes may become wider, as a share of `SIDE`."""

SMALLEST = 8
"""Ink whose longer side has fewer px than this (a full stop) stays small against its picture."""

FAINTEST = 40
"""What never reaches this level (of 255) is ground."""

SHARE = 0.45
"""A stroke ends at this share of its own level. Below half, so that a dot beside a darker stroke stays."""


BLOB = 1.15
"""Times the strokes' own half width; what is wider is no stroke."""


class Strokes(NamedTuple):
    """Float32 [h, w] fields in px of their own, with the ink's box in their middle."""

    depth: Floats
    """Distance to the outline, positive inside."""
    radius: Floats
    """Half width of the stroke at or near a place."""
    typical: float
    """Half width of the strokes, on average."""
    height: float
    width: float
    """Of the ink's box."""


def trace(glyph: NDArray[np.uint8]) -> Strokes | None:
    """The strokes of a glyph uint8 [H, W], bright on black; None where there is nothing to draw."""
    x, y, width, height = cv2.boundingRect((glyph >= FAINTEST).view(np.uint8))
    if not width:
        return None
    ink = glyph[y : y + height, x : x + width]
    longer = max(width, height, SMALLEST)
    if longer > SIDE:
        width, height = max(1, round(width * SIDE / longer)), max(1, round(height * SIDE / longer))
        ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        longer = SIDE
    scale, pad = SIDE / longer, math.ceil(PAD * longer)
    ink = cv2.copyMakeBorder(ink, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)  # type: ignore[assignment]
    # About half of each stroke's own level: faint strokes are drawn as wide as dark ones, and small counters
    # stay open. Blurred first, or a dot of one pixel would be lost.
    smooth = cv2.GaussianBlur(ink.astype(np.float32), (3, 3), 0.5)
    level = smooth / cv2.max(cv2.dilate(smooth, np.ones((5, 5), np.uint8)), FAINTEST) - np.float32(SHARE)  # type: ignore[call-overload]
    size = round(ink.shape[1] * scale), round(ink.shape[0] * scale)
    large = cv2.resize(level, size, interpolation=cv2.INTER_CUBIC)
    large = cv2.GaussianBlur(large, (5, 5), 1.0)
    inside = large > 0
    if not inside.any():
        return None
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 3)
    # On the middle line no neighbour lies half a pixel deeper; on a slope one lies a whole pixel deeper.
    ridge = inside & (depth + np.float32(0.5) >= cv2.dilate(depth, np.ones((3, 3), np.uint8)))
    typical = float(depth[ridge].mean())
    # The mean over the ridges nearby, for a maximum would cut thin strokes off where they meet thick ones.
    # Deep ridges weigh more: shallow ones also run from a stroke's end into its corners.
    weight = depth * ridge
    spread = 0.85 * typical
    nearby = (2 * round(2.5 * spread) + 1,) * 2
    total = cv2.GaussianBlur(depth * weight, nearby, spread)
    local = total / np.maximum(cv2.GaussianBlur(weight, nearby, spread), np.float32(1e-4))
    # A blob is a filled loop or a dot: thinned to its middle it would be neither.
    local = np.minimum(local, np.float32(BLOB * typical))
    # Outside, where only a wider pen comes, thin strokes grow no more than others.
    radius = np.where(inside, local, np.maximum(local, np.float32(typical)))
    depth = cv2.subtract(depth, cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 3))
    depth = cv2.GaussianBlur(depth, (5, 5), 1.0)  # the steps of the field's own pixels
    return Strokes(depth, radius, typical, height * scale, width * scale)
