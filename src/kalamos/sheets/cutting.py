"""Characters cut out of boxes: the box's lines painted over, neighbours' strokes left out, nothing else lost.

The ink finder says which boxes are filled. What is cut is the picture as it was scanned: of the strokes that
are dark on it, those that belong to the box stay, where they leave it too, and the paper is kept around them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.cutting import cut_boxes
from kalamos.forms.geometry import Grey, square_sides
from kalamos.pages.cells import (
    FAINT_FRACTION,
    FAINTEST_FRACTION,
    USUAL_QUANTILE,
    Ink,
    ink_of,
    without_frame,
)
from kalamos.pages.ink_map import paper_around
from kalamos.preprocessing.ink import InkMap, find_ink
from kalamos.recognizer import CHUNK
from kalamos.sheets.erasing import erase_lines

__all__ = ["CutBox", "cut_characters"]

FINDER_PX: Final = 48
"""The longer side that boxes are shown to the ink finder at, without what is around them."""

MARGIN: Final = 0.2
"""Of a box's shorter side: what is looked at around it."""

SHOWN_FRACTION: Final = MARGIN / (1 + 2 * MARGIN)
"""The same of the picture's width."""

MAX_SIDE_PX: Final = 256
"""Of a box on the pictures: larger ones are reduced."""

INSET_FRACTION: Final = 0.035
"""Of a box's side: where the picture begins within the line, unless ink goes on."""

RIM_FRACTION: Final = 0.07
"""Of a box's side: what lies nearer to the line as a whole may be left of it."""

LINE_REACH_FRACTION, LINE_COVERAGE = 0.06, 0.75
"""What is dark along so much of a side, and no farther from its line than so many sides, is left of it."""

DARK_FRACTION: Final = 0.3
"""Of the ink's contrast to the paper, from which on a pixel is of a stroke."""

DARK_GRAIN: Final = 4.0
"""And at least so many standard deviations of the paper's grain."""

MIN_PART_FRACTION: Final = 0.0012
"""Of a box's area: parts that the ink finder did not see, and that are smaller, are dust."""

PAD_PX: Final = 3
"""Of paper around strokes that leave the box."""

MAX_EDGE_LINE_FRACTION: Final = 0.4
"""Of a box's side: a part along its edge that is longer is left of its line."""


class CutBox(NamedTuple):
    """What is in one box.

    Attributes:
        image: the character, uint8 [H, W], as on the scan; None where nothing is written.
        mask: its strokes, 255 and 0, of the same shape.
        side: px of the box's side on it.
        faint: whether it may be dust or a stain.
    """

    image: Grey | None
    mask: Grey | None
    side: float
    faint: bool


def cut_characters(scan: Grey, corners: NDArray[np.floating]) -> list[CutBox]:
    """Cut what is written in boxes out of a scan.

    Args:
        scan: uint8 [H, W], dark strokes on bright paper.
        corners: of all boxes of the page, [N, 4, 2], px, clockwise from the top left, at the middle of their
            lines.

    >>> scan = np.full((200, 300), 230, np.uint8)
    >>> for x in (20, 160):
    ...     _ = cv2.rectangle(scan, (x, 50), (x + 100, 150), 90, 2)
    >>> _ = cv2.line(scan, (60, 75), (80, 125), 40, 5)
    >>> boxes = np.float32([[[x, 50], [x + 100, 50], [x + 100, 150], [x, 150]] for x in (20, 160)])
    >>> full, empty = cut_characters(scan, boxes)
    >>> full.image.shape[0] < 100, int(full.image.min()) < 60, empty.image is None
    (True, True, True)
    """
    boxes = np.asarray(corners, np.float64).reshape(-1, 4, 2)
    if not len(boxes):
        return []
    found = _find_inks(scan, boxes)
    contrasts = [ink.contrast for _, ink in found if ink is not None]
    usual = float(np.quantile(contrasts, USUAL_QUANTILE)) if contrasts else 0.0
    erased = erase_lines(scan, boxes)
    cuts = []
    for box, (ink_map, ink) in zip(boxes, found, strict=True):
        side = float(square_sides(box[None])[0])
        if ink is None or ink.contrast < FAINTEST_FRACTION * usual:
            cuts.append(CutBox(None, None, side, False))
            continue
        longer = min(float(np.linalg.norm(box - np.roll(box, -1, axis=0), axis=1).max()), MAX_SIDE_PX)
        [picture] = cut_boxes(erased, box[None], side=max(1, round(longer)), margin=MARGIN)
        faint = ink.stray or ink.contrast < FAINT_FRACTION * usual
        cuts.append(_cut(picture, ink_map, faint=faint))
    return cuts


def _find_inks(scan: Grey, boxes: NDArray[np.float64]) -> list[tuple[InkMap, Ink | None]]:
    """Show boxes to the ink finder, their lines included, which it knows."""
    found: list[tuple[InkMap, Ink | None]] = []
    for start in range(0, len(boxes), CHUNK):
        crops = cut_boxes(scan, boxes[start : start + CHUNK], side=FINDER_PX, margin=MARGIN)
        for crop, seen in zip(crops, find_ink(crops), strict=True):
            ink_map = without_frame(seen, crop.shape, SHOWN_FRACTION)
            found.append((_on_crop(ink_map, crop.shape), ink_of(crop, ink_map, SHOWN_FRACTION)))
    return found


