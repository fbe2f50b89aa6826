"""Join cells into lattices of rows and columns, and find the cells that a lattice foretells.

Cells are joined where one's right side runs along the next one's left side, and likewise downwards; so a
lattice follows a curved page or a photograph from aside, and its columns may differ in width. Where a cell is
missing (a stroke splits it, its line is broken or faint), its neighbours tell where its lines must be, and
faint lines there suffice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.pages.curves import regular_corners
from kalamos.pages.quads import fit_sides, side_lengths

__all__ = [
    "Lattice",
    "foretell",
    "foretell_second",
    "join",
    "known_corners",
    "line_level",
    "merged_cells",
    "split_ragged",
    "straighten",
    "without_odd",
    "without_strays",
]

Quads = NDArray[np.float32]
Place = tuple[int, int]
"""Row and column; negative while a lattice grows."""

PROBES: Final = (0.06, 0.1, 0.15, 0.22, 0.3, 0.4, 0.55, 0.7)
"""How far beyond its side a cell's neighbour is looked for, as a share of the cell's own depth."""

MAX_GAP: Final = 0.7
"""Between neighbours in a row of separate boxes, as a share of the narrower one's width."""

MAX_ROW_GAP: Final = 0.4
"""Between rows of separate boxes that are one grid, as a share of their height;"""

MAX_ROW_GAP_TO_GAP: Final = 1.6
"""or as a multiple of the gap between the boxes of a row."""

MAX_SKEW, MAX_SKEW_PX = 0.12, 2.0
"""How far neighbours' sides may be apart from each other's run: a share of the side's length, and px more."""

SHARED_PX: Final = 1.5
"""Sides at most so far apart (plus 4 % of the cell) are one line."""

MIN_DEPTH_RATIO: Final = 0.75
"""Separate boxes in a row are alike in width."""

MAX_COMPARED: Final = 12
"""Cells of one lattice that are compared with another's before these are joined."""

MAX_SHIFT, MIN_AGREEMENT = 0.35, 0.75
"""Cells of a row or column are in line if they are off by at most this share of their size; so many must
be."""

MAX_OFF, MAX_OFF_PX = 0.06, 1.5
"""How far a corner may be off the curves of its row and column: a share of the cell's side, and px more."""

MAX_ODD, MAX_ODD_PX, MIN_ALIKE = 0.08, 1.5, 0.5
"""Cells of a row are alike if their widths differ by at most this share, and px more; and odd where at
least so many others are alike."""

MAX_STRAY: Final = 0.22
"""A corner that lies farther from where its neighbours foretell it (as a share of the cell's side) is
wrong."""

MIN_OUTER_COVERAGE, MIN_OUTER_SIDE = 0.75, 0.5
"""and one beyond the others, which begins a row or a column."""

MIN_LINE_SHARE: Final = 0.35
"""A foretold line must be at least so dark, as a share of the lattice's lines."""

MAX_SHARED_CORNER_PX: Final = 3.0
"""Corners of neighbours that are no farther apart are one crossing of lines."""

MIN_EDGE_FILL: Final = 0.5
"""The first and last row and column of a grid have cells at so many of their places; else they are none
of it."""

MIN_FULL_FILL, MIN_FULL_CELLS = 0.9, 9
"""A grid with cells at so many of its places, and so many cells, is a full one: what is in pieces along its
edge is none of it."""

MIN_BOXES_FILL: Final = 0.9
"""Separate boxes are a grid where so many of its places are taken, else rows."""


