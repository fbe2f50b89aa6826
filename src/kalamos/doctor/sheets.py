"""Pictures: one image made small, and a sheet of many."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.doctor.pool import ImageIndex

__all__ = ["contact_sheet", "sample_of_class", "thumbnail"]

EACH, COLUMNS, TILE, GAP = 40, 10, 48, 4
GROUND = 128
"""Neither ink nor paper of any image."""


def sample_of_class(pool: ImageIndex, label: int, *, seed: int = 0) -> list[int]:
    """At most 40 rows of a class, drawn at random, in order."""
    members = np.flatnonzero(pool.labels == label)
    chosen: list[int] = np.sort(np.random.default_rng(seed).permutation(members)[:EACH]).tolist()
    return chosen


def contact_sheet(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images uint8 [H, W] of any sizes, ten a row on grey -> uint8 [H', W'].

    >>> contact_sheet([np.zeros((28, 28), np.uint8)] * 12).shape
    (108, 524)
    """
    rows = max(1, -(-len(images) // COLUMNS))
    sheet = np.full((rows * (TILE + GAP) + GAP, COLUMNS * (TILE + GAP) + GAP), GROUND, np.uint8)
    for position, image in enumerate(images):
        tile = thumbnail(image, TILE, enlarge=True)
        height, width = tile.shape
        top = GAP + position // COLUMNS * (TILE + GAP) + (TILE - height) // 2
        left = GAP + position % COLUMNS * (TILE + GAP) + (TILE - width) // 2
        sheet[top : top + height, left : left + width] = tile
    return sheet


def thumbnail(image: NDArray[np.uint8], side: int, *, enlarge: bool = False) -> NDArray[np.uint8]:
    """The image with a longer side of at most `side` px, or of just that if it may be enlarged."""
    height, width = image.shape
    scale = side / max(height, width)
    if scale == 1 or (scale > 1 and not enlarge):
        return image
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return cv2.resize(image, shape, interpolation=how)  # type: ignore[return-value]
