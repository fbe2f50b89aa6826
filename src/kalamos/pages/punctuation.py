"""Points, commas, colons, dashes and slashes, told by shape and place alone."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np

from kalamos.pages.lines import Band
from kalamos.pages.parts import Part

__all__ = ["is_slash", "punctuation_of"]

MAX_DOT_FRACTION: Final = 0.3
"""Of the band's height: a point is no larger in either direction."""

MAX_DOT_ASPECT: Final = 1.8
"""Of the longer side of a colon's point to the shorter: halves of a broken 1 are longer."""

MAX_COMMA_FRACTION: Final = 0.6
"""Of the band's height: a comma is no higher,"""

MIN_COMMA_FRACTION: Final = 0.22
"""and no less high."""

LOW_FRACTION: Final = 0.68
"""Of the band, from its top: the middle of a point on the base line is no higher."""

MIN_DASH_ASPECT: Final = 1.6
"""Width over height of a dash."""

DASH_WIDTH_FRACTIONS: Final = 0.33, 1.3
"""Of the band's height: how wide a dash is."""

DASH_PLACE_FRACTIONS: Final = 0.2, 0.8
"""Of the band, from its top: where the middle of a dash lies."""

MIN_SLASH_FRACTION: Final = 0.9
"""Of the band's height: a slash is at least so high."""

MIN_SLASH_DEGREES, MAX_SLASH_DEGREES = 21.0, 60.0
"""How far a slash leans to the right."""

MAX_SLASH_DEVIATION: Final = 0.09
"""Of its length: how far a slash's ink strays from a straight line (standard deviation)."""


def punctuation_of(part: Part, band: Band) -> str | None:
    """Return the sign that a part is on a line; None for everything else.

    Args:
        part: with all its pieces; two points above each other are a colon.
        band: the line's.

    >>> from kalamos.pages.page import Box
    >>> def dot(x, y, width, height):
    ...     return Part(Box(x, y, width, height), np.full((height, width), 255, np.uint8))
    >>> line = Band(0, 40)
    >>> punctuation_of(dot(5, 36, 5, 5), line), punctuation_of(dot(5, 34, 5, 12), line)
    ('.', ',')
    >>> punctuation_of(dot(5, 18, 16, 4), line), punctuation_of(dot(5, 4, 4, 36), line)
    ('-', None)
    """
    size, box = band.height, part.box
    place = (box.y + box.height / 2 - band.top) / size
    pieces = _pieces(part)
    if len(pieces) == 2 and _are_points(pieces, size):
        return ":"
    if len(pieces) > 1:
        return None
    if max(box.width, box.height) <= MAX_DOT_FRACTION * size and place >= LOW_FRACTION:
        tail = box.height > 1.5 * box.width and box.height > MIN_COMMA_FRACTION * size
        return "," if tail and part.bottom > band.bottom + 0.08 * size else "."
    narrow, wide = DASH_WIDTH_FRACTIONS
    if box.width >= MIN_DASH_ASPECT * box.height and narrow * size <= box.width <= wide * size:
        low, high = DASH_PLACE_FRACTIONS
        return "-" if low <= place <= high and box.height <= MAX_DOT_FRACTION * size else None
    if (
        MIN_COMMA_FRACTION * size <= box.height <= MAX_COMMA_FRACTION * size
        and box.height >= 1.15 * box.width
        and place >= LOW_FRACTION
        and part.bottom >= band.bottom - 0.05 * size
    ):
        return ","
    return None


def _pieces(part: Part) -> list[tuple[int, int, int, int]]:
    """x, y, width and height of the connected pieces."""
    stats = cv2.connectedComponentsWithStats((part.ink > 0).view(np.uint8))[2][1:]
    return [(int(x), int(y), int(width), int(height)) for x, y, width, height, _ in stats]


def _are_points(pieces: list[tuple[int, int, int, int]], size: float) -> bool:
    """Return whether two pieces are points above each other."""
    (_, upper, *first), (_, lower, *second) = sorted(pieces, key=lambda piece: piece[1])
    apart = lower - upper
    aspects = [max(piece) / max(min(piece), 1) for piece in (first, second)]
    return (
        max(*first, *second) <= MAX_DOT_FRACTION * size
        and max(aspects) <= MAX_DOT_ASPECT
        and 0.2 * size <= apart <= 0.9 * size
        and 0.4 <= max(first) / max(second) <= 2.5
    )


def is_slash(part: Part, band: Band) -> bool:
    """Return whether a part is one straight stroke that leans to the right like a slash.

    >>> from kalamos.pages.page import Box
    >>> ink = np.zeros((50, 30), np.uint8)
    >>> _ = cv2.line(ink, (27, 2), (2, 47), 255, 3)
    >>> is_slash(Part(Box(0, 0, 30, 50), ink), Band(5, 45))
    True
    """
    if part.box.height < MIN_SLASH_FRACTION * band.height:
        return False
    rows, columns = np.nonzero(part.ink)
    if len(rows) < 2:
        return False
    points = np.stack([columns, rows]).astype(np.float64)
    spread, axes = np.linalg.eigh(np.cov(points))
    along = axes[:, 1] if axes[1, 1] <= 0 else -axes[:, 1]  # upwards
    lean = math.degrees(math.atan2(along[0], -along[1]))
    straight = math.sqrt(max(spread[0], 0)) <= MAX_SLASH_DEVIATION * math.hypot(
        part.box.width, part.box.height
    )
    return straight and MIN_SLASH_DEGREES <= lean <= MAX_SLASH_DEGREES
