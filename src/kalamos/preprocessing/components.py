"""Extract the strokes of a character from what else is dark: dust, grain, soft shadows, the table, printed
lines.

Connected components are ink or not by their size, shape, outline and place. Printed lines (ruled, squared, a
form's cells) are taken away first: such a line runs from border to border, straight and thin. If ink goes on
beside it, a stroke crosses it or ends on it, and is left whole there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import SQUARE_3X3, stroke_width

__all__ = ["extract_strokes", "remove_lines"]

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
"""A smaller component is a speck."""

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
"""Border strip, as a fraction of the longer side, where neighbouring content is expected."""

MIN_STRIP_LENGTH, MAX_STRIP_DEPTH = 0.7, 0.4
"""A strip along a border takes this share of its length, and is at most so deep."""

MIN_CHARACTER_FRACTION = 0.03
"""Nothing that spans a smaller share of the longer side was written there."""

MAX_COMPONENTS = 64
"""Components that are examined, largest first; the rest is texture."""

GREY_LEVELS = np.arange(256)

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
"""With a shorter side, lines cannot be distinguished from strokes."""

MAX_LINES = 40
"""Lines a direction; the finest squared paper has fewer behind one character."""


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
        """Return how far apart the two boxes are, along one axis."""
        return max(
            self.left - other.right,
            other.left - self.right,
            self.top - other.bottom,
            other.top - self.bottom,
            0,
        )

    def margin(self, shape: tuple[int, ...]) -> int:
        """Return the distance from the picture's nearest border."""
        return min(self.left, self.top, shape[1] - self.right, shape[0] - self.bottom)

    def joined(self, other: Box) -> Box:
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def grown(self, px: int, shape: tuple[int, ...]) -> Box:
        """Grow on all sides, within the picture."""
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
        """The slices of its pixels."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, eq=False)
class Component:
    """A connected component of the mask.

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
        """Return the same component of the transposed picture."""
        left, top, right, bottom = self.box
        return Component(self.mask.T, Box(top, left, bottom, right), self.area)


@dataclass(frozen=True)
class Line:
    """Around row `middle + rise * (x - W / 2) / W`; all in px."""

    middle: float
    rise: float
    thickness: int


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


def remove_lines(mask: Grey) -> Grey:
    """Remove printed lines from a mask; return the mask itself if it has none.

    A line stays where it is all that is written (a dash, a 1, an alef or a T that fills its crop), and where
    it may be a stroke of a character that fills its crop from border to border (a T, a 4).

    Args:
        mask: uint8 [H, W], 255 for ink.

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
    across, down = _find_lines(mask), _find_lines(mask.T)
    if not across and not down:
        return mask
    rest = _without_lines(mask, across, down)
    if _is_written(rest):
        pen = stroke_width(rest)
        across = [line for line in across if not _may_be_stroke(line, rest, pen)]
        down = [line for line in down if not _may_be_stroke(line, rest.T, pen)]
    elif max(len(across), len(down)) == 1 and all(
        line.thickness >= MIN_LONE_STROKE_FRACTION * max(mask.shape) for line in across + down
    ):
        return mask
    return _without_lines(mask, across, down)


def _above(ink: Grey, level: float) -> Grey:
    return cv2.threshold(ink, max(level - 1, 0), 255, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]


def _stroke_level(ink: Grey) -> float:
    """Measure the typical level inside strokes: the mean above Otsu's threshold among what is not black."""
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
    """Return the mask of the components that make the character; `box` holds all components."""
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
    """Yield the components with sure ink, largest first."""
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
    """Return whether the picture was cut out around these components, the largest of them blurred."""
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
    """Return whether a component is a soft shadow, a flash, or a strip along the border.

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
    """Return whether a component is the table, or the paper's edge, along the top or the bottom.

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
    """Return whether a component has a pen's outline."""
    reach = 2 * max(1, round(EDGE_WIDTH_FRACTION * max(ink.shape) / 2)) + 1
    around = part.box.grown(reach, ink.shape)
    own = part.box.moved(-around.left, -around.top).pixels
    smooth = cv2.blur(ink[around.pixels], (reach // 2 | 1, reach // 2 | 1))  # noise has edges everywhere
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    rise = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, disc)
    return cv2.minMaxLoc(rise[own], part.mask)[1] >= MIN_EDGE_RISE * cv2.minMaxLoc(smooth[own], part.mask)[1]


def _belonging(parts: list[Component], shape: tuple[int, ...]) -> list[Component]:
    """Return the largest component and those, largest first, that go with it."""
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


def _is_written(rest: Grey) -> bool:
    _, _, stats, _ = cv2.connectedComponentsWithStats(rest)
    sides = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return bool(sides.max(initial=0) >= MIN_WRITTEN_SPAN_FRACTION * max(rest.shape))


def _may_be_stroke(line: Line, rest: Grey, pen: float) -> bool:
    """Return whether a line is as thick as the pen, and makes, with the rest, ink that fills its crop."""
    height = len(rest)
    rows = np.flatnonzero(rest.any(axis=1))
    slack = 1 + 0.02 * height
    top = min(rows[0], line.middle - line.thickness)
    bottom = max(rows[-1], line.middle + line.thickness)
    return bool(
        line.thickness >= MIN_PEN_LIKE_FRACTION * pen and top <= slack and bottom >= height - 1 - slack
    )


def _find_lines(mask: Grey) -> list[Line]:
    """Find the lines that cross the picture from left to right."""
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
    """Compute where a line of each rise through each row lies in each strip.

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


def _without_lines(mask: Grey, across: list[Line], down: list[Line]) -> Grey:
    rest = mask.copy()
    for line in across:
        _erase_line(mask, rest, line)
    for line in down:
        _erase_line(mask.T, rest.T, line)
    return rest


def _erase_line(mask: Grey, rest: Grey, line: Line) -> None:
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
