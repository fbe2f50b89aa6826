"""Take away the lines that are printed on the paper: ruled, squared, a form's cells.

A printed line runs from border to border, straight and thin. Where ink goes on beside it, a stroke
crosses it or ends on it, and is left whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import stroke_width

__all__ = ["remove_lines"]

Mask = NDArray[np.uint8]

LINE_STRIPS = 8
"""A line is looked for in so many strips side by side, and may be missing in one of them."""

MAX_LINE_SLOPE = 0.1
"""A line rises by at most this share of the picture's width: nobody crops more askew."""

MIN_STRIP_DARK_FRACTION = 0.5
"""A strip holds its piece of the line when at least this share of it is dark."""

MIN_STRIPS_INSIDE = LINE_STRIPS - 3
"""In as many strips the line has to be on the picture; in the others it may have left it."""

MAX_LINE_THICKNESS_FRACTION = 0.05
"""A printed line is at most this share of the longer side thick."""

MIN_LONE_STROKE_FRACTION = 0.03
"""Where nothing but lines is there, one of at least this share of the longer side may be a stroke."""

MIN_PEN_LIKE_FRACTION = 0.7
"""A line at least this share as thick as the strokes may have been drawn with the same pen."""

MIN_WRITTEN_SPAN_FRACTION = 0.12
"""What spans this share of the longer side is more than a crumb of a line."""

MIN_SIDE_FOR_LINES_PX = 48
"""With a shorter side of fewer pixels, lines cannot be told from strokes."""

MAX_LINES = 40
"""Lines a direction; the finest squared paper has fewer behind one character."""


@dataclass(frozen=True)
class Line:
    """Around row `middle + rise * (x - W / 2) / W`; all in px."""

    middle: float
    rise: float
    thickness: int


def remove_lines(mask: Mask) -> Mask:
    """The mask without printed lines; the mask itself where there is none.

    A line stays where it is all that is written (a dash, a 1, an alef or a T that fills its crop), and where
    it may be a stroke of a character that fills its crop from border to border (a T, a 4).

    Args:
        mask: uint8 [H, W], 255 where there is ink.

    >>> page = np.zeros((100, 100), np.uint8)
    >>> page[20:80, 45:52] = 255            # a stroke ...
    >>> page[60:62] = 255                   # ... on a ruled line
    >>> cleaned = remove_lines(page)
    >>> int(cleaned[60:62, 45:52].min()), int(cleaned[60:62, :40].max())
    (255, 0)
    """
    borders = mask[:2], mask[-2:], mask[:, :2], mask[:, -2:]
    if min(mask.shape) < MIN_SIDE_FOR_LINES_PX or sum(cv2.countNonZero(border) > 0 for border in borders) < 2:
        return mask
    across, down = _find(mask), _find(mask.T)
    if not across and not down:
        return mask
    rest = _without(mask, across, down)
    if _is_written(rest):
        pen = stroke_width(rest)
        across = [line for line in across if not _may_be_stroke(line, rest, pen)]
        down = [line for line in down if not _may_be_stroke(line, rest.T, pen)]
    elif max(len(across), len(down)) == 1 and all(
        line.thickness >= MIN_LONE_STROKE_FRACTION * max(mask.shape) for line in across + down
    ):
        return mask
    return _without(mask, across, down)


def _is_written(rest: Mask) -> bool:
    _, _, stats, _ = cv2.connectedComponentsWithStats(rest)
    sides = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return bool(sides.max(initial=0) >= MIN_WRITTEN_SPAN_FRACTION * max(rest.shape))


def _may_be_stroke(line: Line, rest: Mask, pen: float) -> bool:
    """Whether the line is as thick as the pen, and makes, with the rest, ink that fills its crop."""
    height = len(rest)
    rows = np.flatnonzero(rest.any(axis=1))
    slack = 1 + 0.02 * height
    top = min(rows[0], line.middle - line.thickness)
    bottom = max(rows[-1], line.middle + line.thickness)
    return bool(
        line.thickness >= MIN_PEN_LIKE_FRACTION * pen and top <= slack and bottom >= height - 1 - slack
    )


