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

CHAIN = ("polarity", "ink_box", "resize", "centre")
"""The steps this knows; any other list of steps is not looked at as a whole."""


class Prepared:
    """The geometry that `CHAIN` leaves alone.

    Args:
        size: side of the square, at most `TINY`, so that no specks are looked for.
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
        if tuple(step["step"] for step in steps) != CHAIN:
            return None
        polarity, resize, centre = dict(steps[0]), dict(steps[2]), dict(steps[3])
        contrast = polarity.get("min_contrast", 0)
        if not isinstance(contrast, int) or contrast > FULL:  # then full contrast may be no ink
            return None
        size, longest = centre["size"], resize["size"]
        tolerance = resize.get("tolerance", 0.0)
        if not (isinstance(size, int) and isinstance(longest, int) and isinstance(tolerance, (int, float))):
            return None
        return cls(size, longest * (1 - tolerance), longest) if size <= TINY else None

    def among(self, stack: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of the images uint8 [N, size, size] are prepared: bool [N].

        Never true for an image that the steps would change; false for a few that they would not.
        """
        ink = stack > 0
        rows = np.asarray(ink.any(axis=2))  # [N, S]
        columns = np.asarray(ink.any(axis=1))
        inside = ~(rows[:, 0] | rows[:, -1] | columns[:, 0] | columns[:, -1])
        longer = np.maximum(_extent(rows), _extent(columns))
        fits = (longer >= self._shortest) & (longer <= self._longest)
        contrast = stack.max(axis=(1, 2)) >= FULL
        down = self._centred(stack.sum(axis=2, dtype=np.int32))
        across = self._centred(stack.sum(axis=1, dtype=np.int32))
        prepared: NDArray[np.bool_] = inside & fits & contrast & down & across
        return prepared

    def _centred(self, masses: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether the centre of mass along one axis, [N, S], is nearest to the middle pixel."""
        total = np.maximum(masses.sum(axis=1), 1)
        centre = masses @ np.arange(self.size) / total
        # A hair less than half a pixel: at the very half, rounding decides.
        near: NDArray[np.bool_] = np.abs(centre - self.size / 2) < 0.499
        return near


def _extent(occupied: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From the first to the last true of each row, [N, S] -> [N]."""
    extent: NDArray[np.int64] = occupied.shape[1] - occupied.argmax(axis=1) - occupied[:, ::-1].argmax(axis=1)
    return extent
