"""The lines of boxes painted over, so that a cut may reach beyond them.

Sheets keep what they cut as samples, for people and for training, and a sample shows no printed line.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey

__all__ = ["erase_lines"]


WIDEST_LINE: Final = 0.1
"""Half the width of a line, in shorter sides of a box: wider ones are left."""

LINE_EDGE: Final = 0.4
"""The share of a line's depth that still belongs to it."""

PLAY: Final = 0.5
"""By how many px more than the line is painted over: its place is known no better."""

FAINTEST: Final = 0.03
"""The share of the paper's grey by which lines are darker, or there are none to paint over."""

MAX_ROWS: Final = 32_000
"""That OpenCV's remap takes."""

STEP: Final = 0.5
"""Px between the points that are painted: no pixel between them is missed."""


def erase_lines(scan: Grey, corners: NDArray[np.floating]) -> Grey:
    """Paint over the lines of boxes, and leave the strokes that cross them.

    Across a line, the paper on one side is blended into the paper on the other: where a stroke goes through,
    it is dark on both.

    Args:
        scan: uint8 [H, W], dark lines on bright paper.
        corners: [N, 4, 2], px, best of all boxes of the page: where two lines meet, both must go.

    Returns:
        uint8 [H, W], a new image.

    >>> scan = np.full((60, 60), 230, np.uint8)
    >>> _ = cv2.rectangle(scan, (15, 15), (45, 45), 40, 1)
    >>> int(erase_lines(scan, np.float32([[[15, 15], [45, 15], [45, 45], [15, 45]]])).min())
    230
    """
    boxes = np.asarray(corners, np.float64).reshape(-1, 4, 2)
    erased = scan.copy()
    if not len(boxes):
        return erased
    reach = _line_reach(scan, boxes)
    if reach == 0:
        return erased
    starts, ends = boxes, np.roll(boxes, -1, axis=1)
    for sides in ((0, 2), (1, 3)):  # what crosses at a corner goes one after the other
        _paint_over(erased, starts[:, sides].reshape(-1, 2), ends[:, sides].reshape(-1, 2), reach)
    return erased


def _line_reach(scan: Grey, boxes: NDArray[np.float64]) -> float:
    """Return how many px from its middle a line is to be painted over: the same for all, 0 without lines."""
    starts, ends = boxes.reshape(-1, 2), np.roll(boxes, -1, axis=1).reshape(-1, 2)
    side = float(np.median(np.linalg.norm(ends - starts, axis=1)))
    widest = max(WIDEST_LINE * side, 2.0)
    offsets = np.arange(-widest - 2, widest + 2 + STEP, STEP)
    along = np.linspace(0.15, 0.85, 15)
    values = _sampled(scan, _points(starts, ends, along, offsets))
    # The middling profile of the middling side: most of most lines is written over by nothing.
    profile = np.median(np.median(values, axis=1), axis=0)
    paper = float(np.median(np.concatenate([profile[:4], profile[-4:]])))
    depth = paper - profile
    middle = np.abs(offsets) <= widest / 2
    deepest = float(depth[middle].max())
    if deepest < FAINTEST * max(paper, 1.0):
        return 0.0
    dark = np.abs(offsets[middle & (depth > LINE_EDGE * deepest)])
    return min(float(dark.max()), widest) + PLAY


def _paint_over(image: Grey, starts: NDArray[np.float64], ends: NDArray[np.float64], reach: float) -> None:
    longest = float(np.linalg.norm(ends - starts, axis=1).max())
    # As far beyond the corners as lines are wide.
    along = np.arange(-reach, longest + reach + STEP, STEP) / longest
    across = np.linspace(-reach, reach, int(np.ceil(2 * reach / STEP)) + 1)
    flanks = _sampled(image, _points(starts, ends, along, np.array([-reach - 1.2, reach + 1.2])))
    share = (across + reach) / (2 * reach)
    painted = flanks[..., :1] * (1 - share) + flanks[..., 1:] * share
    places = np.rint(_points(starts, ends, along, across)).astype(np.int64)
    x, y = places[..., 0], places[..., 1]
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    image[y[inside], x[inside]] = np.rint(painted[inside]).astype(np.uint8)


def _points(
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return points [N, A, C, 2]: shares `along` each line, and px `across` it."""
    direction = ends - starts
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    middle = starts[:, None] + along[:, None] * direction[:, None]
    return np.asarray(middle[:, :, None] + across[:, None] * normal[:, None, None], np.float64)


def _sampled(image: Grey, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return grey levels at [N, A, C, 2] points."""
    rows = points.reshape(-1, points.shape[2], 2).astype(np.float32)
    parts = [
        cv2.remap(
            image,
            rows[start : start + MAX_ROWS, :, 0].copy(),
            rows[start : start + MAX_ROWS, :, 1].copy(),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for start in range(0, len(rows), MAX_ROWS)
    ]
    return np.concatenate(parts).astype(np.float32).reshape(points.shape[:-1])
