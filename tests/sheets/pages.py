"""A sheet that is printed and filled with plain strokes, and grids that somebody else designed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.sheets import SheetPlan, print_plan

DPI = 150
MM = DPI / 25.4

Grey = NDArray[np.uint8]
Strokes = Sequence[Sequence[tuple[float, float]]]
"""In shares of a box's sides."""

STROKES: Mapping[str, Strokes] = {
    "α": [[(0.75, 0.25), (0.4, 0.75), (0.25, 0.5), (0.4, 0.25), (0.75, 0.75)]],
    "E:I": [[(0.7, 0.25), (0.3, 0.25), (0.3, 0.75), (0.7, 0.75)], [(0.3, 0.5), (0.6, 0.5)]],
    "A": [[(0.3, 0.75), (0.5, 0.2), (0.7, 0.75)], [(0.38, 0.55), (0.62, 0.55)]],
    "a": [[(0.65, 0.4), (0.45, 0.35), (0.35, 0.55), (0.5, 0.7), (0.65, 0.55), (0.66, 0.75)]],
}

PLAN = SheetPlan("mixed", tuple(STROKES), count=5)

BLANK: Strokes = ()
SPECK: Strokes = [[(0.5, 0.5), (0.52, 0.52)]]
SCRIBBLE: Strokes = [[(0.15 + 0.06 * step, 0.2 + 0.6 * (step % 2)) for step in range(13)]]
TWO: Strokes = [[(0.25, 0.25), (0.25, 0.75)], [(0.6, 0.25), (0.75, 0.25), (0.6, 0.75)]]


def write(page: Grey, box: tuple[float, ...], strokes: Strokes, *, level: int = 60) -> None:
    """Write strokes into a box of (x, y, width, height) px, in place."""
    for stroke in strokes:
        points = np.array(stroke) * box[2:] + np.array(box[:2])
        cv2.polylines(page, [np.rint(points * 16).astype(np.int32)], False, level, 3, cv2.LINE_AA, 4)


@cache
def _printed(plan: SheetPlan, copy: int) -> tuple[Grey, ...]:
    import pypdfium2

    with tempfile.TemporaryDirectory() as folder:
        print_plan(plan, f"{folder}/sheet.pdf", first=copy)
        with pypdfium2.PdfDocument(f"{folder}/sheet.pdf") as document:
            return tuple(
                np.array(page.render(scale=DPI / 72).to_pil().convert("L"), np.uint8) for page in document
            )


def printed(plan: SheetPlan = PLAN, *, copy: int = 1, number: int = 1) -> Grey:
    """Return a page of a sheet as a scanner at 150 dpi has it."""
    return _printed(plan, copy)[number - 1].copy()


def filled(
    plan: SheetPlan = PLAN,
    *,
    copy: int = 1,
    number: int = 1,
    others: Mapping[tuple[str, int], Strokes] | None = None,
) -> Grey:
    """Return a filled page; `others` says, by label and place in the line, what else is in a box."""
    page = printed(plan, copy=copy, number=number)
    for line in plan.pages[number - 1].lines:
        for place, box in enumerate(line.boxes):
            strokes = (others or {}).get((line.label, place), STROKES.get(line.label, STROKES["A"]))
            write(page, tuple(side * MM for side in box), strokes)
    return page


def grid(rows: int, columns: int, *, strokes: Strokes = STROKES["α"], level: int = 170) -> Grey:
    """Return a page of thin grey boxes, 60 px wide and unevenly spaced, filled with one character."""
    page = np.full((120 + 84 * rows, 140 + 84 * columns), 235, np.uint8)
    for row in range(rows):
        for column in range(columns):
            x, y = 60 + 80 * column + 3 * (column % 3), 60 + 80 * row + 2 * (row % 2)
            cv2.rectangle(page, (x, y), (x + 60, y + 60), level, 1)
            write(page, (x, y, 60, 60), strokes, level=80)
    return page


def save(path: Path, image: Grey) -> Path:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path
