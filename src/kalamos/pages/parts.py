"""The parts of a page's ink: connected strokes in upright coordinates, ruled lines and specks left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.pages.ink_map import PageInk
from kalamos.pages.levelling import turned_canvas
from kalamos.pages.page import Box

__all__ = [
    "Part",
    "Sheet",
    "find_parts",
    "pen_width",
    "profile_skew",
    "skew_of",
    "straighten",
    "turn_quarters",
]

Grey = NDArray[np.uint8]

MIN_SPECK_FRACTION: Final = 0.07
"""Of the writing's height: parts smaller than this in both directions are dust."""

MIN_PEN_FRACTION: Final = 0.6
"""Of the pen's width: dots are no smaller."""

MAX_HEIGHT_FACTOR, MAX_WIDTH_FACTOR = 4.0, 16.0
"""Times the writing's height: larger parts are frames and drawings. A word of joined letters is wide."""

MIN_RULE_FACTOR: Final = 2.0
"""Times the writing's height: thin level strokes as long as this are ruled lines."""

MAX_RULE_FRACTION: Final = 0.35
"""Of the writing's height: ruled lines and dashes are no thicker, slopes included."""

CONTINUED_FRACTION: Final = 0.35
"""Of a dash's contrast: a ruled line goes on beside it at least as dark."""

MIN_EDGE_ASPECT: Final = 2.2
"""Longer side over shorter of what may be an edge and not a stroke."""

EDGE_REACH_FRACTION: Final = 0.3
"""Of the writing's height: how far to both sides the ground is looked at."""

MAX_STEP_FRACTION: Final = 0.8
"""Of a stroke's contrast: the ground's levels on its two sides differ by less."""

BLUR_PX: Final = 3
"""How far a stroke's blur reaches."""

LETTER_FRACTION: Final = 0.5
"""Of the writing's height: parts at least as high are letters, which show how the lines run."""

MAX_NEIGHBOUR_FACTOR: Final = 3.0
"""Times the writing's height: how far a neighbour on the same line may be."""

MAX_SKEW_DEGREES: Final = 35.0
"""Lines that run more steeply are not looked for; quarter turns are told by the letters."""

MIN_SKEW_DEGREES: Final = 0.7
"""Less is left as it is."""

PROFILE_PX: Final = 200
"""Of each part's ink, about so many px count in a page's profile."""

PROFILE_ROW_FRACTION: Final = 0.12
"""Of the writing's height: a row of the profile."""

PROFILE_HEIGHTS: Final = 0.3, 3.0
"""Times the writing's height: how high parts are that count in it."""

MIN_SHARPER: Final = 1.1
"""A profile's lines are so many times as sharp at least, or the page is left as it was thought to lie."""


class Part(NamedTuple):
    """Connected ink.

    Attributes:
        box: around it, in px of the sheet.
        ink: uint8 [h, w] of that box: bright, with nothing of its neighbours.
    """

    box: Box
    ink: Grey

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.box.x + self.box.width

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.box.y + self.box.height

    @property
    def middle(self) -> tuple[float, float]:
        """X and y of the box's middle."""
        return self.box.x + self.box.width / 2, self.box.y + self.box.height / 2


