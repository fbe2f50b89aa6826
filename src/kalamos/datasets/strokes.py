"""Characters as pen strokes: drawn on the fly, with any pen, at any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import DatasetError

__all__ = ["StrokeSet", "draw_line", "read_strokes"]

SPAN: Final = 1000
"""The longer side of a character, in the units of its points."""

SUBPIXEL_BITS: Final = 4
"""OpenCV draws at sixteenths of a pixel."""


@dataclass(frozen=True, eq=False)
class StrokeSet:
    """Characters as polylines.

    Attributes:
        points: int16 [P, 2], x to the right and y downwards; a character's longer side spans 0 to 1000.
        stroke_starts: int64 [S + 1], where each stroke begins in `points`; the last is P.
        character_ends: int64 [N], the stroke after each character's last.
        labels: N labels.
        writers: int64 [N].

    Raises:
        DatasetError: the arrays do not fit each other.

    >>> bar = StrokeSet(np.array([[0, 0], [0, 1000]], np.int16), np.array([0, 2]), np.array([1]), ("1",),
    ...                 np.array([7]))
    >>> bar.draw(0, side=20, width=2.0).shape
    (27, 7)
    """

    points: NDArray[np.int16]
    stroke_starts: NDArray[np.int64]
    character_ends: NDArray[np.int64]
    labels: tuple[str, ...]
    writers: NDArray[np.int64]

    def __post_init__(self) -> None:
        count, starts, ends = len(self.labels), self.stroke_starts, self.character_ends
        fits = (
            self.points.shape[1:] == (2,)
            and starts.ndim == ends.ndim == 1
            and len(starts) > 0
            and ends.shape == self.writers.shape == (count,)
            and int(starts[0]) == 0
            and int(starts[-1]) == len(self.points)
            and bool((np.diff(starts) > 0).all())
            and bool((np.diff(ends, prepend=0) > 0).all())
            and (not count or int(ends[-1]) == len(starts) - 1)
        )
        if not fits:
            raise DatasetError("points, strokes and characters do not fit each other")

    def __len__(self) -> int:
        return len(self.labels)

    def strokes(self, index: int) -> Iterator[NDArray[np.int16]]:
        """Yield the strokes of a character, int16 [n, 2] each."""
        first = int(self.character_ends[index - 1]) if index else 0
        for stroke in range(first, int(self.character_ends[index])):
            yield self.points[self.stroke_starts[stroke] : self.stroke_starts[stroke + 1]]

    def draw(self, index: int, *, side: float, width: float) -> NDArray[np.uint8]:
        """Draw a character with a round pen.

        Args:
            side: px that its longer side spans, from the middle of a stroke to the middle of a stroke.
            width: of the pen, in px.

        Returns:
            uint8 [H, W], antialiased, bright on black, with some black around the ink.
        """
        pad = width / 2 + 2.0
        lines = [stroke.astype(np.float64) * (side / SPAN) for stroke in self.strokes(index)]
        extent = np.concatenate(lines).max(axis=0)
        image = np.zeros((round(extent[1] + 2 * pad + 1), round(extent[0] + 2 * pad + 1)), np.uint8)
        for line in lines:
            draw_line(image, line + pad, width)
        return image


def draw_line(
    image: NDArray[np.uint8], points: Sequence[Sequence[float]] | NDArray[np.float64], width: float
) -> None:
    """Draw an antialiased polyline of 255 into an image uint8 [H, W]; a disc where it has no length.

    Args:
        points: (x, y) each, in px.
        width: of the pen, in px; lines are as wide as the nearest whole number from 1 on.
    """
    places = np.rint(np.asarray(points) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    if (places == places[0]).all():  # a dot, which a line of no length would not show
        radius = max(1, round(width / 2 * (1 << SUBPIXEL_BITS)))
        x, y = places[0].tolist()
        cv2.circle(image, (x, y), radius, 255, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    else:
        cv2.polylines(image, [places], False, 255, max(1, round(width)), cv2.LINE_AA, SUBPIXEL_BITS)


def read_strokes(path: Path) -> StrokeSet:
    """Read strokes from an .npz file with the arrays that `StrokeSet` names.

    Raises:
        DatasetError: the file cannot be read, lacks an array, or the arrays do not fit each other.
    """
    try:
        # Opened here: NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return StrokeSet(
                np.ascontiguousarray(arrays["points"], np.int16),
                arrays["stroke_starts"].astype(np.int64),
                arrays["character_ends"].astype(np.int64),
                tuple(map(str, arrays["labels"].tolist())),
                arrays["writers"].astype(np.int64),
            )
    except KeyError as error:
        raise DatasetError(f"{path}: {error.args[0]}", remedy="download it again") from error
    except DatasetError as error:
        raise DatasetError(f"{path}: {error.problem}", remedy="download it again") from error
    except Exception as error:  # damage surfaces in several parsers, each with its own exceptions
        raise DatasetError(f"{path}: cannot be read ({error})", remedy="download it again") from error
