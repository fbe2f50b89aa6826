"""Tell what was written from what else is dark: dust, grain, soft shadows, printed lines, the table."""

from __future__ import annotations

import math
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
is a blurred stroke rather than a blot of light, if it stands free of the border."""

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


class Part(NamedTuple):
    """A connected part of the mask; the box in px, right and bottom exclusive."""

    label: int
    left: int
    top: int
    right: int
    bottom: int
    area: int

    @property
    def longer(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)

    def gap(self, other: Part) -> int:
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

    def joined(self, other: Part) -> Part:
        return Part(
            self.label,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.area + other.area,
        )


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
    character = _character(ink, rest, level)
    # A pixel more, for the grey of its outline, but none of what has just been left out.
    around = cv2.bitwise_and(cv2.dilate(character, np.ones((3, 3), np.uint8)), cv2.bitwise_not(mask))
    shown = cv2.bitwise_or(character, around)
    gain = 255 / ((WHITE - BLACK) * max(level, 1))
    toned = cv2.convertScaleAbs(cv2.subtract(ink, BLACK * level), alpha=gain)  # type: ignore[call-overload]
    return cv2.bitwise_and(toned, shown)  # type: ignore[return-value]


def _above(ink: Grey, level: float) -> Grey:
    return cv2.threshold(ink, max(level - 1, 0), 255, cv2.THRESH_BINARY)[1]  # type: ignore[return-value]


def _stroke_level(ink: Grey) -> float:
    """The typical level inside strokes: the mean above Otsu's threshold among what is not black."""
    stride = max(1, math.isqrt(ink.size // SAMPLES))
    sample = ink[::stride, ::stride]
    counts = np.bincount(sample.ravel(), minlength=256)
    counts[0] = 0
    levels = np.arange(256)
    number, total = np.cumsum(counts), np.cumsum(counts * levels)
    if not number[-1]:
        return 0.0
    above = np.maximum(number[-1] - number, 1)
    mean_above = (total[-1] - total) / above
    between = number * (number[-1] - number) * (mean_above - total / np.maximum(number, 1)) ** 2
    between[number[-1] - number < max(LEAST_AREA, STRONGEST * sample.size)] = 0
    best = int(np.argmax(between))
    return float(mean_above[best]) if between[best] else float(total[-1] / number[-1])


def _character(ink: Grey, mask: Grey, level: float) -> Grey:
    """The mask of the parts that make the character."""
    # Labelling costs more than all else here: only where there is something.
    x, y, width, height = cv2.boundingRect(mask)
    if not width:  # OpenCV 5 crashes on labelling nothing
        return np.zeros_like(mask)
    box = slice(y, y + height), slice(x, x + width)
    count, labelled, stats, _ = cv2.connectedComponentsWithStats(mask[box])
    stats[:, :2] += (x, y)
    labels = np.zeros(mask.shape, np.int32)
    labels[box] = labelled
    strong = np.bincount(labels[ink >= SURE * level], minlength=count)
    areas = stats[:, cv2.CC_STAT_AREA]
    largest = [label for label in np.argsort(-areas)[: MOST + 1].tolist() if label]
    parts = []
    for label in largest:
        left, top, width, height, area = stats[label].tolist()
        part = Part(label, left, top, left + width, top + height, area)
        if strong[label] and area >= LEAST_AREA and not _is_foreign(ink, labels, part):
            parts.append(part)
    keep = np.zeros(count, np.uint8)
    if parts and parts[0].longer >= SMALLEST * max(ink.shape):
        keep[_belonging(parts, labels)] = 255
    character = np.zeros_like(mask)
    character[box] = np.take(keep, labels[box])  # in half the time of indexing
    return character


def _is_foreign(ink: Grey, labels: NDArray[np.int32], part: Part) -> bool:
    """Whether a part is a soft shadow, a flash, or a strip along the border."""
    longer = max(ink.shape)
    if part.area >= (FAT * longer) ** 2:
        reach = 2 * max(1, round(longer * EDGE / 2)) + 1
        box = (
            slice(max(0, part.top - reach), part.bottom + reach),
            slice(max(0, part.left - reach), part.right + reach),
        )
        members = (labels[box] == part.label).astype(np.uint8)
        pen = pen_width(members)
        if pen >= FAT * longer and not _is_sharp(ink[box], members, reach):
            slender = part.longer * part.longer >= SLENDER * part.area
            blurred_stroke = slender or part.area >= ELONGATED * pen * pen
            return not blurred_stroke or not part.margin(ink.shape)
    # A strip lies along the border; seen from the side, the picture is turned.
    turned = Part(part.label, part.top, part.left, part.bottom, part.right, part.area)
    return _is_strip(labels, part) or _is_strip(labels.T, turned)


def _is_strip(labels: NDArray[np.int32], part: Part) -> bool:
    """Whether a part is what the table, or the paper's own edge, shows along the top or the bottom.

    On a picture that is narrow itself, such a part may well be a 1 in a tight crop.
    """
    height, width = labels.shape
    shallow = part.bottom - part.top <= STRIP_DEPTH * min(height, width)
    if not shallow or part.right - part.left < STRIP_LENGTH * width or 2 * height < width:
        return False
    slack = 1 + round(RIM / 2 * max(height, width))
    edges = (labels[:slack], part.top < slack), (labels[-slack:], part.bottom > height - slack)
    return any(
        touches and np.count_nonzero((edge == part.label).any(axis=0)) >= STRIP_LENGTH * width
        for edge, touches in edges
    )


def _is_sharp(ink: Grey, members: Grey, reach: int) -> bool:
    """Whether a part has an outline as a pen leaves it."""
    smooth = cv2.blur(ink, (reach // 2 | 1, reach // 2 | 1))  # noise has edges everywhere
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    rise = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, around)
    return cv2.minMaxLoc(rise, members)[1] >= SHARP * cv2.minMaxLoc(smooth, members)[1]


def _belonging(parts: list[Part], labels: NDArray[np.int32]) -> list[int]:
    """The labels of the largest part and of those, largest first, that go with it."""
    main = parts[0]
    box = slice(main.top, main.bottom), slice(main.left, main.right)
    pen = pen_width((labels[box] == main.label).astype(np.uint8))
    least = min(SPECK_SHARE * main.area, DOT_SHARE * pen * pen)
    rim = 1 + round(RIM * max(labels.shape))
    roomy = main.margin(labels.shape) >= rim
    character, kept = main, [main.label]
    for part in parts[1:]:
        if part.area < least:
            break
        if part.area < STRAY * main.area:
            # Where the character keeps clear of the border, so do its dots.
            looks_in = roomy and part.margin(labels.shape) < rim
            if looks_in or character.gap(part) > NEAR * character.longer:
                continue
        character = character.joined(part)
        kept.append(part.label)
    return kept