class Lattice:
    """Cells at rows and columns.

    Attributes:
        cells: corners float32 [4, 2] in px by row and column.
        spans: rows and columns of merged cells, by their first row and column.
    """

    def __init__(self, cells: dict[Place, Quads]) -> None:
        self.cells = cells
        self.spans: dict[Place, tuple[int, int]] = {}

    def quads(self) -> Quads:
        """Return the corners of all cells, float32 [N, 4, 2], in their order."""
        return np.stack(list(self.cells.values()))

    def move(self, how: Callable[[Quads], Quads]) -> None:
        """Replace the corners of each cell, in their order."""
        self.cells = {place: np.asarray(how(corners), np.float32) for place, corners in self.cells.items()}

    def bounds(self) -> tuple[int, int, int, int]:
        """Return the first and last row, the first and last column."""
        rows = [row for row, _ in self.cells]
        columns = [column for _, column in self.cells]
        last_row = max(row + self.spans.get((row, column), (1, 1))[0] - 1 for row, column in self.cells)
        last_column = max(column + self.spans.get((row, column), (1, 1))[1] - 1 for row, column in self.cells)
        return min(rows), last_row, min(columns), last_column

    def share_corners(self) -> None:
        """Let corners of neighbours that lie within px of each other be one."""
        shared: dict[Place, list[tuple[Place, int]]] = {}
        for row, column in self.cells:
            down, right = self.spans.get((row, column), (1, 1))
            for number, (y, x) in enumerate(((0, 0), (0, right), (down, right), (down, 0))):
                shared.setdefault((row + y, column + x), []).append(((row, column), number))
        for owners in shared.values():
            points = np.stack([self.cells[place][number] for place, number in owners])
            if len(points) > 1 and float(np.ptp(points, axis=0).max()) <= MAX_SHARED_CORNER_PX:
                for place, number in owners:
                    self.cells[place][number] = points.mean(axis=0)


def join(quads: Quads, shape: tuple[int, ...]) -> list[Lattice]:
    """Join neighbours among quadrilaterals float32 [N, 4, 2] to lattices, largest first.

    Args:
        shape: of the image, height and width in px.
    """
    links = _links(quads, shape)
    middles = quads.mean(axis=1)
    right = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    down = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
    axes = np.stack([right, down], axis=1)
    lattices: list[dict[Place, int]] = [{(0, 0): index} for index in range(len(quads))]
    member = list(range(len(quads)))
    place: list[Place] = [(0, 0)] * len(quads)
    for _, a, side, b in links:
        first, second = member[a], member[b]
        step = (0, 1) if side == 1 else (1, 0)
        wanted = (place[a][0] + step[0], place[a][1] + step[1])
        if first == second:
            continue
        shift = (wanted[0] - place[b][0], wanted[1] - place[b][1])
        if len(lattices[first]) < len(lattices[second]):
            first, second, shift = second, first, (-shift[0], -shift[1])
        moved = {
            (row + shift[0], column + shift[1]): index for (row, column), index in lattices[second].items()
        }
        if moved.keys() & lattices[first].keys() or not _agree(lattices[first], moved, middles, axes):  # type: ignore[arg-type]
            continue
        lattices[first].update(moved)
        lattices[second] = {}
        for where, index in moved.items():
            member[index], place[index] = first, where
    ordered = sorted(filter(None, lattices), key=len, reverse=True)
    return [Lattice({place: quads[index] for place, index in one.items()}) for one in ordered]


def _agree(
    cells: dict[Place, int], moved: dict[Place, int], middles: Quads, axes: NDArray[np.float32]
) -> bool:
    """Return whether cells of two lattices that would share a row or a column are in line, mostly."""
    rows: dict[int, list[tuple[int, int]]] = {}
    columns: dict[int, list[tuple[int, int]]] = {}
    for (row, column), index in cells.items():
        rows.setdefault(row, []).append((column, index))
        columns.setdefault(column, []).append((row, index))
    pairs = []
    for (row, column), index in list(moved.items())[:MAX_COMPARED]:
        for lines, line, at, axis in ((rows, row, column, 1), (columns, column, row, 0)):
            if line in lines:
                other = min(lines[line], key=lambda one: abs(one[0] - at))[1]
                pairs.append((index, other, axis))
    if not pairs:
        return True
    a, b, axis = np.array(pairs).T
    apart = middles[b] - middles[a]
    basis = axes[a] + axes[b]
    # Solve apart = x * right + y * down; what counts is the part across the line that they share.
    determinant = basis[:, 0, 0] * basis[:, 1, 1] - basis[:, 0, 1] * basis[:, 1, 0]
    x = (apart[:, 0] * basis[:, 1, 1] - apart[:, 1] * basis[:, 1, 0]) / np.where(
        determinant == 0, 1, determinant
    )
    y = (apart[:, 1] * basis[:, 0, 0] - apart[:, 0] * basis[:, 0, 1]) / np.where(
        determinant == 0, 1, determinant
    )
    off = 2 * np.abs(np.where(axis == 0, x, y))
    return bool((off <= MAX_SHIFT).mean() >= MIN_AGREEMENT)


