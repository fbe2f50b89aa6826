"""Take the ink from a plain ground by subtraction: drawings, screens, prepared images.

No camera makes such a ground, and nothing but a character lies on it. What holds more goes to the ink finder.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.dataset_noise import ink_on_bands, without_impulses
from kalamos.preprocessing.resizing import SQUARE_3X3, border_bytes, is_nested

__all__ = ["ink_on_plain_ground", "trim_padding"]

Grey = NDArray[np.uint8]

MIN_SHADES_SIDE_PX: Final = 16
"""On pictures with a shorter side than this, only black is taken for a plain ground."""

MIN_NARROW_BLACK_FRACTION: Final = 0.4
"""Of the border of such a picture, if no more of it is bright."""

STROKE_PEAK_FRACTION: Final = 0.25
"""What reaches this share of the ink's peak belongs to a stroke; what is fainter may be a file's noise."""

MAX_CROP_SIDE_PX: Final = 40
"""Pictures of at most so many px are a dataset's: their parts are the character's, at the border too."""

FAINT_DOT_REACH_PX: Final = 6
"""On such a picture, what is fainter than a stroke may be a dot if it is so near to one."""

MIN_INK_SIDE_PX: Final = 12
"""Smaller ink on a larger picture is left to the network."""

MIN_PART_FRACTION: Final = 0.01
"""Of the largest part's area: on larger pictures, what is smaller is dust."""

MAX_PARTS: Final = 6
"""Of a character with its dots; more are specks, or several characters."""

MAX_DEPTH_FRACTION, MAX_CROP_DEPTH_FRACTION = 0.22, 0.35
"""What has a middle farther from its outline than this share of the ink's longer side (the second: on a
dataset's picture, where broad pens and grown dots are),"""

MAX_FILL_FRACTION, MAX_FILLED_ASPECT = 0.85, 3.0
"""or fills its box by more, without being so many times as long as wide as a single stroke is,"""

MAX_PEN_DEVIATION_LEVELS: Final = 3.0
"""is a picture pasted onto the ground, unless it varies less within (standard deviation)."""

MAX_BORDER_FRACTION: Final = 0.45
"""Of the border that is ink, on a crop along it; a cell's lines on two sides take more."""

MAX_LINE_FRACTION: Final = 0.15
"""Of the picture's side: how thick a line from border to border may be, and how short of it."""

MAX_INK_FRACTION: Final = 0.6
"""Of the picture; with more, what seems the ground may be a frame around the paper."""

FILE_NOISE_REACH_PX: Final = 17
"""JPEG's noise is within its blocks of 8 px, or of 16, around a stroke: half of this on each side."""

MAX_FAR_NOISE_FRACTION, FAR_NOISE_LEVELS = 0.06, 2
"""At most this share of the box around all that is not the ground differs from it by more levels, farther
away: a photograph's grain and light, padded with one level, are more."""

PADDING_NOISE_LEVELS: Final = 8
"""What differs from the padding by no more grey levels is padding that was compressed."""

MIN_PASTED_FRACTION: Final = 0.75
"""Of the box of what is not padding, in a picture pasted onto it: strokes fill far less."""

MIN_BLOCK_FRACTION: Final = 0.88
"""A filled box is a stroke if ink fills as much of it, soft outlines included."""

MIN_PASTED_SIDE_PX, MAX_PASTED_ASPECT = 8, 5.0
"""What is narrower is a stroke, broken perhaps."""


