"""Which page of which sheet a scan shows, and where its boxes lie on it.

```
markers ── the code's place, on either paper ── code ── page ── boxes by their own lines
```

The code says the page, or its number in the sheet whose file is given. Where no code can be read, that file
and the markers' numbers tell the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import UnregisteredError
from kalamos.forms.geometry import Grey, Matrix, box_corners, project, square_sides
from kalamos.forms.layout import PAPERS
from kalamos.forms.markers import MARKER_LONG_SIDES, find_markers, fit_marks, marks_of
from kalamos.forms.placing import refine_fields
from kalamos.forms.registration import Registrar
from kalamos.forms.template import Box
from kalamos.pages.ruling import find_grids
from kalamos.sheets.plan import (
    CODE_GAP_MM,
    CODE_PLACE_SIDE,
    MARKER_SETS,
    PageCode,
    SheetPage,
    SheetPlan,
    code_place,
    markers_of,
)

__all__ = ["FoundSheet", "find_sheet"]

CODE_PX: Final = (512, 320)
"""The sides of the upright pictures that the code is read from, in turn."""

MAX_BEND_SHARE: Final = 0.02
"""Of a box's side: where boxes are farther from where a flat page has them, each is looked for by itself."""

MAX_MOVE_SHARE: Final = 0.3
"""Of a box's side: how far its corners may then move."""

MAX_STRAY_SHARE: Final = 0.08
"""Of a box's side: a box that moves otherwise than its neighbours, by more than this, moves as they do."""

NEIGHBOUR_SIDES: Final = 1.0
"""How far neighbours count, in sides of a box: a standard deviation."""

WHOLE_LONG_SIDES: Final = (1600, 2600)
"""Px of a whole scan at which a code is looked for, where no markers say its place."""


class FoundSheet(NamedTuple):
    """A page of a sheet on a scan.

    Attributes:
        page: which one.
        copy: the copy's number; None where no code was read.
        corners: of its boxes in the order of `page.lines`, float32 [N, 4, 2], px, clockwise from the top left
            as the page is read.
        labels: of its boxes.
    """

    page: SheetPage
    copy: int | None
    corners: NDArray[np.float32]
    labels: tuple[str, ...]


def find_sheet(scan: Grey, plan: SheetPlan | None = None) -> FoundSheet:
    """Find the page that a scan shows, turned as it may be.

    Args:
        scan: uint8 [H, W].
        plan: the sheet, if its file was given.

    Raises:
        UnregisteredError: it shows no sheet, another one than `plan`, or one whose code cannot be read or has
            no room for its labels and `plan` is not given.
    """
    seen = _markers(scan)
    code = _read_code(scan, seen)
    page = _page_of(code, seen, plan)
    found = Registrar(page.template).register(scan)
    template = page.template
    corners = np.concatenate(refine_fields(scan, found, template.fields))
    if found.error > MAX_BEND_SHARE * np.median(square_sides(corners)):
        flat = project(found.homography, box_corners([box for line in page.lines for box in line.boxes]))
        corners = _on_cells(scan, corners, flat)
    labels = tuple(line.label for line in page.lines for _ in line.boxes)
    return FoundSheet(page, None if code is None else code.copy, corners, labels)


def _on_cells(scan: Grey, corners: NDArray[np.float32], flat: NDArray[np.float64]) -> NDArray[np.float32]:
    """Move boxes [N, 4, 2] onto the ruled cells that lie there, on a page that is bent more than smoothly.

    Args:
        scan: uint8 [H, W].
        corners: as they were found, most of them right.
        flat: where a flat page would have them; how far they are from there differs little among neighbours.
    """
    cells = [cell.corners for grid in find_grids(scan) for cell in grid.cells]
    if not cells:
        return corners
    apart = np.abs(np.stack(cells)[:, None] - corners).max(axis=(2, 3))
    side = float(np.median(square_sides(corners)))
    near = apart.min(axis=0) < MAX_MOVE_SHARE * side
    moves = np.stack(cells)[apart.argmin(axis=0)] - flat
    middles = corners.mean(axis=1)
    distances = np.linalg.norm(middles[:, None] - middles, axis=-1) / side
    weights = np.exp(-0.5 * (distances / NEIGHBOUR_SIDES) ** 2) * near
    np.fill_diagonal(weights, 0)
    told = np.einsum("nm,mij->nij", weights, moves) / np.maximum(weights.sum(axis=1), 1e-9)[:, None, None]
    right = near & (np.abs(moves - told).max(axis=(1, 2)) < MAX_STRAY_SHARE * side)
    return np.asarray(flat + np.where(right[:, None, None], moves, told), np.float32)


