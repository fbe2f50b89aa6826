"""Pens of other widths, and a pencil."""

from __future__ import annotations

import cv2
import numpy as np

from kalamos.shift.catalogue import PHOTOGRAPH, Grey, corruption
from kalamos.shift.fields import clouds, grain
from kalamos.shift.photograph import PAGE, PAPER, PEN, photographed, strokes, thinned, written

__all__: list[str] = []


@corruption(PHOTOGRAPH, (0.4, 0.62, 0.8))
def thin_pen(ink: Grey, taken: float, rng: np.random.Generator) -> Grey:
    """Written with a pen of about 60, 40 or 20 % of the width."""
    return photographed(PAPER, PEN, thinned(written(ink, rng), taken), rng)


@corruption(PHOTOGRAPH, (3, 6, 9))
def thick_pen(ink: Grey, pixels: int, rng: np.random.Generator) -> Grey:
    """Written with a marker: the strokes wider by 6, 12 or 18 px of a character of 140."""
    cover = written(ink, rng)
    distance = cv2.distanceTransform((cover < 0.5).view(np.uint8), cv2.DIST_L2, 5)
    return photographed(PAPER, PEN, strokes(pixels + 0.5 - distance), rng)


@corruption(PHOTOGRAPH, ((95, 0.5), (70, 0.75), (45, 0.9)))
def pencil(ink: Grey, lead: tuple[int, float], rng: np.random.Generator) -> Grey:
    """A pencil's line: thin, faint, broken up by the paper's tooth."""
    contrast, roughness = lead
    cover = thinned(written(ink, rng), 0.45)
    tooth = grain(PAGE, rng, blur=1.1)
    pressure = 0.75 + 0.25 * clouds(PAGE, (3,), 1, rng)
    cover = cover * np.clip(pressure - roughness * (0.35 + 0.45 * tooth), 0, 1)
    return photographed(PAPER, PAPER - contrast, cover, rng)
