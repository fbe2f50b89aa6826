from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.training.camera import Camera
from kalamos.training.camera.pen import BALLPOINT, MARKER, PENCIL, Drawing, draw
from kalamos.training.camera.strokes import SIDE, trace

Write = Callable[..., NDArray[np.uint8]]


def _draw(glyph: NDArray[np.uint8], camera: Camera, seed: int) -> Drawing:
    strokes = trace(glyph)
    assert strokes is not None
    return draw(strokes, 100, camera, np.random.default_rng(seed))


def _parts(drawing: Drawing) -> int:
    return cv2.connectedComponents((drawing.ink > drawing.ink.max() / 8).astype(np.uint8))[0] - 1


@pytest.mark.parametrize("marker", [0.0, 1.0])
@pytest.mark.parametrize(("text", "parts"), [("8", 1), ("5", 1), ("i", 2), ("R", 1), ("4", 1)])
def test_no_pen_breaks_strokes_or_adds_any(
    write: Write, ideal: Camera, marker: float, text: str, parts: int
) -> None:
    for thickness in (1.4, 2.4, 4.0):
        glyph = write(text, thickness=thickness)
        for seed in range(10):
            assert _parts(_draw(glyph, replace(ideal, marker=marker), seed)) == parts


def test_a_thin_pen_keeps_thin_strokes_that_meet_thick_ones(ideal: Camera) -> None:
    wedge = np.zeros((28, 28), np.uint8)
    for row in range(4, 24):
        cv2.line(wedge, (14 - row // 8, row), (14 + row // 8, row), 255)
    assert all(_parts(_draw(wedge, ideal, seed)) == 1 for seed in range(20))


def test_pens_have_their_widths(write: Write, ideal: Camera) -> None:
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 13:16] = 255

    def widths(camera: Camera) -> list[float]:
        drawings = [_draw(bar, camera, seed).ink for seed in range(40)]
        return [float((ink[len(ink) // 2] / ink.max()).sum()) for ink in drawings]

    thin, thick = widths(ideal), widths(replace(ideal, marker=1.0))
    assert 2.5 < min(thin) < 6 < max(thin) < 14
    assert 9 < min(thick) < 15 < max(thick) < 21


def test_pens_have_their_darkness(write: Write, ideal: Camera) -> None:
    for share, pen in (({}, BALLPOINT), ({"pencil": 1.0}, PENCIL), ({"marker": 1.0}, MARKER)):
        darkest = [_draw(write("7"), replace(ideal, **share), seed).ink.max() for seed in range(20)]
        assert pen.darkness[0] * 0.95 <= min(darkest)
        assert max(darkest) <= pen.darkness[1] * 1.001


def test_pencil_has_grain(write: Write, ideal: Camera) -> None:
    def unevenness(camera: Camera) -> float:
        inks = [_draw(write("0"), camera, seed).ink for seed in range(10)]
        return float(np.mean([ink[ink > ink.max() / 2].std() / ink.max() for ink in inks]))

    assert unevenness(replace(ideal, pencil=1.0)) > 1.3 * unevenness(ideal)


def test_the_ink_lies_inside_its_margins(write: Write) -> None:
    wild = Camera(smallest=100, largest=100, rotate=12, slant=12, elastic=0, marker=1.0, pencil=0)
    for seed in range(20):
        drawing = _draw(write("4"), wild, seed)
        edge = np.concatenate((drawing.ink[0], drawing.ink[-1], drawing.ink[:, 0], drawing.ink[:, -1]))
        assert edge.max() == 0
        assert min(drawing.margins) > 0


def test_the_drawing_is_the_glyph_enlarged(write: Write, ideal: Camera) -> None:
    glyph = write("2")
    top, right, bottom, left = (drawing := _draw(glyph, replace(ideal, marker=1.0), 3)).margins
    ink = drawing.ink[top : drawing.ink.shape[0] - bottom, left : drawing.ink.shape[1] - right]
    x, y, width, height = cv2.boundingRect(glyph)
    assert max(ink.shape) == pytest.approx(100, abs=1)
    small = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), glyph[y : y + height, x : x + width].ravel())[0, 1] > 0.75


def test_deformation_is_as_strong_as_asked(write: Write, ideal: Camera) -> None:
    still = _draw(write("3"), ideal, 5).ink
    bent = _draw(write("3"), replace(ideal, elastic=0.04), 5).ink
    assert bent.shape == still.shape
    assert 0.05 < np.abs(bent - still).sum() / still.sum() < 1.9
    assert SIDE * 0.04 < 3  # in the field's px: less than a stroke's width
