"""Draw strokes with a pen: its width, how evenly it writes, and what it leaves on the paper."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.training.camera.settings import Camera
from kalamos.training.camera.strokes import SIDE, Strokes
from kalamos.training.camera.texture import BROAD, FINE, MEDIUM, Floats, cut

__all__ = ["Drawing", "draw"]

LEAST, MOST = 0.35, 1.5
"""How many times as wide a stroke may become. Beyond that counters fill and dots run together, or vanish."""

EDGE = 0.06
"""The least margin around the ink, as a share of its longer side."""


COARSE = 24
"""Points a side on which the deformation is computed: between them no bend is left to see."""


class Pen(NamedTuple):
    """Ranges (low, high); widths are shares of the ink's longer side."""

    width: tuple[float, float]
    darkness: tuple[float, float]
    """The share of the paper's light that full ink takes away."""
    load: tuple[float, float]
    """How much ink the paper takes on average; above 1 the grain hardly shows."""
    grain: tuple[float, float]
    """How much less or more of it the paper's tooth takes (standard deviation)."""
    softness: tuple[float, float]
    """Width of the stroke's edge in px."""


BALLPOINT = Pen((0.035, 0.11), (0.4, 0.9), (0.95, 1.3), (0.0, 0.25), (1.0, 1.6))
PENCIL = Pen((0.04, 0.12), (0.2, 0.6), (0.6, 1.0), (0.2, 0.45), (1.4, 2.4))
MARKER = Pen((0.11, 0.2), (0.6, 0.95), (1.0, 1.3), (0.0, 0.12), (1.0, 2.2))


class Drawing(NamedTuple):
    ink: Floats
    """The share of its light that the paper loses, float32 [H, W]."""
    margins: tuple[int, int, int, int]
    """Paper above, right of, below and left of the ink's box, in px."""


def draw(strokes: Strokes, longer: float, camera: Camera, generator: np.random.Generator) -> Drawing:
    """The strokes anew, with some pen, on a piece of paper somewhat larger than they.

    Args:
        longer: px that the ink's longer side shall have, before it is turned.
    """
    pen = _choose(camera, generator)
    wider = generator.uniform(*pen.width) * SIDE / (2 * strokes.typical)
    half = strokes.typical * min(max(wider, LEAST), MOST)
    growth = 2 * (half - strokes.typical)  # of the ink's box, whose strokes keep their middle lines
    scale = longer / (max(strokes.width, strokes.height, SIDE) + growth)
    # Between the glyph's own rhythm of thin and thick, and one width throughout.
    rhythm = half * generator.uniform(0.0, 0.7) / strokes.typical
    field = strokes.depth + (rhythm - 1) * strokes.radius + (half - rhythm * strokes.typical)

    turn = math.radians(generator.uniform(-camera.rotate, camera.rotate))
    slant = math.tan(math.radians(generator.uniform(-camera.slant, camera.slant)))
    cos, sin = math.cos(turn), math.sin(turn)
    forth = np.array([[cos, cos * slant - sin], [sin, sin * slant + cos]]) * scale
    back = np.array([[cos + sin * slant, sin - cos * slant], [-sin, cos]]) / scale
    width, height = np.abs(forth) @ (strokes.width + growth, strokes.height + growth)
    least = EDGE * longer
    top, right, bottom, left = (
        np.rint(least + generator.random(4) * camera.margin * longer).astype(int).tolist()
    )
    shape = round(height) + top + bottom, round(width) + left + right

    middle = (field.shape[1] - 1) / 2, (field.shape[0] - 1) / 2
    strength = generator.random() * camera.elastic * SIDE
    places = _places(shape, (left + width / 2 - 0.5, top + height / 2 - 0.5), back, middle)
    places += cv2.resize(_swell(strength, generator), (COARSE, COARSE), interpolation=cv2.INTER_CUBIC)
    places = cv2.resize(places, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    depth: Floats = cv2.remap(field, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    wobble = generator.random() * camera.wobble * half
    if wobble:
        depth += np.float32(wobble) * cut(BROAD, shape, generator)

    depth *= np.float32(scale / generator.uniform(*pen.softness))
    depth += np.float32(0.5)
    ink = np.clip(depth, 0, 1, out=depth)
    tooth = cut(FINE if generator.random() < 0.5 else MEDIUM, shape, generator)
    load = tooth * np.float32(generator.uniform(*pen.grain))
    load += np.float32(generator.uniform(*pen.load))
    ink *= np.clip(load, 0, 1, out=load)
    ink *= np.float32(generator.uniform(*pen.darkness))
    return Drawing(ink, (top, right, bottom, left))


def _choose(camera: Camera, generator: np.random.Generator) -> Pen:
    chance = generator.random()
    if chance < camera.pencil:
        return PENCIL
    return MARKER if chance < camera.pencil + camera.marker else BALLPOINT


def _places(
    shape: tuple[int, int],
    centre: tuple[float, float],
    back: NDArray[np.float64],
    middle: tuple[float, float],
) -> Floats:
    """Where in the field (x, y) the paper comes from, float32 [COARSE, COARSE, 2]."""
    y, x = ((np.arange(COARSE) + 0.5) * (side / COARSE) - 0.5 for side in shape)
    across = (x - centre[0])[:, np.newaxis] * back[:, 0] + middle
    down = (y - centre[1])[:, np.newaxis, np.newaxis] * back[:, 1]
    places: Floats = (across + down).astype(np.float32)
    return places


def _swell(strength: float, generator: np.random.Generator) -> Floats:
    """A random displacement (x, y) at a few places, float32 [5, 5, 2]."""
    return generator.standard_normal((5, 5, 2), np.float32) * np.float32(strength)
