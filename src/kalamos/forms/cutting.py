"""Boxes cut out of a scan, each made upright, with what is around them, and with their lines or without.

A cut inside the lines takes the ends off characters that cross them. The ink finder tells lines from writing,
but leaves a piece of a thick line here and there, which makes a 1 a 7 and a 5 a 6. Where a box lies is known,
and so where its lines are: they can be taken away before.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey

__all__ = ["MARGIN", "cut_boxes", "without_lines"]

MARGIN: Final = 0.2
"""Of a box's shorter side: what is shown around it, since characters cross its lines."""

LINE_REACH: Final = 0.09
"""Of a box's side across: how far from where it must be a line is looked for, besides a pixel."""

WIDEST_LINE: Final = 0.16
"""Of a box's side across: what is wider is no line."""

LINE_QUANTILE: Final = 0.65
"""A line is as dark as that, or darker, on so much of a box's side: writing crosses a part of it."""

FAINTEST_LINE: Final = 8.0
"""Grey levels by which a line is darker than the paper."""

PAPER_QUANTILE: Final = 0.8
"""Of a picture's grey levels, that of the paper."""

LINE_EDGE: Final = 0.35
"""Of a line's depth, from which on a row belongs to it. Of a blurred line that leaves a shadow of even grey,
which the ink finder takes for none; to take it away whole would take the bar of a 7 along with it."""


def cut_boxes(scan: Grey, corners: NDArray[np.floating], *, side: int, margin: float = MARGIN) -> list[Grey]:
    """Cut boxes out of a scan, each made upright.

    Args:
        scan: uint8 [H, W].
        corners: [N, 4, 2], px, clockwise from the box's top left.
        side: px of the longer side of a box, without margin.
        margin: how much of what is around a box to keep, as a share of its shorter side: characters cross
            the lines. Negative cuts inside.

    Returns:
        An image uint8 [h, w] for each box, of its own proportions.

    >>> scan = np.full((100, 100), 255, np.uint8)
    >>> corners = np.float32([[[10, 10], [50, 10], [50, 90], [10, 90]]])
    >>> [box.shape for box in cut_boxes(scan, corners, side=40)]
    [(48, 28)]
    """
    cuts = []
    for box in np.asarray(corners, np.float64).reshape(-1, 4, 2):
        lengths = np.linalg.norm(box - np.roll(box, -1, axis=0), axis=1)
        width, height = (lengths[0] + lengths[2]) / 2, (lengths[1] + lengths[3]) / 2
        scale = side / max(width, height, 1.0)
        edge = margin * min(width, height) * scale
        inner = np.array([width, height]) * scale
        size = np.maximum(np.rint(inner + 2 * edge), 1).astype(int)
        target = np.array([[0, 0], [inner[0], 0], inner, [0, inner[1]]]) + edge - 0.5
        cuts.append(_upright(scan, box, target, size, scale))
    return cuts


def _upright(
    scan: Grey, box: NDArray[np.float64], target: NDArray[np.float64], size: NDArray[np.int_], scale: float
) -> Grey:
    matrix = cv2.getPerspectiveTransform(box.astype(np.float32), target.astype(np.float32))
    width, height = (int(length) for length in size)
    if scale >= 0.75:
        return cv2.warpPerspective(  # type: ignore[return-value]
            scan, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    # Drawn several times as large and reduced by area, or thin strokes would fall between the pixels.
    times = int(np.ceil(1 / scale))
    larger = np.diag([times, times, 1.0]) @ matrix
    drawn = cv2.warpPerspective(
        scan, larger, (width * times, height * times), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def without_lines(box: Grey, *, margin: float = MARGIN) -> Grey:
    """Take a box's own lines from a picture of it; writing that crosses them stays.

    What is no higher than a line is filled, by a closing across it, in the rows of the line alone.

    Args:
        box: uint8 [h, w], dark on bright, as `cut_boxes` returns it.
        margin: with which it was cut out.

    Returns:
        uint8 [h, w].

    >>> box = np.full((70, 70), 240, np.uint8)
    >>> crossed = cv2.line(cv2.rectangle(box, (10, 10), (59, 59), 40, 2), (35, 20), (35, 69), 40, 3)
    >>> cleaned = without_lines(crossed)
    >>> int(cleaned[10, 12:58].min()), int(cleaned[59, 35])
    (240, 40)
    """
    cleaned = box.copy()
    edge = min(box.shape) * margin / (1 + 2 * margin)
    paper = int(np.partition(box, int(PAPER_QUANTILE * box.size), axis=None)[int(PAPER_QUANTILE * box.size)])
    for turn in range(4):
        _take_upper_line(np.rot90(cleaned, turn), edge, paper)
    return cleaned


def _take_upper_line(box: NDArray[np.uint8], edge: float, paper: int) -> None:
    """Take the line from a picture that lies `edge` px below its upper end, in place."""
    height, width = box.shape
    side = height - 2 * edge
    reach, widest = LINE_REACH * side + 1, WIDEST_LINE * side
    start, end = max(0, round(edge - reach - widest)), min(height, round(edge + reach + widest) + 1)
    left, right = round(edge), round(width - edge)
    if end - start < 3 or right - left < 3:
        return
    place = int(LINE_QUANTILE * (right - left))
    level = np.partition(box[start:end, left:right], place, axis=1)[:, place].astype(int)
    rows = np.flatnonzero(np.abs(np.arange(start, end) - edge) <= reach)
    middle = rows[level[rows].argmin()]
    depth = paper - level[middle]
    if depth < FAINTEST_LINE:
        return
    bright = np.flatnonzero(level >= paper - LINE_EDGE * depth)
    first = int(bright[bright < middle].max(initial=-1)) + 1
    last = int(bright[bright > middle].min(initial=len(level))) - 1
    thickness = last - first + 1
    if thickness > widest:
        return
    top, bottom = start + first, start + last + 1
    above = max(0, top - thickness - 1)
    around = np.ascontiguousarray(box[above : bottom + thickness + 1])
    across = np.ones((thickness + 1, 1), np.uint8)
    closed = cv2.morphologyEx(around, cv2.MORPH_CLOSE, across, borderType=cv2.BORDER_REPLICATE)
    box[top:bottom] = closed[top - above : bottom - above]
