"""Boxes cut out of a scan, each made upright, with their lines and what is around them.

A cut inside the lines takes the ends off characters that cross them. The ink finder tells lines from writing.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey

__all__ = ["MARGIN", "cut_boxes"]

MARGIN: Final = 0.2
"""Of a box's shorter side: what is shown around it, since characters cross its lines."""


def cut_boxes(scan: Grey, corners: NDArray[np.floating], *, side: int, margin: float = MARGIN) -> list[Grey]:
    """Cut boxes out of a scan, each made upright.

    Args:
        scan: uint8 [H, W].
        corners: [N, 4, 2], px, clockwise from the box's top left.
        side: px of the longer side of a box, without margin.
        margin: how much of what is around a box to keep, as a share of its shorter side: characters cross
            the lines. Negative cuts inside.

    Returns:
        An image uint8 [h, w] for each box, of its own proportions.

    >>> scan = np.full((100, 100), 255, np.uint8)
    >>> corners = np.float32([[[10, 10], [50, 10], [50, 90], [10, 90]]])
    >>> [box.shape for box in cut_boxes(scan, corners, side=40)]
    [(48, 28)]
    """
    cuts = []
    for box in np.asarray(corners, np.float64).reshape(-1, 4, 2):
        lengths = np.linalg.norm(box - np.roll(box, -1, axis=0), axis=1)
        width, height = (lengths[0] + lengths[2]) / 2, (lengths[1] + lengths[3]) / 2
        scale = side / max(width, height, 1.0)
        edge = margin * min(width, height) * scale
        inner = np.array([width, height]) * scale
        size = np.maximum(np.rint(inner + 2 * edge), 1).astype(int)
        target = np.array([[0, 0], [inner[0], 0], inner, [0, inner[1]]]) + edge - 0.5
        cuts.append(_upright(scan, box, target, size, scale))
    return cuts


def _upright(
    scan: Grey, box: NDArray[np.float64], target: NDArray[np.float64], size: NDArray[np.int_], scale: float
) -> Grey:
    matrix = cv2.getPerspectiveTransform(box.astype(np.float32), target.astype(np.float32))
    width, height = (int(length) for length in size)
    if scale >= 0.75:
        return cv2.warpPerspective(  # type: ignore[return-value]
            scan, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    # Drawn several times as large and reduced by area, or thin strokes would fall between the pixels.
    times = int(np.ceil(1 / scale))
    larger = np.diag([times, times, 1.0]) @ matrix
    drawn = cv2.warpPerspective(
        scan, larger, (width * times, height * times), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
