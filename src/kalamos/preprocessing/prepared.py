"""Recognise, many at a time, images that the default steps would return as they are.

Exports of MNIST and its family already have the geometry that the steps make. Going through them
one by one costs more than decoding them; a look at a whole stack costs little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.steps import FULL_CONTRAST

__all__ = ["AlreadyNormalized"]

NORMALIZING_STEPS = (
    ("polarity", "ink_box", "resize", "centre"),
    ("polarity", "ink_box", "stroke", "resize", "centre"),
)
"""The lists of steps this knows; any other is not looked at as a whole."""


class AlreadyNormalized:
    """The geometry that `NORMALIZING_STEPS` leave alone.

    All others are looked through for specks, and could lose a little each time.

    Args:
        size: side of the square.
        shortest: the least longer side of the ink, in px.
        longest: the greatest.
    """

    def __init__(self, size: int, shortest: float, longest: int) -> None:
        self.size = size
        self._shortest = shortest
        self._longest = longest

    @classmethod
    def from_steps(cls, steps: Sequence[Mapping[str, object]]) -> AlreadyNormalized | None:
        """What these steps (without `normalise`) leave alone; None where only trying can tell."""
        if tuple(step["step"] for step in steps) not in NORMALIZING_STEPS:
            return None
        declared = {str(step["step"]): step for step in steps}
        polarity, resize, centre = declared["polarity"], declared["resize"], declared["centre"]
        contrast = polarity.get("min_contrast", 0)
        if not isinstance(contrast, int) or contrast > FULL_CONTRAST:  # then full contrast may be no ink
            return None
        size, longest = centre["size"], resize["size"]
        tolerance = resize.get("tolerance", 0.0)
        if not (isinstance(size, int) and isinstance(longest, int) and isinstance(tolerance, (int, float))):
            return None
        stroke = declared.get("stroke", resize)["size"]
        if not isinstance(stroke, int) or longest > 2 * stroke:  # then `stroke` may change what fits
            return None
        return cls(size, longest * (1 - tolerance), longest)

    def has_size(self, grey: NDArray[np.uint8]) -> bool:
        """Whether an image can be one of a stack."""
        return grey.shape == (self.size, self.size)

    def check(self, grey: NDArray[np.uint8]) -> bool:
        """Whether one image needs nothing: `check_batch` for a single one, in a tenth of its time."""
        if not self.has_size(grey):
            return False
        edges = b"".join([edge.tobytes() for edge in (grey[0], grey[-1], grey[:, 0], grey[:, -1])])
        x, y, width, height = cv2.boundingRect(grey)
        if 2 * edges.count(0) <= len(edges) or not self._shortest <= max(width, height) <= self._longest:
            return False
        if cv2.minMaxLoc(grey)[1] < FULL_CONTRAST:
            return False
        moments = cv2.moments(grey)
        mass = moments["m00"]
        return self._stays(x, width, moments["m10"], mass) and self._stays(y, height, moments["m01"], mass)

    def _stays(self, first: int, extent: int, moment: float, mass: float) -> bool:
        """Whether `centre` would put the ink where it is, along one axis."""
        placed = round(self.size / 2 - (moment - first * mass) / mass)
        return min(max(placed, 0), self.size - extent) == first

    def check_batch(self, stack: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of the images uint8 [N, size, size] are prepared: bool [N].

        Never true for an image that the steps would change; false for a few that they would not.
        """
        count, size = len(stack), self.size
        # OpenCV adds up bytes five times as fast as NumPy; where a sum is not 0, there is ink.
        down = _sums(stack.reshape(-1, size), axis=1).reshape(count, size)
        turned = stack.reshape(count, -1).T.copy().reshape(size, -1)  # [S, S * N]
        across = _sums(turned, axis=0).reshape(size, count).T
        rows, columns = down > 0, across > 0  # [N, S]
        # A character may reach the border; black is the paper while most of the border is black.
        sides = stack[:, 0], stack[:, -1], stack[:, :, 0], stack[:, :, -1]
        inside = sum(np.count_nonzero(side, axis=1) for side in sides) < 2 * size
        longer = np.maximum(_extent(rows), _extent(columns))
        fits = (longer >= self._shortest) & (longer <= self._longest)
        contrast = stack.max(axis=(1, 2)) >= FULL_CONTRAST
        prepared: NDArray[np.bool_] = (
            inside & fits & contrast & self._centred(down, rows) & self._centred(across, columns)
        )
        return prepared

    def _centred(self, masses: NDArray[np.int32], occupied: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether `centre` would put the ink, its masses along one axis [N, S], where it is."""
        total = np.maximum(masses.sum(axis=1), 1)
        first, extent = occupied.argmax(axis=1), _extent(occupied)
        middle = (masses @ np.arange(self.size) - first * total) / total
        # As `centre` rounds, at the very half of a pixel too.
        placed = np.clip(np.rint(self.size / 2 - middle), 0, self.size - extent)
        centred: NDArray[np.bool_] = placed == first
        return centred


def _sums(values: NDArray[np.uint8], *, axis: int) -> NDArray[np.int32]:
    return cv2.reduce(values, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)  # type: ignore[return-value]


def _extent(occupied: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From the first to the last true of each row, [N, S] -> [N]."""
    extent: NDArray[np.int64] = occupied.shape[1] - occupied.argmax(axis=1) - occupied[:, ::-1].argmax(axis=1)
    return extent
