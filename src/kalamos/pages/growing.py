"""Let a lattice grow by the cells that it foretells: those whose lines the first look missed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.curves import regular_corners
from kalamos.pages.lattice import (
    MAX_SHARED_CORNER_PX,
    MAX_SKEW_PX,
    MAX_STRAY,
    MIN_FULL_CELLS,
    MIN_FULL_FILL,
    MIN_LINE_SHARE,
    MIN_OUTER_COVERAGE,
    MIN_OUTER_SIDE,
    Lattice,
    Place,
    Quads,
    foretell,
    foretell_second,
    known_corners,
    line_level,
    straighten,
)
from kalamos.pages.quads import SideFit, are_convex, fit_sides, side_lengths

__all__ = ["complete", "fill_gaps"]

SEARCH_SHARE: Final = 0.14
"""How far from its foretold place a line is looked for, as a share of the cell's side."""

MIN_INNER_COVERAGE, MIN_INNER_SIDE = 0.6, 0.2
"""The share of its sides along which a foretold cell between others must have lines: in the mean, and
each;"""

MIN_OUTER_SHARE: Final = 0.6
"""Of the foretold cells of a row or a column beyond the others, so many must be there."""

MIN_SEEN_SIDES, MIN_SEEN_COVERAGE, MIN_FAINT_LINE_SHARE = 3, 0.5, 0.15
"""A cell that is missing in a full lattice is there where so many of its sides are neighbours' too, or have
lines along so much of them; these are at least so dark, as a share of the lattice's lines."""

MIN_CONTINUED: Final = 0.5
"""A line goes on beyond a lattice if it is at least so dark there, as a share of its darkness before."""

MAX_ROUNDS: Final = 24
"""Of looking for foretold cells; each may add a row and a column."""


def complete(dark: NDArray[np.uint8], lattices: list[Lattice]) -> list[Lattice]:
    """Add the cells that lattices foretell and that have lines, or that another lattice holds already."""
    lattices = list(lattices)
    done: list[Lattice] = []
    while lattices:
        lattice = lattices.pop(0)
        straighten(dark, lattice)
        _grow(dark, lattice, lattices)
        straighten(dark, lattice)
        lattices = [other for other in lattices if other.cells]
        done.append(lattice)
    return done


def _grow(dark: NDArray[np.uint8], lattice: Lattice, others: list[Lattice]) -> None:
    refused: dict[Place, Quads] = {}
    for _ in range(MAX_ROUNDS):
        foretold = _foretold(lattice, dark.shape)
        grown = False
        for place, corners in foretold.items():
            if place not in lattice.cells and _absorb(lattice, place, corners, others):
                grown = True
        left = {
            place: corners
            for place, corners in foretold.items()
            if place not in lattice.cells
            and _is_next(lattice, place)
            and (place not in refused or np.abs(refused[place] - corners).max() > MAX_SKEW_PX)
        }
        if left:
            accepted = _accepted(dark, lattice, left)
            lattice.cells.update(accepted)
            grown = grown or bool(accepted)
            refused.update((place, left[place]) for place in left.keys() - accepted.keys())
        if not grown:
            return


def fill_gaps(dark: NDArray[np.uint8], lattice: Lattice) -> Lattice:
    """Add the cells that a full lattice misses: a line of theirs is too faint, or out of the image."""
    while True:
        first_row, last_row, first_column, last_column = lattice.bounds()
        rows, columns = last_row - first_row + 1, last_column - first_column + 1
        if min(rows, columns) < 2 or len(lattice.cells) < max(MIN_FULL_CELLS, MIN_FULL_FILL * rows * columns):
            return lattice
        missing = {
            place: corners
            for place, corners in _foretold(lattice, dark.shape).items()
            if first_row <= place[0] <= last_row and first_column <= place[1] <= last_column
        }
        if not missing:
            return lattice
        fit = _fitted(dark, lattice, np.stack(list(missing.values())), MIN_FAINT_LINE_SHARE)
        seen = {
            place: corners
            for (place, corners), coverage in zip(missing.items(), fit.coverage, strict=True)
            if sum(
                coverage[side] >= MIN_SEEN_COVERAGE or _is_shared(lattice, place, corners, side)
                for side in range(4)
            )
            >= MIN_SEEN_SIDES
        }
        if not seen:
            return lattice
        lattice.cells.update(seen)


def _fitted(dark: NDArray[np.uint8], lattice: Lattice, quads: Quads, line_share: float) -> SideFit:
    """Fit foretold cells to lines at least so dark, as a share of the lattice's."""
    reach = np.maximum(SEARCH_SHARE * side_lengths(quads).min(axis=1), 3).astype(np.float32)
    return fit_sides(dark, quads, reach, reach, level=line_share * line_level(dark, lattice))


def _is_shared(lattice: Lattice, place: Place, corners: Quads, side: int) -> bool:
    """Return whether a side (0 is the upper one, then clockwise) is one of a neighbour's."""
    down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[side]
    neighbour = lattice.cells.get((place[0] + down, place[1] + right))
    if neighbour is None:
        return False
    facing = neighbour[[(side + 3) % 4, (side + 2) % 4]]
    return bool(np.abs(facing - corners[[side, (side + 1) % 4]]).max() <= MAX_SHARED_CORNER_PX)


