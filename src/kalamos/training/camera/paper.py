"""The paper under the ink and the light on both."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from kalamos.training.camera.settings import Camera
from kalamos.training.camera.texture import BROAD, FINE, MEDIUM, Floats, cut

__all__ = ["light", "paper"]

LEVELS = 120.0, 248.0
"""Grey levels of well-lit paper."""

GRID = 48
"""Light is drawn on so many points a side: nothing in it is finer than a shadow's edge."""

AXIS = np.linspace(-1, 1, GRID, dtype=np.float32)


def paper(
    shape: tuple[int, int],
    longer: float,
    margins: tuple[int, int, int, int],
    camera: Camera,
    generator: np.random.Generator,
) -> Floats:
    """Grey levels of evenly lit paper, float32 [H, W].

    Args:
        longer: the ink's longer side in px, which the lines and their distances go with.
        margins: px above, right of, below and left of the ink.
    """
    page = cut(FINE if generator.random() < 0.5 else MEDIUM, shape, generator) * np.float32(
        generator.random() * camera.texture
    )
    page += np.float32(generator.random() * camera.texture) * cut(BROAD, shape, generator)
    page += np.float32(generator.uniform(*LEVELS))
    chance = generator.random()
    if chance < camera.ruled + camera.squared:
        _rule(page, longer, margins, generator, squared=chance >= camera.ruled)
    if generator.random() < camera.cell:
        _frame(page, longer, margins, generator)
    if generator.random() < camera.specks:
        spots = np.clip(cut(MEDIUM, shape, generator) - np.float32(generator.uniform(3.0, 3.5)), 0, 1)
        page *= 1 - np.float32(generator.uniform(0.2, 0.8)) * spots
    return page


def light(shape: tuple[int, int], camera: Camera, generator: np.random.Generator) -> Floats:
    """The share of the light that reaches each place, float32 [H, W]."""
    x, y = AXIS, AXIS[:, np.newaxis]
    angle = generator.uniform(0, 2 * math.pi)
    fall = generator.random() * camera.light / 2
    lit = (1 - fall) + np.float32(fall * math.cos(angle)) * x + np.float32(fall * math.sin(angle)) * y
    lit -= np.float32(generator.random() * camera.vignette / 2) * (x * x + y * y)
    if generator.random() < camera.shadow:
        lit *= _shadow(x, y, generator)
    return cv2.resize(lit, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _shadow(x: Floats, y: Floats, generator: np.random.Generator) -> Floats:
    """A hand's or a head's: dark on one side of a slightly bent edge."""
    angle = generator.uniform(0, 2 * math.pi)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along = cos * y - sin * x
    across = cos * x + sin * y + np.float32(generator.uniform(-0.4, 0.4)) * along * along
    across += np.float32(generator.uniform(-0.9, 0.9))
    edge = generator.uniform(0.03, 0.1) if generator.random() < 0.2 else generator.uniform(0.2, 1.0)
    depth = generator.uniform(0.08, 0.4)
    shade: Floats = 1 - np.float32(depth) / (1 + np.exp(np.clip(across * np.float32(4 / edge), -30, 30)))
    return shade


def _rule(
    page: Floats,
    longer: float,
    margins: tuple[int, int, int, int],
    generator: np.random.Generator,
    *,
    squared: bool,
) -> None:
    """Print lines on the page, a little askew as it lay; in half the cases the ink stands on one."""
    height, width = page.shape
    spacing = longer * (generator.uniform(0.3, 0.8) if squared else generator.uniform(0.7, 1.6))
    slope = math.tan(math.radians(generator.uniform(-3, 3)))
    print_ = _print(longer, generator)
    rows, columns = np.arange(height, dtype=np.float32)[:, np.newaxis], np.arange(width, dtype=np.float32)
    base = height - margins[2] + 0.03 * longer if generator.random() < 0.5 else generator.uniform(0, height)
    page *= print_(rows + np.float32(slope) * columns - np.float32(base), spacing)
    if squared:
        start = generator.uniform(0, spacing)
        page *= print_(columns - np.float32(slope) * rows - np.float32(start), spacing)


def _frame(
    page: Floats, longer: float, margins: tuple[int, int, int, int], generator: np.random.Generator
) -> None:
    """Print some sides of a form's cell between the ink and the edges, which cut a bit of it off."""
    height, width = page.shape
    print_ = _print(longer, generator)
    rows, columns = np.arange(height, dtype=np.float32)[:, np.newaxis], np.arange(width, dtype=np.float32)
    slope = np.float32(math.tan(math.radians(generator.uniform(-2, 2))))
    top, right, bottom, left = (generator.random(4) * 0.7 * margins).tolist()
    sides = (
        rows + slope * columns - np.float32(top),
        columns - slope * rows - np.float32(width - 1 - right),
        rows + slope * columns - np.float32(height - 1 - bottom),
        columns - slope * rows - np.float32(left),
    )
    for side in generator.permutation(4)[: generator.integers(1, 5)].tolist():
        page *= print_(sides[side], math.inf)


def _print(longer: float, generator: np.random.Generator) -> Callable[[Floats, float], Floats]:
    """One printer's lines: from the distance to the first, and theirs, to the share of light they leave."""
    half = np.float32(max(0.4, longer * generator.uniform(0.004, 0.014)))
    faint = np.float32(generator.uniform(0.06, 0.4))

    def leave(distance: Floats, spacing: float) -> Floats:
        if spacing < math.inf:
            distance = distance - np.float32(spacing) * np.rint(distance / np.float32(spacing))
        left: Floats = 1 - faint * np.clip(half + np.float32(0.5) - np.abs(distance), 0, 1)
        return left

    return leave
