"""Draft a template from an empty form: its frames become fields, numbered on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import FormError
from kalamos.forms.geometry import box_corners
from kalamos.forms.markers import MARKER_LONG_SIDES, find_markers
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, Marker, row_of_boxes
from kalamos.pages.rendering import glyph
from kalamos.pages.ruling import Cell, Grid, find_grids

__all__ = ["draft_template", "draw_numbers"]

Grey = NDArray[np.uint8]

MAX_SIDE_FRACTION: Final = 0.2
"""Of the page's longer side: larger cells are frames around other things."""

MIN_SIDE_PX: Final = 8

MIN_SIDE_FRACTION: Final = 0.3
"""Of the usual box's shorter side: smaller boxes are the eyes and arches of printed letters."""

SAME_ROW_FRACTION: Final = 0.35
"""Of a box's height: lone boxes whose tops and bottoms differ by less stand in one row."""

MAX_GAP_FACTOR: Final = 1.6
"""Times a box's width: lone boxes farther apart are fields of their own."""

SIMILAR_FRACTION: Final = 0.25
"""Of a box's side: boxes of one field differ by less."""

MAX_UNEVEN_FRACTION: Final = 0.08
"""Of a box's height: boxes that lie no farther from where equal ones would are made equal."""

MAX_LEAN_FRACTION, FEWEST_MARKERS = 0.08, 2
"""How far a marker's corners may be from where an upright one's are, in its side; and how many a page has."""

NUMBER_COLOUR: Final = (200, 40, 40)
"""RGB."""


def draft_template(name: str, pages: Sequence[Grey], images: Sequence[str]) -> FormTemplate:
    """Find the boxes of an empty form.

    Rows of boxes become fields of as many characters, the rows of a table one field each, and each lone box a
    field of one character. They are called "field 1", "field 2" and so on, in reading order, to be renamed.
    ArUco markers (4x4_50) become the page's, by which its scans are registered.

    Args:
        name: of the form.
        pages: grey uint8 [H, W] each.
        images: their file names, relative to the template's folder.

    Raises:
        FormError: there are no boxes on any of them.

    >>> page = np.full((300, 500), 255, np.uint8)
    >>> for place in range(4):
    ...     _ = cv2.rectangle(page, (60 + 50 * place, 100), (100 + 50 * place, 150), 0, 2)
    >>> form = draft_template("test", [page], ["test.png"])
    >>> [(field.name, len(field.boxes)) for field in form.fields]
    [('field 1', 4)]
    """
    fields: list[Field] = []
    sheets: list[FormPage] = []
    for number, (page, image) in enumerate(zip(pages, images, strict=True), 1):
        seen = find_markers(page, max(MARKER_LONG_SIDES))
        sheets.append(FormPage(page.shape[1], page.shape[0], image, _markers_of(seen)))
        rows = _rows(find_grids(page), max(page.shape), [*seen.values()])
        fields += [
            Field(f"field {len(fields) + place}", _evened(row), page=number)
            for place, row in enumerate(rows, 1)
        ]
    if not fields:
        raise FormError(
            "no boxes were found on the empty form",
            remedy="scan it straight, at 200 dpi; or write the fields down and use forms new --fields",
        )
    return FormTemplate(name, tuple(sheets), tuple(fields))


def _markers_of(seen: dict[int, NDArray[np.float64]]) -> tuple[Marker, ...]:
    """Return the markers of a form as its template has them; none if there is but one, or one that leans."""
    markers = []
    for number, corners in sorted(seen.items()):
        x, y = corners[0]
        size = float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).mean())
        [upright] = box_corners([Box(x, y, size, size)])
        if np.abs(corners - upright).max() <= MAX_LEAN_FRACTION * size:
            markers.append(Marker(number, round(float(x), 1), round(float(y), 1), round(size, 1)))
    return tuple(markers) if len(markers) == len(seen) >= FEWEST_MARKERS else ()


