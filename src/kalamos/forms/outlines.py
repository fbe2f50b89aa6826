"""Boxes' own lines on a scan: found near where they are predicted, whatever is written in and over them.

A homography is right for a flat sheet. Paper bends, photocopiers stretch: each box is moved by some px more.
Across every side of a box the scan is sampled along short profiles; a line is darker than both its sides all
along, where writing crosses it in places. What is found is smooth from box to box, so neighbours help where a
box's own lines are faint or written over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey

__all__ = ["Outlines", "find_outlines", "middling_side", "reduced"]

Corners = NDArray[np.float32]

WORKING_SIDE: Final = 56.0
"""Px of a box's shorter side, to about which scans are brought: a printed line is then 2 px wide."""

MAX_ENLARGEMENT: Final = 3
"""Times a small scan: on it, the lines of two boxes with little between them are `FLANK` px apart."""

TAPS: Final = (9, 9, 17)
"""Profiles across a side, in each of three rounds."""

ENDS: Final = 0.08
"""The share of a side at either end without profiles: a corner belongs to two lines."""

FLANK: Final = 3
"""Px from a line to the paper beside it, at the working size."""

BLUR: Final = 3
"""Px, at the working size."""

FAINTEST: Final = 0.02
"""By what share of the paper's grey a line is darker to count; in full from three times that on."""

REACHES: Final = (0.5, 0.22, 0.12)
"""How far each of three rounds searches, in shorter sides of a middling box."""

SPREADS: Final = (4.0, 1.6)
"""Over how many sides of a box neighbours share what they find in the first rounds: standard deviations."""

PLAY: Final = 0.06
"""How far a box may be from where a smooth bend of the page puts it, in shorter sides of a box."""

FOUND: Final = 0.35
"""The share of a side's length on which a line must be seen."""

TOLERANCE: Final = 0.05
"""By how much a side may be elsewhere than its neighbours tell, in shorter sides of a box."""

MAX_BOXES_AT_ONCE: Final = 600
"""Above, boxes are searched in parts: profiles of one are 70 kB."""


class Outlines(NamedTuple):
    """Where boxes were found.

    Attributes:
        corners: float32 [N, 4, 2], px of the scan, clockwise from the template's top left.
        found: bool [N, 4], whether the line of the top, right, bottom, left side was seen; if not, the place
            is what the neighbours tell.
        moved: float64 [N, 2], by how many px each box's middle is elsewhere than predicted.
    """

    corners: Corners
    found: NDArray[np.bool_]
    moved: NDArray[np.float64]

    @property
    def fit(self) -> float:
        """The share of all sides whose line was seen, 0 to 1; 1 without a box."""
        return float(self.found.mean()) if self.found.size else 1.0


@dataclass(frozen=True)
class _Profiles:
    """The scan across the sides of boxes.

    Attributes:
        seen: float32 [N, 4, K], the share of a side's length on which a line is seen at each of K offsets.
        offsets: float64 [K], px of the scan, along the box's own axes.
    """

    seen: NDArray[np.float32]
    offsets: NDArray[np.float64]


def find_outlines(scan: Grey, predicted: NDArray[np.floating], *, near: bool = False) -> Outlines:
    """Find boxes by their lines, near where they are predicted.

    Args:
        scan: uint8 [H, W], dark lines on bright paper.
        predicted: [N, 4, 2], px, clockwise from the template's top left, at most half a box from the truth.
        near: whether they are at most a fifth of a box from it.

    Returns:
        Boxes, of which those without a visible line lie as their neighbours tell.

    >>> scan = np.full((120, 200), 230, np.uint8)
    >>> for x in (30, 80):
    ...     _ = cv2.rectangle(scan, (x, 40), (x + 40, 80), 40, 2)
    >>> corners = np.float32([[[x, 35], [x + 40, 35], [x + 40, 75], [x, 75]] for x in (37, 87)])
    >>> found = find_outlines(scan, corners)
    >>> found.fit, np.rint(found.corners[1, 0]).tolist()
    (1.0, [80.0, 40.0])
    """
    boxes = np.asarray(predicted, np.float64).reshape(-1, 4, 2)
    if not len(boxes):
        empty = np.zeros((0, 2))
        return Outlines(np.zeros((0, 4, 2), np.float32), np.zeros((0, 4), bool), empty)
    if len(boxes) > MAX_BOXES_AT_ONCE:
        return _in_parts(scan, boxes, near=near)
    side = middling_side(boxes)
    scale = _working_scale(side)
    # Blurred, the dots that a photocopier leaves of a line are a line again.
    image: Grey = cv2.blur(_scaled(scan, scale), (BLUR, BLUR))  # type: ignore[assignment]
    middles = boxes.mean(axis=1)
    distances = np.linalg.norm(middles[:, None] - middles[None], axis=-1) / side
    across, down = _axes(boxes)
    moved = np.zeros((len(boxes), 2))  # along each box's own axes, in px
    for reach, spread, taps in list(zip(REACHES[:-1], SPREADS, TAPS[:-1], strict=True))[near:]:
        profiles = _profiles(image, scale, _moved(boxes, moved, across, down), reach * side, taps)
        shared = np.exp(-0.5 * (distances / spread) ** 2)
        shared /= shared.sum(axis=1, keepdims=True)
        sides = (
            profiles.seen[:, [3, 0]] + profiles.seen[:, [1, 2]]
        )  # of the left and right, of the top and bottom
        blurred = cv2.blur(sides.reshape(-1, sides.shape[-1]), (_odd(0.05 * reach * side * scale), 1))
        evidence = np.einsum("nm,mak->nak", shared, blurred.reshape(sides.shape))
        # Of two places that are as good, the nearer one.
        evidence -= 0.05 * np.abs(profiles.offsets / profiles.offsets[-1])
        best = evidence.argmax(axis=2)
        step = profiles.offsets[best]
        strength = np.take_along_axis(evidence, best[..., None], axis=2)[..., 0]
        moved += _smooth(middles / side, step, np.clip(strength, 0.02, None), max(2.0, PLAY * side))
    return _settle(image, scale, boxes, moved, side, distances)


