"""Printed lines go; strokes stay, also where they cross one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.preprocessing.components import remove_lines

Mask = NDArray[np.uint8]


def blank(height: int = 200, width: int = 160) -> Mask:
    return np.zeros((height, width), np.uint8)


def with_line(mask: Mask, row: float, rise: float = 0, thickness: int = 2) -> Mask:
    """A line from left to right that rises by `rise` px in all."""
    ruled = mask.copy()
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    ruled[np.abs(y - row - rise * (x / mask.shape[1] - 0.5)) <= thickness / 2] = 255
    return ruled


def written(height: int = 200, width: int = 160) -> Mask:
    """A plus of pen 12, clear of the border."""
    mask = blank(height, width)
    mask[50:150, 74:86] = 255
    mask[94:106, 40:120] = 255
    return mask


@pytest.mark.parametrize("rise", [-12, -5, 0, 5, 12])
@pytest.mark.parametrize("thickness", [1, 2, 4])
@pytest.mark.parametrize("turned", [False, True])
def test_a_ruled_line_goes_and_the_stroke_across_it_stays(rise: int, thickness: int, turned: bool) -> None:
    clean = written()
    ruled = with_line(clean, 130, rise, thickness)
    cleaned = remove_lines(np.ascontiguousarray(ruled.T) if turned else ruled)
    rest = cleaned.T if turned else cleaned
    assert not rest[clean == 0][:-1].any() or np.count_nonzero(rest & ~clean) < 60
    assert np.count_nonzero(clean & ~rest) == 0


def test_all_lines_of_squared_paper_go() -> None:
    mask = written()
    squared = mask.copy()
    squared[20::60] = squared[21::60] = 255
    squared[:, 15::50] = squared[:, 16::50] = 255
    cleaned = remove_lines(squared)
    assert np.count_nonzero(cleaned & ~mask) < 150
    assert np.count_nonzero(mask & ~cleaned) == 0


def test_a_cell_s_frame_that_leaves_the_picture_goes() -> None:
    mask = with_line(written(), 3, 10, 3)
    assert np.count_nonzero(mask[:12]) > 300
    assert np.count_nonzero(remove_lines(mask)[:12]) < 30


def test_a_page_without_lines_is_the_same_object() -> None:
    mask = written()
    assert remove_lines(mask) is mask


def test_a_small_picture_is_left_alone() -> None:
    mask = with_line(blank(40, 160), 20)
    assert remove_lines(mask) is mask


@pytest.mark.parametrize("thickness", [8, 16, 40])
def test_a_lone_thick_line_is_a_stroke(thickness: int) -> None:
    mask = with_line(blank(), 100, thickness=thickness)
    np.testing.assert_array_equal(remove_lines(mask), mask)
    np.testing.assert_array_equal(remove_lines(np.ascontiguousarray(mask.T)), mask.T)


def test_a_lone_hairline_and_two_lines_of_any_width_are_printed() -> None:
    assert not remove_lines(with_line(blank(), 100, thickness=2)).any()
    assert not remove_lines(with_line(with_line(blank(), 60, thickness=7), 140, thickness=7)).any()


@pytest.mark.parametrize("pen", [6, 12])
def test_a_t_that_fills_its_crop_keeps_its_bar(pen: int) -> None:
    mask = blank(120, 100)
    mask[:pen] = mask[:, 47 : 47 + pen] = 255
    np.testing.assert_array_equal(remove_lines(mask), mask)


def test_the_mask_given_is_not_written_on() -> None:
    mask = with_line(written(), 130)
    before = mask.copy()
    remove_lines(mask)
    np.testing.assert_array_equal(mask, before)
