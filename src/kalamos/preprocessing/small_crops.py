"""Clean crops of so few pixels that only contrast and place tell a speck from a dot.

Larger pictures go through `components`. Here nothing is changed without a reason: images of the training
data, thin strokes and dots included, come out as they went in.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import SQUARE_3X3, border_bytes, stroke_width

__all__ = ["clean_small_crop", "remove_bars", "remove_impulses", "remove_stains"]

Grey = NDArray[np.uint8]

MIN_IMPULSE_LEVELS, MIN_IMPULSES = 128, 6
"""So many pixels that differ from all their neighbours by so many grey levels are noise, not dots."""

IMPULSE_EXTREME_LEVELS = 5
"""Salt and pepper lie within so many grey levels of white and black."""

MIN_BAR_CONTRAST_LEVELS = 64
"""A picture with less between its darkest and its lightest pixel has no bar."""

MIN_BAR_EDGE_FRACTION = 0.6
"""A bar's edge is visible in this share of the rows; strokes that begin or end at it hide it."""

MAX_BAR_JOINT_FRACTION, MIN_CROSSED_ROWS = 0.5, 2
"""Most rows, relative to its width, in which a bar may touch other ink; more means that it is a letter's stem
(that of an L is joined to its foot over as many), unless so many rows show strokes inverted within the
bar."""

MIN_BAR_TO_PEN_RATIO = 1.75
"""... or unless it is so many times as wide as the pen, as no stem is."""

MIN_BAR_PX, MAX_BAR_FRACTION = 3, 0.35
"""The width of a bar: at least so many px, at most this share of the picture's."""

MIN_BAR_STRENGTH = 0.75
"""A bar contrasts with the ground at least this share as much as the ink does; a shadow does not."""

FAINT_STAIN_LEVEL, MIN_STAIN_LEVEL = 64, 24
"""Of full-contrast ink: what is nowhere as strong as `FAINT_STAIN_LEVEL` is neither a stroke nor a dot, and
what is below `MIN_STAIN_LEVEL` widens no box by much."""

STROKE_OUTLINE_PX = 2
"""Grey outlines reach so many px beyond their strokes."""

NEIGHBOURS_3X3 = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)


def clean_small_crop(image: Grey) -> Grey:
    """Remove impulses and bars; return the image itself if its border is of one value, as nearly all are.

    Args:
        image: uint8 [H, W], either polarity.
    """
    border = border_bytes(image)
    if border.count(border[0]) == len(border):
        return image
    return remove_bars(remove_impulses(image))


def remove_impulses(image: Grey) -> Grey:
    """Remove salt-and-pepper noise with a switching median filter; return the image itself if there is
    little.

    Args:
        image: uint8 [H, W], either polarity.

    >>> page = np.zeros((28, 28), np.uint8)
    >>> page[8:20, 10:16] = 255
    >>> page[2:26:4, 2] = page[2:26:4, 25] = 255         # a dozen grains of salt
    >>> cleaned = remove_impulses(page)
    >>> int(cleaned[:, 2].max()), int(cleaned[10, 12])
    (0, 255)
    """
    lonely_bright = cv2.subtract(image, cv2.dilate(image, NEIGHBOURS_3X3))
    lonely_dark = cv2.subtract(cv2.erode(image, NEIGHBOURS_3X3), image)
    lonely = cv2.max(lonely_bright, lonely_dark)
    if (
        cv2.countNonZero(cv2.threshold(lonely, MIN_IMPULSE_LEVELS - 1, 255, cv2.THRESH_BINARY)[1])
        < MIN_IMPULSES
    ):
        return image
    for _ in range(2):  # grains that touch outvote the median once
        median = cv2.medianBlur(image, 3)
        extreme = (image <= IMPULSE_EXTREME_LEVELS) | (image >= 255 - IMPULSE_EXTREME_LEVELS)
        image = np.where(extreme & (cv2.absdiff(image, median) >= MIN_IMPULSE_LEVELS), median, image)
    return image


def remove_bars(image: Grey) -> Grey:
    """Replace bars along the sides by the ground; return the image itself if it has none.

    A bar, such as the page's edge or an inverted stripe, runs along a whole side with a straight edge and
    is joined to nothing. What is written across it is inverted within, and comes back.

    Args:
        image: uint8 [H, W], either polarity.

    >>> page = np.zeros((28, 28), np.uint8)
    >>> page[8:20, 16:19] = page[:, :6] = 255
    >>> remove_bars(page)[:, :6].max(), remove_bars(page)[12, 17]
    (np.uint8(0), np.uint8(255))
    """
    if not _has_two_grounds(image):
        return image
    for turned in (image, image.T):
        bars = _bars(turned)
        if bars:
            cleaned = np.ascontiguousarray(turned).copy()
            left, right = bars.get("left", 0), bars.get("right", turned.shape[1])
            ground = _middle(turned[:, left:right])
            for bar in (cleaned[:, :left], cleaned[:, right:]):
                if bar.size:
                    bar[:] = np.clip(int(ground) + _middle(bar) - bar.astype(np.int16), 0, 255)
            return cleaned if turned is image else np.ascontiguousarray(cleaned.T)
    return image


