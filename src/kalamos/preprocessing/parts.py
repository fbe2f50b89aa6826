"""Tell what was written from what else is dark: dust, grain, soft shadows, printed lines, the table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.lines import remove_lines
from kalamos.preprocessing.pen import pen_width

__all__ = ["written"]

Grey = NDArray[np.uint8]

FAINT, SURE = 0.25, 0.5
"""Hysteresis, in shares of the typical stroke's level: faint ink counts where it is joined to sure ink."""

BLACK, WHITE = 0.2, 0.85
"""The shares of the typical stroke's level that come out as 0 and 255: strokes of the training data are
saturated but for their outlines, and the middle of an outline stays where it is."""

SAMPLES = 10_000
"""About as many pixels tell the strokes' level."""

STRONGEST = 0.0003
"""Fewer pixels than this share of the picture are its brightest speck, not its strokes."""

LEAST_AREA = 3
"""A part of fewer pixels is a speck."""

SPECK_SHARE, DOT_SHARE = 0.01, 0.35
"""A dot has this share of the largest part's area, or this share of the square of the pen's width."""

STRAY = 0.1
"""A part smaller than this share of the largest has to be near the rest, and off the border."""

NEAR = 0.75
"""A dot is at most this share of the character's longer side away from it."""

FAT = 0.08
"""What is narrower than this share of the longer side is no soft shadow and no flash."""

ELONGATED, SLENDER = 5, 1.8
"""A part of so many times its pen's width squared, or whose longer side squared is so many times its area,
is a blurred stroke rather than a blot of light, if it stands free of the border or the picture was cut out
around it."""

SPANS = 0.7
"""A picture was cut out around parts that together span this share of it both ways, the largest one way, and
have faded where the picture ends; a shadow runs on beyond it as dark as it was."""

WINDING, HOLLOW = 2, 0.75
"""... or whose pen went this many times as far as it is long, or that is at most this share of its convex
hull; a band of shadow is straighter."""

EDGE, SHARP = 0.02, 0.35
"""Ink's outline rises by a share `SHARP` of its level within a share `EDGE` of the longer side."""

RIM = 0.02
"""This share of the longer side along the border is where the table and other characters look in."""

STRIP_LENGTH, STRIP_DEPTH = 0.7, 0.4
"""A strip along a border takes this share of its length, and is at most so deep."""

SMALLEST = 0.03
"""Nothing that spans a smaller share of the longer side was written there."""

MOST = 64
"""Parts that are looked at, largest first; the rest is texture."""

LEVELS = np.arange(256)
SQUARE = np.ones((3, 3), np.uint8)


class Box(NamedTuple):
    """In px, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def longer(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)

    def gap(self, other: Box) -> int:
        """How far apart the two boxes are, along one axis."""
        return max(
            self.left - other.right,
            other.left - self.right,
            self.top - other.bottom,
            other.top - self.bottom,
            0,
        )

    def margin(self, shape: tuple[int, ...]) -> int:
        """The distance from the picture's nearest border."""
        return min(self.left, self.top, shape[1] - self.right, shape[0] - self.bottom)

    def joined(self, other: Box) -> Box:
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def grown(self, px: int, shape: tuple[int, ...]) -> Box:
        """As far as the picture goes."""
        height, width = shape
        return Box(
            max(self.left - px, 0),
            max(self.top - px, 0),
            min(self.right + px, width),
            min(self.bottom + px, height),
        )

    def moved(self, x: int, y: int) -> Box:
        return Box(self.left + x, self.top + y, self.right + x, self.bottom + y)

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The index of its pixels."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, eq=False)
class Part:
    """A connected part of the mask.

    Attributes:
        mask: uint8 [h, w], 255 where it is in its box.
        box: in the picture.
        area: px.
    """

    mask: Grey
    box: Box
    area: int

    @cached_property
    def pen(self) -> float:
        return pen_width(self.mask)

    def turned(self) -> Part:
        """The same in the transposed picture."""
        left, top, right, bottom = self.box
        return Part(self.mask.T, Box(top, left, bottom, right), self.area)


