"""Read the cells of a ruled grid: a table, a puzzle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.cells import CELL_PX, CellReading, Ink, inks_of, read_cells, readings_of
from kalamos.pages.page import Box
from kalamos.pages.ruling import Cell as Ruled
from kalamos.pages.ruling import Grid, cut_cell, find_grids
from kalamos.pages.together import read_together
from kalamos.postprocessing import AnswerRule
from kalamos.recognizer import CHUNK, Recognizer

__all__ = ["GridReading", "largest_grid", "read_grid"]

Grey = NDArray[np.uint8]

MIN_CELLS: Final = 4
"""Of what counts as a grid where nobody asked for one: two rows of two columns."""

MIN_AREA_FRACTION: Final = 0.1
"""Of the page: a smaller grid is something on a page."""

SURROUNDINGS: Final = 0.08
"""Of a cell's side: what is shown around it, so that its lines are seen as lines."""

SHOWN_FRACTION: Final = SURROUNDINGS / (1 + 2 * SURROUNDINGS)
"""The same of the picture's side."""

SAMPLE_CELLS: Final = 24
"""Cells that vote on which way up a grid is."""

MIN_TURN_GAIN: Final = 0.35
"""How much more sure (nats a cell) a grid must be read turned than as it lies."""

MIN_VOTES: Final = 3


class GridReading(NamedTuple):
    """A grid's cells and what is in them, in the same order.

    Attributes:
        quarters: by how many quarter turns, clockwise, the picture was turned for it.
    """

    cells: list[tuple[Ruled, Box]]
    readings: list[CellReading]
    quarters: int


def largest_grid(image: Grey, *, sure: bool) -> Grid | None:
    """Find the grid that covers most of a page.

    Args:
        image: grey uint8 [H, W].
        sure: whether a grid is asked for; else small ones, and single rows of boxes, are none.
    """
    grids = find_grids(image)
    if not sure:
        grids = [
            grid
            for grid in grids
            if min(grid.rows, grid.columns) >= 2
            and len(grid.cells) >= MIN_CELLS
            and _area(grid) >= MIN_AREA_FRACTION * image.size
        ]
    return max(grids, key=_area, default=None)


def _area(grid: Grid) -> float:
    corners = np.stack([cell.corners for cell in grid.cells]).astype(np.float64)
    following = np.roll(corners, -1, axis=1)
    cross = corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0]
    return float(np.abs(cross.sum(axis=1)).sum() / 2)


def read_grid(
    reader: Recognizer,
    image: Grey,
    grid: Grid,
    rule: AnswerRule,
    probability: Callable[[CellReading], float],
) -> GridReading:
    """Read a grid's cells, whichever way up the picture is.

    Args:
        reader: the model.
        image: grey uint8 [H, W], where the grid was found.
        grid: the grid.
        rule: charset and number of candidates.
        probability: how sure a reading is, in [0, 1].
    """
    crops = _crops(image, grid)
    inks = _inks(crops)
    quarters = _quarters(reader, crops, inks, rule, probability)
    if quarters:
        turned = np.ascontiguousarray(np.rot90(image, -quarters))
        again = largest_grid(turned, sure=True)
        if again is not None:
            readings = read_together(reader, _inks(_crops(turned, again)), rule, again)
            return GridReading(_boxes(again, image.shape, quarters), readings, quarters)
    return GridReading(_boxes(grid, image.shape, 0), read_together(reader, inks, rule, grid), 0)


def _crops(image: Grey, grid: Grid) -> list[Grey]:
    return [cut_cell(image, cell, side=CELL_PX, inset=-SURROUNDINGS) for cell in grid.cells]


def _inks(crops: Sequence[Grey]) -> list[Ink | None]:
    return [
        ink
        for start in range(0, len(crops), CHUNK)
        for ink in inks_of(crops[start : start + CHUNK], SHOWN_FRACTION, photographed=True)
    ]


def _quarters(
    reader: Recognizer,
    crops: Sequence[Grey],
    inks: Sequence[Ink | None],
    rule: AnswerRule,
    probability: Callable[[CellReading], float],
) -> int:
    inked = [row for row, ink in enumerate(inks) if ink is not None]
    inked = inked[:: max(1, len(inked) // SAMPLE_CELLS)][:SAMPLE_CELLS]
    sample = [ink for row in inked if (ink := inks[row]) is not None]
    if len(sample) < MIN_VOTES:
        return 0
    means = []
    for quarters in range(4):
        if quarters:
            turned = [np.ascontiguousarray(np.rot90(crops[row], -quarters)) for row in inked]
            read = read_cells(reader, turned, rule, margin=SHOWN_FRACTION)
        else:
            read = readings_of(sample, reader.infer_ink([ink.image for ink in sample], rule.class_mask), rule)
        means.append(float(np.mean([math.log(max(probability(each), 1e-3)) for each in read])))
    best = int(np.argmax(means))
    return best if means[best] - means[0] >= MIN_TURN_GAIN else 0


def _boxes(grid: Grid, shape: tuple[int, ...], quarters: int) -> list[tuple[Ruled, Box]]:
    """Cells with their boxes on the picture as it was given, of this shape, before its quarter turns."""
    height, width = shape
    placed = []
    for cell in grid.cells:
        x, y = cell.corners[:, 0], cell.corners[:, 1]
        if quarters == 1:
            x, y = y, height - 1 - x
        elif quarters == 2:
            x, y = width - 1 - x, height - 1 - y
        elif quarters == 3:
            x, y = width - 1 - y, x
        left, top = max(0, int(np.floor(x.min()))), max(0, int(np.floor(y.min())))
        right, bottom = min(width, int(np.ceil(x.max())) + 1), min(height, int(np.ceil(y.max())) + 1)
        placed.append((cell, Box(left, top, max(1, right - left), max(1, bottom - top))))
    return placed
