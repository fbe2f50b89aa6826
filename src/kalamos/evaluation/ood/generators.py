"""Drawn and photographed images that are not characters, a family of functions for each set.

- scribbles: somebody tried a pen, hatched an area, crossed something out;
- shapes: arrows, stars, houses, faces, without those that look like a character of the alphabet;
- textures: what a camera sees when it looks at nothing in particular;
- paper without writing: grain, shadows, printed lines, dirt, holes;
- photos: pieces of photographs that installed packages carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.errors import DatasetError
from kalamos.evaluation.ood.sets import (
    SETS,
    Draw,
    OODContext,
    OODSplit,
    OutlierSet,
    one_of,
    procedural,
)
from kalamos.images import load_grey
from kalamos.preprocessing.steps import GreyImage

__all__ = ["PHOTOGRAPHS", "SHAPES"]

Points: TypeAlias = NDArray[np.float64]
"""[K, 2], x and y in a square from -1 to 1."""

MIN_PAGE_SIDE, MAX_PAGE_SIDE = 36, 150
"""Sides of a page in px: from a dataset's crop to a character in a photograph."""

BRIGHT_ON_BLACK_FRACTION = 0.2
"""The share drawn bright on black, as in datasets and on blackboards."""

SUBPIXEL_BITS = 4
"""Of OpenCV's coordinates."""

POINTS_PER_CONTROL = 24
"""Points of a spline for each control point."""

TILT_STD, WOBBLE_STD = 0.15, 0.03
"""Standard deviations: of a shape's rotation in radians, of its corners as a share of half its size."""

PHOTOGRAPHS: Final[dict[OODSplit, tuple[str, tuple[str, ...]]]] = {
    "train": ("matplotlib", ("mpl-data/sample_data/grace_hopper.jpg",)),
    "eval": ("sklearn", ("datasets/images/china.jpg", "datasets/images/flower.jpg")),
}
"""Package and files below it. A portrait, with cloth, hair and a flag; a temple among trees, and a flower."""

MIN_PIECE_SIDE, MAX_PIECE_SIDE = 20, 240
"""Sides of a piece in px of the photograph."""

MAX_SCALED_SIDE = 128
"""Larger pieces are scaled down to at most this many px."""


def _page_size(generator: np.random.Generator) -> tuple[int, int]:
    """Draw a height and a width in px, small ones as often as large ones."""
    side = MIN_PAGE_SIDE * (MAX_PAGE_SIDE / MIN_PAGE_SIDE) ** generator.random()
    aspect = generator.uniform(-0.35, 0.35)
    return round(side * 2 ** (aspect / 2)), round(side * 2 ** (-aspect / 2))


def _random_pen(generator: np.random.Generator, height: int, width: int, *, thickest: float = 0.08) -> int:
    """Draw a pen's width in px, from a ballpoint to a felt marker (`thickest`, a share of the side)."""
    return max(1, round(min(height, width) * generator.uniform(0.015, thickest)))


