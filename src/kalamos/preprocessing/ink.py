"""Find the ink: one small network answers, for each pixel, how likely it is a character's stroke.

The network (`ink.onnx`, beside this file) is trained on drawn scenes by `kalamos.learn.ink`. It leaves out
whatever an image holds besides: frames, ruled lines, shadows, table edges, specks, neighbours cut by the
border. Which of ink and paper is the darker need not be known.

A picture is looked at as a whole first. Ink that is small on it is looked at again, from nearer; ink that
leaves such a nearer view, from farther.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import SQUARE_3X3, halve
from kalamos.preprocessing.whole_strokes import follow_strokes, lone_strokes
from kalamos.utils.sessions import open_once

__all__ = [
    "INK_FILE",
    "STRIDE",
    "Box",
    "InkMap",
    "find_ink",
    "hysteresis",
    "ink_levels",
    "standardise",
]

Grey = NDArray[np.uint8]

INK_FILE: Final = Path(__file__).with_name("ink.onnx")

SIDE_PX: Final = 64
"""The longer side of what the network looks at."""

OVERVIEW_SIDE_PX: Final = 128
"""The same for the first look at a picture larger than `LARGE_PX`."""

LARGE_PX: Final = 320

STRIDE: Final = 16
"""Sides of the network's input are multiples of it."""

MIN_DEVIATION_LEVELS: Final = 4.0
"""Grey levels that vary less (standard deviation) are not made to vary more."""

SURE_LEVEL, LIKELY_LEVEL = 128, 51
"""Of the map, in 255ths: a part of a stroke has a pixel of the first, and no pixel below the second."""

MIN_STROKE_PX: Final = 4
"""The longer side of the largest part of a character, on the map."""

MAX_SPECKS_PX: Final = 100
"""Specks are no more pixels than these, all together."""

MIN_INK_SIDE_PX: Final = 30
"""Ink whose longer side spans less, on the network's input, is looked at again from nearer."""

NEAR_INK_FRACTION: Final = 0.68
"""The share of the nearer view that the ink's longer side is to span."""

WIDER_FRACTION: Final = 0.5
"""Of a view's longer side, by which it grows where ink leaves it."""

MAX_LOOKS: Final = 4

MIN_VIEW_PX: Final = 4.0
"""Ink counts as at least so large (px of the image) when it is looked at from nearer."""


BRIGHTER: Final = np.rint(255 * (np.arange(256) / 255) ** 0.6).astype(np.uint8)
"""What the readers get for a level of the map: a stroke that is hardly seen is a stroke all the same."""