def _links(quads: Quads, shape: tuple[int, ...]) -> list[tuple[float, int, int, int]]:
    """Return (misfit, a, side, b) of neighbours, best first: b is right of a (side 1) or below (2)."""
    if len(quads) < 2:
        return []
    lengths = side_lengths(quads)
    ends = np.roll(quads, -1, axis=1)
    middles, centres = (quads + ends) / 2, quads.mean(axis=1)
    ids = _id_map(quads, lengths, shape)
    depth = (np.roll(lengths, 1, axis=1) + np.roll(lengths, -1, axis=1)) / 2  # across each side
    axis = 2 * (middles - centres[:, None])
    best: dict[tuple[int, int], tuple[float, int, bool]] = {}
    for probe in reversed(PROBES):
        reach = probe + 1.5 / np.maximum(depth, 1)
        points = np.rint((middles + reach[..., None] * axis) / 2).astype(int)
        inside = (points >= 0).all(axis=2) & (points[..., 0] < ids.shape[1]) & (points[..., 1] < ids.shape[0])
        points = np.where(inside[..., None], points, 0)
        hits = np.where(inside, ids[points[..., 1], points[..., 0]], -1)
        a, side = np.nonzero((hits >= 0) & (hits != np.arange(len(quads))[:, None]))
        b, facing = hits[a, side], (side + 2) % 4
        # A neighbour's facing side runs the other way.
        apart_start, apart_end = ends[b, facing] - quads[a, side], quads[b, facing] - ends[a, side]
        along = (ends[a, side] - quads[a, side]) / np.maximum(lengths[a, side], 1e-3)[:, None]
        out = np.stack([along[:, 1], -along[:, 0]], axis=1)
        gaps = np.stack([(apart_start * out).sum(axis=1), (apart_end * out).sum(axis=1)])
        slips = np.abs(np.stack([(apart_start * along).sum(axis=1), (apart_end * along).sum(axis=1)])).max(
            axis=0
        )
        allowed = MAX_SKEW * np.minimum(lengths[a, side], lengths[b, facing]) + MAX_SKEW_PX
        skews = np.abs(gaps[0] - gaps[1])
        gap, least = gaps.mean(axis=0), np.minimum(depth[a, side], depth[b, facing])
        ratio = least / np.maximum(depth[a, side], depth[b, facing])
        is_shared = gap <= SHARED_PX + 0.04 * least
        fits = (slips <= allowed) & (skews <= allowed) & (gap >= -0.1 * least - 2) & (gap <= MAX_GAP * least)
        fits &= is_shared | (ratio >= MIN_DEPTH_RATIO)
        misfit = (slips + skews) / allowed + 2 * (1 - ratio) + np.maximum(gap, 0) / least
        for n in np.flatnonzero(fits):
            best[int(a[n]), int(side[n])] = float(misfit[n]), int(b[n]), bool(is_shared[n])
    in_row, in_column = _sharing(best, (1, 3)), _sharing(best, (0, 2))
    best = {
        (a, side): (misfit, b, is_shared)
        for (a, side), (misfit, b, is_shared) in best.items()
        if is_shared or not ({a, b} & in_row or (side in (0, 2) and {a, b} & in_column))
    }
    gap_of = _row_gaps(best, quads)
    links = []
    for (here, edge), (cost, there, shares) in best.items():
        if edge not in (1, 2) or best.get((there, (edge + 2) % 4), (0, -1))[1] != here:
            continue
        if edge == 2 and not shares:
            gap = float(
                np.abs((middles[there, 0] - middles[here, 2]) @ axis[here, 2])
                / max(np.linalg.norm(axis[here, 2]), 1e-3)
            )
            row_gap = max(gap_of.get(here, 0.0), gap_of.get(there, 0.0))
            alone = here not in gap_of and there not in gap_of
            if not alone and gap > max(
                MAX_ROW_GAP * depth[here, 2] * (row_gap > 0), MAX_ROW_GAP_TO_GAP * row_gap
            ):
                continue
        links.append((cost, here, edge, there))
    return sorted(links)