def _rotate(points: Points, angle: float) -> Points:
    """Rotate about the origin by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    rotated: Points = points @ np.array([[cosine, sine], [-sine, cosine]])
    return rotated


def _draw_strokes(
    height: int, width: int, lines: Iterable[Points], pen: int, *, filled: bool = False, margin: float = 0.1
) -> GreyImage:
    """Draw lines through points, or areas inside them, antialiased: uint8 [H, W], ink 255."""
    ink = np.zeros((height, width), np.uint8)
    half = np.array([width, height]) / 2
    for points in lines:
        pixels = (half + points * half * (1 - 2 * margin)) * 2**SUBPIXEL_BITS
        rounded = [np.rint(pixels).astype(np.int32)]
        if filled:
            cv2.fillPoly(ink, rounded, 255, cv2.LINE_AA, SUBPIXEL_BITS)
        else:
            cv2.polylines(ink, rounded, False, 255, pen, cv2.LINE_AA, SUBPIXEL_BITS)
    return ink


def _ground(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Draw plain paper under a soft light: grey levels float32 [H, W]."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = generator.normal(0, 8, 2)
    noise = generator.normal(0, generator.uniform(0.5, 5), (height, width))
    page: NDArray[np.float32] = generator.uniform(140, 245) + slope[0] * x + slope[1] * y + noise
    return page.astype(np.float32)


def _on_paper(generator: np.random.Generator, ink: GreyImage) -> GreyImage:
    """Show ink uint8 [H, W] as a camera or a dataset would: uint8 [H, W]."""
    if generator.random() < BRIGHT_ON_BLACK_FRACTION:
        return ink
    paper = _ground(generator, *ink.shape)
    cover = cv2.GaussianBlur(ink, (0, 0), generator.uniform(0.3, 1.0)).astype(np.float32) / 255
    level = paper.mean() * generator.uniform(0.1, 0.65)
    page: GreyImage = (paper + cover * (level - paper)).clip(0, 255).astype(np.uint8)
    return page


def _scribble(generator: np.random.Generator, lines: list[Points]) -> GreyImage:
    height, width = _page_size(generator)
    pen = _random_pen(generator, height, width, thickest=0.055)  # else all of it floods
    return _on_paper(
        generator, _draw_strokes(height, width, lines, pen, margin=generator.uniform(0.05, 0.25))
    )


def _tangle(generator: np.random.Generator) -> GreyImage:
    """Round and round, with a wander: an irregular Lissajous figure, which crosses itself many times."""
    time = np.linspace(0, 2 * np.pi, 400)[:, np.newaxis, np.newaxis]
    waves = generator.integers(2, 8, (2, 3))
    heights, phases = generator.uniform(0.3, 1, (2, 3)), generator.uniform(0, 6.3, (2, 3))
    curve = (heights * np.cos(waves * time + phases)).sum(axis=2)  # [400, x and y]
    return _scribble(generator, [_fit_to_square(curve)])


def _hatching(generator: np.random.Generator) -> GreyImage:
    """To and fro across an area."""
    turns = int(generator.integers(7, 22))
    x = np.linspace(-1, 1, turns) + generator.normal(0, 0.04, turns)
    y = np.where(np.arange(turns) % 2, 1, -1) * generator.uniform(0.6, 1, turns)
    return _scribble(generator, [_rotate(np.stack([x, y], axis=1) * 0.8, generator.uniform(0, np.pi))])


def _coil(generator: np.random.Generator) -> GreyImage:
    """Loops after loops along a line."""
    loops = generator.uniform(4, 9)
    angle = np.linspace(0, 2 * np.pi * loops, round(loops * 30))
    radius = generator.uniform(0.25, 0.6)
    x = np.linspace(-0.9, 0.9, len(angle)) + radius * 0.5 * np.cos(angle)
    y = radius * np.sin(angle) * (1 + 0.3 * np.sin(angle / 7 + generator.uniform(0, 6)))
    return _scribble(generator, [_rotate(np.stack([x, y], axis=1) * 0.8, generator.uniform(0, np.pi))])


def _scattered(generator: np.random.Generator) -> GreyImage:
    """Many short strokes here and there."""
    lines = []
    for _ in range(int(generator.integers(8, 25))):
        angle, length = generator.uniform(0, np.pi), generator.uniform(0.1, 0.4)
        middle = generator.uniform(-0.9, 0.9, 2)
        reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        lines.append(np.stack([middle - reach, middle + reach]))
    return _scribble(generator, lines)


def _spline(generator: np.random.Generator) -> GreyImage:
    """A smooth curve through points at random."""
    return _scribble(generator, [_smooth(generator.uniform(-1, 1, (int(generator.integers(14, 26)), 2)))])


def _crossed_out(generator: np.random.Generator) -> GreyImage:
    """Something small under strokes that strike it out."""
    lines = [_smooth(generator.uniform(-0.6, 0.6, (6, 2))) for _ in range(int(generator.integers(1, 4)))]
    for _ in range(int(generator.integers(3, 9))):
        y = generator.uniform(-0.5, 0.5, 4) * np.array([1, 0.7, 0.7, 1])
        stroke = np.stack([np.linspace(-0.95, 0.95, 4) + generator.normal(0, 0.05, 4), y], axis=1)
        lines.append(_smooth(_rotate(stroke, generator.normal(0, 0.2))))
    return _scribble(generator, lines)


def _doodle(generator: np.random.Generator) -> GreyImage:
    """Closed wobbly outlines, several in each other."""
    angle = np.linspace(0, 2 * np.pi, 160)
    lines = []
    for _ in range(int(generator.integers(4, 8))):
        waves = np.arange(2, 7)[:, np.newaxis]
        phases, heights = generator.uniform(0, 6, waves.shape), generator.normal(0, 0.35 / waves)
        radius = 1 + (heights * np.cos(waves * angle + phases)).sum(axis=0)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, np.newaxis]
        lines.append(ring * generator.uniform(0.2, 0.6) + generator.uniform(-0.45, 0.45, 2))
    return _scribble(generator, lines)


def _net(generator: np.random.Generator) -> GreyImage:
    """Crossed hatching by an unsteady hand."""
    lines = []
    for angle in (generator.uniform(0, np.pi), generator.uniform(0, np.pi)):
        for offset in np.linspace(-0.8, 0.8, int(generator.integers(4, 9))):
            x = np.linspace(-0.9, 0.9, 5)
            lines.append(
                _rotate(_smooth(np.stack([x, offset + generator.normal(0, 0.05, 5)], axis=1)), angle)
            )
    return _scribble(generator, lines)


def _smooth(controls: Points) -> Points:
    """A curve near the control points: each coordinate enlarged with cubic interpolation."""
    wide = controls.astype(np.float32)[np.newaxis]  # one row of pixels with two channels
    size = len(controls) * POINTS_PER_CONTROL, 1
    curve: Points = cv2.resize(wide, size, interpolation=cv2.INTER_CUBIC)[0].astype(np.float64)
    return curve


def _fit_to_square(points: Points) -> Points:
    low, high = points.min(axis=0), points.max(axis=0)
    fitted: Points = (points - (low + high) / 2) * 2 / max(float((high - low).max()), 1e-9)
    return fitted


@dataclass(frozen=True)
class Shape:
    """Lines in a square from -1 to 1, y downwards.

    Attributes:
        lines: the strokes.
        split: the OOD split it belongs to.
        like: characters that it is, or could be taken for.
        fillable: it may be drawn as an area.
    """

    lines: tuple[Points, ...]
    split: OODSplit
    like: str = ""
    fillable: bool = False


def _polygon(corners: int, start: float = -np.pi / 2, *, skip: int = 1) -> Points:
    angle = start + 2 * np.pi * np.arange(corners + 1) * skip / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _line(*points: tuple[float, float]) -> Points:
    return np.array(points, np.float64)


def _ring(radius: float, x: float = 0.0, y: float = 0.0) -> Points:
    ring: Points = _polygon(24) * radius + np.array([x, y])
    return ring


def _star(points: int, inner: float) -> Points:
    angle = np.pi / points * np.arange(2 * points + 1) - np.pi / 2
    radius = np.where(np.arange(2 * points + 1) % 2, inner, 1.0)[:, np.newaxis]
    points_around: Points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius
    return points_around


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 48)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], axis=1) / 17


def _box(half: float = 0.9) -> Points:
    return _polygon(4, np.pi / 4) * (half * 2**0.5)


SHAPES: Final[dict[str, Shape]] = {
    "arrow": Shape((_line((-1, 0), (1, 0)), _line((0.5, -0.45), (1, 0), (0.5, 0.45))), "train"),
    "triangle": Shape((_polygon(3),), "train", "A4Δ٠", fillable=True),
    "pentagon": Shape((_polygon(5),), "train", "0ODQoه٥٠", fillable=True),
    "diamond": Shape((_polygon(4),), "train", "0ODQoه٥٠", fillable=True),
    "box": Shape((_box(),), "train", "0ODQoه٥٠□ロ口", fillable=True),
    "circle": Shape((_ring(0.9),), "train", "0ODQoه٥٠", fillable=True),
    "target": Shape((_ring(0.95), _ring(0.5)), "train", "0OoQه"),
    "heart": Shape((_heart(),), "train", "۵٠", fillable=True),
    "house": Shape(
        (
            _line((-0.8, 0), (-0.8, 1), (0.8, 1), (0.8, 0)),
            _line((-1, 0), (0, -1), (1, 0), (-1, 0)),
        ),
        "train",
    ),
    "ladder": Shape(
        (
            *(_line((x, -1), (x, 1)) for x in (-0.5, 0.5)),
            *(_line((-0.5, y), (0.5, y)) for y in (-0.7, -0.25, 0.2, 0.65)),
        ),
        "train",
    ),
    "plus": Shape((_line((-0.8, 0), (0.8, 0)), _line((0, -0.8), (0, 0.8))), "train", "+tTfX"),
    "star": Shape((_star(5, 0.42),), "eval", fillable=True),
    "pentagram": Shape((_polygon(5, skip=2),), "eval"),
    "burst": Shape((_star(9, 0.55),), "eval", fillable=True),
    "check": Shape((_line((-0.8, 0), (-0.25, 0.7), (0.9, -0.9)),), "eval", "VvrYyUuNlLرل٧لا"),
    "cross": Shape((_line((-0.8, -0.8), (0.8, 0.8)), _line((-0.8, 0.8), (0.8, -0.8))), "eval", "Xx×KkYy+t"),
    "crossed box": Shape((_box(), _line((-0.6, -0.6), (0.6, 0.6)), _line((-0.6, 0.6), (0.6, -0.6))), "eval"),
    "ticked box": Shape((_box(), _line((-0.5, 0), (-0.1, 0.5), (0.9, -1))), "eval"),
    "double arrow": Shape(
        (
            _line((-1, 0), (1, 0)),
            _line((0.6, -0.4), (1, 0), (0.6, 0.4)),
            _line((-0.6, -0.4), (-1, 0), (-0.6, 0.4)),
        ),
        "eval",
    ),
    "face": Shape(
        (
            *(_ring(0.95), _ring(0.08, -0.35, -0.3), _ring(0.08, 0.35, -0.3)),
            _line((-0.5, 0.3), (-0.2, 0.55), (0.2, 0.55), (0.5, 0.3)),
        ),
        "eval",
    ),
    "lightning": Shape(
        (_line((0.3, -1), (-0.5, 0.1), (0.05, 0.1), (-0.3, 1), (0.6, -0.2), (0.05, -0.2), (0.3, -1)),),
        "eval",
        fillable=True,
    ),
    "hourglass": Shape(
        (_line((-0.7, -1), (0.7, -1), (-0.7, 1), (0.7, 1), (-0.7, -1)),), "eval", "8Xx", fillable=True
    ),
    "fence": Shape(
        (*(_line((x, -0.8), (x, 0.8)) for x in (-0.9, -0.45, 0.0, 0.45)), _line((-1, 0.5), (0.6, -0.5))),
        "eval",
    ),
    "cube": Shape(
        (
            _box(0.65) + np.array([-0.25, 0.25]),
            _line((-0.9, -0.4), (-0.4, -0.9), (0.9, -0.9), (0.4, -0.4)),
            _line((0.9, -0.9), (0.9, 0.4), (0.4, 0.9)),
        ),
        "eval",
    ),
}
"""`like` is by eye; a face is not a ring, a crossed box not a cross. What may be drawn as an area may be a
dot as well, once it is as large as the other characters: ٠."""


@SETS.register("shapes")
def shapes(context: OODContext) -> OutlierSet:
    """Draw `SHAPES` of the split, without those that look like a character of the alphabet."""
    families = [
        _drawer(shape)
        for shape in SHAPES.values()
        if shape.split == context.split and not _known(shape.like, context.alphabet)
    ]
    return procedural("shapes", context, one_of(*families))


def _known(like: str, alphabet: Alphabet) -> bool:
    return any(character in like for label in alphabet.labels for character in alphabet.characters(label))


def _drawer(shape: Shape) -> Callable[[np.random.Generator], GreyImage]:
    def draw(generator: np.random.Generator) -> GreyImage:
        height, width = _page_size(generator)
        angle, size = generator.normal(0, TILT_STD), generator.uniform(0.6, 1.0)
        lines = [
            _rotate(points + generator.normal(0, WOBBLE_STD, points.shape), angle) * size
            for points in shape.lines
        ]
        filled = shape.fillable and generator.random() < 0.3
        pen = _random_pen(generator, height, width)
        return _on_paper(generator, _draw_strokes(height, width, lines, pen, filled=filled))

    return draw


def _contrasted(generator: np.random.Generator, field: cv2.typing.MatLike) -> GreyImage:
    """Stretch a field to random contrast: uint8 [H, W]."""
    low, high = np.quantile(field, (0.01, 0.99))
    dark, light = sorted(generator.uniform(0, 255, 2))
    shares = ((field - low) / max(float(high - low), 1e-9)).clip(0, 1)
    levels: GreyImage = (dark + shares * max(light - dark, 40.0)).clip(0, 255).astype(np.uint8)
    return levels


def _noise(generator: np.random.Generator) -> GreyImage:
    white = generator.normal(0, 1, _page_size(generator)).astype(np.float32)
    return _contrasted(generator, cv2.GaussianBlur(white, (0, 0), generator.uniform(0.3, 8)))


def _grating(generator: np.random.Generator) -> GreyImage:
    height, width = _page_size(generator)
    y, x = np.mgrid[:height, :width] / min(height, width)
    angle, waves = generator.uniform(0, np.pi), generator.uniform(2, 14)
    wave = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)) + generator.uniform(0, 6))
    return _contrasted(generator, wave + generator.normal(0, 0.1, wave.shape))


def _power_law(generator: np.random.Generator) -> GreyImage:
    """Noise whose amplitude falls with the frequency, as that of natural images does (Field 1987)."""
    height, width = _page_size(generator)
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.normal(0, 1, (height, width))) / frequency ** generator.uniform(
        0.6, 1.8
    )
    return _contrasted(generator, np.fft.irfft2(spectrum, (height, width)))


def _cells(generator: np.random.Generator) -> GreyImage:
    """Distances to the nearest of scattered points (Worley 1996): scales, pebbles, skin."""
    height, width = _page_size(generator)
    dots = np.ones((height, width), np.uint8)
    count = int(generator.integers(8, 40))
    dots[generator.integers(0, height, count), generator.integers(0, width, count)] = 0
    distance = cv2.distanceTransform(dots, cv2.DIST_L2, 5)
    return _contrasted(generator, distance if generator.random() < 0.5 else -np.sqrt(distance))


def _chequers(generator: np.random.Generator) -> GreyImage:
    height, width = _page_size(generator)
    y, x = np.mgrid[:height, :width] / min(height, width)
    angle, squares = generator.uniform(0, np.pi), generator.uniform(3, 9)
    across, down = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    board = (np.floor(across * squares) + np.floor(down * squares)) % 2
    return _contrasted(
        generator, cv2.GaussianBlur(board, (0, 0), 0.7) + generator.normal(0, 0.03, board.shape)
    )


def _blobs(generator: np.random.Generator) -> GreyImage:
    """Islands: a smooth field, cut at a level."""
    height, width = _page_size(generator)
    white = generator.normal(0, 1, (height, width)).astype(np.float32)
    field = cv2.GaussianBlur(white, (0, 0), min(height, width) * generator.uniform(0.03, 0.07))
    islands = (field > np.quantile(field, generator.uniform(0.5, 0.8))).astype(np.float32)
    return _contrasted(generator, cv2.GaussianBlur(islands, (0, 0), 0.8))


def _plain(generator: np.random.Generator) -> NDArray[np.float32]:
    return _ground(generator, *_page_size(generator))


def _levels(page: NDArray[np.floating]) -> GreyImage:
    return page.clip(0, 255).astype(np.uint8)


def _blurred(values: NDArray[np.floating] | NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    return cv2.GaussianBlur(values.astype(np.float32), (0, 0), sigma)  # type: ignore[return-value]


def _along(shape: tuple[int, ...], angle: float) -> NDArray[np.float64]:
    """Return each pixel's distance along a direction, in shares of the longer side, 0 in the middle."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width]
    along: NDArray[np.float64] = ((x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle)) / max(
        shape
    )
    return along


