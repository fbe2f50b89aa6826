"""Drawn pages of a few lines of digits, photographed, and their lines as the reader cuts them.

A page is drawn, photographed and given to the ink finder; strips are cut out of what it finds. So the network
meets what the reader will show it: blur, gaps, ruled lines in part, other lines that reach into the strip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.strokes import draw_line
from kalamos.learn.lines.hands import DIGITS, SIGNS, Drawn, Hand, ImageHand, Pen, StrokeHands, draw_sign
from kalamos.learn.recipe import NonNegative, Probability, check_fields
from kalamos.learn.synthetic_photos.render import (
    FINE_GRAIN,
    MEDIUM_GRAIN,
    Camera,
    Floats,
    cut,
    expose,
    light,
    paper,
)
from kalamos.pages.ink_map import TARGET_PX, PageInk, find_page_ink
from kalamos.pages.strips import BAND_PX, STRIP_PX, cut_strip

__all__ = ["DrawnLine", "Hands", "LineRanges", "draw_lines"]

LINES_A_PAGE: Final = 3

DIGIT_PX: Final = 17.0, 80.0
"""The height of digits on the photograph; both ends are as rare as their logarithms say."""

PEN_FRACTIONS: Final = 0.045, 0.19
"""Of the digits' height: the pen's width; thin ones are the most frequent."""

MAX_OVERHANG: Final = 0.45
"""Of the digits' height: how far a digit reaches under or over the one before it."""

PITCHES: Final = 1.25, 2.6
"""Times the digits' height: from base line to base line."""

MARGIN_FRACTION: Final = 0.9
"""Of the digits' height: paper around the lines."""

MARGIN_PX: Final = 14
"""Of a strip, before its first character and after its last."""

BENT_POINTS: Final = 40
"""Places a side for which it is computed where a page's px come from: linear between."""

MASK_LEVEL: Final = 0.3
"""How much of a pixel ink covers at least where the ink finder would see it."""

TILT_DEGREES: Final = 1.2
"""How far a strip still falls or rises (standard deviation)."""

CAMERA: Final = Camera(
    margin=0.0, texture=4.0, ruled=0.34, squared=0.14, cell=0.05, specks=0.15, light=0.35, shadow=0.3,
    defocus=0.04, motion=0.1, haze=0.3, noise=6.0, jpeg=0.6, inverted=0.02,
)  # fmt: skip
"""Paper, light and lens."""