def ink_on_plain_ground(image: Grey, min_contrast: int) -> Grey | None:
    """Return the ink of a picture that holds one character on a ground of one grey level, and nothing else.

    Args:
        image: uint8 [H, W], either polarity.
        min_contrast: grey levels by which ink has to differ from the ground.

    Returns:
        uint8 [H, W], bright on black, as strong as it was; black where nothing differs enough; None for all
        other pictures.

    >>> page = np.full((40, 30), 255, np.uint8)
    >>> page[10:30, 14:17] = 55
    >>> ink = ink_on_plain_ground(page, 24)
    >>> int(ink.max()), int(np.count_nonzero(ink))
    (200, 60)
    >>> page[2:38, 2] = page[2:38, 27] = page[2, 2:28] = page[37, 2:28] = 0      # a frame
    >>> ink_on_plain_ground(page, 24) is None
    True
    """
    ink = _difference(image)
    if ink is None:
        return None
    peak = int(cv2.minMaxLoc(ink)[1])
    if peak < min_contrast:
        return np.zeros_like(ink)
    mask = _strokes(ink, peak)
    is_large = max(image.shape) > MAX_CROP_SIDE_PX
    if is_large:
        mask = _without_specks(mask)
    else:
        clean = ink_on_bands(image, mask)
        clean = without_impulses(ink, mask) if clean is None else clean
        if clean is not ink:
            ink, mask = clean, _strokes(clean, peak)
        if not cv2.countNonZero(mask):
            return None
    if not _is_one_character(mask, ink) or (is_large and (_is_padded_photo(image, mask) or _is_tiny(mask))):
        return None
    # Soft outlines reach a pixel beyond; what is farther away is a file's noise.
    # On few pixels a dot may be as faint as that.
    reach = 1 if is_large else FAINT_DOT_REACH_PX
    near = cv2.dilate(mask, SQUARE_3X3, iterations=reach)
    if cv2.countNonZero(ink) == cv2.countNonZero(cv2.bitwise_and(ink, ink, mask=near)):
        return ink
    return cv2.bitwise_and(ink, ink, mask=near)  # type: ignore[return-value]


def trim_padding(image: Grey) -> Grey:
    """Return the photograph that a picture was pasted around; the picture itself if there is none.

    >>> photo = np.random.default_rng(0).integers(90, 160, (20, 30)).astype(np.uint8)
    >>> trim_padding(np.pad(photo, ((5, 5), (0, 0)))).shape
    (20, 30)
    """
    level = _padding_level(image)
    pasted = None if level is None else _pasted(image, level)
    if pasted is None:
        return image
    x, y, width, height = pasted
    return image[y : y + height, x : x + width]


def _pasted(image: Grey, level: int) -> tuple[int, int, int, int] | None:
    """Return x, y, width and height of a picture that lies on a ground of one level."""
    if min(image.shape) < MIN_PASTED_SIDE_PX:
        return None
    other = _apart(image, level, PADDING_NOISE_LEVELS)
    x, y, width, height = cv2.boundingRect(other)
    filled = cv2.countNonZero(other) >= MIN_PASTED_FRACTION * width * height
    narrow = max(MIN_PASTED_SIDE_PX, max(width, height) / MAX_PASTED_ASPECT)
    if not filled or min(width, height) < narrow or (height, width) == image.shape:
        return None
    return x, y, width, height


def _apart(image: Grey, level: int, least: int) -> Grey:
    """1 where an image differs from a level by more than `least` grey levels, else 0."""
    apart = cv2.absdiff(image, np.full_like(image, level))
    return cv2.threshold(apart, least, 1, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]


def _strokes(ink: Grey, peak: int) -> Grey:
    """1 where ink is as strong as strokes are, else 0."""
    level = max(1, round(STROKE_PEAK_FRACTION * peak))
    return cv2.threshold(ink, level - 1, 1, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]