def _settle(
    image: Grey,
    scale: float,
    boxes: NDArray[np.float64],
    moved: NDArray[np.float64],
    side: float,
    distances: NDArray[np.float64],
) -> Outlines:
    """Find each side's own line in the last round."""
    across, down = _axes(boxes)
    near = _moved(boxes, moved, across, down)
    profiles = _profiles(image, scale, near, REACHES[-1] * side, TAPS[-1])
    offset, strength = _peaks(profiles)
    # Top and bottom sides move down, left and right ones across: of these, neighbours tell the same.
    shared = np.exp(-0.5 * (distances / SPREADS[-1]) ** 2)
    found = strength >= FOUND
    usual = np.zeros_like(offset)
    for pair in ((0, 2), (1, 3)):
        weights = np.where(found[:, pair], strength[:, pair], 1e-6)
        total = shared @ weights.sum(axis=1)
        told = (shared @ (weights * offset[:, pair]).sum(axis=1)) / total
        # Shrunk towards none, where next to nothing was found.
        usual[:, pair] = (told * total / (total + 0.3))[:, None]
    found &= np.abs(offset - usual) <= max(TOLERANCE * side, 1.5 / scale)
    offset = np.where(found, offset, usual)
    corners = near.copy()
    vertical, horizontal = offset[:, [3, 1, 1, 3]], offset[:, [0, 0, 2, 2]]
    corners += vertical[..., None] * across[:, None] + horizontal[..., None] * down[:, None]
    return Outlines(corners.astype(np.float32), found, corners.mean(axis=1) - boxes.mean(axis=1))


