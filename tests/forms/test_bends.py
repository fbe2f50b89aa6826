"""Boxes on paper that bends by more than half a box, and where there is nothing to follow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.forms.bends import find_bent_outlines
from kalamos.forms.outlines import find_outlines

Grey = NDArray[np.uint8]
Corners = NDArray[np.float64]

SIDE, STEP, PITCH = 36, 42, 80


def bent_form(most: float, *, seed: int = 0) -> tuple[Grey, Corners, Corners]:
    """A form of 8 x 12 boxes with writing, its lower rows to the right of where a flat sheet has them."""
    rng = np.random.default_rng(seed)
    scan = np.full((12 * PITCH + 60, 8 * STEP + 160), 230, np.uint8)
    square = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], np.float64)
    corners = [(STEP * column + 40, PITCH * row + 30) for row in range(12) for column in range(8)]
    flat = np.array(corners, np.float64)[:, None] + square
    true = flat.copy()
    true[..., 0] += most * SIDE * np.repeat(np.linspace(0, 1, 12) ** 2, 8)[:, None]
    for box in true:
        cv2.polylines(scan, [np.rint(box).astype(np.int32)], True, 60, 2)
        stroke = box.mean(axis=0) + rng.uniform(-0.3, 0.3, (4, 2)) * SIDE
        cv2.polylines(scan, [np.rint(stroke).astype(np.int32)], False, 40, 3, cv2.LINE_AA)
    return scan, flat, true


@pytest.mark.parametrize("most", [0.9, 1.2, 1.6])
def test_a_bend_of_more_than_half_a_box_is_followed(most: float) -> None:
    scan, flat, true = bent_form(most)
    plain, found = find_outlines(scan, flat), find_bent_outlines(scan, flat)
    assert np.abs(plain.corners - true).max() > 0.3 * SIDE  # taken for their neighbours
    assert np.abs(found.corners - true).max() < 0.1 * SIDE
    assert found.fit > 0.97
    assert np.abs(found.moved - (true - flat).mean(axis=1)).max() < 0.1 * SIDE


def test_a_flat_form_and_an_empty_page_are_found_as_they_are() -> None:
    scan, flat, _ = bent_form(0.3)
    assert np.array_equal(find_bent_outlines(scan, flat).corners, find_outlines(scan, flat).corners)
    blank = np.full_like(scan, 230)
    assert find_bent_outlines(blank, flat).fit == find_outlines(blank, flat).fit == 0
    assert find_bent_outlines(scan, flat[:0]).corners.shape == (0, 4, 2)


def steep_form() -> tuple[Grey, Corners, Corners]:
    """A form whose lower rows bend away by more and more, as the foot of a sheet that curls does."""
    scan = np.full((12 * PITCH + 160, 8 * STEP + 160), 230, np.uint8)
    square = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], np.float64)
    corners = [(STEP * column + 40, PITCH * row + 60) for row in range(12) for column in range(8)]
    flat = np.array(corners, np.float64)[:, None] + square
    down = np.clip((flat[..., 1] - 7.5 * PITCH) / PITCH, 0, None)
    true = flat + np.stack(
        [0.04 * SIDE * down**2, -0.05 * SIDE * down**2 * (flat[..., 0] / STEP / 8)], axis=-1
    )
    for box in true:
        cv2.polylines(scan, [np.rint(box * 16).astype(np.int32)], True, 60, 2, cv2.LINE_AA, 4)
    return scan, flat, true


def test_rows_that_turn_as_they_bend_are_followed() -> None:
    scan, flat, true = steep_form()
    off = np.linalg.norm((find_bent_outlines(scan, flat).corners - true).mean(axis=1), axis=1)
    assert np.linalg.norm((true - flat).mean(axis=1), axis=1).max() > 0.7 * SIDE
    assert off.max() < 0.12 * SIDE


def curled_form(most: float) -> tuple[Grey, Corners, Corners]:
    """A form whose middle rows lie lower than a flat sheet has them, as paper that curls does."""
    scan = np.full((12 * PITCH + 160, 8 * STEP + 160), 230, np.uint8)
    square = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], np.float64)
    corners = [(STEP * column + 60, PITCH * row + 60) for row in range(12) for column in range(8)]
    flat = np.array(corners, np.float64)[:, None] + square
    true = flat.copy()
    true[..., 1] += most * SIDE * np.sin(np.pi * np.repeat(np.linspace(0, 1, 12), 8))[:, None]
    for box in true:
        cv2.polylines(scan, [np.rint(box * 16).astype(np.int32)], True, 60, 2, cv2.LINE_AA, 4)
    return scan, flat, true


@pytest.mark.parametrize("most", [0.8, 0.9])
def test_where_markers_tell_the_page_it_is_followed_though_most_lines_are_elsewhere(most: float) -> None:
    scan, flat, true = curled_form(most)
    plain, found = find_bent_outlines(scan, flat), find_bent_outlines(scan, flat, marked=True)
    assert plain.fit < 0.6  # without, it may be another form: its boxes stay where they are
    assert np.array_equal(plain.corners, find_outlines(scan, flat).corners)
    off = np.linalg.norm((found.corners - true).mean(axis=1), axis=1)
    assert off.max() < 0.1 * SIDE


def test_a_row_that_was_taken_for_the_next_boxes_is_told_by_its_ends() -> None:
    scan = np.full((12 * PITCH + 60, 8 * STEP + 200), 230, np.uint8)
    square = np.array(
        [[0, 0], [STEP, 0], [STEP, SIDE], [0, SIDE]], np.float64
    )  # boxes that share their lines
    corners = [(STEP * column + 90, PITCH * row + 30) for row in range(12) for column in range(8)]
    flat = np.array(corners, np.float64)[:, None] + square
    true = flat.copy()
    true[..., 0] -= STEP * np.repeat(np.clip(np.arange(12) - 7, 0, None) ** 1.5 / 9, 8)[:, None]
    for box in true:
        cv2.polylines(scan, [np.rint(box * 16).astype(np.int32)], True, 60, 2, cv2.LINE_AA, 4)
    found = find_bent_outlines(scan, flat, counts=[8] * 12)
    off = np.linalg.norm((found.corners - true).mean(axis=1), axis=1)
    assert off.max() < 0.12 * STEP
