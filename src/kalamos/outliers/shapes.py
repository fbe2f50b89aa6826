"""Signs that are no characters: arrows, stars, houses, faces. Those that an alphabet has are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from kalamos.alphabets import Alphabet
from kalamos.outliers.ink import Points, on_paper, page_size, random_pen, strokes, turned
from kalamos.outliers.lookalikes import characters_of
from kalamos.outliers.sets import SETS, OODContext, OODSplit, OutlierSet, one_of, procedural
from kalamos.preprocessing.steps import GreyImage

__all__ = ["SHAPES", "Shape", "shapes"]

TILT, WOBBLE = 0.15, 0.03
"""Standard deviations: of a shape's turn in radians, of its corners as a share of half its size."""


@dataclass(frozen=True)
class Shape:
    """Lines in a square from -1 to 1, y downwards.

    Attributes:
        lines: the strokes.
        split: the OOD split that it belongs to.
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
    "triangle": Shape((_polygon(3),), "train", "A4Δ", fillable=True),
    "pentagon": Shape((_polygon(5),), "train", "0ODQoه٥", fillable=True),
    "diamond": Shape((_polygon(4),), "train", "0ODQoه٥", fillable=True),
    "box": Shape((_box(),), "train", "0ODQoه٥□ロ口", fillable=True),
    "circle": Shape((_ring(0.9),), "train", "0ODQoه٥", fillable=True),
    "target": Shape((_ring(0.95), _ring(0.5)), "train", "0OoQه"),
    "heart": Shape((_heart(),), "train", fillable=True),
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
"""By eye; a face is no ring, a crossed box no cross."""


@SETS.register("shapes")
def shapes(context: OODContext) -> OutlierSet:
    """`SHAPES` of the split, without those that look like a character of the alphabet."""
    families = [
        _drawer(shape)
        for shape in SHAPES.values()
        if shape.split == context.split and not _known(shape, context.alphabet)
    ]
    return procedural("shapes", context, one_of(*families))


def _known(shape: Shape, alphabet: Alphabet) -> bool:
    return any(
        character in shape.like for label in alphabet.labels for character in characters_of(alphabet, label)
    )


def _drawer(shape: Shape) -> Callable[[np.random.Generator], GreyImage]:
    def draw(generator: np.random.Generator) -> GreyImage:
        height, width = page_size(generator)
        angle, size = generator.normal(0, TILT), generator.uniform(0.6, 1.0)
        lines = [
            turned(points + generator.normal(0, WOBBLE, points.shape), angle) * size for points in shape.lines
        ]
        filled = shape.fillable and generator.random() < 0.3
        pen = random_pen(generator, height, width)
        return on_paper(generator, strokes(height, width, lines, pen, filled=filled))

    return draw
