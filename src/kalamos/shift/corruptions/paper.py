"""Paper: ruled, squared, rough."""

from __future__ import annotations

import math

import numpy as np

from kalamos.shift.catalogue import PHOTOGRAPH, Grey, corruption
from kalamos.shift.fields import Field, clouds, grain
from kalamos.shift.photograph import PAGE, PAPER, PEN, coordinates, photographed, written

__all__: list[str] = []


@corruption(PHOTOGRAPH, (0.2, 0.35, 0.55))
def ruled_paper(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """Exercise paper with lines, one or two of them through the character."""
    lines = _lines(rng.uniform(70, 100), upright=False, rng=rng)
    return photographed(PAPER * (1 - dark * lines), PEN, written(ink, rng), rng)


@corruption(PHOTOGRAPH, (0.12, 0.25, 0.42))
def squared_paper(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """Squared paper, three to five squares to a character."""
    spacing = rng.uniform(28, 46)
    lines = np.maximum(_lines(spacing, upright=False, rng=rng), _lines(spacing, upright=True, rng=rng))
    return photographed(PAPER * (1 - dark * lines), PEN, written(ink, rng), rng)


@corruption(PHOTOGRAPH, ((7, 0.2), (13, 0.4), (20, 0.6)))
def rough_paper(ink: Grey, sheet: tuple[float, float], rng: np.random.Generator) -> Grey:
    """Rough recycled paper under light that falls off to one side."""
    texture, falloff = sheet
    fibres = clouds(PAGE, (12, 40, 90), 0.8, rng) * 2.2 + 0.35 * grain(PAGE, rng)
    angle = rng.uniform(0, 2 * math.pi)
    x, y = coordinates()
    # From 1 at the bright end to 1 - falloff at the dark one.
    light = 1 - falloff * (0.5 + (x * math.cos(angle) + y * math.sin(angle)) / (1.42 * PAGE))
    cover = written(ink, rng)
    return photographed(
        (PAPER - 15 + texture * fibres) * light, (PEN + 0.3 * texture * fibres) * light, cover, rng
    )


def _lines(spacing: float, *, upright: bool, rng: np.random.Generator) -> Field:
    """Coverage in [0, 1], [PAGE, PAGE], of parallel lines 2 px wide, up to two degrees off the horizontal."""
    x, y = coordinates()
    along, across = (y, x) if upright else (x, y)
    position = across + math.tan(math.radians(rng.uniform(-2, 2))) * along + rng.uniform(0, spacing)
    distance = np.abs(position - spacing * np.rint(position / spacing))
    return np.clip(1.6 - distance, 0, 1)
