"""Recognise, many at a time, images that the default steps would return as they are.

Exports of MNIST and its family already have the geometry that the steps make. Going through them
one by one costs more than decoding them; a look at a whole stack costs little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.steps import FULL, TINY

__all__ = ["Prepared"]

CHAINS = ("polarity", "ink_box", "resize", "centre"), ("polarity", "ink_box", "stroke", "resize", "centre")
"""The lists of steps this knows; any other is not looked at as a whole."""


class Prepared:
    """The geometry that `CHAINS` leave alone.

    Larger squares than `TINY` are looked through for specks, and could lose a little each time: they
    count as prepared by their geometry.

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
    def of(cls, steps: Sequence[Mapping[str, object]]) -> Prepared | None:
        """What these steps (without `normalise`) leave alone; None where only trying can tell."""
        if tuple(step["step"] for step in steps) not in CHAINS:
            return None
        declared = {str(step["step"]): step for step in steps}
        polarity, resize, centre = declared["polarity"], declared["resize"], declared["centre"]
        contrast = polarity.get("min_contrast", 0)
        if not isinstance(contrast, int) or contrast > FULL:  # then full contrast may be no ink
            return None
        size, longest = centre["size"], resize["size"]
        tolerance = resize.get("tolerance", 0.0)
        if not (isinstance(size, int) and isinstance(longest, int) and isinstance(tolerance, (int, float))):
            return None
        stroke = declared.get("stroke", resize)["size"]
        if not isinstance(stroke, int) or longest > 2 * stroke:  # then `stroke` may change what fits
            return None
        return cls(size, longest * (1 - tolerance), longest)

    def fits(self, grey: NDArray[np.uint8]) -> bool:
        """Whether an image can be one of a stack."""
        return grey.shape == (self.size, self.size)

    def has(self, grey: NDArray[np.uint8]) -> bool:
        """Whether one image needs nothing."""
        return self.fits(grey) and bool(self.among(grey[np.newaxis])[0])

    def among(self, stack: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of the images uint8 [N, size, size] are prepared: bool [N].

        Never true for an image that the steps would change; false for a few that they would not.
        """
        ink = stack > 0
        rows = np.asarray(ink.any(axis=2))  # [N, S]
        columns = np.asarray(ink.any(axis=1))
        top, bottom, left, right = rows[:, 0], rows[:, -1], columns[:, 0], columns[:, -1]
        # On one side a lopsided character may reach the border; on two, it could be dark paper.
        inside = np.stack([top, bottom, left, right]).sum(axis=0) <= 1
        longer = np.maximum(_extent(rows), _extent(columns))
        fits = (longer >= self._shortest) & (longer <= self._longest)
        contrast = stack.max(axis=(1, 2)) >= FULL
        down = self._centred(stack.sum(axis=2, dtype=np.int32), top, bottom)
        across = self._centred(stack.sum(axis=1, dtype=np.int32), left, right)
        prepared: NDArray[np.bool_] = inside & fits & contrast & down & across
        return prepared

    def _centred(
        self, masses: NDArray[np.int32], first: NDArray[np.bool_], last: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Whether the centre of mass along one axis, [N, S], is as near to the middle pixel as can be.

        Args:
            first: whether there is ink on the axis's first pixel, and on its `last`: [N].
        """
        total = np.maximum(masses.sum(axis=1), 1)
        off = masses @ np.arange(self.size) / total - self.size / 2
        # At the very half of a pixel rounding decides, so that only the steps themselves can tell.
        near = 0.499 if self.size <= TINY else 0.501
        centred: NDArray[np.bool_] = (np.abs(off) < near) | ((off > 0.501) & first) | ((off < -0.501) & last)
        return centred


def _extent(occupied: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From the first to the last true of each row, [N, S] -> [N]."""
    extent: NDArray[np.int64] = occupied.shape[1] - occupied.argmax(axis=1) - occupied[:, ::-1].argmax(axis=1)
    return extent
