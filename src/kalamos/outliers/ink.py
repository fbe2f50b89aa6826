"""Pen on paper: what the drawn sets have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.steps import GreyImage

__all__ = ["Points", "ground", "on_paper", "page_size", "random_pen", "strokes", "turned"]

Points: TypeAlias = NDArray[np.float64]
"""[K, 2], x and y in a square from -1 to 1."""

LEAST, MOST = 36, 150
"""Sides of a page in px: from a dataset's crop to a character in a photograph."""

BRIGHT_ON_BLACK = 0.2
"""The share that is drawn as datasets are, and as a blackboard is."""

SUBPIXEL = 4
"""Bits."""


def page_size(generator: np.random.Generator) -> tuple[int, int]:
    """Height and width in px, small ones as often as large ones."""
    side = LEAST * (MOST / LEAST) ** generator.random()
    aspect = generator.uniform(-0.35, 0.35)
    return round(side * 2 ** (aspect / 2)), round(side * 2 ** (-aspect / 2))


def random_pen(generator: np.random.Generator, height: int, width: int, *, thickest: float = 0.08) -> int:
    """A stroke's width in px, from a ballpoint's to a felt marker's (`thickest`, as a share of the page)."""
    return max(1, round(min(height, width) * generator.uniform(0.015, thickest)))


def turned(points: Points, angle: float) -> Points:
    """Rotated about the origin by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    rotated: Points = points @ np.array([[cosine, sine], [-sine, cosine]])
    return rotated


def strokes(
    height: int, width: int, lines: Iterable[Points], pen: int, *, filled: bool = False, margin: float = 0.1
) -> GreyImage:
    """Lines through points, or areas inside them, antialiased: uint8 [H, W], 255 where there is ink."""
    ink = np.zeros((height, width), np.uint8)
    half = np.array([width, height]) / 2
    for points in lines:
        pixels = (half + points * half * (1 - 2 * margin)) * 2**SUBPIXEL
        rounded = [np.rint(pixels).astype(np.int32)]
        if filled:
            cv2.fillPoly(ink, rounded, 255, cv2.LINE_AA, SUBPIXEL)
        else:
            cv2.polylines(ink, rounded, False, 255, pen, cv2.LINE_AA, SUBPIXEL)
    return ink


def ground(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Plain paper under a soft light: grey levels float32 [H, W]."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = generator.normal(0, 8, 2)
    noise = generator.normal(0, generator.uniform(0.5, 5), (height, width))
    page: NDArray[np.float32] = generator.uniform(140, 245) + slope[0] * x + slope[1] * y + noise
    return page.astype(np.float32)


def on_paper(generator: np.random.Generator, ink: GreyImage) -> GreyImage:
    """Ink uint8 [H, W] as a camera or a dataset would have it: uint8 [H, W]."""
    if generator.random() < BRIGHT_ON_BLACK:
        return ink
    paper = ground(generator, *ink.shape)
    cover = cv2.GaussianBlur(ink, (0, 0), generator.uniform(0.3, 1.0)).astype(np.float32) / 255
    level = paper.mean() * generator.uniform(0.1, 0.65)
    page: GreyImage = (paper + cover * (level - paper)).clip(0, 255).astype(np.uint8)
    return page
