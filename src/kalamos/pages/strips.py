"""A line of writing as a strip of fixed height, straightened: what the line recogniser looks at."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["BAND_PX", "STRIP_PX", "cut_strip"]

Grey = NDArray[np.uint8]

STRIP_PX: Final = 40
"""The height of a strip."""

BAND_PX: Final = 24
"""Of it, between the line's top and its base line: in the middle of the strip."""

FAINTEST_LEVEL: Final = 12
FULL_QUANTILE: Final = 0.9
"""Of a strip's px from that level on: so strong is full ink."""


def cut_strip(strokes: Grey, left: int, middles: NDArray[np.float64], height: float) -> Grey:
    """Cut a line out of a sheet, straighten and scale it.

    Args:
        strokes: uint8 [H, W], bright on black.
        left: the first column; it may lie outside the sheet, as may others.
        middles: float64 [n], for each column from there on, how far down the middle of the line is, in px.
        height: of the line's characters, in px.

    Returns:
        uint8 [STRIP_PX, w], where `height` px are `BAND_PX`.

    >>> sheet = np.zeros((100, 200), np.uint8)
    >>> sheet[30:70, 50:60] = 255
    >>> strip = cut_strip(sheet, 40, np.full(100, 50.0), 40.0)
    >>> strip.shape, np.flatnonzero((strip > 127).any(axis=1))[[0, -1]].tolist()
    ((40, 60), [8, 31])
    """
    scale = BAND_PX / height
    half = STRIP_PX / 2 / scale
    top, bottom = int(np.floor(middles.min() - half)), int(np.ceil(middles.max() + half))
    window = _window(strokes, top, bottom, left, left + len(middles))
    width, tall = max(1, round(len(middles) * scale)), max(1, round((bottom - top) * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(window, (width, tall), interpolation=method)
    # Each column is moved up or down until the line lies level.
    places = np.interp(
        (np.arange(width) + 0.5) / width * len(middles) - 0.5, np.arange(len(middles)), middles
    )
    firsts = (places - top) * (tall / (bottom - top)) - STRIP_PX / 2
    rows = (np.arange(STRIP_PX)[:, None] + firsts[None, :]).astype(np.float32)
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape)
    level = cv2.remap(small, np.ascontiguousarray(columns), rows, cv2.INTER_LINEAR, borderValue=0)
    return _full_contrast(np.asarray(level, np.uint8))


def _full_contrast(ink: Grey) -> Grey:
    """Scale a strip's ink to the whole range, however faint it is beside what else is on the sheet."""
    levels = ink[ink >= FAINTEST_LEVEL]
    if not len(levels):
        return ink
    full = max(float(np.quantile(levels, FULL_QUANTILE)), 1.0)
    return cv2.convertScaleAbs(ink, alpha=255 / full)  # type: ignore[return-value]


def _window(image: Grey, top: int, bottom: int, left: int, right: int) -> Grey:
    """Cut out a window, black where it lies outside the image."""
    window = np.zeros((bottom - top, right - left), np.uint8)
    rows = slice(max(top, 0), max(min(bottom, image.shape[0]), 0))
    columns = slice(max(left, 0), max(min(right, image.shape[1]), 0))
    part = image[rows, columns]
    y, x = rows.start - top, columns.start - left
    window[y : y + part.shape[0], x : x + part.shape[1]] = part
    return window
