from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.training.camera.strokes import SIDE, Strokes, trace


def _trace(glyph: NDArray[np.uint8]) -> Strokes:
    strokes = trace(glyph)
    assert strokes is not None
    return strokes


def _bar(width: int, level: int = 255, size: int = 28) -> NDArray[np.uint8]:
    glyph = np.zeros((size, size), np.uint8)
    glyph[4 : size - 4, 12 : 12 + width] = level
    return glyph


@pytest.mark.parametrize("level", [0, 1, 39])
def test_what_is_hardly_there_is_no_ink(level: int) -> None:
    assert trace(np.full((28, 28), level, np.uint8)) is None


@pytest.mark.parametrize("width", [2, 3, 4, 6])
def test_the_half_width_is_that_of_the_stroke(width: int) -> None:
    strokes = _trace(_bar(width))
    scale = SIDE / 20
    assert strokes.typical == pytest.approx(width * scale / 2, abs=1.0)
    height, middle = strokes.depth.shape[0], strokes.depth.shape[1] // 2
    assert strokes.radius[height // 2, middle] == pytest.approx(strokes.typical, rel=0.15)
    assert (strokes.height, strokes.width) == (pytest.approx(SIDE), pytest.approx(width * scale))


def test_a_faint_stroke_is_as_wide_as_a_dark_one() -> None:
    assert _trace(_bar(3, 80)).typical == pytest.approx(_trace(_bar(3)).typical, rel=0.1)


@pytest.mark.parametrize("level", [130, 255])
def test_a_dot_of_one_pixel_stays(level: int) -> None:
    glyph = _bar(3)
    glyph[8, 18] = level
    inside = (_trace(glyph).depth > 0).astype(np.uint8)
    assert cv2.connectedComponents(inside)[0] - 1 == 2


def test_counters_stay_open(write: Callable[..., NDArray[np.uint8]]) -> None:
    inside = (_trace(write("8")).depth > 0).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert len(contours) == 3  # the outline and two holes


def test_the_depth_is_a_distance(write: Callable[..., NDArray[np.uint8]]) -> None:
    rows, columns = np.gradient(_trace(write("2")).depth)
    slope = np.hypot(rows, columns)
    assert np.median(slope) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("size", [1, 5, 28, 64, 500])
def test_the_field_has_one_size_whatever_the_glyphs(size: int) -> None:
    strokes = _trace(np.full((size, size), 255, np.uint8))
    assert max(strokes.depth.shape) < 2 * SIDE
    assert strokes.height <= SIDE + 1
    assert np.isfinite(strokes.depth).all()
    assert np.isfinite(strokes.radius).all()


def test_a_full_stop_stays_small() -> None:
    glyph = np.zeros((28, 28), np.uint8)
    glyph[20:22, 13:15] = 255
    assert _trace(glyph).height == pytest.approx(SIDE * 2 / 8)
