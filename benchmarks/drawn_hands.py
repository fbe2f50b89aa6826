"""Hands and pens of drawn forms: glyphs that nothing was trained on, written by another pen.

A glyph of 28 px is enlarged to a canvas of 112 px and cut to a shape of black and white; the shape is thinned
to its middle line, the line is followed by a nib (an ellipse), and what of the shape was thicker than its
strokes stays thick. The result is softened, slanted, and scaled to its place. None of it is shared with
`kalamos.learn.synthetic_photos` or `kalamos.learn.ink`, which the models and the ink finder learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split, load_dataset
from kalamos.datasets.splits import stratified_split

__all__ = [
    "ARABIC",
    "CAPITALS",
    "DIGITS",
    "MARKS",
    "Glyph",
    "Hands",
    "Pen",
    "development_hands",
    "held_out_hands",
    "random_pen",
    "stamp",
    "write",
    "write_mark",
]

DIGITS: Final = "0123456789"
CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ARABIC: Final = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
MARKS: Final = ".,-/:"

CANVAS, LONGER = 112, 84
"""The working canvas and the ink's longer side in it, in px."""

ENLARGED_FROM = 40
"""Glyphs with a longer side below this are smoothed when they are enlarged: their pixels would show."""

CUT, FAINT_CUT = 105, 70
"""Grey level of a bright glyph from which on a pixel is ink; and of small glyphs with dots of a pixel."""

DOT_PENS = 1.25
"""Diameter of a letter's dot, in widths of the pen."""

DESKEWED_NARROW, DESKEWED_WIDE = 0.3, 0.4
"""Width of a bar's ink and of an L's, as shares of their height, once their slant is taken away."""

VALIDATION_FRACTIONS: Final = {"mnist": 0.05, "emnist-47": 0.05, "ahcd": 0.03}
VALIDATION_SEED: Final = 42
"""Of training images, the part that the recipes of the shipped models hold out, and by which seed."""


class Glyph(NamedTuple):
    """A character as one hand wrote it.

    Attributes:
        image: uint8 [H, W], bright on black, upright.
        framed: whether its place and size in the image mean something, as a dal's do beside an alef's.
    """

    image: NDArray[np.uint8]
    framed: bool = False


@dataclass(frozen=True)
class Hands:
    """Glyphs of many writers, by the character that they are."""

    pools: Mapping[str, Sequence[NDArray[np.uint8]]]
    framed: frozenset[str] = frozenset()

    def choose(self, label: str, generator: np.random.Generator) -> Glyph:
        """Return a character by anybody.

        Raises:
            KeyError: nobody wrote it.
        """
        pool = self.pools[label]
        return Glyph(pool[int(generator.integers(len(pool)))], label in self.framed)


@cache
def held_out_hands() -> Hands:
    """Load digits (MNIST), capitals (EMNIST-47) and Arabic letters (AHCD) of test splits.

    Raises:
        DatasetError: a dataset is absent.
    """
    return _hands(*(_test_split(name) for name in ("mnist", "emnist-47", "ahcd")))


@cache
def development_hands() -> Hands:
    """Load those of the validation parts: no model learnt from them, and they may be looked at at any time.

    Raises:
        DatasetError: a dataset is absent.
    """
    return _hands(*(_validation_part(name, fraction) for name, fraction in VALIDATION_FRACTIONS.items()))


def _hands(digits: Split, letters: Split, arabic: Split) -> Hands:
    """Put the glyphs of three datasets together.

    EMNIST's merged classes hold small letters too. Who fills a box with capitals writes no l for an L and
    dots no I, and no reader could tell them: those are left out (`_is_capital`).
    """
    pools = {label: digits.images[digits.labels == value] for value, label in enumerate(DIGITS)}
    for value, label in enumerate(CAPITALS, len(DIGITS)):
        images = letters.images[letters.labels == value]
        pools[label] = [image for image in images if _is_capital(label, image)]
    for value, label in enumerate(ARABIC):
        pools[label] = arabic.images[arabic.labels == value]
    return Hands(pools, frozenset(ARABIC))


