"""Find the cells of ruled grids, tables and rows of boxes on a scan or a photograph, and cut them out.

```
image ── quads: white areas with four straight sides ── lattice: rows, columns, missing cells ── grids
```

>>> page = np.full((120, 200), 230, np.uint8)
>>> for left in (20, 60, 100):                                      # three boxes in a row
...     _ = cv2.rectangle(page, (left, 40), (left + 32, 80), 90, 2)
>>> grid, = find_grids(page)
>>> grid.rows, grid.columns, len(grid.cells)
(1, 3, 3)
>>> np.rint(grid.cells[1].corners).astype(int).tolist()             # clockwise from the top left
[[60, 40], [92, 40], [92, 80], [60, 80]]
>>> cut_cell(page, grid.cells[1], side=28).shape
(28, 28)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError
from kalamos.pages.fragments import are_fragments
from kalamos.pages.growing import complete, fill_gaps
from kalamos.pages.lattice import (
    Lattice,
    join,
    merged_cells,
    split_ragged,
    without_odd,
    without_strays,
)
from kalamos.pages.quads import (
    MIN_SIDE_PX,
    SideFit,
    are_convex,
    are_parallel,
    darkness,
    distinct,
    fit_sides,
    quads_of,
    side_lengths,
    upright_quads,
)

__all__ = ["Cell", "Grid", "cut_cell", "find_grids"]

Grey = NDArray[np.uint8]

MAX_PIXELS: Final = 4_000_000
"""Larger images are searched at this size (an A4 scan of 200 dpi has 3.9 million), and the corners then laid
onto the lines at full size."""

MAX_SAMPLED_SIDE_PX: Final = 32_000
"""OpenCV samples no longer images; on such ones the corners stay as they were found at the smaller size."""

MIN_COVERAGE, MIN_SIDE_COVERAGE = 0.6, 0.25
"""The share of its sides along which a cell needs lines, in the mean and on each side, to be looked at at
all;"""

MIN_LONE_COVERAGE, MIN_LONE_SIDE_COVERAGE = 0.88, 0.65
"""and to be a lone box;"""

MIN_ROW_COVERAGE, MIN_TABLE_COVERAGE, TABLE_CELLS = 0.8, 0.65, 9
"""and that the cells of a row, and of a grid with at least so many cells, need in the mean."""

MAX_LINE_SHARE: Final = 0.4
"""How wide a line may be, as a share of the shorter side of a lone box: what is wider is a letter's
stroke."""

MIN_LIGHT: Final = 0.6
"""The share of its sides beside which a cell is light; beside what looks like a line in a word it is not."""

LONE_REACH: Final = 0.2
"""How far from its sides the lines of a lone box are looked at, as a share of its side."""

MIN_LONE_SIDE_PX: Final = 12
"""Of a lone box; the holes in printed letters are smaller, or rounder."""

MIN_CORNER_SHARE: Final = 0.4
"""How dark the corners of a lone box must be, as a share of its sides: the hole of a letter is round."""

MAX_NESTED_SHARE: Final = 0.5
"""A box within the cell of a grid may have at most this share of the cell's sides; more is a letter's
hole."""

MAX_REFINED_SHARE: Final = 0.1
"""How far the last fit may move a corner, as a share of the cell's side."""


class Cell(NamedTuple):
    """One cell of a grid."""

    row: int
    column: int
    corners: NDArray[np.float32]
    """[4, 2]: x and y in px of the image (pixel centres are whole numbers), clockwise from the top left,
    at the middle of the lines."""
    row_span: int = 1
    column_span: int = 1
    """More than 1 for a merged cell, whose `row` and `column` are its first."""


@dataclass(frozen=True)
class Grid:
    """Cells in rows and columns; a lone box is a grid of 1 x 1, a row of boxes one of 1 x n.

    Places without a cell (the corner of an irregular table) are left out of `cells`.
    """

    rows: int
    columns: int
    cells: tuple[Cell, ...]
    """Row by row, from left to right."""


