"""Grids that somebody else designed: their boxes on a scan, in rows and columns, and what is in each."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import FormError, UnregisteredError
from kalamos.forms.geometry import Grey, square_sides
from kalamos.pages.ruling import find_grids

__all__ = ["FoundGrid", "Layout", "find_boxes", "read_layout"]

MAX_FILE_BYTES: Final = 4 << 20

ALIKE_RATIO: Final = 0.25
"""Boxes are of one kind whose sides differ by at most so much (logarithm)."""

MIN_KIND_SHARE: Final = 0.5
"""Of all cells, that the boxes of one kind must be, or there is no telling which boxes are meant."""

SAME_LINE_FRACTION: Final = 0.5
"""Of a box's side: boxes whose middles differ by less are in one row, or in one column."""

Layout = tuple[tuple[str, ...], ...]
"""Labels by rows and columns; "" for boxes that are not cut."""


class FoundGrid(NamedTuple):
    """Boxes of one kind on a scan.

    Attributes:
        corners: float32 [N, 4, 2], px, clockwise from the top left.
        labels: of these boxes; "" for those that are not cut.
        places: row and column of each, from 0, int64 [N, 2].
        others: how many frames of other sizes are on the scan.
    """

    corners: NDArray[np.float32]
    labels: tuple[str, ...]
    places: NDArray[np.int64]
    others: int


def read_layout(path: str | os.PathLike[str]) -> Layout:
    """Read which label is in which box: a CSV file with a line for each row of boxes, without a header.

    A single line holds for all rows, a single column for all boxes of a row; an empty place is not cut.

    Raises:
        FormError: the file cannot be read, or has lines of different lengths, or no label.
    """
    where = Path(path)
    try:
        with where.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormError(f"{where}: cannot be read as a table in UTF-8 ({error})") from error
    layout = tuple(tuple(unicodedata.normalize("NFC", cell.strip()) for cell in row) for row in rows)
    if not any(map(any, layout)):
        raise FormError(f"{where}: has no label", remedy="write a line for each row of boxes")
    if len({len(row) for row in layout}) > 1:
        raise FormError(
            f"{where}: its lines have different numbers of labels",
            remedy="leave the place of a box empty: a,,b",
        )
    return layout


def find_boxes(scan: Grey, layout: Layout) -> FoundGrid:
    """Find the boxes of a grid and say what is in each.

    Args:
        scan: uint8 [H, W].
        layout: as `read_layout` returns it; one row of one column is the label of all boxes.

    Raises:
        UnregisteredError: there are no boxes, or not as many rows and columns as the layout has.

    >>> import cv2
    >>> scan = np.full((200, 300), 230, np.uint8)
    >>> for x in (20, 110, 200):
    ...     for y in (20, 110):
    ...         _ = cv2.rectangle(scan, (x, y), (x + 70, y + 70), 120, 1)
    >>> find_boxes(scan, (("a",), ("b",))).labels
    ('a', 'a', 'a', 'b', 'b', 'b')
    """
    cells = [cell.corners for grid in find_grids(scan) for cell in grid.cells]
    if not cells:
        raise UnregisteredError(
            "no boxes are seen", remedy="is it cut off, blurred, or turned by more than 45 degrees?"
        )
    corners = np.stack(cells).astype(np.float32)
    sizes = np.log(np.stack([_widths(corners), _heights(corners)], axis=1))
    alike = (np.abs(sizes[:, None] - sizes).max(axis=2) <= ALIKE_RATIO).sum(axis=1)
    typical = np.abs(sizes - sizes[alike.argmax()]).max(axis=1) <= ALIKE_RATIO
    if typical.mean() < MIN_KIND_SHARE:
        raise UnregisteredError(
            f"{len(cells)} frames of many sizes are seen", remedy="scan the grid alone, without other tables"
        )
    corners, others = corners[typical], int((~typical).sum())
    places = _places(corners)
    order = np.lexsort((places[:, 1], places[:, 0]))
    corners, places = corners[order], places[order]
    return FoundGrid(corners, _labels(places, layout), places, others)


def _widths(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    top, bottom = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 3]
    return np.asarray(np.linalg.norm(top + bottom, axis=1) / 2, np.float32)


def _heights(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    left, right = corners[:, 3] - corners[:, 0], corners[:, 2] - corners[:, 1]
    return np.asarray(np.linalg.norm(left + right, axis=1) / 2, np.float32)


def _labels(places: NDArray[np.int64], layout: Layout) -> tuple[str, ...]:
    rows, columns = (places.max(axis=0) + 1).tolist()
    if (len(layout), len(layout[0])) not in {(1, 1), (rows, 1), (1, columns), (rows, columns)}:
        raise UnregisteredError(
            f"{rows} rows and {columns} columns of boxes are seen, and the layout has "
            f"{len(layout)} and {len(layout[0])}",
            remedy="is a row cut off, or the page turned? --turn turns it",
        )
    return tuple(layout[row % len(layout)][column % len(layout[0])] for row, column in places.tolist())


def _places(corners: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the row and column of each box, int64 [N, 2], of a page seen from anywhere.

    Rows and columns are chains of neighbours, so that they may be curved, and spaced as they like.
    """
    side = square_sides(corners)
    middles = corners.mean(axis=1)
    across = (corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3]) / 2
    down = (corners[:, 3] - corners[:, 0] + corners[:, 2] - corners[:, 1]) / 2
    rows = _chains(middles, across, down, side)
    columns = _chains(middles, down, across, side)
    return np.stack([rows, columns], axis=1)


def _chains(
    middles: NDArray[np.floating],
    along: NDArray[np.floating],
    across: NDArray[np.floating],
    side: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Number the lines of boxes along one direction, in order across it, int64 [N]."""
    count = len(middles)
    apart = middles[None] - middles[:, None]
    unit_along = along / np.linalg.norm(along, axis=1, keepdims=True)
    unit_across = across / np.linalg.norm(across, axis=1, keepdims=True)
    ahead = np.einsum("nmi,ni->nm", apart, unit_along) / side[:, None]
    off = np.einsum("nmi,ni->nm", apart, unit_across) / side[:, None]
    line = np.arange(count)
    # The next box ahead in its own line, if there is one near enough to tell.
    reach = np.where(
        (ahead > 0.5) & (np.abs(off) < SAME_LINE_FRACTION * np.clip(ahead / 2, 0.6, 1.2)), ahead, np.inf
    )
    following = reach.argmin(axis=1)
    for box in np.argsort(middles @ unit_along.mean(axis=0), kind="stable").tolist():
        if np.isfinite(reach[box, following[box]]):
            old, new = int(line[following[box]]), int(line[box])
            line[line == old] = new
    names = np.unique(line)
    heights = _heights_of_lines(names, line, off)
    order = np.argsort(heights, kind="stable")
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return rank[np.searchsorted(names, line)]


def _heights_of_lines(
    names: NDArray[np.int64], line: NDArray[np.int64], off: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how many boxes lie before each line: lines may slope, but not cross."""
    before = np.array([[np.median(off[line == one][:, line == other]) for other in names] for one in names])
    return np.asarray((before < 0).sum(axis=1), np.float64)