def _find(mask: Mask) -> list[Line]:
    """The lines that cross the picture from left to right."""
    height, width = mask.shape
    strips = cv2.resize(np.ascontiguousarray(mask), (LINE_STRIPS, height), interpolation=cv2.INTER_AREA)
    tolerance = 1 + height // 150  # lens and paper bend lines a little
    dark = cv2.dilate(
        (strips >= 255 * MIN_STRIP_DARK_FRACTION).astype(np.uint8), np.ones((2 * tolerance + 1, 1), np.uint8)
    )
    if np.count_nonzero(dark.any(axis=0)) < MIN_STRIPS_INSIDE:
        return []
    rows, rises, margin = _tracks(height, width)
    columns = np.arange(LINE_STRIPS)
    inside, anywhere = (
        np.pad(dark, ((margin, margin), (0, 0)), constant_values=beyond)[rows, columns].sum(
            axis=2, dtype=np.uint8
        )
        for beyond in (0, 1)
    )
    score = np.where(
        (anywhere >= LINE_STRIPS - 1) & (inside >= MIN_STRIPS_INSIDE), inside + anywhere, 0
    )  # [rises, rows]
    apart = round(MAX_LINE_SLOPE * width / 2)
    lines: list[Line] = []
    for _ in range(MAX_LINES):
        best = score.max()
        if not best:
            break
        # Of the rises that fit best, the one that fits the most rows follows the line's own.
        rise = int(np.argmax((score == best).sum(axis=1)))
        first = last = int(np.argmax(score[rise]))
        while first and score[rise, first - 1]:
            first -= 1
        while last + 1 < height and score[rise, last + 1]:
            last += 1
        thickness = max(1, last - first + 1 - 2 * tolerance)
        if thickness <= MAX_LINE_THICKNESS_FRACTION * max(mask.shape):
            lines.append(Line((first + last) / 2, float(rises[rise]), thickness))
        # The same line, seen under other rises.
        score[:, max(0, first - apart) : last + apart + 1] = 0
    return lines


@lru_cache(maxsize=16)
def _tracks(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    """Where a line of each rise through each row is in each strip.

    Returns:
        Rows [R, H, LINE_STRIPS] counted from `margin` px above the picture; the rises [R] in px; the margin.
    """
    step = max(2.0, height / 100)
    most = int(MAX_LINE_SLOPE * width / step)
    rises = np.arange(-most, most + 1, dtype=np.float64) * step
    places = (np.arange(LINE_STRIPS) + 0.5) / LINE_STRIPS - 0.5
    margin = round(MAX_LINE_SLOPE * width / 2) + 2
    rows = np.arange(height)[:, np.newaxis] + np.rint(rises[:, np.newaxis, np.newaxis] * places)
    return rows.astype(np.intp) + margin, rises, margin


def _without(mask: Mask, across: list[Line], down: list[Line]) -> Mask:
    rest = mask.copy()
    for line in across:
        _erase(mask, rest, line)
    for line in down:
        _erase(mask.T, rest.T, line)
    return rest


def _erase(mask: Mask, rest: Mask, line: Line) -> None:
    """Blacken the line in `rest`, but for the columns in which `mask` goes on above or below it."""
    height, width = mask.shape
    x = np.arange(width)
    middle = line.middle + line.rise * ((x + 0.5) / width - 0.5)
    half = line.thickness / 2 + 1.5 + height / 300
    top, bottom = np.floor(middle - half).astype(np.intp), np.ceil(middle + half).astype(np.intp)
    framed = np.pad(mask, ((3, 3), (0, 0)))

    def dark(row: NDArray[np.intp]) -> NDArray[np.bool_]:
        lit: NDArray[np.bool_] = framed[np.clip(row + 3, 0, height + 5), x] > 0
        return lit

    goes_on = (dark(top - 1) & dark(top - 2)) | (dark(bottom + 1) & dark(bottom + 2))
    y = np.arange(height)[:, np.newaxis]
    rest[(y >= top) & (y <= bottom) & ~goes_on] = 0
