"""What the camera adds: JPEG's blocks, a lens out of focus."""

from __future__ import annotations

import cv2
import numpy as np

from kalamos.shift.catalogue import PHOTOGRAPH, Grey, corruption
from kalamos.shift.photograph import PAPER, PEN, photographed, written

__all__: list[str] = []

SNAPSHOT, SMALL = 96, 64
"""Sides in px of a page and of the character on it: the fewer, the more of them a block of 8 is."""


@corruption(PHOTOGRAPH, (12, 6, 3))
def jpeg(ink: Grey, quality: int, rng: np.random.Generator) -> Grey:
    """A small picture compressed hard: blocks, ringing around the strokes."""
    cover = written(ink, rng, side=SNAPSHOT, longer=SMALL)
    page = photographed(PAPER, PEN, cover, rng, noise=4)
    _, content = cv2.imencode(".jpg", page, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]


@corruption(PHOTOGRAPH, (3, 5, 8))
def defocus(ink: Grey, radius: int, rng: np.random.Generator) -> Grey:
    """Out of focus: every point a disk of 3, 5 or 8 px, the character being 64 px high."""
    cover = written(ink, rng, side=SNAPSHOT, longer=SMALL)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.float32)
    blurred = cv2.filter2D(cover, -1, disk / disk.sum(), borderType=cv2.BORDER_REPLICATE)
    return photographed(PAPER, PEN, blurred, rng)  # type: ignore[arg-type]
