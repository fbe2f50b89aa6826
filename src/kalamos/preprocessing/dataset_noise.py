"""Undo what spoils a dataset's small pictures (MNIST-C): salt and pepper, bands of another ground.

On so few pixels the ink finder cannot tell either from strokes.
"""

from __future__ import annotations

from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import border_bytes

__all__ = ["ink_on_bands", "without_impulses"]

Grey = NDArray[np.uint8]

Kind = TypeVar("Kind", bound=np.generic)

MIN_NOISY_PARTS: Final = 10
"""A character and its dots have no more parts, broken strokes included."""

SIMILAR_NEIGHBOURS: Final = 3

MIN_IMPULSE_LEVELS: Final = 250
"""Grey levels by which an impulse differs from the neighbours most like it, all together."""

PASSES: Final = 3
"""Impulses that touch are found one after the other."""

MIN_SIDE_PX: Final = 20
"""Of a picture with bands; crops along the ink are often smaller."""

MIN_BAND_FRACTION, MAX_UNLIKE_FRACTION = 0.2, 0.15
"""Bands take at least the first share of two opposite sides, and at most the second of only one of them."""

SAME_LEVELS: Final = 8
"""Two ends of one ground differ by no more grey levels."""

MIN_MARGIN_PX, MIN_INK_FRACTION = 2, 0.35
"""Ink on bands is away from their ends, and its longer side takes this share of the picture's."""


def without_impulses(ink: Grey, mask: Grey) -> Grey:
    """Replace single pixels that are unlike their neighbours by the neighbours' median, where there are many.

    Impulses are told by rank-ordered absolute differences (Garnett et al. 2005): a thin line has two
    neighbours like it, an impulse has none.

    Args:
        ink: uint8 [H, W], bright on black.
        mask: 1 where it is bright, else 0, uint8 [H, W].

    Returns:
        uint8 [H, W]; the same array if it has few parts.

    >>> ink = np.zeros((28, 28), np.uint8)
    >>> ink[6:22, 12:16] = 255
    >>> noisy = ink.copy()
    >>> noisy[2::6, 3::6] = 255
    >>> bool((without_impulses(noisy, (noisy > 60).view(np.uint8)) == ink).all())
    True
    """
    if cv2.connectedComponents(mask)[0] - 1 <= MIN_NOISY_PARTS:
        return ink
    for _ in range(PASSES):
        around = _neighbours(np.pad(ink, 1, mode="edge").astype(np.float32))
        apart = np.sort(np.abs(around - ink), axis=0)[:SIMILAR_NEIGHBOURS].sum(axis=0)
        is_impulse = apart >= MIN_IMPULSE_LEVELS
        if not is_impulse.any():
            break
        around[_neighbours(np.pad(is_impulse, 1, mode="edge"))] = np.nan
        rows, columns = np.nonzero(is_impulse & ~np.isnan(around).all(axis=0))
        ink = ink.copy()
        ink[rows, columns] = np.nanmedian(around[:, rows, columns], axis=0)
    return ink


def _neighbours(padded: NDArray[Kind]) -> NDArray[Kind]:
    """The eight around each pixel, [H + 2, W + 2] -> [8, H, W]."""
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(-1, 9)
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    return np.delete(windows, 4, axis=1).T.reshape(8, height, width).copy()


def ink_on_bands(image: Grey, mask: Grey) -> Grey | None:
    """Return the ink of a picture whose ground is one level along each column, or along each row.

    Args:
        image: uint8 [H, W].
        mask: 1 where it differs from the level of most of its border, else 0, uint8 [H, W].

    Returns:
        uint8 [H, W], bright on black, all black where what lies on the bands cannot be told from them;
        None for all other pictures.

    >>> image = np.zeros((28, 28), np.uint8)
    >>> image[6:22, 5:24] = 255
    >>> image[:, :9] = 255 - image[:, :9]
    >>> ink = ink_on_bands(image, image // 255)
    >>> cv2.boundingRect(ink), int(ink[10, 10])
    ((5, 6, 19, 16), 255)
    """
    if min(image.shape) < MIN_SIDE_PX or not border_bytes(mask).count(1):
        return None  # most pictures end here
    for turned, strokes in ((image, mask), (image.T, mask.T)):
        one, opposite = strokes[0], strokes[-1]
        if np.count_nonzero(one & opposite) < MIN_BAND_FRACTION * len(one) or np.count_nonzero(
            one ^ opposite
        ) > MAX_UNLIKE_FRACTION * len(one):
            continue
        ink = _subtracted(turned)
        _, top, width, height = cv2.boundingRect((ink > SAME_LEVELS).view(np.uint8))
        if not width:  # one stroke from side to side
            return None
        margin = min(top, len(ink) - top - height)
        if margin < MIN_MARGIN_PX or max(width, height) < MIN_INK_FRACTION * max(image.shape):
            return np.zeros_like(image)
        return ink if turned is image else np.ascontiguousarray(ink.T)
    return None


def _subtracted(image: Grey) -> Grey:
    """The difference of each column from its ends; where those differ, from those of the nearest one."""
    is_ground = cv2.absdiff(image[0], image[-1]).ravel() <= SAME_LEVELS
    ground = np.flatnonzero(is_ground)
    nearest = ground[np.abs(np.subtract.outer(np.arange(len(is_ground)), ground)).argmin(axis=1)]
    return cv2.absdiff(image, np.broadcast_to(image[0][nearest], image.shape).copy())  # type: ignore[return-value]
