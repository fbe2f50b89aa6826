"""MNIST-C: foreign marks over the character, and its outline alone."""

from __future__ import annotations

import math

import cv2
import numpy as np

from kalamos.shift.catalogue import MNIST_C, Grey, corruption

__all__: list[str] = []

HALF_WIDTH = 2.3
"""Where a line of the paper's has faded to nothing, in px of 28 from its middle."""

SPATTER = 63
"""Grey level of the drops."""


@corruption(MNIST_C, (0.88, 0.8, 0.68))
def spatter(ink: Grey, threshold: float, rng: np.random.Generator) -> Grey:
    """Drops of dark grey that cover the character in places."""
    scale = len(ink) / 28
    liquid = cv2.GaussianBlur(rng.standard_normal(ink.shape, np.float32), (0, 0), scale)
    drops = cv2.GaussianBlur((liquid > 0).astype(np.float32), (0, 0), 1.5 * scale)
    cover = np.where(drops < threshold, 0, drops)
    covered: Grey = (ink * (1 - cover) + SPATTER * cover).astype(np.uint8)
    return covered


@corruption(MNIST_C, ((1, 0.55), (1, 1.0), (2, 1.0)))
def dotted_line(ink: Grey, lines: tuple[int, float], rng: np.random.Generator) -> Grey:
    """A bright dotted line from left to right, or two of them."""
    count, width = lines
    image = ink
    side = len(ink)
    dot = max(1, round(2 * side / 28))
    gaps = np.arange(side) // dot % 2 == 0
    for _ in range(count):
        start, end = rng.uniform(0, side - 1, 2).tolist()
        line = _polyline([(0, start), (side - 1, end)], side, width)
        line[:, gaps] = 0
        image = cv2.add(image, line)  # type: ignore[assignment]
    return image


@corruption(MNIST_C, ((1, 0.55), (1, 1.0), (2, 1.0)))
def zigzag(ink: Grey, lines: tuple[int, float], rng: np.random.Generator) -> Grey:
    """A bright zigzag from left to right, or two of them."""
    count, width = lines
    image = ink
    side = len(ink)
    tooth = 2 * side / 28
    for _ in range(count):
        start = rng.uniform(0, side - 1)
        slope = rng.uniform(-5, 5) / 23
        along = np.arange(tooth, side - tooth, 2 * tooth)
        up = np.where(np.arange(len(along)) % 2, tooth, -tooth)
        across, down = along - slope * up, start + slope * along + up
        image = cv2.add(image, _polyline([*zip(across.tolist(), down.tolist(), strict=True)], side, width))  # type: ignore[assignment]
    return image


@corruption(MNIST_C, ((110, 0.0), (0, 0.0), (0, 0.18)))
def canny_edges(ink: Grey, outline: tuple[int, float], rng: np.random.Generator) -> Grey:
    """Only the outline of the strokes, whole or with gaps (Canny 1986)."""
    fill, gaps = outline
    sigma = len(ink) / 28
    smooth = cv2.GaussianBlur(ink, (0, 0), sigma)
    edges = cv2.Canny(smooth, 80, 160, L2gradient=True)
    if gaps:
        edges[rng.random(ink.shape, np.float32) < gaps] = 0
    faded = cv2.convertScaleAbs(ink, alpha=fill / 255)
    return cv2.max(edges, faded)  # type: ignore[return-value]


def _polyline(points: list[tuple[float, float]], side: int, width: float) -> Grey:
    """Bright line segments with soft edges, uint8 [side, side]; `width` 1 is the paper's."""
    # Drawn in 1/16 px, then the profile of the paper's lines from the distance to them.
    blank = np.full((side, side), 255, np.uint8)
    fine = np.rint(np.array(points) * 16).astype(np.int32)
    cv2.polylines(blank, [fine], isClosed=False, color=0, thickness=1, shift=4)
    distance = cv2.distanceTransform(blank, cv2.DIST_L2, 3)
    reach = HALF_WIDTH * width * side / 28
    inside = np.minimum(distance / reach, 1 - math.exp(-1))
    line: Grey = (255 * (1 + np.log1p(-inside))).astype(np.uint8)
    return line