def written(ink: Grey) -> Grey:
    """Blacken what was not written, and bring the strokes to full contrast.

    Args:
        ink: uint8 [H, W], bright on black.

    Returns:
        uint8 [H, W]; all 0 where nothing was written.
    """
    level = _stroke_level(ink)
    if not level:
        return ink
    mask = _above(ink, FAINT * level)
    rest = remove_lines(mask)
    if rest is not mask:
        level = _stroke_level(cv2.bitwise_and(ink, rest))  # type: ignore[arg-type]
        rest = cv2.bitwise_and(rest, _above(ink, FAINT * level))  # type: ignore[assignment]
    shown = np.zeros_like(ink)
    left, top, width, height = cv2.boundingRect(rest)
    if not width:
        return shown
    # Beyond the ink's box there is nothing but, a pixel wide, the grey of its outline.
    box = Box(left, top, left + width, top + height).grown(1, ink.shape)
    character = _character(ink, rest, level, box)[box.pixels]
    left_out = cv2.subtract(mask[box.pixels], character)
    outlined = cv2.subtract(cv2.dilate(character, SQUARE), left_out)
    gain = 255 / ((WHITE - BLACK) * max(level, 1))
    # OpenCV is faster with whole numbers.
    toned = cv2.convertScaleAbs(cv2.subtract(ink[box.pixels], round(BLACK * level)), alpha=gain)  # type: ignore[call-overload]
    np.bitwise_and(toned, outlined, out=shown[box.pixels])
    return shown


def _above(ink: Grey, level: float) -> Grey:
    return cv2.threshold(ink, max(level - 1, 0), 255, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]


