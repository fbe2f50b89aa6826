"""Digits of Arabic writing: MADBase, and drawn hands of the Persian and Urdu forms that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_DIGITS
from kalamos.datasets.dataset import Split
from kalamos.datasets.named.catalogue import Layout, NamedDataset, Parts, register
from kalamos.datasets.named.mnist import read_arrays
from kalamos.datasets.ragged import ImagesBuilder
from kalamos.datasets.strokes import draw_line
from kalamos.errors import DatasetError

__all__ = ["DRAWN_PERSIAN_DIGITS", "MADBASE", "MAX_DOT_HOLE_FRACTION"]


def _read_madbase(paths: tuple[Path, ...]) -> Parts:
    images, labels, writers = read_arrays(paths[0], "images", "labels", "writers")
    for name, values in (("labels", labels), ("writers", writers)):
        if values.dtype.kind not in "iu":
            raise DatasetError(f"{paths[0]}: its {name} are {values.dtype}", remedy="copy the file again")
    return Parts(Split(images, labels.astype(np.int64), writers.astype(np.int64)))


MADBASE: Final = register(
    NamedDataset(
        name="madbase",
        alphabet=ARABIC_DIGITS,
        train=7_000,
        test=0,
        source="El-Sherif and Abdelazeem 2007 (70 of the 100 writers of MADBase's test part)",
        layouts=(Layout(("madbase.npz",), ("", "madbase")),),
        read=_read_madbase,
        grouped_by="writer",
        home="its authors' page, datacenter.aucegypt.edu/shazeem (MADBase's test part), as madbase.npz "
        "with the arrays images, labels and writers",
    )
)
"""Eastern Arabic digits (El-Sherif and Abdelazeem 2007) by 70 writers, ten of each digit, 28x28, bright on
black, nearly without grey. No official split in this selection: split by writer.

Each is scaled to 20 px as MNIST's are: a zero, a dot or a short stroke, is as large as the others, and a
five is a ring. Its writers are Egyptians, so 4, 5 and 6 have their Arabic forms alone."""

Points: TypeAlias = NDArray[np.float64]
"""[K, 2], x to the right and y downwards; digits are 1 high."""

HANDS: Final = 300
URDU_ONE_IN: Final = 4
"""One hand in this many writes the Urdu 4, the others the Persian one."""

TIMES: Final = 2
"""How often a hand writes each digit."""

SIDE_PX: Final = 36
"""The longer side of a digit but zero, from the middle of a stroke to the middle of a stroke."""

PEN_PX: Final = 1.8, 4.4
DOT_PEN_PX: Final = 6.0, 12.0
"""Pens' widths: one of a hand, and one of a dot. A dot is drawn larger than it was written; it is scaled to
the others' size in any case."""

MAX_DOT_HOLE_FRACTION: Final = 0.1
"""Of its area, what is within a zero drawn as a ring: MADBase's have no larger holes (95 %), and at the same
size a ring with a larger one is a five."""

ROTATION_STD, SLANT_STD, LOG_STRETCH_STD = 0.1, 0.15, 0.15
"""Standard deviations by which hands differ, the first in radians; half of it, from one time to the next."""

WOBBLE_STD: Final = 0.022
"""Standard deviation of a stroke's control points, by hand and again each time."""

WIDTH: Final = 0.75
"""Of a digit that is 1 high."""

SPLINE_STEPS: Final = 8
"""Points of a smooth stroke for each of its control points."""

DRAW_SEED: Final = 0


def _four(generator: np.random.Generator) -> list[Points]:
    """A stem, and beside its top a hook that ends in an arm."""
    top = generator.choice([0.05, 0.2])
    hook = [(0.92, 0.1), (0.74, 0.0), (0.52, 0.03), (0.36, 0.17), (0.4, 0.36), (0.65, 0.44), (1.0, 0.38)]
    stem = _points((0.02, top), (0.17, top + 0.27), (0.25, 0.6), (0.24, 1.0))
    return [stem, _points(*hook[generator.integers(2) :])]


def _urdu_four(generator: np.random.Generator) -> list[Points]:
    """A stem, an arch from its top, and a stroke up to the right."""
    low = generator.uniform(0.4, 0.6)
    return [
        _points((0.16, 1.0), (0.18, 0.6), (0.02, 0.3), (0.28, 0.02), (0.52, 0.16), (0.6, low)),
        _points((0.6, low), (0.76, 0.5 * low), (1.0, 0.0)),
    ]


def _five(generator: np.random.Generator) -> list[Points]:
    """A heart that stands on its lobes; its point is sharp, crossed or round."""
    notch, cross = generator.uniform(0.58, 0.9), generator.choice([0.0, 0.0, 0.12])
    left = [(0.02, 0.74), (0.2, 0.98), (0.42, 0.94), (0.5, notch)]
    right = [(0.5, notch), (0.6, 0.93), (0.82, 0.98), (0.98, 0.72), (0.78, 0.3), (0.5 - cross, -0.5 * cross)]
    return [_points((0.5, 0.0), (0.2, 0.4), *left), _points(*right)]


def _six(generator: np.random.Generator) -> list[Points]:
    """A hook, an arm of any length to the right, and from its end a tail down to the left."""
    reach = generator.uniform(0.5, 1.0)
    return [
        _points((0.8, 0.13), (0.5, 0.0), (0.16, 0.12), (0.06, 0.32), (0.3, 0.45), (reach, 0.36)),
        _points((reach, 0.36), (0.55 * reach, 0.6), (0.22, 0.82), (0.0, 1.0)),
    ]


