"""Find pairs of images that are one picture saved twice: scaled, recompressed, brightened, inverted, shifted.

Every image is compared with every other, which needs no tables and loses no pair: an orthogonal
projection never lengthens a distance, so two images far apart in the first principal components are
far apart, and comparing in those is a matrix product. What it leaves is compared in full.

Similarity is not enough. Two clean strokes of a 1 by different hands correlate above 0.99, and so do
the sizes of one printed font. A picture saved again is far nearer to its twin than to all others:
the ratio test of Lowe 2004 (Distinctive image features from scale-invariant keypoints, section 7.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.doctor.signatures import Signatures, signatures

__all__ = ["NearPairs", "near_pairs"]

MAX_TWIN_DIFFERENCE: Final = 0.008
"""1 - correlation up to which two images may be one picture."""

SURE_TWIN_DIFFERENCE: Final = 0.0002
"""1 - correlation up to which they are one, however many others are as near."""

MIN_DISTANCE_RATIO: Final = 4.0
"""A twin is nearer than the others by this factor of 1 - correlation: half the distance."""

MAX_OTHER_TWINS: Final = 4
"""This many others may be as near: a picture may have been saved several times."""

MAX_SHIFT_FRACTION: Final = 0.1
"""Of the longer side: shifted by more, it is another picture, as a comma is not an apostrophe."""

MAX_LOG_SCALE_CHANGE: Final = 0.2
"""Scaled by more within its frame, it is another picture, as an o is not an O."""

PROJECTION_COMPONENTS: Final = 32
PROJECTION_FIT_IMAGES: Final = 10_000

BLOCK_ROWS: Final = 512
BLOCK_COLUMNS: Final = 4096
"""Size of a block of the comparison, whose product stays in a processor's cache."""


class NearPairs(NamedTuple):
    """Pairs of near duplicates.

    Attributes:
        rows: int64 [P, 2], the smaller row first, in order, each pair once.
        differences: float32 [P], 1 - correlation, in [0, `MAX_TWIN_DIFFERENCE`].
    """

    rows: NDArray[np.int64]
    differences: NDArray[np.float32]


def near_pairs(images: Iterable[NDArray[np.uint8]], count: int) -> NearPairs:
    """Find the near duplicates among `count` images uint8 [H, W], which should be distinct, of any sizes.

    >>> stroke = np.zeros((32, 32), np.uint8)
    >>> stroke[6:26, 10:14] = stroke[22:26, 10:22] = 200
    >>> near_pairs([stroke, stroke.T, 255 - stroke // 2], 3).rows.tolist()
    [[0, 2]]
    """
    described = signatures(images, count)
    found = [
        _verified(candidates, described)
        for candidates in _candidates(described.descriptors)
        if len(candidates.rows)
    ]
    if not found:
        return NearPairs(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
    rows = np.concatenate([part.rows for part in found])
    differences = np.concatenate([part.differences for part in found])
    # Each must find the other: an isolated image may have its nearest neighbour in a crowd.
    keys = rows.min(axis=1) * count + rows.max(axis=1)
    pairs, first, sides = np.unique(keys, return_index=True, return_counts=True)
    mutual = sides == 2
    return NearPairs(np.stack(np.divmod(pairs[mutual], count), axis=1), differences[first[mutual]])


class _Candidates(NamedTuple):
    rows: NDArray[np.int64]  # [P, 2]: an image and one near it
    limits: NDArray[np.float32]  # [P]: the difference at which they are twins


def _candidates(descriptors: NDArray[np.float32]) -> Iterator[_Candidates]:
    """Yield, block by block, the pairs (in both orders) that may be twins according to the projection."""
    inked = np.flatnonzero(descriptors.any(axis=1))
    points = _project(descriptors[inked])
    # In the order of the first component what is near to a block lies in a window around it.
    order = np.argsort(points[:, 0], kind="stable")
    rows, points = inked[order], points[order]
    radius = MIN_DISTANCE_RATIO * MAX_TWIN_DIFFERENCE
    reach = np.float32(np.sqrt(2 * radius))
    half, one = (points**2).sum(axis=1, keepdims=True) / 2, np.ones((len(points), 1), np.float32)
    left, right = np.hstack([points, half, one]), np.hstack([-points, one, half])
    for start in range(0, len(rows), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        first = np.searchsorted(points[:, 0], points[block][0, 0] - reach)
        end = np.searchsorted(points[:, 0], points[block][-1, 0] + reach, side="right")
        near, others, bounds = _within(left[block], right[first:end], radius)
        near, others = near + start, others + first
        apart = near != others
        near, others, bounds = near[apart], others[apart], bounds[apart]
        limits = np.clip(
            _crowd(near, bounds, radius) / MIN_DISTANCE_RATIO, SURE_TWIN_DIFFERENCE, MAX_TWIN_DIFFERENCE
        )
        maybe = bounds <= limits
        yield _Candidates(np.stack([rows[near[maybe]], rows[others[maybe]]], axis=1), limits[maybe])


def _verified(candidates: _Candidates, described: Signatures) -> NearPairs:
    """Return the candidates that are twins in full, of one size and in one place."""
    rows, limits = candidates
    descriptors, geometry = described
    differences = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), PROJECTION_FIT_IMAGES):
        some = slice(start, start + PROJECTION_FIT_IMAGES)
        one, other = descriptors[rows[some, 0]], descriptors[rows[some, 1]]
        differences[some] = 1 - np.einsum("nd,nd->n", one, other)
    moved = np.abs(geometry[rows[:, 0]] - geometry[rows[:, 1]])
    twins = (differences <= limits) & (
        moved <= (MAX_SHIFT_FRACTION, MAX_SHIFT_FRACTION, MAX_LOG_SCALE_CHANGE)
    ).all(axis=1)
    return NearPairs(rows[twins], np.maximum(differences[twins], 0))


def _project(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Project onto the first principal components, [N, D] -> [N, PROJECTION_COMPONENTS]."""
    sample = descriptors[:: max(1, len(descriptors) // PROJECTION_FIT_IMAGES)]
    centred = sample - sample.mean(axis=0) if len(sample) else sample
    _, axes = np.linalg.eigh(centred.T @ centred)  # in the order of rising variance
    points: NDArray[np.float32] = descriptors @ axes[:, : -PROJECTION_COMPONENTS - 1 : -1]
    return points


def _within(
    left: NDArray[np.float32], right: NDArray[np.float32], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Find where left @ right.T is at most `radius`: rows (rising), columns, and the products."""
    rows, columns, products = [], [], []
    for start in range(0, len(right), BLOCK_COLUMNS):
        product = left @ right[start : start + BLOCK_COLUMNS].T
        near, others = np.nonzero(product <= radius)
        rows.append(near)
        columns.append(others + start)
        products.append(product[near, others])
    order = np.argsort(row := np.concatenate(rows), kind="stable")
    return row[order], np.concatenate(columns)[order], np.concatenate(products)[order]


def _crowd(rows: NDArray[np.int64], differences: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Distance, for each entry, of its row's nearest beyond `MAX_OTHER_TWINS` others, at most `radius`."""
    order = np.lexsort((differences, rows))
    _, starts, inverse, counts = np.unique(
        rows[order], return_index=True, return_inverse=True, return_counts=True
    )
    crowded = counts > MAX_OTHER_TWINS
    beyond = np.full(len(starts), radius, np.float32)
    beyond[crowded] = differences[order][starts[crowded] + MAX_OTHER_TWINS]
    crowd = np.empty(len(rows), np.float32)
    crowd[order] = beyond[inverse]
    return crowd