class Box(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right`, the ends excluded, in px."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def longer(self) -> int:
        """The longer side."""
        return max(self.bottom - self.top, self.right - self.left)

    def overlaps(self, other: Box) -> bool:
        """Return whether two boxes share a pixel."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )


class InkMap(NamedTuple):
    """Where ink is."""

    levels: Grey
    """The probability of ink in 255ths, uint8 [h, w], of the part of the image that was looked at last."""
    mask: Grey
    """255 where a stroke is, else 0, uint8 [h, w]."""
    view: Box
    """That part, in px of the image."""

    def box(self) -> Box | None:
        """Return the box of all ink on the map; None without ink."""
        return _box_of(self.mask)

    def strokes(self) -> Grey:
        """The ink, uint8 [h, w]: bright, even where it is likely only; black all around."""
        near = cv2.dilate(self.mask, SQUARE_3X3)
        return cv2.bitwise_and(cv2.LUT(self.levels, BRIGHTER), near)  # type: ignore[return-value]


def standardise(image: Grey, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Scale an image uint8 [H, W] to [h, w], with a mean of 0 and a standard deviation of 1.

    >>> standardise(np.full((20, 20), 7, np.uint8), (64, 64)).max()
    np.float32(0.0)
    """
    height, width = shape
    if image.shape != shape:
        image = halve(image, 2 * max(shape))
        method = cv2.INTER_AREA if max(image.shape) > max(shape) else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=method)  # type: ignore[assignment]
    mean, deviation = cv2.meanStdDev(image)
    scale = 1.0 / max(float(deviation[0, 0]), MIN_DEVIATION_LEVELS)
    values: NDArray[np.float32] = image.astype(np.float32)
    values -= np.float32(mean[0, 0])
    values *= np.float32(scale)
    return values


def find_ink(images: Sequence[Grey]) -> list[InkMap]:
    """Look for ink on images uint8 [H, W] of any size, either polarity; return a map of each.

    Images of one shape on the network's input share a run of it.
    """
    views = [Box(0, 0, *image.shape) for image in images]
    sides = [OVERVIEW_SIDE_PX if max(image.shape) > LARGE_PX else SIDE_PX for image in images]
    maps = _look(images, views, sides)
    rows: Iterable[int] = range(len(images))
    for _ in range(MAX_LOOKS - 1):
        views_now = {
            row: view for row in rows if (view := _next_view(maps[row], images[row].shape)) is not None
        }
        looks = _look([images[row] for row in views_now], [*views_now.values()], [SIDE_PX] * len(views_now))
        # What is nothing, seen from near, stays what it seemed from afar.
        rows = {row: look for row, look in zip(views_now, looks, strict=True) if look.box() is not None}
        for row, look in rows.items():
            maps[row] = look
    return maps


def ink_levels(images: NDArray[np.uint8], *, min_deviation: float = MIN_DEVIATION_LEVELS) -> Grey:
    """Run the finder on images of one shape, uint8 [N, H, W], H and W multiples of `STRIDE`, as they are.

    Args:
        min_deviation: grey levels that vary less (standard deviation) are not made to vary more.

    Returns:
        The probability of ink in 255ths, uint8 [N, H, W].
    """
    grey = np.empty((len(images), 1, *images.shape[1:]), np.float32)
    for row, image in enumerate(images):
        mean, deviation = cv2.meanStdDev(image)
        scale = 1.0 / max(float(deviation[0, 0]), min_deviation, MIN_DEVIATION_LEVELS)
        grey[row, 0] = (image - np.float32(mean[0, 0])) * np.float32(scale)
    return _levels(grey)


def _levels(grey: NDArray[np.float32]) -> Grey:
    """What the network answers to float32 [N, 1, H, W]: uint8 [N, H, W]."""
    [answer] = open_once(INK_FILE).run(None, {"grey": grey})
    count, _, height, width = grey.shape
    scaled = cv2.convertScaleAbs(answer.reshape(-1, width), alpha=255)
    return scaled.reshape(count, height, width)  # type: ignore[no-any-return]


def _next_view(found: InkMap, shape: tuple[int, ...]) -> Box | None:
    """The part of an image of this shape to look at next; None if its ink is seen well enough."""
    ink, view = found.box(), found.view
    height, width = found.levels.shape
    if ink is None:  # what is likely only may be sure from nearer
        ink = _box_of((found.levels >= LIKELY_LEVEL).view(np.uint8))
        if ink is None:
            return None
    else:
        wider = _wider(ink, found, shape)
        if wider is not None or ink.longer * SIDE_PX / max(height, width, SIDE_PX) >= MIN_INK_SIDE_PX:
            return wider
    rows, columns = (view.bottom - view.top) / height, (view.right - view.left) / width
    top, left = view.top + ink.top * rows, view.left + ink.left * columns
    bottom, right = view.top + ink.bottom * rows, view.left + ink.right * columns
    half = max(bottom - top, right - left, MIN_VIEW_PX) / NEAR_INK_FRACTION / 2
    y, x = (top + bottom) / 2, (left + right) / 2
    around = _clipped(y - half, x - half, y + half, x + half, shape)
    return None if around == view else around


def _wider(ink: Box, found: InkMap, shape: tuple[int, ...]) -> Box | None:
    """A larger part of the image, if the ink leaves the view on sides where the image goes on."""
    view, (height, width) = found.view, found.levels.shape
    more = WIDER_FRACTION * max(view.bottom - view.top, view.right - view.left)
    wider = _clipped(
        view.top - more * (ink.top == 0),
        view.left - more * (ink.left == 0),
        view.bottom + more * (ink.bottom == height),
        view.right + more * (ink.right == width),
        shape,
    )
    return None if wider == view else wider


def _clipped(top: float, left: float, bottom: float, right: float, shape: tuple[int, ...]) -> Box:
    return Box(
        max(round(top), 0), max(round(left), 0), min(round(bottom), shape[0]), min(round(right), shape[1])
    )


def _box_of(mask: Grey) -> Box | None:
    x, y, width, height = cv2.boundingRect(mask)
    return Box(y, x, y + height, x + width) if width else None


def hysteresis(levels: Grey) -> Grey:
    """Return the ink of a map uint8 [h, w] (Canny 1986): 255 for likely pixels connected to one that is sure.

    >>> hysteresis(np.uint8([[60, 60, 200, 0, 60]])).tolist()
    [[255, 255, 255, 0, 0]]
    """
    sure: Grey = cv2.threshold(levels, SURE_LEVEL - 1, 255, cv2.THRESH_BINARY)[1]  # type: ignore[assignment]
    if not cv2.countNonZero(sure):
        return sure
    likely = cv2.threshold(levels, LIKELY_LEVEL - 1, 255, cv2.THRESH_BINARY)[1]
    count, parts = cv2.connectedComponents(likely)
    if count > 2:  # the paper and one part need no choice
        kept = np.zeros(count, np.uint8)
        kept[parts[sure > 0]] = 255
        likely = kept[parts]
    return likely  # type: ignore[return-value]


def _mask(levels: Grey) -> Grey:
    """Return the ink of a view of one character.

    Where the largest part is a speck, it is seen from too far, or dust: there is no ink on this view.
    """
    mask = hysteresis(levels)
    return np.zeros_like(mask) if _is_specks(mask) else mask


def _is_specks(mask: Grey) -> bool:
    """Return whether a mask has ink, and no part of it is as long as a stroke."""
    if not 0 < cv2.countNonZero(mask) <= MAX_SPECKS_PX:
        return False
    stats = cv2.connectedComponentsWithStats(mask)[2][1:]
    return int(stats[:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1].max()) < MIN_STROKE_PX


def _look(images: Sequence[Grey], views: Sequence[Box], sides: Sequence[int]) -> list[InkMap]:
    """Run the network on a part of each image; the longer side of each part becomes so many px."""
    parts = [
        image[view.top : view.bottom, view.left : view.right]
        for image, view in zip(images, views, strict=True)
    ]
    by_shape: dict[tuple[int, int], list[int]] = {}
    for row, (part, side) in enumerate(zip(parts, sides, strict=True)):
        scale = side / max(part.shape)
        height, width = (max(STRIDE, STRIDE * round(length * scale / STRIDE)) for length in part.shape)
        by_shape.setdefault((height, width), []).append(row)
    maps: dict[int, InkMap] = {}
    for shape, rows in by_shape.items():
        grey = np.empty((len(rows), 1, *shape), np.float32)
        for place, row in enumerate(rows):
            grey[place, 0] = standardise(parts[row], shape)
        for place, (row, levels) in enumerate(zip(rows, _levels(grey), strict=True)):
            maps[row] = InkMap(*_completed(grey[place, 0], levels), views[row])
    return [maps[row] for row in range(len(images))]


def _completed(grey: NDArray[np.float32], levels: Grey) -> tuple[Grey, Grey]:
    """Levels and mask, with the strokes that the network saw in part or not at all."""
    mask = _mask(levels)
    if cv2.countNonZero(mask):
        return follow_strokes(grey, levels, mask)
    alone = lone_strokes(grey)
    return (levels, mask) if alone is None else (alone, _mask(alone))
