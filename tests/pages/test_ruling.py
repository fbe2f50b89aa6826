"""Ruled grids and boxes on drawn pages, and none where there are none."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from kalamos.pages.ruling import Grid, cut_cell, find_grids

Grey = NDArray[np.uint8]


def lattice(rows: int, columns: int, side: int = 60, *, level: int = 60, line: int = 2) -> Grey:
    page = np.full((rows * side + 160, columns * side + 160), 235, np.uint8)
    for row in range(rows + 1):
        cv2.line(page, (80, 80 + row * side), (80 + columns * side, 80 + row * side), level, line)
    for column in range(columns + 1):
        cv2.line(page, (80 + column * side, 80), (80 + column * side, 80 + rows * side), level, line)
    return page


def largest(page: Grey) -> Grid:
    return max(find_grids(page), key=lambda grid: len(grid.cells))


@pytest.mark.parametrize(("rows", "columns"), [(9, 9), (1, 8), (4, 1), (12, 17)])
def test_cells_lie_between_their_lines(rows: int, columns: int) -> None:
    grid = largest(lattice(rows, columns))
    assert (grid.rows, grid.columns, len(grid.cells)) == (rows, columns, rows * columns)
    for cell in grid.cells:
        left, top = 80 + 60 * cell.column, 80 + 60 * cell.row
        truth = np.array([(left, top), (left + 60, top), (left + 60, top + 60), (left, top + 60)])
        assert np.abs(cell.corners - truth).max() < 3


def test_digits_on_the_lines_break_no_cell() -> None:
    page = lattice(6, 6)
    for number in range(36):
        at = (84 + 60 * (number % 6), 138 + 60 * (number // 6))
        cv2.putText(page, str(number % 10), at, cv2.FONT_HERSHEY_SIMPLEX, 2.2, 50, 4, cv2.LINE_AA)
    assert len(largest(page).cells) == 36


@pytest.mark.parametrize("degrees", [-30, -8, 12, 40])
def test_grids_are_found_whichever_way_they_are_turned(degrees: float) -> None:
    page = lattice(5, 7)
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.7)
    turned = cv2.warpAffine(page, turn, (width, height), borderValue=235)
    grid = largest(np.asarray(turned, np.uint8))
    assert (grid.rows, grid.columns, len(grid.cells)) == (5, 7, 35)
    first = next(cell for cell in grid.cells if (cell.row, cell.column) == (0, 0))
    truth = turn @ np.array([80, 80, 1])
    assert np.abs(first.corners[0] - truth).max() < 4


def test_boxes_with_gaps_stand_in_one_row() -> None:
    page = np.full((200, 700), 240, np.uint8)
    for place in range(8):
        cv2.rectangle(page, (40 + 78 * place, 70), (100 + 78 * place, 140), 90, 2)
    grids = find_grids(page)
    assert sum(len(grid.cells) for grid in grids) == 8
    assert {cell.row for grid in grids for cell in grid.cells} == {0}


def test_a_cell_is_cut_out_seen_from_above() -> None:
    page = lattice(3, 3)
    cv2.circle(page, (80 + 90, 80 + 90), 10, 20, -1)  # in the middle cell
    cell = next(cell for cell in largest(page).cells if (cell.row, cell.column) == (1, 1))
    cut = cut_cell(page, cell, side=48, inset=0.1)
    assert cut.shape == (48, 48)
    assert cut[24, 24] < 60
    assert cut[4:8, 4:8].min() > 200
    with pytest.raises(ValueError, match="inset"):
        cut_cell(page, cell, inset=0.6)


def text_page() -> Grey:
    page = np.full((800, 600), 240, np.uint8)
    for row in range(12):
        at = (40, 80 + 60 * row)
        cv2.putText(page, "plain words and no boxes", at, cv2.FONT_HERSHEY_SIMPLEX, 1, 40, 2, cv2.LINE_AA)
    return page


@pytest.mark.parametrize(
    "page",
    [
        np.full((900, 700), 255, np.uint8),
        np.zeros((900, 700), np.uint8),
        np.random.default_rng(0).integers(0, 256, (600, 500), np.uint8),
        np.full((1, 1), 9, np.uint8),
        np.full((3, 5000), 200, np.uint8),
        text_page(),
    ],
    ids=["white", "black", "noise", "a pixel", "a strip", "text"],
)
def test_where_nothing_is_ruled_there_is_no_grid(page: Grey) -> None:
    started = time.process_time()
    assert [grid for grid in find_grids(page) if len(grid.cells) > 1] == []
    assert time.process_time() - started < 10


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=st.integers(0, 255)))
def test_any_picture_is_looked_at(image: Grey) -> None:
    for grid in find_grids(image):
        assert grid.cells
        for cell in grid.cells:
            assert np.isfinite(cell.corners).all()


def test_a_full_grid_keeps_cells_whose_outer_line_is_out_of_the_picture() -> None:
    page = np.ascontiguousarray(lattice(9, 9)[:, 80:])  # the first line is at the picture's edge
    page[80 + 7 * 60 + 3 : 80 + 9 * 60 - 3, :6] = 235  # and of the last two rows it is beyond
    grid = largest(page)
    assert (grid.rows, grid.columns, len(grid.cells)) == (9, 9, 81)


def test_what_is_in_pieces_beside_a_full_grid_is_none_of_it() -> None:
    page = lattice(6, 6)
    for row in (0, 3, 4, 5):  # what is printed beside a grid may look like cells, out of focus
        top = 80 + 60 * row
        cv2.rectangle(page, (440, top), (500, top + 60), 60, 2)
    grid = largest(page)
    assert (grid.rows, grid.columns, len(grid.cells)) == (6, 6, 36)


def test_a_shorter_last_row_stays_in_its_table() -> None:
    page = lattice(5, 5)
    page[80 + 4 * 60 + 3 :, 80 + 3 * 60 + 3 :] = 235
    grid = largest(page)
    assert (grid.rows, grid.columns, len(grid.cells)) == (5, 5, 23)
