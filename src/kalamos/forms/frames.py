"""Which box of a template is which frame on a scan: a form is found by the pattern of its boxes alone.

Frames on the scan are quadrilaterals. One frame taken for one box, in one of four turns, says where the other
boxes should lie; the neighbours' frames are counted, and what holds for most boxes of the page is the form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey, Matrix, project, sides_of
from kalamos.forms.outlines import reduced
from kalamos.pages.quads import darkness, quads_of

__all__ = [
    "SAME_SIDES",
    "FrameFinder",
    "Match",
    "are_same_place",
    "find_frames",
    "half_turn_of",
    "look_for_frames",
    "match_boxes",
]

FrameFinder: TypeAlias = Callable[[Grey], NDArray[np.float32]]
"""Finds frames on a scan uint8 [H, W]: float32 [N, 4, 2], px, each clockwise from any corner."""

MAX_LONG_SIDE: Final = 2400
"""Px to which larger scans are reduced before frames are looked for."""

SHORTEST_SIDE: Final = 9.0
"""Of a frame, in px: less is a letter's eye or a speck."""

LONGEST_SHARE: Final = 0.6
"""Of the scan, above which a frame is the paper's edge."""

LEAST_ENLARGED: Final = 1.3
"""Times; below, enlarging a coarse scan shows no more."""

MAX_FRAMES: Final = 1500
"""Of a scan; those whose size is farthest from the usual one are left out."""

STRAIGHTNESS: Final = 0.04
"""The share of a contour's length by which it may leave the quadrilateral's sides."""

SEEDS: Final = 20
"""Frames from which the search starts, twice: that all of them are none of the form's boxes is unlikely."""

FEWEST_ALIKE: Final = 4
"""Frames of a size that may be a form's boxes: so many must match."""

NEIGHBOURS: Final = (10, 28, 100)
"""Boxes around the first one that a place is judged by, in each of three rounds. Rows of boxes lie like
others that are a box farther on, or upside down: only where all of them begin and end tells."""

KEPT: Final = (1200, 300, 40)
"""The most likely places after each of the rounds."""

CATCH: Final = 0.3
"""How far a frame may be from where a box is expected, in the frame's shorter sides."""

RESCALED: Final = 0.8, 1.25
"""How much smaller or larger than its box a frame may be: it is the inside or the outside of its lines."""

SIMILAR: Final = 0.3
"""Half of that by which the logarithms of a frame's area and its box's may differ."""

SAME_SIDES: Final = 0.15
"""By how much the logarithms of the sides of two boxes next to each other may differ, and of a box's opposite
sides."""

LARGEST_STRETCH: Final = 1.7
"""How much a page may be longer in one direction than in the other: by perspective, or fed askew."""


class Match(NamedTuple):
    """A form found by its boxes.

    Attributes:
        homography: float64 [3, 3], template units -> px.
        boxes: int64 [K], those that have a frame.
        frames: float32 [K, 4, 2], px, their corners clockwise from the template's top left.
    """

    homography: Matrix
    boxes: NDArray[np.int64]
    frames: NDArray[np.float32]


def find_frames(scan: Grey) -> NDArray[np.float32]:
    """Find quadrilaterals of dark lines: float32 [N, 4, 2], px, clockwise from any corner.

    >>> scan = np.full((100, 100), 230, np.uint8)
    >>> _ = cv2.rectangle(scan, (20, 30), (60, 80), 40, 2)
    >>> len(find_frames(scan))
    1
    """
    scale = min(1.0, MAX_LONG_SIDE / max(scan.shape))
    image = reduced(scan, scale)
    dark: Grey = cv2.adaptiveThreshold(  # type: ignore[assignment]
        image, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 25, 12
    )
    # Closed, lines that a photocopier broke are whole; open, writing is farther from the lines.
    across, down = (_closed(dark, *shape) for shape in ((13, 1), (1, 13)))
    maps = (dark, _closed(dark, 5, 5), np.maximum(across, down))
    found = [frame for each in maps for frame in _quadrilaterals(each)]
    if not found:
        return np.zeros((0, 4, 2), np.float32)
    return _without_twins(np.stack(found)) / np.float32(scale)


