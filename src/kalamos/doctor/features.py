"""Histograms of oriented gradients: features for a quick classifier of characters."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["gradient_histograms"]

HOG_CELL_PX: Final = 4
HOG_BINS: Final = 8

HOG_CHUNK_IMAGES: Final = 1024
"""Images described at a time, which bounds the memory."""


def gradient_histograms(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Measure, for each cell of 4 x 4 px, how much edge lies in each of 8 directions (Dalal and Triggs 2005).

    Directions are signed, since ink is bright on black already; cells are smoothed with their neighbours,
    and shares become their square roots, so that Euclidean distances mean something.

    Args:
        images: prepared images uint8 [N, S, S], S a multiple of 4.

    Returns:
        float32 [N, (S / 4) ** 2 * 8], of unit norm; zeros for an image without edges.

    >>> gradient_histograms(np.eye(28, dtype=np.uint8)[np.newaxis]).shape
    (1, 392)
    """
    parts = [
        _histograms(images[start : start + HOG_CHUNK_IMAGES])
        for start in range(0, len(images), HOG_CHUNK_IMAGES)
    ]
    return np.concatenate(parts)


def _histograms(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    count, side, _ = images.shape
    cells = side // HOG_CELL_PX
    padded = np.pad(images.astype(np.float32), ((0, 0), (1, 1), (1, 1)))
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    # Shared between the two nearest directions, or a slightly turned stroke would jump.
    direction = np.arctan2(down, across) * np.float32(HOG_BINS / (2 * np.pi)) % HOG_BINS
    lower = np.floor(direction)
    strength = np.hypot(down, across)
    upper_share = strength * (direction - lower)
    row, column = np.divmod(np.arange(side * side).reshape(side, side), side)
    cell = (np.arange(count)[:, None, None] * cells + row // HOG_CELL_PX) * cells + column // HOG_CELL_PX
    size = count * cells * cells * HOG_BINS
    bins = lower.astype(np.int64) % HOG_BINS
    histogram = np.bincount(
        np.ravel(cell * HOG_BINS + bins), np.ravel(strength - upper_share), size
    ) + np.bincount(np.ravel(cell * HOG_BINS + (bins + 1) % HOG_BINS), np.ravel(upper_share), size)
    grid = np.pad(histogram.reshape(count, cells, cells, HOG_BINS), ((0, 0), (1, 1), (1, 1), (0, 0)))
    grid = grid[:, :-2] + 2 * grid[:, 1:-1] + grid[:, 2:]
    grid = grid[:, :, :-2] + 2 * grid[:, :, 1:-1] + grid[:, :, 2:]
    total = grid.sum(axis=(1, 2, 3), keepdims=True)
    shares = np.sqrt(grid / np.where(total > 0, total, 1))
    flat: NDArray[np.float32] = shares.reshape(count, -1).astype(np.float32)
    return flat