def find_grids(image: NDArray[np.uint8]) -> list[Grid]:
    """Find all ruled grids, rows of boxes and lone boxes on light paper, in reading order.

    Lines may be thin, grey, mixed with thick ones, interrupted, or touched by characters; the page may be
    turned by up to 45 degrees, curved, unevenly lit, or photographed from aside.

    Args:
        image: grey uint8 [H, W].

    Returns:
        Grids without common cells. A frame around other grids is none.

    Raises:
        InvalidArrayError: `image` is not uint8 [H, W].
    """
    _check(image)
    if min(image.shape) <= 2 * MIN_SIDE_PX // 2 + 2:
        return []
    scale = min(1.0, (MAX_PIXELS / image.size) ** 0.5, MAX_SAMPLED_SIDE_PX / max(image.shape))
    small = image
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[::-1]]
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    if min(small.shape) <= MIN_SIDE_PX:
        return []
    dark = darkness(small)
    lattices = _lattices(dark)
    if scale < 1:
        ratio = np.array(image.shape[::-1], np.float32) / small.shape[::-1]
        for lattice in lattices:
            lattice.move(lambda corners: (corners + 0.5) * ratio - 0.5)  # type: ignore[arg-type, return-value]
        if max(image.shape) <= MAX_SAMPLED_SIDE_PX:
            dark = cv2.bitwise_not(image)  # type: ignore[assignment]
    if lattices and (scale == 1 or max(image.shape) <= MAX_SAMPLED_SIDE_PX):
        _refine(np.asarray(dark, np.uint8), lattices, 1 / scale)
    return _in_reading_order([_grid(lattice) for lattice in lattices])


def _check(image: NDArray[np.uint8]) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InvalidArrayError(
            f"the page is {found}, where uint8 [H, W] is needed",
            remedy="load it with kalamos.images.load_grey",
        )


def _lattices(dark: Grey) -> list[Lattice]:
    quads, is_outer = quads_of(dark)
    quads = upright_quads(quads)
    if not len(quads):
        return []
    least = side_lengths(quads).min(axis=1)
    light, lines = np.minimum(2, 0.2 * least), np.clip(0.3 * least, 4, 14)
    fit = fit_sides(
        dark, quads, np.where(is_outer, lines, light), np.where(is_outer, light, lines), is_outer=is_outer
    )
    good = (fit.coverage.mean(axis=1) >= MIN_COVERAGE) & (fit.coverage.min(axis=1) >= MIN_SIDE_COVERAGE)
    good &= are_parallel(fit.quads) & are_convex(fit.quads)
    fit = SideFit(*(part[good] for part in fit))
    kept = distinct(fit.quads, fit.coverage.mean(axis=1))
    fit = SideFit(*(part[kept] for part in fit))
    quads = fit.quads[~are_fragments(fit)]
    if not len(quads):
        return []
    lattices = [piece for one in join(quads, dark.shape) for piece in without_strays(one)]
    lattices = [piece for one in lattices for piece in without_odd(one)]
    lattices = complete(dark, sorted(lattices, key=lambda one: -len(one.cells)))
    pieces = [piece for lattice in lattices for piece in split_ragged(lattice)]
    lattices = merged_cells([fill_gaps(dark, piece) for piece in pieces])
    return _without_overlaps(dark, lattices)