def _has_two_grounds(image: Grey) -> bool:
    """Return whether the border is both dark and light, as with any bar: nearly no image costs more."""
    darkest, lightest, _, _ = cv2.minMaxLoc(image)
    border = border_bytes(image)
    return lightest - darkest >= MIN_BAR_CONTRAST_LEVELS and min(border) <= (darkest + lightest) / 2 < max(
        border
    )


def _bars(image: Grey) -> dict[str, int]:
    """Return the columns at which bars along the left and the right side end and begin."""
    darkest, lightest, _, _ = cv2.minMaxLoc(image)
    bright = image > (darkest + lightest) / 2
    found: dict[str, int] = {}
    for side, outwards in (("left", bright), ("right", bright[:, ::-1])):
        across = _bar(outwards if outwards[0, 0] else ~outwards)
        if across:
            found[side] = across if side == "left" else image.shape[1] - across
    inside = image[:, found.get("left", 0) : found.get("right", image.shape[1])]
    ground = _middle(inside)
    darkest, lightest, _, _ = cv2.minMaxLoc(inside)
    ink = max(ground - darkest, lightest - ground)
    bars = {"left": image[:, : found.get("left", 0)], "right": image[:, found.get("right", image.shape[1]) :]}
    return {
        side: column
        for side, column in found.items()
        if ink >= MIN_BAR_CONTRAST_LEVELS / 2 and abs(_middle(bars[side]) - ground) >= MIN_BAR_STRENGTH * ink
    }


def _bar(like_corner: NDArray[np.bool_]) -> int:
    """Return how wide a bar along the left side is; 0 if there is none."""
    height, width = like_corner.shape
    most = int(MAX_BAR_FRACTION * width)
    if most < MIN_BAR_PX or height <= MIN_BAR_PX or not like_corner[:, 0].all():
        return 0
    inner, outer = like_corner[:, MIN_BAR_PX - 1 : most], like_corner[:, MIN_BAR_PX : most + 1]
    seen = np.count_nonzero(inner != outer, axis=0)
    joined = np.count_nonzero(inner & outer, axis=0)
    crossed = np.count_nonzero(outer & ~inner, axis=0)
    widths = MIN_BAR_PX + np.arange(len(seen))
    is_clear = seen >= MIN_BAR_EDGE_FRACTION * height
    if not is_clear.any():
        return 0
    pen = stroke_width(like_corner[:, most : width - most].astype(np.uint8))
    joined_as_bars_are = (joined <= np.maximum(1, MAX_BAR_JOINT_FRACTION * widths)) | (
        widths >= MIN_BAR_TO_PEN_RATIO * max(pen, MIN_BAR_PX)
    )
    ends = is_clear & (joined_as_bars_are | (crossed >= MIN_CROSSED_ROWS))
    return int(widths[np.argmax(seen * ends)]) if ends.any() else 0


def _middle(levels: Grey) -> int:
    flat = levels.ravel()
    return int(np.partition(flat, flat.size // 2)[flat.size // 2])


def remove_stains(ink: Grey, near: int = 1) -> Grey:
    """Remove faint grey apart from the strokes; return the ink itself if none widens its box.

    Args:
        ink: uint8 [H, W], bright on black, at full contrast.
        near: grey within so many px of a stroke stays.

    >>> ink = np.zeros((28, 28), np.uint8)
    >>> ink[8:20, 12:16], ink[24, 2:5] = 255, 50
    >>> int(np.count_nonzero(remove_stains(ink)))
    48
    """
    mask = cv2.threshold(ink, FAINT_STAIN_LEVEL - 1, 255, cv2.THRESH_BINARY)[1]
    if _reaches_hardly_farther(cv2.boundingRect(ink), cv2.boundingRect(mask)):
        return ink
    around = cv2.dilate(mask, SQUARE_3X3, iterations=near)
    apart = cv2.subtract(ink, cv2.dilate(around, SQUARE_3X3))
    if cv2.minMaxLoc(apart)[1] < MIN_STAIN_LEVEL:
        return ink
    return cv2.bitwise_and(ink, around)  # type: ignore[return-value]


def _reaches_hardly_farther(whole: Sequence[int], strokes: Sequence[int]) -> bool:
    """Return whether two boxes (x, y, width, height) differ by no more than the strokes' soft outlines."""
    (x, y, width, height), (left, top, across, down) = whole, strokes
    most = max(left - x, top - y, x + width - left - across, y + height - top - down)
    return most <= STROKE_OUTLINE_PX