def _in_parts(scan: Grey, boxes: NDArray[np.float64], *, near: bool) -> Outlines:
    parts = [
        find_outlines(scan, boxes[start : start + MAX_BOXES_AT_ONCE], near=near)
        for start in range(0, len(boxes), MAX_BOXES_AT_ONCE)
    ]
    return Outlines(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _working_scale(side: float) -> float:
    """Return by how much to reduce or enlarge a scan whose boxes have a shorter side of so many px."""
    if side >= WORKING_SIDE:
        return 1 / round(side / WORKING_SIDE)  # whole parts are reduced ten times as fast
    return float(min(round(WORKING_SIDE / side), MAX_ENLARGEMENT))


def _scaled(image: Grey, times: float) -> Grey:
    if times <= 1:
        return reduced(image, times)
    return cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def middling_side(boxes: NDArray[np.float64]) -> float:
    """Return the median of the boxes' shorter sides, in px."""
    lengths = np.linalg.norm(boxes - np.roll(boxes, -1, axis=1), axis=-1)
    return max(float(np.median(np.minimum(lengths[:, :2].min(axis=1), lengths[:, 2:].min(axis=1)))), 1.0)


def _axes(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions across and down each box, of length 1, [N, 2] both."""
    across = boxes[:, 1] - boxes[:, 0] + boxes[:, 2] - boxes[:, 3]
    down = boxes[:, 3] - boxes[:, 0] + boxes[:, 2] - boxes[:, 1]
    return tuple(
        axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9) for axis in (across, down)
    )


def _moved(
    boxes: NDArray[np.float64],
    by: NDArray[np.float64],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
) -> NDArray[np.float64]:
    return boxes + (by[:, :1] * across + by[:, 1:] * down)[:, None]


def reduced(image: Grey, scale: float) -> Grey:
    """Return an image at a scale of at most 1, by area."""
    if scale >= 1:
        return image
    size = [max(1, round(length * scale)) for length in image.shape[::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _profiles(image: Grey, scale: float, boxes: NDArray[np.float64], reach: float, taps: int) -> _Profiles:
    """Sample the scan across the boxes' sides, from `reach` px on one side to `reach` on the other."""
    steps = max(2, int(np.ceil(reach * scale)))
    places = np.arange(-steps - FLANK, steps + FLANK + 1) / scale
    along = np.linspace(ENDS, 1 - ENDS, taps)
    across, down = _axes(boxes)
    starts, ends = boxes, np.roll(boxes, -1, axis=1)
    normals = np.stack([down, across, down, across], axis=1)
    crossings = starts[:, :, None] + along[:, None] * (ends - starts)[:, :, None]
    points = crossings[..., None, :] + places[:, None] * normals[:, :, None, None]
    # The middle of the first pixel is at (0, 0) in both images.
    points = (points + 0.5) * scale - 0.5
    flat = points.reshape(-1, len(places), 2).astype(np.float32)
    values = np.concatenate([_sampled(image, part) for part in _slices(flat)])
    beside = np.minimum(values[:, : -2 * FLANK], values[:, 2 * FLANK :])
    depth = (beside - values[:, FLANK:-FLANK]) / np.maximum(beside, 32)
    seen = np.clip((depth - FAINTEST) / (2 * FAINTEST), 0, 1)
    return _Profiles(
        seen.reshape(len(boxes), 4, taps, -1).mean(axis=2, dtype=np.float32), places[FLANK:-FLANK]
    )


def _sampled(image: Grey, points: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = points[..., 0].copy(), points[..., 1].copy()
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def _slices(points: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    # OpenCV's remap takes 32,767 rows at most.
    return [points[start : start + 32_000] for start in range(0, len(points), 32_000)]


def _peaks(profiles: _Profiles) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where along each profile the line is seen best, to a fraction of a px, and on what share."""
    seen = profiles.seen.astype(np.float64)
    # A line that is turned a little against the side is spread over two or three px.
    spread = seen.copy()
    spread[..., 1:] += 0.5 * seen[..., :-1]
    spread[..., :-1] += 0.5 * seen[..., 1:]
    nearer = 1 - 0.1 * np.abs(profiles.offsets / profiles.offsets[-1])
    best = (spread * nearer).argmax(axis=-1)
    inner = np.clip(best, 1, seen.shape[-1] - 2)
    left, middle, right = (
        np.take_along_axis(spread, (inner + shift)[..., None], axis=-1)[..., 0] for shift in (-1, 0, 1)
    )
    bend = left - 2 * middle + right
    shift = np.where(bend < -1e-9, 0.5 * (left - right) / np.where(bend < -1e-9, bend, -1), 0)
    step = profiles.offsets[1] - profiles.offsets[0]
    share = np.minimum(np.take_along_axis(spread, best[..., None], axis=-1)[..., 0], 1)
    return profiles.offsets[inner] + np.clip(shift, -1, 1) * step, share


def _smooth(
    places: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64], play: float
) -> NDArray[np.float64]:
    """Fit values [N, 2] by a polynomial of places [N, 2], doubting those far off; keep `play` of the rest.

    It is of degree two along directions in which boxes extend far, and less where they are few.
    """
    centred = places - places.mean(axis=0)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T  # along the rows, however they lie
    spread = turned.std(axis=0)
    turned /= np.maximum(spread, 1e-9)
    x, y = turned[:, 0], turned[:, -1]  # of one box there is but one axis, and it is not used
    columns = [np.ones(len(x))]
    if len(x) >= 4:
        columns += [axis for axis, wide in ((x, spread[0]), (y, spread[-1])) if wide > 0.7]
    if len(x) >= 10:
        columns += [axis * axis for axis, wide in ((x, spread[0]), (y, spread[-1])) if wide > 2.5]
        columns += [x * y] if spread[-1] > 1 else []
    design = np.stack(columns, axis=1)
    fitted = np.zeros_like(values)
    for axis in range(2):
        doubt = np.ones(len(x))
        for _ in range(4):
            root = np.sqrt(weights[:, axis] * doubt)
            solution = np.linalg.lstsq(design * root[:, None], values[:, axis] * root, rcond=1e-6)[0]
            fitted[:, axis] = design @ solution
            off = np.abs(values[:, axis] - fitted[:, axis])
            doubt = 1 / (1 + (off / max(2.0 * float(np.median(off)), 1.0)) ** 2)
    return fitted + np.clip(values - fitted, -play, play)


def _odd(length: float) -> int:
    return 2 * round(length / 2) + 1