@dataclass(frozen=True)
class Sheet:
    """The ink of a page, turned upright.

    Attributes:
        strokes: uint8 [h, w], bright on black.
        mask: 255 where a stroke is, else 0.
        grey: the picture itself.
        to_page: float64 [2, 3], from px of the sheet to px of the page.
        height: typical height of the writing, in px of the sheet.
        turned: how far the page was turned clockwise, in degrees.
    """

    strokes: Grey
    mask: Grey
    grey: Grey
    to_page: NDArray[np.float64]
    height: float
    turned: float = 0.0

    @property
    def scale(self) -> float:
        """Px of the sheet for one px of the page."""
        return 1 / math.hypot(*self.to_page[:, 0])

    @classmethod
    def of(cls, ink: PageInk) -> Sheet:
        """Take a page's ink as it lies."""
        half = 0.5 / ink.scale - 0.5
        to_page = np.array([[1 / ink.scale, 0, half], [0, 1 / ink.scale, half]])
        return cls(ink.strokes(), ink.mask, ink.grey, to_page, ink.height)

    def placed(self, to_page: NDArray[np.float64], degrees: float) -> Sheet:
        """Return the sheet of the page that its own page was turned from: by so many degrees clockwise.

        Args:
            to_page: float64 [2, 3], from px of the turned page to those of the page.
        """
        both = np.vstack([to_page, [0, 0, 1]]) @ np.vstack([self.to_page, [0, 0, 1]])
        return replace(self, to_page=both[:2], turned=self.turned + degrees)

    def box_on_page(self, box: Box, width: int, height: int) -> Box:
        """Return the upright box on a page of `width` x `height` px around a box of the sheet."""
        left, top = box.x - 0.5, box.y - 0.5
        right, bottom = left + box.width, top + box.height
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        there = corners @ self.to_page[:, :2].T + self.to_page[:, 2] + 0.5
        low = np.floor(there.min(axis=0) + 0.01).astype(int)
        high = np.ceil(there.max(axis=0) - 0.01).astype(int)
        x, y = (int(np.clip(low[0], 0, width - 1)), int(np.clip(low[1], 0, height - 1)))
        return Box(x, y, max(1, min(int(high[0]), width) - x), max(1, min(int(high[1]), height) - y))


def turn_quarters(sheet: Sheet, quarters: int) -> Sheet:
    """Turn a sheet clockwise by so many quarters."""
    quarters %= 4
    if not quarters:
        return sheet
    height, width = sheet.mask.shape
    # From the turned sheet back to this one.
    back = {
        1: np.array([[0, 1, 0], [-1, 0, height - 1], [0, 0, 1.0]]),
        2: np.array([[-1, 0, width - 1], [0, -1, height - 1], [0, 0, 1.0]]),
        3: np.array([[0, -1, width - 1], [1, 0, 0], [0, 0, 1.0]]),
    }[quarters]
    strokes, mask, grey = (
        np.ascontiguousarray(np.rot90(image, -quarters)) for image in (sheet.strokes, sheet.mask, sheet.grey)
    )
    return Sheet(strokes, mask, grey, sheet.to_page @ back, sheet.height, sheet.turned + 90 * quarters)


def straighten(sheet: Sheet, degrees: float) -> Sheet:
    """Turn a sheet clockwise by any angle; it grows to hold all of itself."""
    there, size = turned_canvas(sheet.mask.shape, degrees)
    paper = int(np.median(sheet.grey))
    strokes, grey = (
        cv2.warpAffine(image, there[:2], size, flags=cv2.INTER_LINEAR, borderValue=ground)
        for image, ground in ((sheet.strokes, 0), (sheet.grey, paper))
    )
    mask = np.where(cv2.warpAffine(sheet.mask, there[:2], size) >= 128, 255, 0).astype(np.uint8)
    back = sheet.to_page @ np.linalg.inv(there)
    return Sheet(strokes, mask, grey, back, sheet.height, sheet.turned + degrees)  # type: ignore[arg-type]


def pen_width(mask: Grey) -> float:
    """Measure how wide most strokes of a mask uint8 [h, w] are, in px; 0.0 without any.

    >>> mask = np.zeros((40, 40), np.uint8)
    >>> pen_width(mask)
    0.0
    >>> mask[5:35, 10:16] = 255
    >>> round(pen_width(mask))
    4
    """
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    inside = depths[depths > 0]
    return 2 * float(np.median(inside)) if inside.size else 0.0