FORMS: Final[dict[str, Callable[[np.random.Generator], list[Points]]]] = {"٤": _four, "٥": _five, "٦": _six}
"""By the label, which is the Arabic digit."""


def _dot(generator: np.random.Generator) -> tuple[list[Points], float]:
    """Draw a zero's strokes in px, and the pen: a disc, a lozenge, a short stroke or a small ring."""
    pen = generator.uniform(*DOT_PEN_PX)
    kind = generator.choice(["disc", "lozenge", "stroke", "ring"], p=[0.35, 0.2, 0.35, 0.1])
    if kind == "stroke":
        angle = generator.uniform(-1.3, 1.3)
        # A long upright one would be a one.
        reach = np.array([np.cos(angle), np.sin(angle)])
        reach *= pen / 2 * generator.uniform(0.4, 0.8 + 1.2 * np.cos(angle) ** 2)
        bend = generator.normal(0, 0.15) * np.array([-reach[1], reach[0]])
        return [_smooth(np.stack([-reach, bend, reach]))], pen
    corners = 4 if kind == "lozenge" else 12
    turns = 2 * np.pi * (np.arange(corners) + generator.uniform(-0.1, 0.1)) / corners
    around = np.stack([np.cos(turns) * generator.uniform(0.7, 1.4), np.sin(turns)], axis=1)
    around += generator.normal(0, 0.08, around.shape)
    around = np.concatenate([around, around[:1]])
    around /= np.abs(around).max()
    if kind == "ring":
        # With a radius of 0.95 pens, what is open is (0.45 / 1.45) ** 2 of the area: MAX_DOT_HOLE_FRACTION.
        return [around * generator.uniform(0.75, 0.95) * pen], pen
    return [around * radius for radius in np.arange(generator.uniform(0.7, 1.6) * pen, 0, -0.6 * pen)], pen


def _points(*points: tuple[float, float]) -> Points:
    scaled: Points = np.array(points, np.float64) * (WIDTH, 1.0)
    return scaled


def _smooth(controls: Points) -> Points:
    """Lead a curve through control points (Catmull and Rom 1974)."""
    before, after = 2 * controls[:1] - controls[1:2], 2 * controls[-1:] - controls[-2:-1]
    padded = np.concatenate([before, controls, after])
    t = np.linspace(0, 1, SPLINE_STEPS, endpoint=False)[:, np.newaxis]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    return np.concatenate([*pieces, controls[-1:]])


def _deformation(generator: np.random.Generator, share: float) -> NDArray[np.float64]:
    """Draw a rotation, a slant and a stretch: a matrix that points are multiplied by from the right."""
    turn, slant = generator.normal(0, ROTATION_STD * share), generator.normal(0, SLANT_STD * share)
    stretch = np.exp(generator.normal(0, LOG_STRETCH_STD * share))
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    matrix: NDArray[np.float64] = np.array([[stretch, 0.0], [slant, 1 / stretch]]) @ turned
    return matrix


def _written(generator: np.random.Generator, hand: int) -> Iterator[tuple[str, list[Points], float]]:
    """Yield all that a hand writes: the label, the strokes in px, and the width of the pen."""
    habit, pen = _deformation(generator, 1.0), generator.uniform(*PEN_PX)
    for label, form in FORMS.items():
        urdu = form is _four and hand % URDU_ONE_IN == 0
        own = (_urdu_four if urdu else form)(generator)
        own = [stroke + generator.normal(0, WOBBLE_STD, stroke.shape) for stroke in own]
        for _ in range(TIMES):
            matrix = habit @ _deformation(generator, 0.5)
            strokes = [
                _smooth((stroke + generator.normal(0, WOBBLE_STD, stroke.shape)) @ matrix) for stroke in own
            ]
            extent = np.ptp(np.concatenate(strokes), axis=0).max()
            yield label, [stroke * (SIDE_PX / extent) for stroke in strokes], pen
    for _ in range(TIMES):
        yield ARABIC_DIGITS.labels[0], *_dot(generator)


def _draw(strokes: list[Points], pen: float) -> NDArray[np.uint8]:
    margin = pen / 2 + 2
    every = np.concatenate(strokes)
    width, height = np.ceil(np.ptp(every, axis=0) + 2 * margin).astype(int) + 1
    image = np.zeros((height, width), np.uint8)
    for stroke in strokes:
        draw_line(image, stroke - every.min(axis=0) + margin, pen)
    return image


def _draw_persian(paths: tuple[Path, ...]) -> Parts:
    del paths  # there are none
    builder = ImagesBuilder()
    labels, hands = [], []
    for hand in range(HANDS):
        # Its own stream: more hands change none.
        generator = np.random.default_rng((DRAW_SEED, hand))
        for label, strokes, pen in _written(generator, hand):
            builder.append(_draw(strokes, pen))
            labels.append(ARABIC_DIGITS.index(label))
            hands.append(hand)
    return Parts(Split(builder.finish(), np.array(labels, np.int64), np.array(hands, np.int64)))


DRAWN_PERSIAN_DIGITS: Final = register(
    NamedDataset(
        name="drawn-persian-digits",
        alphabet=ARABIC_DIGITS,
        train=HANDS * (len(FORMS) + 1) * TIMES,
        test=0,
        source="drawn by kalamos",
        layouts=(),
        read=_draw_persian,
        grouped_by="drawn hand",
    )
)
"""The Persian and Urdu 4, the Persian 5 and 6, and zeros of many shapes, in 300 invented hands: strokes
bright on black, with pens of 1.8 to 4.4 px at a longer side of 36 px. For `extra_datasets`, beside `madbase`:
no person wrote them, so nothing is to be measured on them. The same images every time, from no files."""