def _page_of(
    code: PageCode | None, seen: dict[int, NDArray[np.float64]], plan: SheetPlan | None
) -> SheetPage:
    if code is not None:
        if plan is not None and code.sheet == plan.id and code.page <= len(plan.pages):
            return plan.pages[code.page - 1]
        if plan is not None:
            name = f" {code.content.name!r}" if code.content else ""
            raise UnregisteredError(
                f"is a page of another sheet{name}, not of {plan.name!r}",
                remedy="cut it with its own file, or without one",
            )
        if code.content is None:
            raise UnregisteredError(
                f"its code (sheet {code.sheet}, page {code.page}) has no room for the labels",
                remedy="name the sheet's file: --sheet sheet.toml",
            )
        return code.content
    if not seen:
        raise UnregisteredError(
            "shows no sheet of kalamos: no markers and no code are seen",
            remedy="is it cut off or blurred? of a grid of your own, say the labels: --label or --labels",
        )
    if plan is None:
        raise UnregisteredError(
            "its code cannot be read", remedy="name the sheet's file (--sheet sheet.toml), or scan it again"
        )
    sets = [number // 4 for number in seen]
    likely = max(set(sets), key=sets.count)
    pages = [page for page in plan.pages if (page.number - 1) % MARKER_SETS == likely]
    if len(pages) != 1:
        raise UnregisteredError(
            f"its code cannot be read, and its markers tell {len(pages)} pages of {plan.name!r}",
            remedy="scan it again, at 200 dpi",
        )
    return pages[0]


def _markers(scan: Grey) -> dict[int, NDArray[np.float64]]:
    """Find markers at the first size that shows three of one page, else at the one that shows most."""
    best: dict[int, NDArray[np.float64]] = {}
    for long_side in MARKER_LONG_SIDES:
        seen = find_markers(scan, long_side)
        if _most_of_a_page(seen) > _most_of_a_page(best):
            best = seen
        if _most_of_a_page(best) >= 3 or max(scan.shape) < 2 * long_side:
            break
    return best


def _most_of_a_page(seen: dict[int, NDArray[np.float64]]) -> int:
    sets = [number // 4 for number in seen]
    return max(map(sets.count, sets), default=0)


def _read_code(scan: Grey, seen: dict[int, NDArray[np.float64]]) -> PageCode | None:
    for picture in _code_pictures(scan, seen):
        for detector in (cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco()):
            with suppress(cv2.error, UnicodeDecodeError):
                code = PageCode.from_text(str(detector.detectAndDecode(picture)[0]))
                if code is not None:
                    return code
    return None


def _code_pictures(scan: Grey, seen: dict[int, NDArray[np.float64]]) -> Iterator[Grey]:
    """Yield upright pictures of the code, and then the whole scan at sizes that show its modules."""
    places = list(_code_corners(scan, seen))
    for side in CODE_PX:
        target = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
        for corners in places:
            matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
            upright: Grey = cv2.warpPerspective(  # type: ignore[assignment]
                scan, matrix, (side, side), flags=cv2.INTER_CUBIC, borderValue=255
            )
            yield upright
            yield cv2.threshold(cv2.GaussianBlur(upright, (3, 3), 0), 0, 255, cv2.THRESH_OTSU)[1]  # type: ignore[misc]
    for long_side in WHOLE_LONG_SIDES:
        scale = min(1.0, long_side / max(scan.shape))
        size = [max(1, round(length * scale)) for length in scan.shape[::-1]]
        yield cv2.resize(scan, size, interpolation=cv2.INTER_AREA)  # type: ignore[misc]
        if scale == 1.0:
            return


def _code_corners(scan: Grey, seen: dict[int, NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
    """Yield where the code is by a page's markers, on either paper: float64 [4, 2], px."""
    sets = [number // 4 for number in seen]
    for likely in sorted(set(sets), key=lambda one: -sets.count(one)):
        for paper in PAPERS:
            placed = fit_marks(marks_of(markers_of(likely + 1, paper), seen), scan)
            if placed is None:
                continue
            matrix: Matrix = placed[0]
            x, y, *_ = code_place(paper)
            gap = 0.7 * CODE_GAP_MM
            side = CODE_PLACE_SIDE + 2 * gap
            yield project(matrix, box_corners([Box(x - gap, y - gap, side, side)]))[0]
