"""One photograph of one glyph."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError
from kalamos.training.camera.lens import expose
from kalamos.training.camera.paper import light, paper
from kalamos.training.camera.pen import Drawing, draw
from kalamos.training.camera.settings import Camera
from kalamos.training.camera.strokes import trace

__all__ = ["photograph"]

DETAIL = 112
"""Ink, paper and light of a larger photograph are drawn at this size (px of ink) and enlarged: only the
sensor's noise and JPEG's blocks are finer than that."""

RARITY = 8
"""The power of a uniform number that makes large photographs, which cost more, the rarer ones."""


def photograph(glyph: NDArray[np.uint8], camera: Camera, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A glyph as somebody wrote it on paper and photographed it.

    Args:
        glyph: uint8 [H, W], antialiased, bright on black; a black one gives a photograph of blank paper.
        camera: the ranges.
        generator: makes it reproducible.

    Returns:
        uint8 [H', W'], dark ink on lighter paper, rarely the other way round.

    Raises:
        InvalidArrayError: the glyph has no pixels, is not uint8 or not two-dimensional.

    >>> glyph = np.zeros((28, 28), np.uint8)
    >>> _ = cv2.circle(glyph, (14, 14), 8, 255, 2)
    >>> photo = photograph(glyph, Camera(smallest=100, largest=100), np.random.default_rng(5))
    >>> bool(photo.min() + 40 < np.median(photo))
    True
    """
    if not isinstance(glyph, np.ndarray) or glyph.dtype != np.uint8 or glyph.ndim != 2 or not glyph.size:
        told = f"{glyph.dtype} {glyph.shape}" if isinstance(glyph, np.ndarray) else type(glyph).__name__
        raise InvalidArrayError(f"a glyph is {told}, where uint8 [H, W] is needed")
    longer = camera.smallest * (camera.largest / camera.smallest) ** (generator.random() ** RARITY)
    drawn = min(longer, DETAIL)
    strokes = trace(glyph)
    drawing = _nothing(drawn) if strokes is None else draw(strokes, drawn, camera, generator)
    shape = drawing.ink.shape
    scene = paper(shape, drawn, drawing.margins, camera, generator)
    scene *= 1 - drawing.ink
    scene *= light(shape, camera, generator)
    if longer > drawn:
        enlarged = round(shape[1] * longer / drawn), round(shape[0] * longer / drawn)
        scene = cv2.resize(scene, enlarged, interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    return expose(scene, longer, camera, generator)


def _nothing(side: float) -> Drawing:
    return Drawing(np.zeros((round(side), round(side)), np.float32), (0, 0, 0, 0))