def _sharing(best: dict[tuple[int, int], tuple[float, int, bool]], sides: tuple[int, int]) -> set[int]:
    return {
        a
        for (a, side), (_, b, is_shared) in best.items()
        if is_shared and side in sides and best.get((b, (side + 2) % 4), (0, -1))[1] == a
    }


def _row_gaps(best: dict[tuple[int, int], tuple[float, int, bool]], quads: Quads) -> dict[int, float]:
    """Return the gap in px to a neighbour in the row, for those that have one; 0 for a shared line."""
    gaps: dict[int, float] = {}
    for (a, side), (_, b, is_shared) in best.items():
        if side == 1 and best.get((b, 3), (0, -1))[1] == a:
            gap = (
                0.0
                if is_shared
                else float(np.linalg.norm((quads[b, 0] + quads[b, 3] - quads[a, 1] - quads[a, 2]) / 2))
            )
            for one in (a, b):
                gaps[one] = max(gap, gaps.get(one, 0.0))
    return gaps


def _id_map(quads: Quads, lengths: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Draw the index of each quadrilateral, smaller ones over larger ones, at half the size; -1 elsewhere."""
    ids = np.full((shape[0] // 2 + 1, shape[1] // 2 + 1), -1, np.int32)
    for index in np.argsort(-lengths.sum(axis=1), kind="stable"):
        cv2.fillConvexPoly(ids, np.rint(quads[index] / 2).astype(np.int32), int(index))
    return ids


def without_strays(lattice: Lattice) -> list[Lattice]:
    """Set apart the cells that lie elsewhere than their row and column foretell, the worst first."""
    cells = lattice.cells
    strays = []
    misses = {place: _miss(cells, place) for place in cells}
    while len(cells) > 1:
        worst = max(misses, key=lambda place: misses[place])
        if misses[worst] <= 1:
            break
        strays.append(Lattice({(0, 0): cells.pop(worst)}))
        del misses[worst]
        for place in misses:
            if max(abs(place[0] - worst[0]), abs(place[1] - worst[1])) <= max(NEAREST):
                misses[place] = _miss(cells, place)
    return [lattice, *strays]


def _miss(cells: dict[Place, Quads], place: Place) -> float:
    """Return how far a cell is from where it is foretold, in units of what is allowed."""
    foretold = _parallelograms(cells, place)
    if len(foretold) < 2:
        return 0.0
    allowed = MAX_STRAY * side_lengths(cells[place][None]).min() + MAX_SKEW_PX
    return float(np.abs(np.median(foretold, axis=0) - cells[place]).max() / allowed)


def without_odd(lattice: Lattice) -> list[Lattice]:
    """Set apart the cells of a single row or column of another size than most: parts of split cells."""
    rows, columns = (len(set(part)) for part in zip(*lattice.cells, strict=True))
    if min(rows, columns) > 1 or max(rows, columns) < 3:
        return [lattice]
    lengths = side_lengths(lattice.quads())
    sizes = lengths[:, [0, 2]].mean(axis=1) if rows == 1 else lengths[:, [1, 3]].mean(axis=1)
    alike = np.abs(sizes[:, None] - sizes) <= MAX_ODD * sizes + MAX_ODD_PX
    typical = alike[alike.sum(axis=1).argmax()]
    if typical.all() or typical.sum() < max(2, MIN_ALIKE * len(sizes)):
        return [lattice]
    pieces: list[Lattice] = []
    before: Place | None = None
    for is_typical, (place, corners) in sorted(
        zip(typical, lattice.cells.items(), strict=True), key=lambda one: one[1][0]
    ):
        if is_typical and before is not None:
            pieces[-1].cells[place] = corners
        else:
            pieces.append(Lattice({place: corners}))
        before = place if is_typical else None
    return pieces


NEAREST: Final = (-1, 1, -2, 2)
"""Rows and columns from which a cell's place is foretold."""


def _parallelograms(cells: dict[Place, Quads], place: Place) -> list[Quads]:
    row, column = place
    found = []
    for down in NEAREST:
        for right in NEAREST:
            beside, above = cells.get((row, column + right)), cells.get((row + down, column))
            across = cells.get((row + down, column + right))
            if beside is not None and above is not None and across is not None:
                found.append(beside + above - across)
                if len(found) == 4:
                    return found
    return found


def known_corners(lattice: Lattice) -> tuple[NDArray[np.float64], Place]:
    """Return the corners of all places, [R, C, 4, 2], NaN without a cell, and the first row and column."""
    first_row, last_row, first_column, last_column = lattice.bounds()
    known = np.full((last_row - first_row + 1, last_column - first_column + 1, 4, 2), np.nan)
    for (row, column), corners in lattice.cells.items():
        known[row - first_row, column - first_column] = corners
    return known, (first_row, first_column)


def straighten(dark: NDArray[np.uint8], lattice: Lattice) -> None:
    """Lay cells that are off the curves of their row or column (a stroke was taken for a line) onto these."""
    known, (first_row, first_column) = known_corners(lattice)
    regular = regular_corners(known)
    places = list(lattice.cells)
    index = tuple(np.array(places).T - np.array([[first_row], [first_column]]))
    own, right = known[index], regular[index].astype(np.float32)
    allowed = MAX_OFF * side_lengths(right).min(axis=1) + MAX_OFF_PX
    off = np.abs(own - right).max(axis=(1, 2)) > allowed
    if not off.any():
        return
    fit = fit_sides(
        dark, right[off], allowed[off], allowed[off], level=MIN_LINE_SHARE * line_level(dark, lattice)
    )
    near = (np.abs(fit.quads - right[off]).max(axis=(1, 2)) <= allowed[off]) & (
        fit.coverage.min(axis=1) > MIN_OUTER_SIDE
    )
    corners = np.where(near[:, None, None], fit.quads, right[off])
    for number, wrong in enumerate(np.flatnonzero(off)):
        lattice.cells[places[wrong]] = corners[number]


def foretell(cells: dict[Place, Quads], place: Place) -> Quads | None:
    found = _parallelograms(cells, place)
    row, column = place
    if not found:
        for down, right in ((0, 1), (1, 0)):
            for sign in (1, -1):
                near = cells.get((row + sign * down, column + sign * right))
                far = cells.get((row + 2 * sign * down, column + 2 * sign * right))
                other = cells.get((row - sign * down, column - sign * right))
                if near is not None and other is not None:
                    return np.asarray((near + other) / 2, np.float32)
                if near is not None and far is not None:
                    found.append(2 * near - far)
    return np.asarray(np.median(found, axis=0), np.float32) if found else None


def foretell_second(cells: dict[Place, Quads], place: Place) -> Quads | None:
    """Return where a cell would be that is two steps from known ones."""
    row, column = place
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        near, far = (
            cells.get((row + 2 * down, column + 2 * right)),
            cells.get((row + 3 * down, column + 3 * right)),
        )
        if near is not None and far is not None:
            return np.asarray(3 * near - 2 * far, np.float32)
    return None


def line_level(dark: NDArray[np.uint8], lattice: Lattice) -> float:
    quads = np.stack(list(lattice.cells.values())[:40])
    reach = np.full(len(quads), 2, np.float32)
    return float(np.percentile(fit_sides(dark, quads, reach, reach).level, 25))


def split_ragged(lattice: Lattice) -> list[Lattice]:
    """Split off mostly empty first and last rows and columns; split ragged separate boxes into rows."""
    pieces = [lattice]
    cells = lattice.cells
    while len(cells) > 3:
        first_row, last_row, first_column, last_column = lattice.bounds()
        rows, columns = last_row - first_row + 1, last_column - first_column + 1
        for axis, at, places in (
            (0, first_row, columns),
            (0, last_row, columns),
            (1, first_column, rows),
            (1, last_column, rows),
        ):
            edge = sorted(place for place in cells if place[axis] == at)
            inner = len(cells) - len(edge)
            is_full = inner >= max(MIN_FULL_CELLS, MIN_FULL_FILL * (rows * columns - places))
            in_pieces = len(edge) <= edge[-1][1 - axis] - edge[0][1 - axis]
            if inner and (len(edge) < MIN_EDGE_FILL * places or (is_full and in_pieces)):
                pieces.append(Lattice({place: cells.pop(place) for place in edge}))
                break
        else:
            break
    return [run for piece in pieces for run in _runs(piece)]


def _runs(lattice: Lattice) -> list[Lattice]:
    first_row, last_row, first_column, last_column = lattice.bounds()
    places = (last_row - first_row + 1) * (last_column - first_column + 1)
    cells = lattice.cells
    is_full = len(cells) >= MIN_BOXES_FILL * places
    if is_full or (first_row < last_row and first_column < last_column and not _is_separate(lattice)):
        return [lattice]
    runs: list[Lattice] = []
    for row, column in sorted(cells):
        before = (row, column - 1) if first_row < last_row or first_column < last_column else None
        if runs and before in runs[-1].cells:
            runs[-1].cells[row, column] = cells[row, column]
        else:
            runs.append(Lattice({(row, column): cells[row, column]}))
    return runs


def _is_separate(lattice: Lattice) -> bool:
    """Return whether the cells are boxes with gaps, rather than a table."""
    gaps = [
        float(np.abs(cells[row, column + 1][0] - corners[1]).max()) > MAX_SHARED_CORNER_PX
        for cells in (lattice.cells,)
        for (row, column), corners in cells.items()
        if (row, column + 1) in cells
    ]
    return 2 * sum(gaps) > len(gaps)


def merged_cells(lattices: list[Lattice]) -> list[Lattice]:
    """Put lone cells that cover several empty places of a table into it."""
    lone = [lattice for lattice in lattices if len(lattice.cells) == 1]
    tables = [lattice for lattice in lattices if len(lattice.cells) > 3]
    taken: set[int] = set()
    for table in tables:
        first_row, last_row, first_column, last_column = table.bounds()
        empty = {
            (row, column)
            for row in range(first_row, last_row + 1)
            for column in range(first_column, last_column + 1)
        } - table.cells.keys()
        foretold = {
            place: corners for place in empty if (corners := foretell(table.cells, place)) is not None
        }
        for one in lone:
            if id(one) in taken or not foretold:
                continue
            (corners,) = one.cells.values()
            place, span = _merged(foretold, corners)
            covered = {(place[0] + y, place[1] + x) for y in range(span[0]) for x in range(span[1])}
            if len(covered) > 1 and covered <= foretold.keys():
                table.cells[place], table.spans[place] = corners, span
                taken.add(id(one))
                for where in covered:
                    del foretold[where]
    return [lattice for lattice in lattices if id(lattice) not in taken]


def _merged(foretold: dict[Place, Quads], corners: Quads) -> tuple[Place, tuple[int, int]]:
    """Return the first place that a merged cell covers, its rows and columns; 0 rows if it fits nowhere."""

    def nearest(number: int) -> Place | None:
        place = min(foretold, key=lambda one: float(np.abs(foretold[one][number] - corners[number]).max()))
        reach = MAX_STRAY * float(side_lengths(foretold[place][None]).min()) + MAX_SKEW_PX
        return place if float(np.abs(foretold[place][number] - corners[number]).max()) <= reach else None

    first, last = nearest(0), nearest(2)
    if first is None or last is None:
        return (0, 0), (0, 0)
    return first, (last[0] - first[0] + 1, last[1] - first[1] + 1)