def _stroke_level(ink: Grey) -> float:
    """The typical level inside strokes: the mean above Otsu's threshold among what is not black."""
    stride = max(1, math.isqrt(ink.size // SAMPLES))
    sample = np.ascontiguousarray(ink[::stride, ::stride])
    counts = cv2.calcHist([sample], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    counts[0] = 0
    number, total = counts.cumsum(), (counts * LEVELS).cumsum()
    if not number[-1]:
        return 0.0
    above = number[-1] - number
    # The variance between the two classes; where one is empty, there is nothing between.
    between = (total[-1] * number - number[-1] * total) ** 2 / np.maximum(number * above, 1)
    between[above < max(LEAST_AREA, STRONGEST * sample.size)] = 0
    best = int(between.argmax())
    if not between[best]:
        return float(total[-1] / number[-1])
    return float((total[-1] - total[best]) / above[best])


def _character(ink: Grey, mask: Grey, level: float, box: Box) -> Grey:
    """The mask of the parts that make the character; `box` holds all parts."""
    character = np.zeros_like(mask)
    found = list(_parts(ink, mask, level, box))
    parts = [part for part in found if not _is_foreign(ink, part)]
    # Its dots alone are not the character.
    lost = found and (not parts or parts[0].area < DOT_SHARE * found[0].area)
    if lost and _is_cut_out(found, ink, level):
        parts = [part for part in found if not _is_foreign(ink, part, cropped=True)]
    if parts and parts[0].box.longer >= SMALLEST * max(ink.shape):
        for part in _belonging(parts, ink.shape):
            place = character[part.box.pixels]
            np.bitwise_or(place, part.mask, out=place)
    return character


def _parts(ink: Grey, mask: Grey, level: float, box: Box) -> Iterator[Part]:
    """The parts in which there is sure ink, largest first."""
    within = mask[box.pixels]
    height, width = within.shape
    most = ((height + 1) // 2) * ((width + 1) // 2)
    depth = cv2.CV_16U if most < 2**16 else cv2.CV_32S
    count, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(within, 8, depth, cv2.CCL_DEFAULT)
    strong = np.bincount(labels[ink[box.pixels] >= SURE * level], minlength=count)
    areas = stats[:, cv2.CC_STAT_AREA]
    for label in np.argsort(-areas)[: MOST + 1].tolist():
        left, top, width, height, area = stats[label].tolist()
        if label and strong[label] and area >= LEAST_AREA:
            own = Box(left, top, left + width, top + height)
            members = cv2.inRange(labels[own.pixels], label, label)
            yield Part(np.asarray(members, np.uint8), own.moved(box.left, box.top), area)


def _is_cut_out(parts: list[Part], ink: Grey, level: float) -> bool:
    """Whether the picture was cut out around these parts, of which the largest is blurred."""
    part = parts[0]
    whole = reduce(Box.joined, (each.box for each in parts))
    (height, width), (down, across) = ink.shape, part.mask.shape
    spans = whole.bottom - whole.top >= SPANS * height and whole.right - whole.left >= SPANS * width
    if not spans or (down < SPANS * height and across < SPANS * width):
        return False
    smooth = cv2.blur(ink, (3, 3))
    edges = smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]
    if max(int(edge.max()) for edge in edges) < level:
        return True
    hull = cv2.contourArea(cv2.convexHull(cv2.findNonZero(part.mask)))
    return part.area >= WINDING * part.pen * part.box.longer or part.area <= HOLLOW * hull


def _is_foreign(ink: Grey, part: Part, *, cropped: bool = False) -> bool:
    """Whether a part is a soft shadow, a flash, or a strip along the border.

    Args:
        cropped: whether a blurred stroke may run to the border.
    """
    fat = FAT * max(ink.shape)
    if part.area >= fat * fat and part.pen >= fat and not _is_sharp(ink, part):
        slender = part.box.longer**2 >= SLENDER * part.area
        blurred_stroke = slender or part.area >= ELONGATED * part.pen**2
        if not blurred_stroke or not (cropped or part.box.margin(ink.shape)):
            return True
    # A strip lies along the border; seen from the side, the picture is turned.
    return _is_strip(part, ink.shape) or _is_strip(part.turned(), ink.shape[::-1])


def _is_strip(part: Part, shape: tuple[int, ...]) -> bool:
    """Whether a part is what the table, or the paper's own edge, shows along the top or the bottom.

    On a picture that is narrow itself, such a part may well be a 1 in a tight crop.
    """
    height, width = shape
    rows, columns = part.mask.shape
    if rows > STRIP_DEPTH * min(shape) or columns < STRIP_LENGTH * width or 2 * height < width:
        return False
    slack = 1 + round(RIM / 2 * max(shape))
    first, last = max(slack - part.box.top, 0), max(height - slack - part.box.top, 0)
    edges = part.mask[:first], part.mask[last:]
    return any(np.count_nonzero(edge.any(axis=0)) >= STRIP_LENGTH * width for edge in edges)


def _is_sharp(ink: Grey, part: Part) -> bool:
    """Whether a part has an outline as a pen leaves it."""
    reach = 2 * max(1, round(EDGE * max(ink.shape) / 2)) + 1
    around = part.box.grown(reach, ink.shape)
    own = part.box.moved(-around.left, -around.top).pixels
    smooth = cv2.blur(ink[around.pixels], (reach // 2 | 1, reach // 2 | 1))  # noise has edges everywhere
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    rise = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, disc)
    return cv2.minMaxLoc(rise[own], part.mask)[1] >= SHARP * cv2.minMaxLoc(smooth[own], part.mask)[1]


def _belonging(parts: list[Part], shape: tuple[int, ...]) -> list[Part]:
    """The largest part and those, largest first, that go with it."""
    main = parts[0]
    least = min(SPECK_SHARE * main.area, DOT_SHARE * main.pen**2)
    rim = 1 + round(RIM * max(shape))
    roomy = main.box.margin(shape) >= rim
    character, kept = main.box, [main]
    for part in parts[1:]:
        if part.area < least:
            break
        if part.area < STRAY * main.area:
            # Where the character keeps clear of the border, so do its dots.
            looks_in = roomy and part.box.margin(shape) < rim
            if looks_in or character.gap(part.box) > NEAR * character.longer:
                continue
        character = character.joined(part.box)
        kept.append(part)
    return kept