@dataclass(frozen=True)
class LineRanges:
    """How lines are written: shares of all lines, of their pairs, or of the digits' height.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    mnist: Probability = 0.5
    """Lines by many hands, of MNIST's training images."""
    fonts: Probability = 0.17
    """Lines of digits of fonts; UNIPEN's writers write the rest, one a line."""
    touching: Probability = 0.5
    """Lines whose digits touch, most of them."""
    ligatures: Probability = 0.06
    """Pairs in such lines that the pen joined by a stroke."""
    signs: Probability = 0.2
    """Lines with points, commas, dashes, slashes and colons between the digits."""
    found: Probability = 0.4
    """Pages whose ink the ink finder finds; of the others it is known."""
    slant: NonNegative = 0.14
    """How far lines lean to the right, in px for each px up (standard deviation)."""
    longest: NonNegative = 13
    """Characters of a line, on average, in the longest batches."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Hands:
    """All that write."""

    mnist: ImageHand
    fonts: ImageHand
    writers: StrokeHands

    def someone(self, ranges: LineRanges, generator: np.random.Generator) -> Hand:
        """Return who writes a line."""
        chance = generator.random()
        if chance < ranges.mnist:
            return self.mnist
        return self.fonts if chance < ranges.mnist + ranges.fonts else self.writers.someone(generator)


class DrawnLine(NamedTuple):
    """A line as the reader sees it.

    Attributes:
        strip: uint8 [STRIP_PX, w].
        text: what it says.
        places: of each character, the column of its middle in the strip.
    """

    strip: NDArray[np.uint8]
    text: str
    places: NDArray[np.float32]


@dataclass
class _Line:
    text: str
    boxes: NDArray[np.float64]
    """Left, top, right and bottom of each character, in px of the layer."""


def draw_lines(
    hands: Hands, ranges: LineRanges, characters: int, generator: np.random.Generator
) -> list[DrawnLine]:
    """Draw a page with lines of about so many characters; return those that the ink finder saw.

    Args:
        characters: of a line, on average.
    """
    height = math.exp(generator.uniform(*np.log(DIGIT_PX)))
    pitch = height * generator.uniform(*PITCHES)
    margin = MARGIN_FRACTION * height
    layer = np.zeros(
        (round(LINES_A_PAGE * pitch + 2 * margin), round(characters * 1.6 * height + 4 * height)), np.float32
    )
    pen = Pen(height * _skewed(PEN_FRACTIONS, generator), generator.uniform(0, 0.8))
    lines = []
    for number in range(LINES_A_PAGE):
        base = margin + height + number * pitch
        text = _text(characters, ranges, generator)
        hand = hands.someone(ranges, generator)
        touching = generator.random() < ranges.touching
        gap = generator.uniform(0.02, 0.14) if touching else generator.uniform(0.1, 0.6)
        writer = _Writer(layer, hand, pen, height, gap, 0.8 if touching else 0.0, ranges.ligatures, generator)
        lines.append(_Line(text, writer.write(text, margin + generator.uniform(0, 0.5) * height, base)))
    layer = layer[:, : math.ceil(max(line.boxes[:, 2].max() for line in lines) + margin)]
    there = _bent(layer.shape, height, generator.normal(0, ranges.slant), generator)
    layer = cv2.remap(layer, there, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    for line in lines:
        line.boxes = _moved(line.boxes, there)
    photo = _photographed(layer, height, generator)
    seen = height * generator.uniform(0.8, 1.25)
    ink = find_page_ink(photo, seen) if generator.random() < ranges.found else _true_ink(photo, layer, seen)
    if ink is None:
        return []
    strokes = ink.strokes()
    return [_strip(line, strokes, ink.scale, height, generator) for line in lines]


def _true_ink(photo: NDArray[np.uint8], layer: Floats, height: float) -> PageInk:
    """Do as `find_page_ink` at a small share of its cost, from where the ink really is."""
    scale = TARGET_PX / height
    size = tuple(max(1, round(side * scale)) for side in photo.shape[::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(photo, size, interpolation=method)
    cover = cv2.resize(layer, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mask = np.where(cover > MASK_LEVEL, 255, 0).astype(np.uint8)
    return PageInk(mask, np.asarray(grey, np.uint8), scale, TARGET_PX)


def _text(characters: int, ranges: LineRanges, generator: np.random.Generator) -> str:
    count = max(1, round(generator.normal(characters, 0.15 * characters + 0.5)))
    repeated = generator.random() < 0.2  # codes and amounts hold more of the same digit than chance would
    chances = generator.dirichlet(np.full(10, 0.4)) if repeated else np.full(10, 0.1)
    text = generator.choice(list(DIGITS), count, p=chances).tolist()
    if generator.random() < ranges.signs:
        for place in range(1, count - 1):
            if generator.random() < 0.25 and text[place - 1] in DIGITS:
                text[place] = str(generator.choice(list(SIGNS)))
    return "".join(text)


class _Writer:
    """Writes lines into a layer, in place."""

    def __init__(
        self,
        layer: Floats,
        hand: Hand,
        pen: Pen,
        height: float,
        gap: float,
        joined: float,
        ligatures: float,
        generator: np.random.Generator,
    ) -> None:
        self.layer, self.hand, self.pen, self.height = layer, hand, pen, height
        self.gap, self.joined, self.ligatures, self.generator = gap, joined, ligatures, generator
        self.jitter = generator.uniform(0.01, 0.07)  # of the base line
        self.unevenness = generator.uniform(0.02, 0.12)  # of the digits' sizes

    def write(self, text: str, x: float, base: float) -> NDArray[np.float64]:
        """Write a line from x on; return its characters' boxes as `_Line` has them."""
        generator, height = self.generator, self.height
        boxes: list[tuple[float, float, float, float]] = []
        before: tuple[Floats, int, int] | None = None
        for character in text:
            drawn = self._drawn(character)
            cover, tall = drawn.cover, len(drawn.cover)
            top = round(base - drawn.rise - tall + generator.normal(0, self.jitter) * height)
            left = round(x + self.gap * height * generator.uniform(0.6, 1.4) * bool(boxes))
            if before is not None and generator.random() < self.joined:
                left = self._touching(before, cover, top)
            elif boxes and generator.random() < 0.04:
                left += round(generator.uniform(0.3, 2.0) * height)  # a space
            top, left = max(top, 0), max(left, 0)
            place = self.layer[top : top + tall, left : left + cover.shape[1]]
            np.maximum(place, cover[: place.shape[0], : place.shape[1]], out=place)
            if before is not None and self.joined and generator.random() < self.ligatures:
                self._join(before, cover, top, left)
            boxes.append((left, top, left + cover.shape[1], top + tall))
            before = cover, top, left
            x = left + cover.shape[1]
        return np.array(boxes, np.float64)

    def _drawn(self, character: str) -> Drawn:
        generator = self.generator
        if character in SIGNS:
            return draw_sign(character, self.height, self.pen, generator)
        height = self.height * max(0.5, generator.normal(1, self.unevenness))
        return self.hand.draw(character, height, self.pen, generator.normal(0, 3), generator)

    def _touching(self, before: tuple[Floats, int, int], cover: Floats, top: int) -> int:
        """Return where a character begins whose ink meets that of the one before, within a pen's width."""
        other, other_top, left = before
        end = left + int(other.shape[1])
        first, last = max(top, other_top), min(top + len(cover), other_top + len(other))
        there, here = (
            (ink[first - at : last - at] > 0.5 for ink, at in ((other, other_top), (cover, top)))
            if last > first
            else (np.zeros((0, 1), bool),) * 2
        )
        rows = there.any(axis=1) & here.any(axis=1)
        if not rows.any():
            return end + round(self.generator.uniform(-0.1, 0.05) * self.height)
        reach = there.shape[1] - there[rows, ::-1].argmax(axis=1) - here[rows].argmax(axis=1)
        meets = left + float(reach.max()) - self.generator.uniform(-0.3, 1.2) * self.pen.width
        return round(float(max(meets, end - MAX_OVERHANG * self.height, left + 0.2 * self.height)))

    def _join(self, before: tuple[Floats, int, int], cover: Floats, top: int, left: int) -> None:
        """Draw a stroke from a character's end to the next one's beginning."""
        ends = []
        for (ink, y, x), outer in ((before, -1), ((cover, top, left), 0)):
            columns = np.flatnonzero((ink > 0.5).any(axis=0))
            if not len(columns):
                return
            column = int(columns[outer])
            rows = np.flatnonzero(ink[:, column] > 0.5)
            ends.append((x + column, y + int(rows[self.generator.integers(len(rows))])))
        stroke = np.zeros(self.layer.shape, np.uint8)
        draw_line(stroke, ends, max(self.pen.width, 1.0))
        np.maximum(self.layer, stroke.astype(np.float32) / np.float32(255), out=self.layer)


