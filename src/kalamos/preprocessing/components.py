"""Extract the strokes of a character: which components of the dark pixels are ink, and which are dust, grain,
soft shadows, printed lines or the table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import SQUARE_3X3, stroke_width
from kalamos.preprocessing.ruled_lines import remove_lines

__all__ = ["extract_strokes"]

Grey = NDArray[np.uint8]

FAINT_INK_FRACTION, SURE_INK_FRACTION = 0.25, 0.5
"""Hysteresis, in shares of the typical stroke's level: faint ink counts where it is joined to sure ink."""

BLACK_FRACTION, WHITE_FRACTION = 0.2, 0.85
"""The shares of the typical stroke's level that come out as 0 and 255: strokes of the training data are
saturated but for their outlines, and the middle of an outline stays where it is."""

LEVEL_SAMPLE_PIXELS = 10_000
"""About as many pixels tell the strokes' level."""

MIN_STROKE_AREA_FRACTION = 0.0003
"""Fewer pixels than this share of the picture are its brightest speck, not its strokes."""

MIN_COMPONENT_AREA_PX = 3
"""A part of fewer pixels is a speck."""

MIN_DOT_TO_MAIN_FRACTION, MIN_DOT_TO_PEN_FRACTION = 0.01, 0.35
"""A dot has this share of the largest part's area, or this share of the square of the pen's width."""

STRAY_AREA_FRACTION = 0.1
"""A part smaller than this share of the largest has to be near the rest, and off the border."""

MAX_DOT_DISTANCE = 0.75
"""A dot is at most this share of the character's longer side away from it."""

MIN_SOFT_WIDTH_FRACTION = 0.08
"""What is narrower than this share of the longer side is no soft shadow and no flash."""

MIN_ELONGATION, MIN_SLENDERNESS = 5, 1.8
"""A part of so many times its pen's width squared, or whose longer side squared is so many times its area,
is a blurred stroke rather than a blot of light, if it stands free of the border or the picture was cut out
around it."""

MIN_CROP_SPAN_FRACTION = 0.7
"""A picture was cut out around parts that together span this share of it both ways, the largest one way, and
have faded where the picture ends; a shadow runs on beyond it as dark as it was."""

MIN_WINDING, MAX_HULL_FRACTION = 2, 0.75
"""... or whose pen went this many times as far as it is long, or that is at most this share of its convex
hull; a band of shadow is straighter."""

EDGE_WIDTH_FRACTION, MIN_EDGE_RISE = 0.02, 0.35
"""Ink's outline rises by a share `MIN_EDGE_RISE` of its level within a share `EDGE_WIDTH_FRACTION` of the
longer side."""

BORDER_STRIP_FRACTION = 0.02
"""This share of the longer side along the border is where the table and other characters look in."""

MIN_STRIP_LENGTH, MAX_STRIP_DEPTH = 0.7, 0.4
"""A strip along a border takes this share of its length, and is at most so deep."""

MIN_CHARACTER_FRACTION = 0.03
"""Nothing that spans a smaller share of the longer side was written there."""

MAX_COMPONENTS = 64
"""Parts that are looked at, largest first; the rest is texture."""

GREY_LEVELS = np.arange(256)


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
class Component:
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
    def stroke_width(self) -> float:
        return stroke_width(self.mask)

    def turned(self) -> Component:
        """The same in the transposed picture."""
        left, top, right, bottom = self.box
        return Component(self.mask.T, Box(top, left, bottom, right), self.area)


