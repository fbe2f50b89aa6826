"""Find pairs of images that are one picture saved twice: scaled, recompressed, brightened, inverted, shifted.

An image is described by a few hundred numbers (`signatures`) that saving it again hardly changes. Every
image is compared with every other, which needs no tables and loses no pair: an orthogonal projection never
lengthens a distance, so two images far apart in the first principal components are far apart, and comparing
in those is a matrix product. What it leaves is compared in full.

Similarity is not enough. Two clean strokes of a 1 by different hands correlate above 0.99, and so do
the sizes of one printed font. A picture saved again is far nearer to its twin than to all others:
the ratio test of Lowe 2004 (Distinctive image features from scale-invariant keypoints, section 7.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGNATURE_SIDE_PX", "near_pairs", "signatures"]

SIGNATURE_SIDE_PX: Final = 28
"""Side of the square that the ink is scaled to."""

INK_SPREAD_PX: Final = 0.25 * SIGNATURE_SIDE_PX
"""Root mean square distance of the ink from its centre: a ring is half the square wide, a line
seven eighths."""

MAX_MEASURED_SIDE_PX: Final = 96
"""Larger ink is shrunk to this before it is measured."""

NOISE_FRACTION: Final = 0.15
"""Differences from the background below this fraction of the largest are noise of the paper or of JPEG."""

BLUR_SIGMA_PX: Final = 0.8
"""Saving again changes fine detail, another hand the coarse."""


class Signatures(NamedTuple):
    """Signatures of N images.

    Attributes:
        descriptors: float32 [N, SIGNATURE_SIDE_PX ** 2] of unit norm and zero mean, so that a dot product is
            a correlation; all zeros for an image of one grey.
        geometry: float32 [N, 3]: the ink's centre, x and y, as fractions of the image's longer side from its
            middle, and the logarithm of the ink's fraction of that side. Descriptors do not depend on these.
    """

    descriptors: NDArray[np.float32]
    geometry: NDArray[np.float32]


def signatures(images: Iterable[NDArray[np.uint8]], count: int) -> Signatures:
    """Describe `count` images uint8 [H, W] of any sizes.

    A descriptor is the difference from the image's background (so polarity, brightness and contrast do not
    matter), moved and scaled by its moments (Hu 1962), which change smoothly, whereas a bounding box would
    jump by a pixel.
    """
    descriptors = np.zeros((count, SIGNATURE_SIDE_PX * SIGNATURE_SIDE_PX), np.float32)
    geometry = np.zeros((count, 3), np.float32)
    for row, image in enumerate(images):
        ink = _ink(image)
        left, top, width, height = cv2.boundingRect(ink)
        if not width:
            continue
        box = ink[top : top + height, left : left + width]
        shrink = min(1.0, MAX_MEASURED_SIDE_PX / max(width, height))
        if shrink < 1:
            size = max(1, round(width * shrink)), max(1, round(height * shrink))
            box = cv2.resize(box, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        moments = cv2.moments(box)
        x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        # A single pixel is one px wide: a variance of 1/12 square px in each direction.
        spread = math.sqrt((moments["mu20"] + moments["mu02"]) / moments["m00"] + 1 / 6)
        scale, middle = INK_SPREAD_PX / spread, (SIGNATURE_SIDE_PX - 1) / 2
        if scale < 0.7:  # otherwise warping would alias
            box = cv2.GaussianBlur(box, (0, 0), 0.4 / scale)  # type: ignore[assignment]
        warp = np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]])
        upright = cv2.warpAffine(
            box.astype(np.float32), warp, (SIGNATURE_SIDE_PX, SIGNATURE_SIDE_PX), flags=cv2.INTER_LINEAR
        )
        descriptors[row] = cv2.GaussianBlur(upright, (0, 0), BLUR_SIGMA_PX).ravel()
        longer = max(image.shape)
        geometry[row] = (
            (left + x / shrink - image.shape[1] / 2) / longer,
            (top + y / shrink - image.shape[0] / 2) / longer,
            math.log(spread / shrink / longer),
        )
    descriptors -= descriptors.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    descriptors /= np.where(norms > 0, norms, 1)
    return Signatures(descriptors, geometry)


def _ink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How far each pixel differs from the median of the border; 0 up to the noise."""
    border = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
    ground = np.partition(border, border.size // 2)[border.size // 2]
    ink = cv2.absdiff(image, np.full_like(image, ground))
    floor = math.ceil(NOISE_FRACTION * float(cv2.minMaxLoc(ink)[1]))
    return cv2.subtract(ink, np.full_like(ink, floor))  # type: ignore[return-value]


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
