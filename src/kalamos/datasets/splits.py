"""Splits that keep what must be kept: the class shares, the seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import DatasetError

__all__ = ["stratified_split"]


def stratified_split(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of a train and a validation part with the same share of every class in both.

    Args:
        labels: int64 [N].
        fraction: share of each class that goes to validation, in (0, 1); every class that has at
            least two images keeps one on either side.
        seed: the same seed gives the same split.

    Returns:
        (train, validation): int64 indices, sorted, disjoint, together all of N.

    Raises:
        DatasetError: `fraction` is outside (0, 1).

    >>> train, validation = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.5, seed=42)
    >>> len(train), len(validation)
    (3, 3)
    """
    if not 0 < fraction < 1:
        raise DatasetError(f"a validation fraction of {fraction} is not between 0 and 1")
    generator = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = round(fraction * len(members))
        if len(members) >= 2:
            count = min(max(count, 1), len(members) - 1)
        held[members[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