def extract_strokes(ink: Grey) -> Grey:
    """Blacken what was not written, and bring the strokes to full contrast.

    Args:
        ink: uint8 [H, W], bright on black.

    Returns:
        uint8 [H, W]; all 0 where nothing was written.
    """
    level = _stroke_level(ink)
    if not level:
        return ink
    mask = _above(ink, FAINT_INK_FRACTION * level)
    rest = remove_lines(mask)
    if rest is not mask:
        level = _stroke_level(cv2.bitwise_and(ink, rest))  # type: ignore[arg-type]
        rest = cv2.bitwise_and(rest, _above(ink, FAINT_INK_FRACTION * level))  # type: ignore[assignment]
    shown = np.zeros_like(ink)
    left, top, width, height = cv2.boundingRect(rest)
    if not width:
        return shown
    # Beyond the ink's box there is nothing but, a pixel wide, the grey of its outline.
    box = Box(left, top, left + width, top + height).grown(1, ink.shape)
    character = _character(ink, rest, level, box)[box.pixels]
    left_out = cv2.subtract(mask[box.pixels], character)
    outlined = cv2.subtract(cv2.dilate(character, SQUARE_3X3), left_out)
    gain = 255 / ((WHITE_FRACTION - BLACK_FRACTION) * max(level, 1))
    # OpenCV is faster with whole numbers.
    toned = cv2.convertScaleAbs(cv2.subtract(ink[box.pixels], round(BLACK_FRACTION * level)), alpha=gain)  # type: ignore[call-overload]
    np.bitwise_and(toned, outlined, out=shown[box.pixels])
    return shown


def _above(ink: Grey, level: float) -> Grey:
    return cv2.threshold(ink, max(level - 1, 0), 255, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]