def look_for_frames(
    scan: Grey, finder: FrameFinder, *, first: NDArray[np.float32]
) -> Iterator[NDArray[np.float32]]:
    """Yield the frames found at `first`; what lines of any grey enclose; frames in even light, and enlarged.

    Of pale lines, or in a shadow, a scan's contrast shows pieces; letters that touch the lines of a coarse
    scan come apart where they are larger.
    """
    yield first
    scale = min(1.0, MAX_LONG_SIDE / max(scan.shape))
    dark = darkness(reduced(scan, scale))
    enclosed = quads_of(dark)[0]
    yield _without_twins(enclosed) / np.float32(scale) if len(enclosed) else enclosed
    yield finder(cv2.bitwise_not(dark)) / np.float32(scale)  # type: ignore[arg-type]
    scale = min(2.0, MAX_LONG_SIDE / max(scan.shape))
    if scale >= LEAST_ENLARGED:
        large = cv2.resize(scan, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        frames = finder(np.asarray(large, np.uint8))
        yield (frames + np.float32(0.5)) / np.float32(scale) - np.float32(0.5)


def _closed(dark: Grey, width: int, height: int) -> Grey:
    return cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((height, width), np.uint8))  # type: ignore[return-value]


def _quadrilaterals(dark: Grey) -> Iterator[NDArray[np.float32]]:
    longest = LONGEST_SHARE * max(dark.shape)
    for contour in cv2.findContours(dark, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]:
        if len(contour) < 4:
            continue
        _, _, width, height = cv2.boundingRect(contour)
        if min(width, height) < SHORTEST_SIDE or max(width, height) > longest:
            continue
        corners = _as_quadrilateral(np.asarray(contour))
        if corners is not None:
            yield corners


def _as_quadrilateral(contour: NDArray[Any]) -> NDArray[np.float32] | None:
    # The hull closes what writing bites out of a frame's inside.
    hull = cv2.convexHull(contour, clockwise=True)
    corners = cv2.approxPolyDP(hull, STRAIGHTNESS * cv2.arcLength(hull, True), True)
    if len(corners) != 4:
        return None
    area = cv2.contourArea(corners)
    if abs(cv2.contourArea(contour)) < 0.8 * area:
        return None
    quadrilateral = corners[:, 0].astype(np.float32)
    lengths = np.linalg.norm(quadrilateral - np.roll(quadrilateral, -1, axis=0), axis=1)
    if lengths.min() < SHORTEST_SIDE * 0.8 or lengths.max() > 25 * lengths.min():
        return None
    x, y = quadrilateral.T
    clockwise = float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) > 0
    return quadrilateral if clockwise else quadrilateral[::-1].copy()