def _bent(
    shape: tuple[int, ...], height: float, slant: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return where each px of a layer comes from, float32 [H, W, 2]: leaning, turned, bent a little."""
    tall, wide = shape
    y, x = (np.linspace(-0.5, 0.5, BENT_POINTS, dtype=np.float32) * side for side in (tall - 1, wide - 1))
    x, y = np.meshgrid(x, y)
    turn = math.tan(math.radians(generator.normal(0, 0.8)))
    sag = generator.normal(0, 0.15) * height  # of a page that is not flat
    down = tall / 2 + y - np.float32(turn) * x - np.float32(sag) * np.square(2 * x / wide)
    across = wide / 2 + x + np.float32(slant) * y
    swell = generator.standard_normal((5, max(3, round(wide / height)), 2), np.float32)
    swell *= np.float32(generator.uniform(0, 0.05) * height)
    places = np.stack([across, down], axis=2)
    places += cv2.resize(swell, (BENT_POINTS, BENT_POINTS), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(places, (wide, tall), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _moved(boxes: NDArray[np.float64], there: NDArray[np.float32]) -> NDArray[np.float64]:
    """Move boxes along with their ink: their middles, to the first order."""
    middles = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2], axis=1)
    places = middles.copy()
    for _ in range(3):
        rows = np.clip(np.rint(places[:, 1]), 0, there.shape[0] - 1).astype(int)
        columns = np.clip(np.rint(places[:, 0]), 0, there.shape[1] - 1).astype(int)
        places += middles - there[rows, columns]
    shift = places - middles
    return boxes + np.tile(shift, 2)


def _photographed(layer: Floats, height: float, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Photograph a layer of ink on paper."""
    page = paper(layer.shape, height, (0, 0, round(MARGIN_FRACTION * height), 0), CAMERA, generator)
    tooth = cut(FINE_GRAIN if generator.random() < 0.5 else MEDIUM_GRAIN, layer.shape, generator)
    pencil = generator.random() < 0.25
    grain = generator.uniform(0.1, 0.45) if pencil else generator.uniform(0, 0.2)
    load = np.clip(tooth * np.float32(grain) + np.float32(generator.uniform(0.75, 1.3)), 0, 1)
    darkness = generator.uniform(0.3, 0.65) if pencil else generator.uniform(0.45, 0.95)
    page *= 1 - np.float32(darkness) * layer * load
    page *= light(layer.shape, CAMERA, generator)
    return expose(page, height, CAMERA, generator)


def _strip(
    line: _Line, strokes: NDArray[np.uint8], scale: float, height: float, generator: np.random.Generator
) -> DrawnLine:
    """Cut a line out as the reader would, who knows its height and its middle only about."""
    boxes = line.boxes * scale
    high = boxes[:, 3] - boxes[:, 1] >= 0.6 * height * scale
    letters = boxes[high] if high.any() else boxes
    tall = height * scale * float(np.clip(generator.normal(1.02, 0.1), 0.75, 1.4))
    zoom = BAND_PX / tall
    lead, tail = (generator.uniform(0.3, 1.7, 2) * MARGIN_PX / zoom).tolist()
    left = math.floor(boxes[:, 0].min() - lead)
    right = math.ceil(boxes[:, 2].max() + tail)
    across, down = (letters[:, 0] + letters[:, 2]) / 2, (letters[:, 1] + letters[:, 3]) / 2
    slope, start = np.polyfit(across, down, 1) if len(letters) > 3 else (0.0, float(np.median(down)))
    columns = np.arange(left, right)
    middles = start + slope * columns + generator.normal(0, 0.06) * tall
    middles += math.tan(math.radians(generator.normal(0, TILT_DEGREES))) * (columns - columns.mean())
    strip = cut_strip(strokes, left, middles, tall)
    places = ((boxes[:, 0] + boxes[:, 2]) / 2 - left) * (strip.shape[1] / (right - left))
    assert len(strip) == STRIP_PX  # noqa: S101
    return DrawnLine(strip, line.text, places.astype(np.float32))


def _skewed(ends: Sequence[float], generator: np.random.Generator) -> float:
    low, high = ends
    return float(low + (high - low) * generator.random() ** 1.6)
