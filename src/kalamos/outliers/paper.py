"""Paper on which nothing is written: grain, shadows, printed lines, dirt, holes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.outliers.ink import ground, page_size
from kalamos.outliers.sets import SETS, OODContext, OutlierSet, one_of, procedural
from kalamos.preprocessing.steps import GreyImage

__all__ = ["paper"]


@SETS.register("paper")
def paper(context: OODContext) -> OutlierSet:
    """Train: grain, lines, specks, soft shadow. Eval: fibres, squares, hard shadow, stain, fold, hole."""
    for_training = (_grain, _ruled, _specks, _soft_shadow)
    for_eval = (_fibres, _squared, _hard_shadow, _stain, _fold, _hole)
    return procedural("paper", context, one_of(*(for_training if context.split == "train" else for_eval)))


def _plain(generator: np.random.Generator) -> NDArray[np.float32]:
    return ground(generator, *page_size(generator))


def _levels(page: NDArray[np.floating]) -> GreyImage:
    return page.clip(0, 255).astype(np.uint8)


def _blurred(values: NDArray[np.floating] | NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    return cv2.GaussianBlur(values.astype(np.float32), (0, 0), sigma)  # type: ignore[return-value]


def _along(shape: tuple[int, ...], angle: float) -> NDArray[np.float64]:
    """Each pixel's distance along a direction, in shares of the longer side, 0 in the middle."""
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