def _on_crop(ink_map: InkMap, shape: tuple[int, ...]) -> InkMap:
    """Lay a map's mask, which may be of a part, over the whole picture that the finder was shown."""
    view = ink_map.view
    mask = np.zeros(shape, np.uint8)
    size = (view.right - view.left, view.bottom - view.top)
    part = cv2.resize(ink_map.mask, size, interpolation=cv2.INTER_AREA)
    mask[view.top : view.bottom, view.left : view.right] = np.where(part >= 64, 255, 0)
    return ink_map._replace(mask=mask)


def _cut(picture: Grey, ink_map: InkMap, *, faint: bool) -> CutBox:
    """Cut a character out of a box's picture, whose lines are painted over and which shows the margin."""
    height, width = picture.shape
    edge = MARGIN / (1 + 2 * MARGIN) * min(height, width)
    side = min(height, width) - 2 * edge
    seen = cv2.resize(ink_map.mask, (width, height), interpolation=cv2.INTER_LINEAR) >= 96
    near = cv2.dilate(seen.astype(np.uint8), _disc(0.04 * side)) > 0
    paper = _paper(picture, near)
    dark = paper - picture
    strength = float(np.quantile(dark[seen], 0.75)) if seen.any() else 0.0
    grain = 1.4826 * float(np.median(np.abs(dark[~near]))) if (~near).any() else 0.0
    stroke = dark >= max(DARK_FRACTION * strength, DARK_GRAIN * grain, 4.0)
    lines = _left_lines(stroke, edge, side)
    own, foreign = _own_parts(stroke & ~lines, near, edge, side)
    foreign |= lines
    if not own.any():
        return CutBox(None, None, side, False)
    # Of lines their soft edges go too.
    hidden = cv2.dilate(foreign.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    hidden &= ~(cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    inner = np.zeros_like(own)
    inset = round(edge + max(INSET_FRACTION * side, 1.5))
    inner[inset : height - inset, inset : width - inset] = True
    around_own = cv2.dilate(own.astype(np.uint8), np.ones((2 * PAD_PX + 1,) * 2, np.uint8)) > 0
    kept = (inner | around_own) & ~hidden
    cleaned = np.where(kept, picture, np.clip(np.rint(paper), 0, 255)).astype(np.uint8)
    x, y, w, h = cv2.boundingRect((inner | around_own).astype(np.uint8))
    return CutBox(
        np.ascontiguousarray(cleaned[y : y + h, x : x + w]),
        np.where(own, 255, 0).astype(np.uint8)[y : y + h, x : x + w],
        side,
        faint,
    )


def _left_lines(stroke: NDArray[np.bool_], edge: float, side: float) -> NDArray[np.bool_]:
    """Find what is left of the box's lines: dark along nearly all of a side, close to where its line was.

    Where a stroke goes through, and is dark on both sides of it, it stays.
    """
    left = np.zeros_like(stroke)
    reach = LINE_REACH_FRACTION * side
    for mask, found in ((stroke, left), (stroke.T, left.T)):
        low, high = round(edge), mask.shape[1] - round(edge)
        full = mask[:, low:high].mean(axis=1) >= LINE_COVERAGE
        for middle in (edge, mask.shape[0] - edge):
            start, stop = max(2, round(middle - reach)), min(mask.shape[0] - 2, round(middle + reach) + 1)
            rows = start + np.flatnonzero(full[start:stop])
            if len(rows):
                first, last = int(rows[0]) - 1, int(rows[-1]) + 1
                crossed = mask[max(first - 2, 0)] & mask[min(last + 2, len(mask) - 1)]
                found[first : last + 1] |= mask[first : last + 1] & ~crossed
    return left


def _paper(picture: Grey, inked: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the level of the paper under each pixel, float32 [h, w]."""
    mask = np.where(inked, 255, 0).astype(np.uint8)
    # The middling level of what is not ink stands in where there is no paper near.
    level = np.float32(np.median(picture[~inked])) if (~inked).any() else np.float32(255)
    local = paper_around(picture.astype(np.float32), mask)
    return np.where(local > 0.5 * level, local, level).astype(np.float32)


def _own_parts(
    stroke: NDArray[np.bool_], near: NDArray[np.bool_], edge: float, side: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell strokes that belong to a box from those of its neighbours, dust and what is left of its lines."""
    height, width = stroke.shape
    count, parts, stats, _ = cv2.connectedComponentsWithStats(stroke.astype(np.uint8), connectivity=8)
    if count == 1:
        return stroke, stroke
    rim = edge + RIM_FRACTION * side
    inside = np.zeros_like(stroke)
    low = round(edge)
    inside[low : height - low, low : width - low] = True
    areas = stats[:, cv2.CC_STAT_AREA]
    within = np.bincount(parts[inside], minlength=count) / np.maximum(areas, 1)
    seen = np.bincount(parts[near], minlength=count) / np.maximum(areas, 1)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    at_rim = (right <= rim) | (left >= width - rim) | (bottom <= rim) | (top >= height - rim)
    longer = np.maximum(right - left, bottom - top)
    own = (within >= 0.5) & ((seen >= 0.3) | (areas >= MIN_PART_FRACTION * side * side))
    own &= ~(at_rim & ((seen < 0.5) | (longer >= MAX_EDGE_LINE_FRACTION * side)))
    own[0] = False
    foreign = ~own
    foreign[0] = False
    return own[parts], foreign[parts]


def _disc(radius: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