def _test_split(name: str) -> Split:
    split = load_dataset(name).test
    assert split is not None  # noqa: S101  (all three have an official one)
    return split


def _validation_part(name: str, fraction: float) -> Split:
    split = load_dataset(name).train
    _, rows = stratified_split(split.labels, fraction, VALIDATION_SEED)
    return Split(split.images[rows], split.labels[rows])


def _is_capital(label: str, image: NDArray[np.uint8]) -> bool:
    """Whether a glyph of a merged class has a capital's shape, as the small i, j and l have not."""
    if label not in "IJL":
        return True
    if cv2.connectedComponents((image > CUT).astype(np.uint8))[0] > 2:  # a dot
        return False
    if label == "J":
        return True
    rows, columns = np.nonzero(image > CUT)
    height = int(np.ptp(rows)) + 1
    if label == "I":
        slope = np.polyfit(rows, columns, 1)[0] if height > 4 else 0.0
        return float(np.ptp(columns - slope * rows)) < DESKEWED_NARROW * height or _has_serifs(image)
    upper = rows < rows.min() + 0.6 * height
    slope = np.polyfit(rows[upper], columns[upper], 1)[0] if np.ptp(rows[upper]) > 4 else 0.0
    level = columns - slope * rows
    return bool(
        np.ptp(level) > DESKEWED_WIDE * height and level[~upper].max() > level[upper].max() + 0.15 * height
    )


def _has_serifs(image: NDArray[np.uint8]) -> bool:
    """Whether the first and the last rows of ink are clearly wider than the middle ones."""
    widths = (image > CUT).sum(axis=1)
    rows = np.flatnonzero(widths)
    top, middle, bottom = np.array_split(widths[rows[0] : rows[-1] + 1], 3)
    return bool(min(top.max(), bottom.max()) > 1.8 * np.median(middle))


@dataclass(frozen=True)
class Pen:
    """What a form is filled with.

    Attributes:
        name: "pencil", "ballpoint", "fineliner" or "felt".
        width: of the line, in mm.
        level: grey of full ink on white paper, 0 to 255.
        grain: how much of the paper's tooth stays white, 0 to 1.
        nib: the nib's narrower side as a share of its wider.
        angle: of the nib's wider side, in degrees.
    """

    name: str
    width: float
    level: int
    grain: float
    nib: float
    angle: float


_PENS: Final = {  # widths in mm, grey levels, grain
    "pencil": ((0.4, 0.75), (75, 135), (0.35, 0.75)),
    "ballpoint": ((0.35, 0.6), (25, 95), (0.02, 0.2)),
    "fineliner": ((0.35, 0.55), (15, 60), (0.0, 0.05)),
    "felt": ((0.7, 1.1), (15, 70), (0.0, 0.08)),
}


def random_pen(generator: np.random.Generator) -> Pen:
    """Return a pen: of ten, five are ballpoints, two pencils, two fineliners and one felt."""
    name = str(generator.choice(list(_PENS), p=[0.2, 0.5, 0.2, 0.1]))
    width, level, grain = (generator.uniform(*ends) for ends in _PENS[name])
    return Pen(
        name, width, round(level), grain, nib=generator.uniform(0.65, 1.0), angle=generator.uniform(0, 180)
    )


def write(
    glyph: Glyph, size: float, pen_px: float, pen: Pen, *, slant: float = 0.0, turn: float = 0.0
) -> NDArray[np.uint8]:
    """Write a character.

    Args:
        size: px that the ink's longer side has in the end; a framed glyph's whole frame has 1.5 of them.
        pen_px: the line's width in px.
        slant: how far each row leans to the right, per px of height.
        turn: clockwise, in degrees.

    Returns:
        uint8 [H, W], how much ink covers each pixel, cut out close around it.
    """
    canvas, longer = _enlarged(glyph)
    scale = size / longer
    shape = _followed(canvas > (FAINT_CUT if glyph.framed else CUT), pen_px / scale, pen)
    softness = min(max(0.3 * pen_px / scale, 0.8), 1.7)
    soft = cv2.GaussianBlur(shape, (0, 0), softness).astype(np.float32)
    shape = np.clip((soft - 127.5) * 1.5 + 127.5, 0, 255).astype(np.uint8)
    angle = math.radians(turn)
    lean = np.array([[1.0, -slant], [0.0, 1.0]])
    rotate = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = scale * rotate @ lean
    side = math.ceil(CANVAS * scale * (1.3 + abs(slant)))
    shift = np.array([side / 2, side / 2]) - linear @ np.array([CANVAS / 2, CANVAS / 2])
    placed = cv2.warpAffine(shape, np.column_stack([linear, shift]), (side, side), flags=cv2.INTER_LINEAR)
    return _close_around(placed)


