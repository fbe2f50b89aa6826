"""A page that lies askew, told by its straight lines before any ink is looked for, and turned level.

The ink finder takes lines that run along its picture for ruling, and steep ones for strokes: on ruled paper
that was scanned at an angle it sees next to no writing. Writing itself is straightened later, by its lines.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["levelled", "slant_of", "turned_canvas"]

Grey = NDArray[np.uint8]

LONGER_PX: Final = 1000
"""The longer side of the picture that lines are looked for on."""

STEPS_A_DEGREE: Final = 10
"""In which directions are counted."""


class _Ruling(NamedTuple):
    """What lines of one kind of paper are.

    Attributes:
        shortest: the least length of a line, in longer sides of the page.
        same: how far lines may differ in direction, to either side, in degrees.
        least: how long all are together at least, in longer sides of the page.
    """

    shortest: float
    same: float
    least: float


RULED: Final = _Ruling(0.06, 1.0, 4.0)
"""Shorter lines are strokes."""

SQUARED: Final = _Ruling(0.008, 2.0, 20.0)
"""Lines are seen from one crossing to the next: they are short, but more than any writing has of strokes."""

MIN_SHARE: Final = 0.7
"""Of the length of all lines, how much is the ruling's at least: photographed pages have none such."""

MIN_DEGREES, MAX_DEGREES = 3.0, 40.0
"""What is less askew is read as it is; between this and its complement no side is the upper one."""


def slant_of(image: Grey) -> float:
    """Measure how far a page's ruling is turned clockwise, in degrees; 0.0 without any, or where it is level.

    Args:
        image: uint8 [H, W].

    >>> page = np.full((800, 600), 240, np.uint8)
    >>> for y in range(-200, 900, 40):
    ...     _ = cv2.line(page, (0, y), (599, y + 105), 150, 2, cv2.LINE_AA)
    >>> round(slant_of(page)), slant_of(np.full((800, 600), 240, np.uint8))
    (10, 0.0)
    """
    scale = min(1.0, LONGER_PX / max(image.shape))
    size = [max(1, round(side * scale)) for side in image.shape[::-1]]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    found = cv2.createLineSegmentDetector().detect(small)[0]
    ends = np.zeros((0, 4)) if found is None else np.asarray(found, np.float64).reshape(-1, 4)
    across, down = (ends[:, 2:] - ends[:, :2]).T
    longer = max(small.shape)
    lengths = np.hypot(across, down) / longer
    # Lines at right angles belong together.
    angles = (np.degrees(np.arctan2(down, across)) + 45) % 90 - 45
    for ruling in (RULED, SQUARED):
        long = lengths >= ruling.shortest
        slant = _common_direction(angles[long], lengths[long], ruling)
        if slant is not None:
            return slant if MIN_DEGREES <= abs(slant) <= MAX_DEGREES else 0.0
    return 0.0


def _common_direction(
    angles: NDArray[np.float64], lengths: NDArray[np.float64], ruling: _Ruling
) -> float | None:
    """Return the direction of most lines, in degrees, [-45, 45); None where they have no common one.

    Args:
        angles: of N lines, in degrees.
        lengths: theirs, in longer sides of the page.
        ruling: how long and how much alike they must be.
    """
    if lengths.sum() < ruling.least:
        return None
    steps = ((angles + 45) * STEPS_A_DEGREE).astype(np.int64) % (90 * STEPS_A_DEGREE)
    heaps = np.bincount(steps, lengths, minlength=90 * STEPS_A_DEGREE)
    reach = round(ruling.same * STEPS_A_DEGREE)
    around = np.sum([np.roll(heaps, shift) for shift in range(-reach, reach + 1)], axis=0)
    middle = (int(around.argmax()) + 0.5) / STEPS_A_DEGREE - 45
    off = (angles - middle + 45) % 90 - 45
    near = np.abs(off) <= ruling.same
    if lengths[near].sum() < max(ruling.least, MIN_SHARE * lengths.sum()):
        return None
    return middle + float(np.average(off[near], weights=lengths[near]))


def levelled(image: Grey, slant: float) -> tuple[Grey, NDArray[np.float64]]:
    """Turn a page back by its slant, in degrees; the picture grows to hold all of it.

    Returns:
        uint8 [h, w], and float64 [2, 3], from its px to those of the page.
    """
    matrix, size = turned_canvas(image.shape, -slant)
    paper = int(np.median(image))
    turned = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderValue=paper)
    return turned, np.linalg.inv(matrix)[:2]  # type: ignore[return-value]


def turned_canvas(shape: tuple[int, ...], degrees: float) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Tell where a picture's px lie after it is turned clockwise about its middle, and grown to hold all.

    Args:
        shape: its height and width.
        degrees: any angle.

    Returns:
        float64 [3, 3], from its px to those of the turned one; and the width and height of that.

    >>> matrix, size = turned_canvas((2, 5), 90)
    >>> size, matrix.round(9).tolist()
    ((2, 5), [[0.0, -1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    """
    height, width = shape
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    # Rounded first, or a quarter turn would be a px larger.
    wide, high = (
        math.ceil(round(abs(a * cos) + abs(b * sin), 6)) for a, b in ((width, height), (height, width))
    )
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([(wide - 1) / 2, (high - 1) / 2]) - turn @ np.array([(width - 1) / 2, (height - 1) / 2])
    return np.vstack([np.column_stack([turn, shift]), [0.0, 0.0, 1.0]]), (wide, high)
