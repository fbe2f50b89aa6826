"""Boxes cut out of a scan: upright, with what crosses their lines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from kalamos.forms.cutting import cut_boxes, without_lines

Grey = NDArray[np.uint8]


def page() -> tuple[Grey, NDArray[np.float32]]:
    """Two boxes side by side, with a stroke through the left one's bottom line."""
    scan = np.full((200, 300), 220, np.uint8)
    corners = []
    for x in (60, 150):
        cv2.rectangle(scan, (x, 50), (x + 70, 130), 40, 2)
        corners.append([[x, 50], [x + 70, 50], [x + 70, 130], [x, 130]])
    return scan, np.array(corners, np.float32)


@pytest.mark.parametrize("degrees", [0, 17, 90, 180, 221])
def test_boxes_become_upright(degrees: float) -> None:
    scan, corners = page()
    cv2.circle(scan, (75, 65), 6, 0, cv2.FILLED)  # near the left box's top left
    matrix = cv2.getRotationMatrix2D((150, 100), degrees, 1)
    matrix[:, 2] += 100
    seen = cv2.warpAffine(scan, matrix, (500, 400), borderValue=220)
    placed = cv2.transform(corners, matrix)
    left, right = cut_boxes(seen, placed, side=80, margin=0)
    assert left.shape == right.shape == (80, 70)
    assert left[8:22, 8:22].min() < 60
    assert right[8:72, 8:62].min() > 150
    assert left[40:72, 8:62].min() > 150


def test_the_margin_shows_what_is_around() -> None:
    scan, corners = page()
    cv2.line(scan, (95, 100), (95, 136), 0, 4)
    inside, outside = (cut_boxes(scan, corners[:1], side=80, margin=margin)[0] for margin in (-0.1, 0.2))
    assert inside.shape == (66, 56)
    assert inside[-10:].min() < 60
    assert (inside[:, :3] > 150).all()  # no line
    assert outside.shape == (108, 98)
    assert outside[-20:-12].min() < 60
    assert outside[-3:].min() > 150


def test_thin_strokes_survive_a_reduction() -> None:
    scan = np.full((1000, 1000), 255, np.uint8)
    for x in range(103, 900, 90):
        cv2.line(scan, (x, 100), (x, 900), 0, 2)
    box = np.float32([[[50, 50], [950, 50], [950, 950], [50, 950]]])
    (cut,) = cut_boxes(scan, box, side=64, margin=0)
    assert (cut[32] < 235).sum() >= 9


def test_boxes_at_the_edge_and_outside_are_cut_all_the_same() -> None:
    scan, _ = page()
    corners = np.float32(
        [[[-20, -20], [40, -20], [40, 40], [-20, 40]], [[500, 500], [560, 500], [560, 560], [500, 560]]]
    )
    assert [cut.shape for cut in cut_boxes(scan, corners, side=30)] == [(42, 42), (42, 42)]


@pytest.mark.parametrize("width", [1, 2, 4, 6])
def test_lines_are_taken_away_and_strokes_across_them_stay(width: int) -> None:
    scan = np.full((200, 300), 220, np.uint8)
    cv2.rectangle(scan, (60, 50), (120, 130), 40, width)
    cv2.line(scan, (90, 100), (90, 160), 60, 5)
    corners = np.array([[[60, 50], [120, 50], [120, 130], [60, 130]]], np.float32)
    [crop] = cut_boxes(scan, corners, side=80)
    bare = without_lines(crop)
    line, inside = bare[12, 16:68], bare[24:80, 24:60]
    assert crop[12, 16:68].max() < 140
    assert line.min() > 200
    assert (inside == crop[24:80, 24:60]).all()
    assert bare[85:104, 42].max() < 80  # the stroke goes on over the lower line and past it


def test_a_box_without_lines_is_left_as_it_is() -> None:
    grain = np.random.default_rng(3).normal(220, 2, (70, 60))
    crop = np.clip(grain, 0, 255).astype(np.uint8)
    cv2.line(crop, (20, 15), (40, 55), 60, 4)
    assert (without_lines(crop) == crop).all()


def test_writing_along_a_line_keeps_what_is_beside_it() -> None:
    scan = np.full((200, 300), 220, np.uint8)
    cv2.rectangle(scan, (60, 50), (120, 130), 40, 2)
    cv2.line(scan, (76, 54), (104, 54), 60, 5)  # the bar of a 7, half on the upper line
    corners = np.array([[[60, 50], [120, 50], [120, 130], [60, 130]]], np.float32)
    [crop] = cut_boxes(scan, corners, side=80)
    assert without_lines(crop)[15:18, 30:54].max() < 100


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=80)), st.floats(0, 0.5))
def test_whatever_the_picture_nothing_is_made_darker(crop: Grey, margin: float) -> None:
    before = crop.copy()
    bare = without_lines(crop, margin=margin)
    assert (crop == before).all()
    assert (bare >= crop).all()