def _without_overlaps(dark: Grey, lattices: list[Lattice]) -> list[Lattice]:
    """Leave out what a larger lattice covers already, frames around others, and holes of letters."""
    order = sorted(lattices, key=lambda lattice: -len(lattice.cells))
    lone = [lattice for lattice in order if len(lattice.cells) == 1]
    good = _are_lined(dark, order)
    kept: list[Lattice] = []
    owner = np.full((dark.shape[0] // 2 + 1, dark.shape[1] // 2 + 1), -1, np.int32)
    owners: list[NDArray[np.float32]] = []
    # Of lone boxes, the smaller ones come first, so that the frames around them are seen to be frames.
    lone.sort(key=lambda lattice: side_lengths(lattice.quads()).sum())
    for lattice in [lattice for lattice in order if len(lattice.cells) > 1] + lone:
        if not good[id(lattice)]:
            continue
        for place, corners in list(lattice.cells.items()):
            if _is_covered(corners, owner, owners, lone=len(lattice.cells) == 1):
                del lattice.cells[place]
        if not lattice.cells:
            continue
        for corners in lattice.cells.values():
            cv2.fillConvexPoly(owner, np.rint(corners / 2).astype(np.int32), len(owners))
            owners.append(corners)
        kept.append(lattice)
    return kept


_NINE: Final = np.array([(x, y) for y in (0.08, 0.5, 0.92) for x in (0.08, 0.5, 0.92)], np.float32)
"""Places within a cell, as shares of its sides."""


def _is_covered(
    corners: NDArray[np.float32], owner: NDArray[np.int32], owners: list[NDArray[np.float32]], *, lone: bool
) -> bool:
    top = corners[0] + _NINE[:, :1] * (corners[1] - corners[0])
    bottom = corners[3] + _NINE[:, :1] * (corners[2] - corners[3])
    x, y = np.rint((top + _NINE[:, 1:] * (bottom - top)) / 2).astype(int).T
    hits = owner[np.clip(y, 0, owner.shape[0] - 1), np.clip(x, 0, owner.shape[1] - 1)]
    if lone and owners:
        centres = np.stack([one.mean(axis=0) for one in owners])
        if _inside(corners, centres).any():
            return True
    if (hits < 0).sum() >= 7:
        return False
    if (hits == hits[0]).all():
        outer = owners[hits[0]]
        share = side_lengths(corners[None]).mean() / side_lengths(outer[None]).mean()
        return bool(share > MAX_NESTED_SHARE)
    return True


def _inside(corners: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.bool_]:
    along = np.roll(corners, -1, axis=0) - corners
    apart = points[:, None] - corners
    inside: NDArray[np.bool_] = (along[:, 0] * apart[..., 1] - along[:, 1] * apart[..., 0] > 0).all(axis=1)  # type: ignore[assignment]
    return inside


def _are_lined(dark: Grey, lattices: list[Lattice]) -> dict[int, bool]:
    """Return whether lattices have lines enough, by their ids; a single cell must be a box beyond doubt."""
    if not lattices:
        return {}
    quads = np.concatenate([lattice.quads() for lattice in lattices])
    least = side_lengths(quads).min(axis=1)
    reach = np.clip(LONE_REACH * least, 3, 8)
    fit = fit_sides(dark, quads, reach, reach)
    coverage, light = fit.coverage.mean(axis=1), fit.light.mean(axis=1)
    is_box = (coverage >= MIN_LONE_COVERAGE) & (fit.coverage.min(axis=1) >= MIN_LONE_SIDE_COVERAGE)
    is_box &= (
        (light >= MIN_LIGHT)
        & (least >= MIN_LONE_SIDE_PX)
        & (fit.width.max(axis=1) <= np.maximum(MAX_LINE_SHARE * least, 3))
    )
    x, y = np.rint(quads).astype(int).reshape(-1, 2).T
    grown = cv2.dilate(dark, np.ones((3, 3), np.uint8))
    corner = grown[np.clip(y, 0, dark.shape[0] - 1), np.clip(x, 0, dark.shape[1] - 1)].reshape(-1, 4)
    level = np.minimum(fit.level, np.roll(fit.level, 1, axis=1))
    is_box &= (corner >= MIN_CORNER_SHARE * level).all(axis=1)
    good, start = {}, 0
    for lattice in lattices:
        count = len(lattice.cells)
        needed = MIN_ROW_COVERAGE if count < TABLE_CELLS else MIN_TABLE_COVERAGE
        part = slice(start, start + count)
        enough = coverage[part].mean() >= needed and light[part].mean() >= MIN_LIGHT
        good[id(lattice)] = bool(is_box[start] if count == 1 else enough)
        start += count
    return good


def _refine(dark: Grey, lattices: list[Lattice], size: float) -> None:
    """Lay all cells onto their lines once more, with their widths; `size` is that of a pixel that was
    seen.
    """
    quads = np.concatenate([lattice.quads() for lattice in lattices])
    least = side_lengths(quads).min(axis=1)
    reach = np.minimum(np.maximum(3 * size, 0.1 * least), 0.25 * least)
    fit = fit_sides(dark, quads, reach, reach)
    moved = np.abs(fit.quads - quads).max(axis=(1, 2))
    better = (moved <= MAX_REFINED_SHARE * least + 1.5 * size) & (
        fit.coverage.min(axis=1) >= MIN_SIDE_COVERAGE
    )
    corners = iter(np.where(better[:, None, None], fit.quads, quads))
    for lattice in lattices:
        lattice.move(lambda _: next(corners))
        lattice.share_corners()


def _grid(lattice: Lattice) -> Grid:
    first_row, last_row, first_column, last_column = lattice.bounds()
    cells = tuple(
        Cell(row - first_row, column - first_column, corners, *lattice.spans.get((row, column), (1, 1)))
        for (row, column), corners in sorted(lattice.cells.items(), key=lambda item: item[0])
    )
    return Grid(last_row - first_row + 1, last_column - first_column + 1, cells)


def _in_reading_order(grids: list[Grid]) -> list[Grid]:
    """Sort grids from top to bottom, as the page is turned; those beside each other from left to right."""
    if len(grids) < 2:
        return grids
    all_corners = np.concatenate([np.stack([cell.corners for cell in grid.cells]) for grid in grids])
    x, y = (all_corners[:, 1] - all_corners[:, 0] + all_corners[:, 2] - all_corners[:, 3]).sum(axis=0)
    angle = float(np.arctan2(y, x))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    boxes = []
    for number, grid in enumerate(grids):
        points = np.concatenate([cell.corners for cell in grid.cells]) @ turn
        boxes.append((*points.min(axis=0), *points.max(axis=0), number))
    boxes.sort(key=lambda box: box[1])
    ordered = []
    while boxes:
        top, bottom = boxes[0][1], boxes[0][3]
        band = [box for box in boxes if (box[1] + box[3]) / 2 < bottom or box[1] < (top + bottom) / 2]
        band = [box for box in band if box is boxes[0] or box[1] < (top + bottom) / 2]
        boxes = [box for box in boxes if box not in band]
        ordered += [grids[box[4]] for box in sorted(band)]
    return ordered


def cut_cell(
    image: NDArray[np.uint8], cell: Cell, *, side: int | None = None, inset: float = 0.0
) -> NDArray[np.uint8]:
    """Cut a cell out, seen from straight above.

    Args:
        image: grey uint8 [H, W], where the cell was found.
        cell: its corners lie in the middle of its lines.
        side: of the square in px to which the cell is stretched; by default it keeps its own size.
        inset: what to leave out at each edge, as a share of the cell's side; 0 keeps (half of) the lines, 0.1
            is without most lines; negative values show some of the surroundings.

    Returns:
        uint8 [side, side], or of the cell's own mean width and height; pixels beyond the image repeat its
        edge.

    Raises:
        InvalidArrayError: `image` is not uint8 [H, W].
        ValueError: `inset` is not below 0.5, or `side` below 1.
    """
    _check(image)
    if not -1 <= inset < 0.5:
        raise ValueError(f"inset {inset} is not between -1 and 0.5")
    if side is not None and side < 1:
        raise ValueError(f"side {side} is not at least 1")
    lengths = side_lengths(cell.corners[None])[0] * (1 - 2 * inset)
    width = side or max(1, round(float(lengths[[0, 2]].mean())))
    height = side or max(1, round(float(lengths[[1, 3]].mean())))
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    # The transformation maps the cell's corners; the inset edges come to lie on the picture's.
    target = ((unit - inset) / (1 - 2 * inset) * (width, height) - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(np.ascontiguousarray(cell.corners, np.float32), target)
    shrinks = float(lengths.mean()) / ((width + height) / 2)
    method = cv2.INTER_AREA if shrinks > 1.5 else cv2.INTER_LINEAR
    cut = cv2.warpPerspective(image, matrix, (width, height), flags=method, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)