def _without_twins(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave one of the two contours that a line has, the inner and the outer."""
    areas = np.array([cv2.contourArea(frame) for frame in frames])
    usual = np.argsort(np.abs(np.log(areas / np.median(areas))), kind="stable")[:MAX_FRAMES]
    frames, areas = frames[usual], areas[usual]
    order = np.argsort(-areas, kind="stable")
    frames = frames[order]
    middles = frames.mean(axis=1)
    sides = np.sqrt(areas[order])
    kept = np.ones(len(frames), bool)
    for index in range(len(frames)):
        if kept[index]:
            inner = np.linalg.norm(middles[index + 1 :] - middles[index], axis=1) < 0.2 * sides[index]
            inner &= sides[index + 1 :] > 0.5 * sides[index]
            kept[index + 1 :] &= ~inner
    return frames[kept]


def match_boxes(boxes: NDArray[np.float64], frames: NDArray[np.float32]) -> list[Match]:
    """Find where boxes lie among frames, in any turn and some perspective.

    Args:
        boxes: float64 [N, 4, 2], template units, clockwise from the top left.
        frames: float32 [M, 4, 2], px, clockwise from any corner.

    Returns:
        A few places, the one with most boxes first; none where not even four boxes have frames.
    """
    if len(frames) < 4 or len(boxes) < 4:
        return []
    chart = _Chart(frames)
    near = np.argsort(np.linalg.norm(boxes.mean(axis=1)[:, None] - boxes.mean(axis=1), axis=-1), axis=1)
    candidates = _candidates(boxes, frames, chart, near)
    found: list[Match] = []
    for matrix, first in candidates:
        sample = boxes[near[first, : NEIGHBOURS[0]]]
        told = sample @ matrix[:, :2].T + matrix[:, 2]
        if any(_alike(told, project(other.homography, sample)) for other in found):
            continue  # another frame led to the same place
        match = _grow(matrix, first, boxes, chart, near)
        if match is None or any(are_same_place(match.homography, other.homography, boxes) for other in found):
            continue
        found.append(match)
    return sorted(found, key=lambda match: -len(match.boxes))[:4]


def half_turn_of(boxes: NDArray[np.float64]) -> Matrix | None:
    """Return the map that turns boxes [N, 4, 2] upside down onto each other; None if they do not lie so.

    >>> row = np.array([[[x, 0], [x + 8, 0], [x + 8, 9], [x, 9]] for x in (0, 10, 20)], float)
    >>> half_turn_of(row).tolist()
    [[-1.0, 0.0, 28.0], [0.0, -1.0, 9.0], [0.0, 0.0, 1.0]]
    >>> half_turn_of(np.concatenate([row, row[:2] + [0, 20]])) is None
    True
    """
    if not len(boxes):
        return None
    middles = boxes.mean(axis=1)
    centre = middles.min(axis=0) + middles.max(axis=0)
    turned = centre - middles
    nearest = np.linalg.norm(middles[:, None] - turned, axis=-1).argmin(axis=1)
    sides = sides_of(boxes)
    away = np.linalg.norm(middles - turned[nearest], axis=1)
    same = np.abs(np.log(sides / sides[nearest])).max(axis=1) < SAME_SIDES
    if not np.all(same & (away < CATCH * sides.min(axis=1))):
        return None
    return np.array([[-1.0, 0.0, centre[0]], [0.0, -1.0, centre[1]], [0.0, 0.0, 1.0]])


def _count_alike(frames: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count for each frame how many are as wide and as high, itself too: boxes are, scraps of letters not.

    Returns:
        int64 [M]; 0 for a frame whose opposite sides differ.
    """
    lengths = np.linalg.norm(frames - np.roll(frames, -1, axis=1), axis=-1)
    regular = (np.abs(np.log(lengths[:, :2] / lengths[:, 2:])) < SAME_SIDES).all(axis=1)
    logs = np.log(sides_of(frames))
    same = (np.abs(logs[:, None] - logs) < SAME_SIDES).all(axis=2)
    return np.asarray((same & regular).sum(axis=1) * regular, np.int64)


class _Chart:
    """Which frame is at a place, by a picture of the frames' middles."""

    def __init__(self, frames: NDArray[np.float32]) -> None:
        self.frames = frames
        self.middles = frames.mean(axis=1).astype(np.float64)
        self.sides = sides_of(frames)[:, 0]
        self.areas = np.array([cv2.contourArea(frame) for frame in frames])
        self.cell = max(float(np.median(self.sides)) / 8, 1.0)
        self.origin = self.middles.min(axis=0) - 40 * self.cell
        size = np.ceil((np.ptp(self.middles, axis=0) + 80 * self.cell) / self.cell).astype(int) + 1
        self.alike = _count_alike(frames)
        self.index = np.full((int(size[1]), int(size[0])), -1, np.int32)
        for number in np.argsort(self.alike, kind="stable").tolist():  # boxes of a form over odd ones
            x, y = np.rint((self.middles[number] - self.origin) / self.cell).astype(int).tolist()
            radius = max(int(CATCH * self.sides[number] / self.cell), 1)
            cv2.circle(self.index, (x, y), radius, number, cv2.FILLED)

    def at(self, points: NDArray[np.float64], areas: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the frame at each of [..., 2] points that is about as large as expected, -1 without."""
        cells = np.rint((np.nan_to_num(points, nan=-1e9, posinf=-1e9, neginf=-1e9) - self.origin) / self.cell)
        cells = np.clip(cells, -1, (self.index.shape[1], self.index.shape[0]))
        x, y = cells[..., 0].astype(int), cells[..., 1].astype(int)
        inside = (x >= 0) & (y >= 0) & (x < self.index.shape[1]) & (y < self.index.shape[0])
        found = np.where(inside, self.index[np.where(inside, y, 0), np.where(inside, x, 0)], -1)
        off = np.abs(np.log(np.maximum(areas, 1e-9)) - np.log(self.areas[found]))
        return np.where(off < 2 * SIMILAR, found, -1)


def _candidates(
    boxes: NDArray[np.float64], frames: NDArray[np.float32], chart: _Chart, near: NDArray[np.int64]
) -> list[tuple[Matrix, int]]:
    """Return affine maps [2, 3] for a frame taken as a box, and the box; those with most neighbours first."""
    middle_box, sizes = boxes.mean(axis=1), _areas(boxes)
    homogeneous = np.concatenate([boxes, np.ones((len(boxes), 4, 1))], axis=2)
    solver = np.linalg.pinv(homogeneous)  # [N, 3, 4]
    maps, firsts = [], []
    for seed in _seeds(chart):
        turned = np.stack([np.roll(frames[seed], -turn, axis=0) for turn in range(4)])  # [4, 4, 2]
        affine = np.einsum("nij,tjk->ntki", solver, turned.astype(np.float64)).reshape(-1, 2, 3)
        maps.append(affine)
        firsts.append(np.repeat(np.arange(len(boxes)), 4))
    affine, first = np.concatenate(maps), np.concatenate(firsts)
    stretch = np.linalg.svd(affine[:, :, :2], compute_uv=False)
    likely = stretch[:, 0] < LARGEST_STRETCH * np.maximum(stretch[:, 1], 1e-9)
    affine, first = affine[likely], first[likely]
    if not len(affine):
        return []
    for count, kept in zip(NEIGHBOURS, KEPT, strict=True):
        around = near[first, 1 : count + 1]
        expected = np.einsum("hij,hkj->hki", affine[:, :, :2], middle_box[around]) + affine[:, None, :, 2]
        scales = np.abs(np.linalg.det(affine[:, :, :2]))
        hits = chart.at(expected, scales[:, None] * sizes[around])
        share = (hits >= 0).mean(axis=1)
        order = np.argsort(-share, kind="stable")[:kept]
        affine, first, around, hits = affine[order], first[order], around[order], hits[order]
        affine = _refitted(affine, middle_box[around], chart.middles[hits], hits >= 0)
    return list(zip(affine, first.tolist(), strict=True))


def _seeds(chart: _Chart) -> NDArray[np.int64]:
    """Choose frames to start from, here and there on the scan: of sizes that many have.

    Letters are many; boxes are larger, and fewer where writing hides their lines. So half of the seeds are of
    sizes that cover much.
    """
    many, much = chart.alike, np.where(chart.alike >= FEWEST_ALIKE, chart.alike * chart.areas, 0)
    chosen: list[NDArray[np.int64]] = []
    for weight in (many, much):
        pool = np.flatnonzero(weight >= 0.5 * weight.max())
        order = pool[np.lexsort((chart.middles[pool, 0], chart.middles[pool, 1] // (4 * chart.cell * 8)))]
        chosen.append(order[np.unique(np.linspace(0, len(order) - 1, SEEDS).round().astype(int))])
    return np.unique(np.concatenate(chosen))


def _refitted(
    affine: NDArray[np.float64],
    sources: NDArray[np.float64],
    targets: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Fit each affine map [H, 2, 3] to its points [H, K, 2], held by what it was where they are few."""
    affine = _rescaled(affine, sources, targets, known)
    # What the map itself says counts as a faint observation of every point, which keeps it from tipping over.
    told = np.einsum("hij,hkj->hki", affine[:, :, :2], sources) + affine[:, None, :, 2]
    weights = np.where(known, 1.0, 0.02)
    goals = np.where(known[..., None], targets, told)
    design = np.concatenate([sources, np.ones((*sources.shape[:2], 1))], axis=2)
    # Points all in a row say nothing of one direction: the map's change is fitted, and kept small there.
    normal = np.einsum("hki,hk,hkj->hij", design, weights, design)
    normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    right = np.einsum("hki,hk,hkj->hij", design, weights, goals - told)
    return affine + np.linalg.solve(normal, right).transpose(0, 2, 1)


def _rescaled(
    affine: NDArray[np.float64],
    sources: NDArray[np.float64],
    targets: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Scale each affine map [H, 2, 3] about its points [H, K, 2], to the distances between them.

    A frame is the inside of its box's lines, and so too small; a row of boxes tells nothing but by its length
    how far away the next row is.
    """
    weights = (known / np.maximum(known.sum(axis=1, keepdims=True), 1))[..., None]
    start, end = ((weights * points).sum(axis=1, keepdims=True) for points in (sources, targets))
    told = np.einsum("hij,hkj->hki", affine[:, :, :2], sources - start)
    spread = (weights * told**2).sum(axis=(1, 2))
    shared = (weights * told * (targets - end)).sum(axis=(1, 2))
    scale = np.where((known.sum(axis=1) > 1) & (spread > 0), shared / np.maximum(spread, 1e-9), 1.0)
    linear = affine[:, :, :2] * np.clip(scale, *RESCALED)[:, None, None]
    shift = end - np.einsum("hij,hkj->hki", linear, start)
    rescaled = np.concatenate([linear, shift.transpose(0, 2, 1)], axis=2)
    return np.where(known.any(axis=1).reshape(-1, 1, 1), rescaled, affine)


def _grow(
    affine: NDArray[np.float64],
    first: int,
    boxes: NDArray[np.float64],
    chart: _Chart,
    near: NDArray[np.int64],
) -> Match | None:
    """Pursue a place outwards, box by box, until the homography holds for the page."""
    matrix = np.vstack([affine, [0, 0, 1]])
    hits = np.zeros(0, np.int32)
    known = np.zeros(0, np.int64)
    for count in sorted({min(count, len(boxes)) for count in (16, 32, 64, 128, len(boxes), len(boxes) + 1)}):
        members = near[first, :count]
        for _ in range(2):
            expected = project(matrix, boxes[members])
            hits = chart.at(expected.mean(axis=1), _areas(expected))
            right = hits >= 0
            known, hits = members[right], hits[right]
            if len(known) < 4:
                return None
            fitted = _fit(boxes[known], expected[right], chart.frames[hits])
            if fitted is None:
                return None
            matrix = fitted
    unique, places = np.unique(hits, return_index=True)
    known = known[places]
    frames = _aligned(chart.frames[unique], project(matrix, boxes[known]))
    return Match(matrix, known, frames)


def _fit(
    boxes: NDArray[np.float64], expected: NDArray[np.float64], frames: NDArray[np.float32]
) -> Matrix | None:
    """Fit a homography to boxes and their frames, which lie about where they are expected, all [K, 4, 2]."""
    aligned = _aligned(frames, expected).astype(np.float64)
    inside = np.sqrt(np.median(_areas(aligned) / np.maximum(_areas(expected), 1e-9)))
    middles = boxes.mean(axis=1, keepdims=True)
    sources = (middles + np.clip(inside, *RESCALED) * (boxes - middles)).reshape(-1, 2)
    targets = aligned.reshape(-1, 2)
    side = float(np.median(np.linalg.norm(aligned[:, 0] - aligned[:, 1], axis=1)))
    matrix, _ = cv2.findHomography(sources, targets, cv2.RANSAC, 0.25 * side, maxIters=200)
    return None if matrix is None or not np.isfinite(matrix).all() else np.asarray(matrix, np.float64)


def _aligned(frames: NDArray[np.float32], expected: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn each frame's corners [K, 4, 2] so that they begin where the box's do."""
    turns = np.stack([np.roll(frames, -turn, axis=1) for turn in range(4)])
    off = np.linalg.norm(turns - expected, axis=-1).sum(axis=-1)
    return np.asarray(turns[off.argmin(axis=0), np.arange(len(frames))], np.float32)


def _areas(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = frames[..., 0], frames[..., 1]
    twice = (x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)
    return np.asarray(np.abs(twice) / 2, np.float64)


def are_same_place(one: Matrix, other: Matrix, boxes: NDArray[np.float64]) -> bool:
    """Whether two homographies lay boxes [N, 4, 2] onto the same places."""
    sample = boxes[:: max(1, len(boxes) // 12)]
    return _alike(project(one, sample), project(other, sample))


def _alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether boxes [N, 4, 2] lie in the same places."""
    off = np.linalg.norm(one - other, axis=-1)
    return bool(np.median(off) < 0.3 * np.sqrt(np.median(_areas(other))))