def _rows(grids: Sequence[Grid], longest: int, markers: Sequence[NDArray[np.float64]]) -> list[list[Box]]:
    """Boxes that belong together, in reading order; the squares of markers are none."""
    rows: list[list[Box]] = []
    for grid in grids:
        for row in range(min(cell.row for cell in grid.cells), max(cell.row for cell in grid.cells) + 1):
            boxes = [_box(cell) for cell in grid.cells if cell.row == row]
            boxes = [box for box in boxes if _is_box(box, longest) and not _is_inside(box, markers)]
            if boxes:
                rows.append(boxes)
    usual = np.median([min(box.width, box.height) for row in rows for box in row] or [0.0])
    rows = [row for row in rows if max(min(box[2:]) for box in row) >= MIN_SIDE_FRACTION * usual]
    merged: list[list[Box]] = []
    for boxes in rows:
        if merged and _belong_together(merged[-1][-1], boxes[0]):
            merged[-1] += boxes
        else:
            merged.append(boxes)
    return merged


def _evened(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """Make a row of nearly equal boxes equal, so that the template says it in one line."""
    if len(boxes) < 2:
        return tuple(boxes)
    sides = np.array(boxes, np.float64)
    x, y, width, height = sides.T
    step = (x[-1] - x[0]) / (len(boxes) - 1)
    typical = Box(x[0], float(np.median(y)), float(np.median(width)), float(np.median(height)))
    even = row_of_boxes(*(round(side, 1) for side in typical), count=len(boxes), step=round(step, 2))
    off = np.abs(np.array(even) - sides).max()
    return even if off <= MAX_UNEVEN_FRACTION * typical.height else tuple(boxes)


def _box(cell: Cell) -> Box:
    low, high = cell.corners.min(axis=0), cell.corners.max(axis=0)
    mean_low = (cell.corners[[0, 3], 0].mean(), cell.corners[[0, 1], 1].mean())
    mean_high = (cell.corners[[1, 2], 0].mean(), cell.corners[[2, 3], 1].mean())
    x, y = (max(float(a), float(b)) for a, b in zip(low, mean_low, strict=True))
    right, bottom = (min(float(a), float(b)) for a, b in zip(high, mean_high, strict=True))
    return Box(round(x, 1), round(y, 1), round(right - x, 1), round(bottom - y, 1))


def _is_box(box: Box, longest: int) -> bool:
    return (
        min(box.width, box.height) >= MIN_SIDE_PX
        and box.height <= MAX_SIDE_FRACTION * longest
        and box.width <= MAX_SIDE_FRACTION * longest
    )


def _is_inside(box: Box, markers: Sequence[NDArray[np.float64]]) -> bool:
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2])
    return any(((each.min(axis=0) < middle) & (middle < each.max(axis=0))).all() for each in markers)


def _belong_together(left: Box, right: Box) -> bool:
    """Return whether a box goes on a row of lone boxes."""
    same = SAME_ROW_FRACTION * left.height
    gap = right.x - (left.x + left.width)
    return (
        abs(left.y - right.y) <= same
        and abs(left.y + left.height - right.y - right.height) <= same
        and abs(left.width - right.width) <= SIMILAR_FRACTION * left.width
        and -0.1 * left.width <= gap <= MAX_GAP_FACTOR * left.width
    )


def draw_numbers(template: FormTemplate, page: int, image: Grey) -> NDArray[np.uint8]:
    """Draw the fields of a page with their names over its picture: uint8 RGB [H, W, 3]."""
    canvas: NDArray[np.uint8] = np.stack([image] * 3, axis=2).astype(np.uint8)
    thick = max(2, round(max(image.shape) / 1000))
    sheet = template.pages[page - 1]
    scale = image.shape[1] / sheet.width
    for field in template.fields:
        if field.page != page:
            continue
        for box in field.boxes:
            start = round(box.x * scale), round(box.y * scale)
            end = round((box.x + box.width) * scale), round((box.y + box.height) * scale)
            cv2.rectangle(canvas, start, end, NUMBER_COLOUR, thick)
        first = field.boxes[0]
        tile = glyph(field.name, max(12, round(0.4 * first.height * scale)), NUMBER_COLOUR)
        x = min(max(0, round(first.x * scale)), max(0, canvas.shape[1] - tile.shape[1]))
        y = max(0, round(first.y * scale) - tile.shape[0])
        place = canvas[y : y + tile.shape[0], x : x + tile.shape[1]]
        place[:] = tile[: place.shape[0], : place.shape[1]]
    return canvas