def _foretold(lattice: Lattice, shape: tuple[int, ...]) -> dict[Place, Quads]:
    """Return where the lattice's next cells would be, and the ones after them, within the image."""
    known, first = known_corners(lattice)
    regular = regular_corners(known).astype(np.float32)
    found = {}
    for place in _frontier(lattice):
        row, column = place[0] - first[0], place[1] - first[1]
        corners = None
        if 0 <= row < len(known) and 0 <= column < known.shape[1] and np.isfinite(regular[row, column]).all():
            corners = regular[row, column]
        elif _is_next(lattice, place):
            corners = foretell(lattice.cells, place)
        else:
            corners = foretell_second(lattice.cells, place)
        if corners is not None and _is_within(corners, shape):
            found[place] = corners
    return found


def _accepted(dark: NDArray[np.uint8], lattice: Lattice, foretold: dict[Place, Quads]) -> dict[Place, Quads]:
    """Return those of the foretold cells that have lines, and the corners of these."""
    quads = np.stack(list(foretold.values()))
    fit = _fitted(dark, lattice, quads, MIN_LINE_SHARE)
    accepted = {
        place: number
        for number, place in enumerate(foretold)
        if _is_cell(fit.quads[number], fit.coverage[number], lattice, place)
    }
    for places in _outside(lattice, foretold):
        if sum(place in accepted for place in places) < MIN_OUTER_SHARE * len(places):
            for place in places:
                accepted.pop(place, None)
    outer = [place for places in _outside(lattice, accepted) for place in places]
    if outer:
        near = np.full(len(lattice.cells), 2, np.float32)
        levels = dict(zip(lattice.cells, fit_sides(dark, lattice.quads(), near, near).level, strict=True))
        for place in outer:
            if place in accepted and not _continues(fit.level[accepted[place]], place, levels):
                del accepted[place]
    return {place: fit.quads[number] for place, number in accepted.items()}


def _outside(lattice: Lattice, places: Iterable[Place]) -> list[list[Place]]:
    """Return the places above, below, left and right of all cells of a lattice."""
    first_row, last_row, first_column, last_column = lattice.bounds()
    return [
        [place for place in places if place[0] < first_row],
        [place for place in places if place[0] > last_row],
        [place for place in places if place[1] < first_column],
        [place for place in places if place[1] > last_column],
    ]


def _is_cell(corners: Quads, coverage: NDArray[np.float32], lattice: Lattice, place: Place) -> bool:
    row, column = place
    first_row, last_row, first_column, last_column = lattice.bounds()
    inner = first_row <= row <= last_row and first_column <= column <= last_column
    mean, least = (MIN_INNER_COVERAGE, MIN_INNER_SIDE) if inner else (MIN_OUTER_COVERAGE, MIN_OUTER_SIDE)
    coverage = coverage.copy()
    for side in range(4):
        if _is_shared(lattice, place, corners, side):
            coverage[side] = 1  # the neighbour's line is this one's
    return bool(are_convex(corners[None])[0] and coverage.mean() >= mean and coverage.min() >= least)


def _continues(level: NDArray[np.float32], place: Place, levels: dict[Place, NDArray[np.float32]]) -> bool:
    """Return whether the lines of a cell are as dark as those of the neighbour that they continue."""
    for step, sides in (((0, 1), (0, 2)), ((0, -1), (0, 2)), ((1, 0), (1, 3)), ((-1, 0), (1, 3))):
        neighbour = levels.get((place[0] + step[0], place[1] + step[1]))
        if neighbour is not None and (level < MIN_CONTINUED * neighbour)[list(sides)].any():
            return False
    return True


def _frontier(lattice: Lattice) -> set[Place]:
    steps = ((0, 1), (0, -1), (1, 0), (-1, 0), (0, 2), (0, -2), (2, 0), (-2, 0))
    return {
        (row + down, column + right) for row, column in lattice.cells for down, right in steps
    } - lattice.cells.keys()


def _is_next(lattice: Lattice, place: Place) -> bool:
    row, column = place
    return any((row + y, column + x) in lattice.cells for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0)))


def _is_within(corners: Quads, shape: tuple[int, ...]) -> bool:
    margin = MAX_STRAY * float(side_lengths(corners[None]).min())
    upper = np.array(shape[::-1]) - 1 + margin
    return bool((corners >= -margin).all() and (corners <= upper).all())


def _absorb(lattice: Lattice, place: Place, corners: Quads, others: list[Lattice]) -> bool:
    """Take over another lattice, one of whose cells lies where a cell is foretold."""
    reach = MAX_STRAY * float(side_lengths(corners[None]).min()) + MAX_SKEW_PX
    for other in others:
        for where, found in other.cells.items():
            if (
                abs(float(found[0, 0] - corners[0, 0])) > reach
                or float(np.abs(found - corners).max()) > reach
            ):
                continue
            shift = (place[0] - where[0], place[1] - where[1])
            moved = {(row + shift[0], column + shift[1]): (row, column) for row, column in other.cells}
            if moved.keys() & lattice.cells.keys():
                moved = {place: where}
            for new, old in moved.items():
                lattice.cells[new] = other.cells.pop(old)
            return True
    return False
