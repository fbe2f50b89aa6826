"""Which images of a split are corrupted, where all of them would take too long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import UsageError

__all__ = ["stratified_sample"]


def stratified_sample(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Rows int64, in order, of `count` images with the class shares of all.

    Args:
        labels: int64 [N].
        count: how many; 0, or more than there are, takes all.
        seed: the same seed gives the same rows; a smaller count gives some of a larger one's.

    Raises:
        UsageError: a negative count.

    >>> stratified_sample(np.array([0, 0, 0, 0, 1, 1]), 3, seed=42).tolist()
    [2, 3, 4]
    """
    if count < 0:
        raise UsageError(f"{count} images cannot be drawn", remedy="use 0 for all of them")
    if count == 0 or count >= len(labels):
        return np.arange(len(labels))
    place = np.empty(len(labels))
    generator = np.random.default_rng(seed)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        # Each class spread evenly over [0, 1): cutting anywhere cuts all classes at the same share.
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    rows: NDArray[np.int64] = np.sort(np.argsort(place, kind="stable")[:count])
    return rows