def _enlarged(glyph: Glyph) -> tuple[NDArray[np.uint8], float]:
    """Return the working canvas, bright on black, and what counts as the ink's longer side in it."""
    image = glyph.image
    if glyph.framed:
        image = image.copy()
        for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
            edge[:] = 0  # remains of the form that it was cut from
        longer = CANVAS / 1.5
        scale = (CANVAS - 4) / max(image.shape)
    else:
        x, y, width, height = cv2.boundingRect((image > CUT // 2).astype(np.uint8))
        image = image[y : y + height, x : x + width]
        longer = LONGER
        scale = LONGER / max(width, height)
    size = tuple(max(1, round(side * scale)) for side in image.shape[::-1])
    large = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    top, left = (CANVAS - large.shape[0]) // 2, (CANVAS - large.shape[1]) // 2
    canvas[top : top + large.shape[0], left : left + large.shape[1]] = large
    if max(glyph.image.shape) < ENLARGED_FROM:
        canvas = cv2.GaussianBlur(canvas, (0, 0), 0.28 * scale)
    return canvas, longer


def _followed(ink: NDArray[np.bool_], pen_px: float, pen: Pen) -> NDArray[np.uint8]:
    """Return strokes as a nib of a width draws them, uint8 [H, W] of 0 and 255."""
    shape = ink.astype(np.uint8)
    line = thinned(shape)
    depths = cv2.distanceTransform(shape, cv2.DIST_L2, 5)
    own = 2 * float(depths[line > 0].mean()) if line.any() else pen_px
    if own <= pen_px:
        return cv2.dilate(shape, _nib(min(pen_px - own, 0.6 * own) + 1, pen)) * 255
    thick = cv2.erode(shape, _nib(own - pen_px + 1, pen))
    drawn = np.maximum(cv2.dilate(line, _nib(max(0.8 * pen_px, 1.0), pen)), thick)
    for x, y in _dots(shape, own):  # thinned away, or to a single px
        cv2.circle(
            drawn, (round(x * 16), round(y * 16)), round(max(DOT_PENS * pen_px, 5) * 8), 1, -1, shift=4
        )
    return drawn * 255


def _dots(shape: NDArray[np.uint8], stroke: float) -> list[tuple[float, float]]:
    """Return the middles of parts hardly longer than a stroke is wide, where there are other parts."""
    count, _, stats, centres = cv2.connectedComponentsWithStats(shape)
    if count <= 2:
        return []
    sides = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    small = 1 + np.flatnonzero(sides <= 2.0 * stroke + 2)
    return [(float(x), float(y)) for x, y in centres[small]]


def _nib(width: float, pen: Pen) -> NDArray[np.uint8]:
    side = 2 * math.ceil(width / 2) + 1
    kernel = np.zeros((side, side), np.uint8)
    axes = (round(width * 8), round(width * pen.nib * 8))
    cv2.ellipse(kernel, (side // 2 * 16, side // 2 * 16), axes, pen.angle, 0, 360, 1, cv2.FILLED, shift=4)
    kernel[side // 2, side // 2] = 1
    return kernel


_AROUND: Final = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""Rows and columns of the neighbours, clockwise from above: the bits of a pixel's code."""

_CODES: Final = np.zeros((3, 3), np.float32)
for _bit, (_row, _column) in enumerate(_AROUND):
    _CODES[1 + _row, 1 + _column] = 1 << _bit


@cache
def _removed_by(step: int) -> NDArray[np.uint8]:
    """Return for each code of neighbours whether Zhang and Suen (1984) remove the pixel, uint8 [256]."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        bits = [code >> bit & 1 for bit in range(8)]
        up, right, down, left = bits[0::2]
        turns = sum(not here and there for here, there in zip(bits, bits[1:] + bits[:1], strict=True))
        ends = (
            (up * right * down, right * down * left) if step == 0 else (up * right * left, up * down * left)
        )
        table[code] = 2 <= sum(bits) <= 6 and turns == 1 and not any(ends)
    return table


def thinned(shape: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the middle line of a shape, uint8 [H, W] of 0 and 1.

    >>> bar = np.zeros((9, 20), np.uint8)
    >>> bar[2:7, 2:18] = 1
    >>> int(thinned(bar).sum(axis=0).max())
    1
    """
    line = shape.copy()
    while True:
        before = int(line.sum())
        for step in (0, 1):
            codes = cv2.filter2D(line, cv2.CV_8U, _CODES, borderType=cv2.BORDER_CONSTANT)
            line &= 1 - cv2.LUT(codes, _removed_by(step))
        if int(line.sum()) == before:
            return line


def write_mark(
    mark: str, height: float, pen_px: float, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    """Write a comma, point, minus, slash or colon between digits of a height.

    Returns:
        uint8 [H, W] as `write`; and how far its bottom lies above the digits' base line, in px.
    """
    side = math.ceil(2.2 * height)
    image = np.zeros((side, side), np.uint8)

    def line(*points: tuple[float, float]) -> None:
        places = np.array([[0.5 * height + x, 0.5 * height + y] for x, y in points])
        places += generator.normal(0, 0.012 * height, places.shape)
        fixed = np.rint(places * 16).astype(np.int32)
        cv2.polylines(image, [fixed], False, 255, max(1, round(pen_px)), cv2.LINE_AA, 4)

    def dot(y: float) -> None:
        reach = generator.uniform(0.2, 0.6) * pen_px
        centre = 0.25 * height, y
        line((centre[0] - reach / 2, centre[1]), (centre[0] + reach / 2, centre[1] + reach / 3))
        line((centre[0], centre[1] - reach / 3), (centre[0], centre[1] + reach / 2))

    if mark == ".":
        dot(0.0)
        above = generator.uniform(-0.04, 0.06)
    elif mark == ":":
        dot(0.0)
        dot(generator.uniform(0.38, 0.55) * height)
        above = generator.uniform(0.05, 0.18)
    elif mark == ",":
        reach = generator.uniform(0.18, 0.3) * height
        line(
            (0.3 * height, 0),
            (0.29 * height, 0.55 * reach),
            (0.3 * height - generator.uniform(0.3, 0.7) * reach, reach),
        )
        above = -reach / height * generator.uniform(0.5, 0.9)
    elif mark == "-":
        reach = generator.uniform(0.3, 0.55) * height
        line((0, 0), (reach, generator.uniform(-0.06, 0.06) * height))
        above = generator.uniform(0.38, 0.55)
    elif mark == "/":
        lean = generator.uniform(0.25, 0.55) * height
        line((lean, 0), (0, generator.uniform(1.0, 1.3) * height))
        above = -generator.uniform(0.05, 0.2)
    else:
        raise KeyError(mark)
    return _close_around(image), above * height


def _close_around(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    x, y, width, height = cv2.boundingRect((cover > 24).astype(np.uint8))
    return np.ascontiguousarray(cover[y : y + max(height, 1), x : x + max(width, 1)])


def stamp(layer: NDArray[np.uint8], cover: NDArray[np.uint8], x: float, y: float) -> None:
    """Lay a character's cover into a layer in place, its top left corner at (x, y), to the nearest px."""
    left, top = round(x), round(y)
    height, width = layer.shape
    part = cover[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    left, top = max(0, left), max(0, top)
    target = layer[top : top + part.shape[0], left : left + part.shape[1]]
    np.maximum(target, part, out=target)
