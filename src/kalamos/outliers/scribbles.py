"""Pen strokes that mean nothing: somebody tried a pen, hatched an area, crossed something out."""

from __future__ import annotations

import cv2
import numpy as np

from kalamos.outliers.ink import Points, on_paper, page_size, random_pen, strokes, turned
from kalamos.outliers.sets import SETS, Draw, OODContext, OutlierSet, one_of, procedural
from kalamos.preprocessing.steps import GreyImage

__all__ = ["scribbles"]

_SMOOTH = 24
"""Points a control point of a spline."""


@SETS.register("scribbles")
def scribbles(context: OODContext) -> OutlierSet:
    """Train: tangles, hatching, coils, scattered strokes. Eval: splines, crossings-out, doodles, nets."""
    for_training: tuple[Draw, ...] = (_tangle, _hatching, _coil, _scattered)
    for_eval: tuple[Draw, ...] = (_spline, _crossed_out, _doodle, _net)
    return procedural("scribbles", context, one_of(*(for_training if context.split == "train" else for_eval)))


def _drawn(generator: np.random.Generator, lines: list[Points]) -> GreyImage:
    height, width = page_size(generator)
    pen = random_pen(generator, height, width, thickest=0.055)  # else all of it floods
    return on_paper(generator, strokes(height, width, lines, pen, margin=generator.uniform(0.05, 0.25)))


def _tangle(generator: np.random.Generator) -> GreyImage:
    """Round and round, with a wander: an irregular Lissajous figure, which crosses itself many times."""
    time = np.linspace(0, 2 * np.pi, 400)[:, np.newaxis, np.newaxis]
    waves = generator.integers(2, 8, (2, 3))
    heights, phases = generator.uniform(0.3, 1, (2, 3)), generator.uniform(0, 6.3, (2, 3))
    curve = (heights * np.cos(waves * time + phases)).sum(axis=2)  # [400, x and y]
    return _drawn(generator, [_fitted(curve)])


def _hatching(generator: np.random.Generator) -> GreyImage:
    """To and fro across an area."""
    turns = int(generator.integers(7, 22))
    x = np.linspace(-1, 1, turns) + generator.normal(0, 0.04, turns)
    y = np.where(np.arange(turns) % 2, 1, -1) * generator.uniform(0.6, 1, turns)
    return _drawn(generator, [turned(np.stack([x, y], axis=1) * 0.8, generator.uniform(0, np.pi))])


def _coil(generator: np.random.Generator) -> GreyImage:
    """Loops after loops along a line."""
    loops = generator.uniform(4, 9)
    angle = np.linspace(0, 2 * np.pi * loops, round(loops * 30))
    radius = generator.uniform(0.25, 0.6)
    x = np.linspace(-0.9, 0.9, len(angle)) + radius * 0.5 * np.cos(angle)
    y = radius * np.sin(angle) * (1 + 0.3 * np.sin(angle / 7 + generator.uniform(0, 6)))
    return _drawn(generator, [turned(np.stack([x, y], axis=1) * 0.8, generator.uniform(0, np.pi))])


def _scattered(generator: np.random.Generator) -> GreyImage:
    """Many short strokes here and there."""
    lines = []
    for _ in range(int(generator.integers(8, 25))):
        angle, length = generator.uniform(0, np.pi), generator.uniform(0.1, 0.4)
        middle = generator.uniform(-0.9, 0.9, 2)
        reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        lines.append(np.stack([middle - reach, middle + reach]))
    return _drawn(generator, lines)


def _spline(generator: np.random.Generator) -> GreyImage:
    """A smooth curve through points at random."""
    return _drawn(generator, [_smooth(generator.uniform(-1, 1, (int(generator.integers(14, 26)), 2)))])


def _crossed_out(generator: np.random.Generator) -> GreyImage:
    """Something small under strokes that strike it out."""
    lines = [_smooth(generator.uniform(-0.6, 0.6, (6, 2))) for _ in range(int(generator.integers(1, 4)))]
    for _ in range(int(generator.integers(3, 9))):
        y = generator.uniform(-0.5, 0.5, 4) * np.array([1, 0.7, 0.7, 1])
        stroke = np.stack([np.linspace(-0.95, 0.95, 4) + generator.normal(0, 0.05, 4), y], axis=1)
        lines.append(_smooth(turned(stroke, generator.normal(0, 0.2))))
    return _drawn(generator, lines)


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
    return _drawn(generator, lines)


def _net(generator: np.random.Generator) -> GreyImage:
    """Crossed hatching by an unsteady hand."""
    lines = []
    for angle in (generator.uniform(0, np.pi), generator.uniform(0, np.pi)):
        for offset in np.linspace(-0.8, 0.8, int(generator.integers(4, 9))):
            x = np.linspace(-0.9, 0.9, 5)
            lines.append(turned(_smooth(np.stack([x, offset + generator.normal(0, 0.05, 5)], axis=1)), angle))
    return _drawn(generator, lines)


def _smooth(controls: Points) -> Points:
    """A curve near the control points: each coordinate enlarged with cubic interpolation."""
    wide = controls.astype(np.float32)[np.newaxis]  # one row of pixels with two channels
    size = len(controls) * _SMOOTH, 1
    curve: Points = cv2.resize(wide, size, interpolation=cv2.INTER_CUBIC)[0].astype(np.float64)
    return curve


def _fitted(points: Points) -> Points:
    low, high = points.min(axis=0), points.max(axis=0)
    fitted: Points = (points - (low + high) / 2) * 2 / max(float((high - low).max()), 1e-9)
    return fitted
