"""Light: shadows, too little contrast, light writing on a dark ground."""

from __future__ import annotations

import math

import numpy as np

from kalamos.shift.catalogue import PHOTOGRAPH, Grey, corruption
from kalamos.shift.fields import Field, clouds
from kalamos.shift.photograph import PAGE, PAPER, PEN, coordinates, photographed, written

__all__: list[str] = []


@corruption(PHOTOGRAPH, (0.35, 0.55, 0.7))
def soft_shadow(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """The blurred shadow of a hand or a head over part of the page."""
    shadow = 1 / (1 + np.exp(_beyond_an_edge(rng, bend=18) / 14))
    return _under(1 - dark * shadow, ink, rng)


@corruption(PHOTOGRAPH, (0.3, 0.45, 0.6))
def hard_shadow(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """A shadow with a sharp edge that runs through the character."""
    shadow = np.clip(0.5 - _beyond_an_edge(rng, bend=0) / 3, 0, 1)
    return _under(1 - dark * shadow, ink, rng)


@corruption(PHOTOGRAPH, (70, 45, 32))
def low_contrast(ink: Grey, levels: int, rng: np.random.Generator) -> Grey:
    """Grey ink on grey paper: 70, 45 or 32 levels apart, of 255."""
    paper = rng.uniform(130, 190)
    return photographed(paper, paper - levels, written(ink, rng), rng)


@corruption(PHOTOGRAPH, ((12, 245, 0), (45, 205, 14), (75, 180, 26)))
def inverted(ink: Grey, board: tuple[int, int, int], rng: np.random.Generator) -> Grey:
    """Light on dark: a negative, then chalk on a board wiped badly."""
    ground, chalk, smear = board
    wiped = ground + smear * clouds(PAGE, (2, 5), 1.5, rng)
    return photographed(wiped, chalk, written(ink, rng), rng)


def _under(light: Field, ink: Grey, rng: np.random.Generator) -> Grey:
    cover = written(ink, rng)
    return photographed(PAPER * light, PEN * light, cover, rng)


def _beyond_an_edge(rng: np.random.Generator, *, bend: float) -> Field:
    """Signed distance in px, [PAGE, PAGE], to an edge that passes near the middle; `bend` makes it wavy."""
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-25, 25)
    x, y = coordinates()
    edge = x * math.cos(angle) + y * math.sin(angle) - offset
    return edge + bend * clouds(PAGE, (3,), 1, rng) if bend else edge