def _padding_level(image: Grey) -> int | None:
    """The grey level of one whole side of the picture or of several, if there is such a side."""
    for side in (image[0], image[-1], image[:, 0], image[:, -1]):
        if int(side.max()) - int(side.min()) <= 2:
            return int(side[len(side) // 2])
    return None


def _difference(image: Grey) -> Grey | None:
    """The difference from the ground, if one level is most of the border; None if none is."""
    border = border_bytes(image)
    black = border.count(0)
    if 2 * black > len(border):
        return image
    if min(image.shape) < MIN_SHADES_SIDE_PX:  # a stroke takes much of the border
        white = sum(level > 127 for level in border)
        return image if white < black >= MIN_NARROW_BLACK_FRACTION * len(border) else None
    ground = _ground(image)
    if 2 * border.count(ground) <= len(border):
        return None
    darkest, lightest, _, _ = cv2.minMaxLoc(image)
    paper = np.full_like(image, ground)
    dark_ink = ground - darkest >= lightest - ground
    return cv2.subtract(paper, image) if dark_ink else cv2.subtract(image, paper)  # type: ignore[return-value]


def _ground(image: Grey) -> int:
    """The median of the border's levels."""
    levels = np.frombuffer(border_bytes(image), np.uint8)
    return int(np.partition(levels, levels.size // 2)[levels.size // 2])


def _is_padded_photo(image: Grey, mask: Grey) -> bool:
    """Return whether more lies on the ground than the strokes, a mask of 0 and 1."""
    ground = _ground(image)
    pasted = _pasted(image, ground)
    if pasted is not None and cv2.countNonZero(mask) < MIN_BLOCK_FRACTION * pasted[2] * pasted[3]:
        return True
    near = cv2.dilate(mask, np.ones((FILE_NOISE_REACH_PX, FILE_NOISE_REACH_PX), np.uint8))
    apart = _apart(image, ground, FAR_NOISE_LEVELS)
    _, _, width, height = cv2.boundingRect(apart)
    apart[near > 0] = 0
    return cv2.countNonZero(apart) > MAX_FAR_NOISE_FRACTION * width * height


def _is_tiny(mask: Grey) -> bool:
    """Return whether ink has so few pixels that the network, which looks from nearer, draws it sharper."""
    _, _, width, height = cv2.boundingRect(mask)
    return max(width, height) < MIN_INK_SIDE_PX


def _without_specks(mask: Grey) -> Grey:
    """Black out the parts of a mask of 0 and 1 that are too small for a dot."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= MIN_PART_FRACTION * areas[1:].max(initial=0)
    if kept.all():
        return mask
    kept[0] = False
    large: Grey = kept[parts].view(np.uint8)
    return large


def _is_one_character(mask: Grey, ink: Grey) -> bool:
    """Return whether a mask of 0 and 1 shows strokes of one character, and neither frame nor neighbour.

    Args:
        ink: what the mask was cut from.
    """
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    boxes = stats[1:, :4]
    is_large = max(mask.shape) > MAX_CROP_SIDE_PX
    if is_large:
        if count - 1 > MAX_PARTS:
            return False
        if cv2.mean(mask)[0] > MAX_INK_FRACTION and min(mask.shape) >= MIN_SHADES_SIDE_PX:
            return False
        if (
            count > 2
            and border_bytes(mask).count(1)
            and not _is_cut_out(mask, np.asarray(parts), np.asarray(stats))
        ):
            return False
    _, _, width, height = cv2.boundingRect(mask)
    depth = cv2.minMaxLoc(cv2.distanceTransform(mask, cv2.DIST_L2, 3))[1]
    deepest = (MAX_DEPTH_FRACTION if is_large else MAX_CROP_DEPTH_FRACTION) * max(width, height)
    is_deep = depth > max(deepest, 2.0)
    is_filled = cv2.countNonZero(mask) > MAX_FILL_FRACTION * width * height
    is_block = is_filled and depth > 2.0 and max(width, height) < MAX_FILLED_ASPECT * min(width, height)
    if is_deep or is_block:
        inside = cv2.erode(mask, SQUARE_3X3)
        if float(cv2.meanStdDev(ink, mask=inside)[1][0, 0]) > MAX_PEN_DEVIATION_LEVELS:
            return False
    return not (_encloses(boxes) and is_nested(mask))


def _is_cut_out(mask: Grey, parts: NDArray[Any], stats: NDArray[Any]) -> bool:
    """Return whether it is the character that reaches the border of a mask of 0 and 1, in its largest part.

    Else a neighbour looks in, or the line of a cell does.
    """
    border = border_bytes(mask)
    if border.count(1) > MAX_BORDER_FRACTION * len(border):
        return False
    main = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    if border_bytes((parts == main).view(np.uint8)).count(1) == 0:
        return False
    width, height = stats[main, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1] / mask.shape[::-1]
    is_line = min(width, height) < MAX_LINE_FRACTION and max(width, height) > 1 - MAX_LINE_FRACTION
    return not is_line


def _encloses(boxes: NDArray[Any]) -> bool:
    """Return whether one of the boxes [N, 4] (x, y, width, height) encloses another."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    encloses = (low[:, None] < low[None]).all(axis=2) & (high[:, None] > high[None]).all(axis=2)
    return bool(encloses.any())