def find_parts(sheet: Sheet, *, like_lines: bool = False) -> list[Part]:
    """Return the connected parts of a sheet's ink, from left to right, without ruled lines and specks.

    Args:
        sheet: the sheet.
        like_lines: return those that were left out as ruled lines and edges of the paper, and no others: a 1
            between two other digits may look like one.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(sheet.mask)
    least = max(MIN_SPECK_FRACTION * sheet.height, MIN_PEN_FRACTION * pen_width(sheet.mask))
    parts = []
    for row in range(1, count):
        x, y, width, height = (int(number) for number in stats[row, :4])
        if max(width, height) < least or height > MAX_HEIGHT_FACTOR * sheet.height:
            continue
        if width > MAX_WIDTH_FACTOR * sheet.height:
            continue
        own = labels[y : y + height, x : x + width] == row
        box = Box(x, y, width, height)
        if (_is_ruled(sheet, box, own) or _is_edge(sheet, box, own)) != like_lines:
            continue
        parts.append(_part(sheet.strokes, np.asarray(labels, np.int32), row, box))
    return sorted(parts, key=lambda part: part.box)


def _part(strokes: Grey, labels: NDArray[np.int32], row: int, box: Box) -> Part:
    """Cut a part out, with the pixel around it that its blur reaches; it has full contrast, however faint."""
    top, left = max(0, box.y - 1), max(0, box.x - 1)
    rows, columns = slice(top, box.y + box.height + 1), slice(left, box.x + box.width + 1)
    nearby = labels[rows, columns]
    own = cv2.dilate((nearby == row).view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    own &= (nearby == row) | (nearby == 0)
    ink = np.where(own, strokes[rows, columns], 0).astype(np.uint8)
    peak = int(ink.max())
    if 0 < peak < 255:
        ink = cv2.convertScaleAbs(ink, alpha=255 / peak)  # type: ignore[assignment]
    return Part(Box(left, top, ink.shape[1], ink.shape[0]), ink)


def _is_ruled(sheet: Sheet, box: Box, own: NDArray[np.bool_]) -> bool:
    """Return whether a part is a piece of a ruled line, which the paper shows beside it too."""
    if box.height > MAX_RULE_FRACTION * sheet.height or box.width < 1.5 * box.height:
        return False
    if box.width >= MIN_RULE_FACTOR * sheet.height:
        return True
    rows = slice(box.y, box.y + box.height)
    reach = max(4, round(0.4 * sheet.height))
    above = sheet.grey[max(0, box.y - reach) : box.y], sheet.grey[rows.stop : rows.stop + reach]
    columns = slice(box.x, box.x + box.width)
    paper = np.concatenate([side[:, columns].ravel() for side in above])
    if not paper.size:
        return False
    contrast = float(np.median(paper)) - float(np.mean(sheet.grey[rows, columns][own]))
    sides = [
        _goes_on(sheet, rows, range(columns.start - 1 - BLUR_PX, columns.start - 1 - reach, -1), contrast),
        _goes_on(sheet, rows, range(columns.stop + BLUR_PX, columns.stop + reach), contrast),
    ]
    return True in sides and False not in sides


def _is_edge(sheet: Sheet, box: Box, own: NDArray[np.bool_]) -> bool:
    """Return whether a thin part is where two grounds meet, such as paper and table."""
    if max(box.width, box.height) < MIN_EDGE_ASPECT * min(box.width, box.height):
        return False
    reach = max(4, round(EDGE_REACH_FRACTION * sheet.height))
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    if box.height > box.width:
        sides = (
            sheet.grey[rows, max(0, box.x - reach) : max(0, box.x - BLUR_PX)],
            sheet.grey[rows, columns.stop + BLUR_PX : columns.stop + reach],
        )
    else:
        sides = (
            sheet.grey[max(0, box.y - reach) : max(0, box.y - BLUR_PX), columns],
            sheet.grey[rows.stop + BLUR_PX : rows.stop + reach, columns],
        )
    if not sides[0].size or not sides[1].size:
        return True  # along the picture's own edge
    one, other = (float(np.median(side)) for side in sides)
    contrast = abs(float(np.mean(sheet.grey[rows, columns][own])) - (one + other) / 2)
    return abs(one - other) > MAX_STEP_FRACTION * max(contrast, 1.0)


def _goes_on(sheet: Sheet, rows: slice, columns: range, contrast: float) -> bool | None:
    """Return whether a line goes on in these columns, up to the next ink; None where nothing can be seen."""
    thick = rows.stop - rows.start
    band = slice(max(0, rows.start - thick), rows.stop + thick)
    inside = [column for column in columns if 0 <= column < sheet.mask.shape[1]]
    inked = sheet.mask[band, inside].any(axis=0)
    free = inside[: int(inked.argmax()) if inked.any() else len(inside)]
    free = free[: len(free) - BLUR_PX] if inked.any() else free
    if len(free) < 3:
        return None
    profile = sheet.grey[band, free].mean(axis=1)
    paper = float(np.median(profile))
    strongest = max((paper - profile).min(), (paper - profile).max(), key=abs)
    return bool(strongest * contrast > 0 and abs(strongest) >= CONTINUED_FRACTION * abs(contrast))


def skew_of(parts: Sequence[Part], height: float) -> float:
    """Measure how far lines fall to the right, in degrees: the median slope to the right neighbour.

    >>> dots = [Part(Box(40 * i, 10 + 4 * i, 20, 30), np.full((30, 20), 255, np.uint8)) for i in range(6)]
    >>> round(skew_of(dots, 30), 1)
    5.7
    """
    letters = [part for part in parts if part.box.height >= LETTER_FRACTION * height]
    if len(letters) < 2:
        return 0.0
    middles = np.array([part.middle for part in letters])
    across = middles[np.newaxis, :, 0] - middles[:, np.newaxis, 0]
    down = middles[np.newaxis, :, 1] - middles[:, np.newaxis, 1]
    steep = math.tan(math.radians(MAX_SKEW_DEGREES))
    beside = (across > 0.2 * height) & (across < MAX_NEIGHBOUR_FACTOR * height)
    beside &= np.abs(down) <= np.maximum(steep * across, 0.0)
    distance = np.where(beside, np.hypot(across, 2 * down), np.inf)
    nearest = distance.argmin(axis=1)
    rows = np.flatnonzero(np.isfinite(distance.min(axis=1)))
    if not len(rows):
        return 0.0
    # Letters on one base line differ in height: both edges of their boxes vote, the flatter one counts.
    tops = np.array([part.box.y for part in letters])
    bottoms = np.array([part.bottom for part in letters])
    slopes = []
    for row in rows.tolist():
        other, run = int(nearest[row]), across[row, nearest[row]]
        rises = (tops[other] - tops[row]) / run, (bottoms[other] - bottoms[row]) / run
        slopes.append(sum(rises) / 2)
    return math.degrees(math.atan(float(np.median(slopes))))


def profile_skew(parts: Sequence[Part], height: float, first: float) -> float:
    """Measure how far lines fall to the right, in degrees, by the angle at which they are told best.

    Characters that touch are parts of many heights, whose edges say little. Summed along the lines, their ink
    stands in heaps with gaps between (Postl 1986).

    Args:
        parts: of the page.
        height: of the writing, in px.
        first: what `skew_of` says; it stays unless another angle tells the lines clearly better.

    >>> long = Part(Box(0, 0, 200, 60), np.zeros((60, 200), np.uint8))
    >>> for x in range(200):
    ...     long.ink[x // 10 : x // 10 + 30, x] = 255
    >>> 4.5 < profile_skew([long], 30, 0.0) < 7
    True
    """
    low, high = (factor * height for factor in PROFILE_HEIGHTS)
    points = []
    for part in parts:
        if low <= part.box.height <= high:
            y, x = np.nonzero(part.ink > 100)
            every = max(1, len(x) // PROFILE_PX)
            points.append(
                np.stack([x[::every] + part.box.x, y[::every] + part.box.y, np.full(len(x[::every]), every)])
            )
    if not points:
        return first
    x, y, weights = np.concatenate(points, axis=1)

    def sharpness(degrees: float) -> float:
        rows = (y - x * math.tan(math.radians(degrees))) / (PROFILE_ROW_FRACTION * height)
        heaps = np.bincount((rows - rows.min()).astype(np.int64), weights)
        return float(np.square(np.convolve(heaps, [0.25, 0.5, 0.25])).sum())

    best = max(np.arange(-MAX_SKEW_DEGREES, MAX_SKEW_DEGREES + 1).tolist(), key=sharpness)
    best = max((best + np.arange(-0.75, 1.0, 0.25)).tolist(), key=sharpness)
    return best if sharpness(best) >= MIN_SHARPER * sharpness(first) else first