def _grain(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    coarse = _blurred(generator.normal(0, 1, page.shape), generator.uniform(0.7, 3))
    return _levels(page + coarse / max(float(coarse.std()), 1e-6) * generator.uniform(1, 7))


def _ruled(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    across = _along(page.shape, np.pi / 2 + generator.normal(0, 0.03)) + generator.uniform(0, 1)
    apart = generator.uniform(0.25, 0.9)
    lines = np.abs((across / apart) % 1 - 0.5) * apart < generator.uniform(0.006, 0.02)
    return _levels(page - _blurred(lines, 0.6) * generator.uniform(15, 90))


def _specks(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    height, width = page.shape
    dirt = np.zeros(page.shape, np.float32)
    for _ in range(int(generator.integers(1, 12))):
        at = int(generator.integers(width)), int(generator.integers(height))
        cv2.circle(dirt, at, int(generator.integers(0, 2)), float(generator.uniform(0.3, 1)), -1)
    return _levels(page - _blurred(dirt, 0.7) * generator.uniform(20, 120))


def _soft_shadow(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    fall = 1 / (1 + np.exp(-(_along(page.shape, generator.uniform(0, 6.3)) - generator.normal(0, 0.2)) * 8))
    return _levels(page * (1 - fall * generator.uniform(0.1, 0.5)))


def _fibres(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    height, width = page.shape
    fibres = np.zeros(page.shape, np.float32)
    for _ in range(int(generator.integers(30, 120))):
        start, angle = generator.uniform(0, 1, 2) * (width, height), generator.uniform(0, 6.3)
        end = start + np.array([np.cos(angle), np.sin(angle)]) * generator.uniform(3, 14)
        sign = 1.0 if generator.random() < 0.5 else -1.0
        cv2.line(fibres, np.rint(start).astype(int).tolist(), np.rint(end).astype(int).tolist(), sign, 1)
    return _levels(page + _blurred(fibres, 0.6) * generator.uniform(4, 18))


def _squared(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    tilt, apart = generator.normal(0, 0.04), generator.uniform(0.18, 0.6)
    thin, strength = generator.uniform(0.005, 0.015), generator.uniform(12, 70)
    for angle in (tilt, tilt + np.pi / 2):
        across = (_along(page.shape, angle) + generator.uniform(0, 1)) / apart
        page -= _blurred(np.abs(across % 1 - 0.5) * apart < thin, 0.5) * np.float32(strength)
    return _levels(page)


def _hard_shadow(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    edge = _along(page.shape, generator.uniform(0, 6.3)) > generator.normal(0, 0.2)
    return _levels(page * (1 - _blurred(edge, generator.uniform(0.8, 4)) * generator.uniform(0.15, 0.55)))


def _stain(generator: np.random.Generator) -> GreyImage:
    page = _plain(generator)
    noise = _blurred(generator.normal(0, 1, page.shape), min(page.shape) * generator.uniform(0.08, 0.2))
    inside = noise > np.quantile(noise, generator.uniform(0.6, 0.9))
    return _levels(page - _blurred(inside, generator.uniform(1, 5)) * generator.uniform(8, 45))


def _fold(generator: np.random.Generator) -> GreyImage:
    """A crease from side to side: upright it would be a 1."""
    page = _plain(generator)
    across = _along(page.shape, generator.normal(np.pi / 2, 0.25)) - generator.normal(0, 0.15)
    depth = generator.uniform(6, 40)
    crease = np.exp(-((across / generator.uniform(0.006, 0.03)) ** 2))
    return _levels(page - crease * depth + np.where(across > 0, depth, -depth) * 0.25)


def _hole(generator: np.random.Generator) -> GreyImage:
    """A punched hole, cut by an edge of the picture: a whole one might be a dot or a ring."""
    page = _plain(generator)
    height, width = page.shape
    radius = min(page.shape) * generator.uniform(0.15, 0.4)
    offset = radius * generator.uniform(-0.5, 0.3)
    along = generator.uniform(0.2, 0.8)
    x, y = [(offset, along * height), (width - offset, along * height), (along * width, offset)][
        generator.integers(3)
    ]
    hole = np.zeros(page.shape, np.float32)
    cv2.circle(hole, (round(x), round(y)), round(radius), 1.0, -1)
    return _levels(page + _blurred(hole, 1.0) * (generator.uniform(10, 110) - page))


@SETS.register("photos")
def photos(context: OODContext) -> OutlierSet:
    """Train: pieces of Matplotlib's portrait. Eval: pieces of scikit-learn's two landscapes."""
    package, files = PHOTOGRAPHS[context.split]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise DatasetError(f"photos: {package} is not installed", remedy="pip install 'kalamos[train]'")
    pictures = [load_grey(path) for path in _present(Path(found.origin).parent, files)]

    def draw(generator: np.random.Generator) -> GreyImage:
        picture = pictures[generator.integers(len(pictures))]
        side = MIN_PIECE_SIDE * (MAX_PIECE_SIDE / MIN_PIECE_SIDE) ** generator.random()
        aspect = 2 ** generator.uniform(-0.4, 0.4)
        height, width = round(side * aspect), round(side / aspect)
        top = int(generator.integers(picture.shape[0] - height))
        left = int(generator.integers(picture.shape[1] - width))
        piece = picture[top : top + height, left : left + width]
        if generator.random() < 0.5:
            piece = piece[:, ::-1]
        scale = min(1.0, MAX_SCALED_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small: GreyImage = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        return small

    return procedural("photos", context, draw)


def _present(folder: Path, files: tuple[str, ...]) -> list[Path]:
    paths = [folder / file for file in files]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:  # distributions may leave sample data out
        raise DatasetError(
            f"photos: {folder.name} was installed without {', '.join(missing)}",
            remedy=f"install {folder.name} from its wheel",
        )
    return paths


_FAMILIES: Final[dict[str, dict[OODSplit, tuple[Draw, ...]]]] = {
    "scribbles": {
        "train": (_tangle, _hatching, _coil, _scattered),
        "eval": (_spline, _crossed_out, _doodle, _net),
    },
    "textures": {
        "train": (_noise, _grating),
        "eval": (_power_law, _cells, _chequers, _blobs),
    },
    "paper": {
        "train": (_grain, _ruled, _specks, _soft_shadow),
        "eval": (_fibres, _squared, _hard_shadow, _stain, _fold, _hole),
    },
}


_DOTTED: Final = (_specks, _hole)
"""Families among whose images are lone dots, whole or cut."""

_DOTS: Final = "٠.·•"
"""Characters that are one."""


def _families(name: str, context: OODContext) -> Iterable[Draw]:
    for family in _FAMILIES[name][context.split]:
        if family not in _DOTTED or not _known(_DOTS, context.alphabet):
            yield family


def _register(name: str) -> None:
    SETS.register(name)(lambda context: procedural(name, context, one_of(*_families(name, context))))


for _name in _FAMILIES:
    _register(_name)