def _stroke_level(ink: Grey) -> float:
    """The typical level inside strokes: the mean above Otsu's threshold among what is not black."""
    stride = max(1, math.isqrt(ink.size // LEVEL_SAMPLE_PIXELS))
    sample = np.ascontiguousarray(ink[::stride, ::stride])
    counts = cv2.calcHist([sample], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    counts[0] = 0
    number, total = counts.cumsum(), (counts * GREY_LEVELS).cumsum()
    if not number[-1]:
        return 0.0
    above = number[-1] - number
    # The variance between the two classes; where one is empty, there is nothing between.
    between = (total[-1] * number - number[-1] * total) ** 2 / np.maximum(number * above, 1)
    between[above < max(MIN_COMPONENT_AREA_PX, MIN_STROKE_AREA_FRACTION * sample.size)] = 0
    best = int(between.argmax())
    if not between[best]:
        return float(total[-1] / number[-1])
    return float((total[-1] - total[best]) / above[best])


def _character(ink: Grey, mask: Grey, level: float, box: Box) -> Grey:
    """The mask of the parts that make the character; `box` holds all parts."""
    character = np.zeros_like(mask)
    found = list(_components(ink, mask, level, box))
    parts = [part for part in found if not _is_foreign(ink, part)]
    # Its dots alone are not the character.
    lost = found and (not parts or parts[0].area < MIN_DOT_TO_PEN_FRACTION * found[0].area)
    if lost and _is_cut_out(found, ink, level):
        parts = [part for part in found if not _is_foreign(ink, part, cropped=True)]
    if parts and parts[0].box.longer >= MIN_CHARACTER_FRACTION * max(ink.shape):
        for part in _belonging(parts, ink.shape):
            place = character[part.box.pixels]
            np.bitwise_or(place, part.mask, out=place)
    return character


def _components(ink: Grey, mask: Grey, level: float, box: Box) -> Iterator[Component]:
    """The parts in which there is sure ink, largest first."""
    within = mask[box.pixels]
    height, width = within.shape
    most = ((height + 1) // 2) * ((width + 1) // 2)
    depth = cv2.CV_16U if most < 2**16 else cv2.CV_32S
    count, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(within, 8, depth, cv2.CCL_DEFAULT)
    strong = np.bincount(labels[ink[box.pixels] >= SURE_INK_FRACTION * level], minlength=count)
    areas = stats[:, cv2.CC_STAT_AREA]
    for label in np.argsort(-areas)[: MAX_COMPONENTS + 1].tolist():
        left, top, width, height, area = stats[label].tolist()
        if label and strong[label] and area >= MIN_COMPONENT_AREA_PX:
            own = Box(left, top, left + width, top + height)
            members = cv2.inRange(labels[own.pixels], label, label)
            yield Component(np.asarray(members, np.uint8), own.moved(box.left, box.top), area)


def _is_cut_out(parts: list[Component], ink: Grey, level: float) -> bool:
    """Whether the picture was cut out around these parts, of which the largest is blurred."""
    part = parts[0]
    whole = reduce(Box.joined, (each.box for each in parts))
    (height, width), (down, across) = ink.shape, part.mask.shape
    spans = (
        whole.bottom - whole.top >= MIN_CROP_SPAN_FRACTION * height
        and whole.right - whole.left >= MIN_CROP_SPAN_FRACTION * width
    )
    if not spans or (down < MIN_CROP_SPAN_FRACTION * height and across < MIN_CROP_SPAN_FRACTION * width):
        return False
    smooth = cv2.blur(ink, (3, 3))
    edges = smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]
    if max(int(edge.max()) for edge in edges) < level:
        return True
    hull = cv2.contourArea(cv2.convexHull(cv2.findNonZero(part.mask)))
    return (
        part.area >= MIN_WINDING * part.stroke_width * part.box.longer
        or part.area <= MAX_HULL_FRACTION * hull
    )


def _is_foreign(ink: Grey, part: Component, *, cropped: bool = False) -> bool:
    """Whether a part is a soft shadow, a flash, or a strip along the border.

    Args:
        cropped: whether a blurred stroke may run to the border.
    """
    fat = MIN_SOFT_WIDTH_FRACTION * max(ink.shape)
    if part.area >= fat * fat and part.stroke_width >= fat and not _is_sharp(ink, part):
        slender = part.box.longer**2 >= MIN_SLENDERNESS * part.area
        blurred_stroke = slender or part.area >= MIN_ELONGATION * part.stroke_width**2
        if not blurred_stroke or not (cropped or part.box.margin(ink.shape)):
            return True
    # A strip lies along the border; seen from the side, the picture is turned.
    return _is_strip(part, ink.shape) or _is_strip(part.turned(), ink.shape[::-1])


def _is_strip(part: Component, shape: tuple[int, ...]) -> bool:
    """Whether a part is what the table, or the paper's own edge, shows along the top or the bottom.

    On a picture that is narrow itself, such a part may well be a 1 in a tight crop.
    """
    height, width = shape
    rows, columns = part.mask.shape
    if rows > MAX_STRIP_DEPTH * min(shape) or columns < MIN_STRIP_LENGTH * width or 2 * height < width:
        return False
    slack = 1 + round(BORDER_STRIP_FRACTION / 2 * max(shape))
    first, last = max(slack - part.box.top, 0), max(height - slack - part.box.top, 0)
    edges = part.mask[:first], part.mask[last:]
    return any(np.count_nonzero(edge.any(axis=0)) >= MIN_STRIP_LENGTH * width for edge in edges)


def _is_sharp(ink: Grey, part: Component) -> bool:
    """Whether a part has an outline as a pen leaves it."""
    reach = 2 * max(1, round(EDGE_WIDTH_FRACTION * max(ink.shape) / 2)) + 1
    around = part.box.grown(reach, ink.shape)
    own = part.box.moved(-around.left, -around.top).pixels
    smooth = cv2.blur(ink[around.pixels], (reach // 2 | 1, reach // 2 | 1))  # noise has edges everywhere
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    rise = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, disc)
    return cv2.minMaxLoc(rise[own], part.mask)[1] >= MIN_EDGE_RISE * cv2.minMaxLoc(smooth[own], part.mask)[1]


def _belonging(parts: list[Component], shape: tuple[int, ...]) -> list[Component]:
    """The largest part and those, largest first, that go with it."""
    main = parts[0]
    least = min(MIN_DOT_TO_MAIN_FRACTION * main.area, MIN_DOT_TO_PEN_FRACTION * main.stroke_width**2)
    rim = 1 + round(BORDER_STRIP_FRACTION * max(shape))
    roomy = main.box.margin(shape) >= rim
    character, kept = main.box, [main]
    for part in parts[1:]:
        if part.area < least:
            break
        if part.area < STRAY_AREA_FRACTION * main.area:
            # Where the character keeps clear of the border, so do its dots.
            looks_in = roomy and part.box.margin(shape) < rim
            if looks_in or character.gap(part.box) > MAX_DOT_DISTANCE * character.longer:
                continue
        character = character.joined(part.box)
        kept.append(part)
    return kept
