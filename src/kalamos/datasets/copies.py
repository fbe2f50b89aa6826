"""Find which images of a dataset are one picture: equal ones, and near duplicates.

On both sides of a split they would make the measured accuracy too high.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.dataset import Dataset, SkippedFile
from kalamos.datasets.near_duplicates import near_pairs
from kalamos.images.files import display_name

__all__ = ["copy_sets", "drop_copies", "first_equals", "without_leaks"]


def first_equals(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Return for each image the position of the first that equals it in size and pixels, int64 [N].

    >>> one, other = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    >>> first_equals([one, other, one]).tolist()
    [0, 1, 0]
    """
    seen: dict[bytes, int] = {}
    first = []
    for row, image in enumerate(images):
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(image.tobytes())
        first.append(seen.setdefault(digest.digest(), row))
    return np.array(first, np.int64)


def copy_sets(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Give images that are one picture one number, int64 [N]: the position of the first of them.

    Args:
        images: uint8 [H, W] each, of any sizes. Those of one grey are no copies of one another.

    >>> stroke = np.zeros((32, 32), np.uint8)
    >>> stroke[6:26, 10:14] = stroke[22:26, 10:22] = 200
    >>> copy_sets([stroke.T.copy(), stroke, 255 - stroke // 2, stroke.T.copy()]).tolist()
    [0, 1, 1, 0]
    """
    first = first_equals(images)
    distinct = np.unique(first)
    leader = np.arange(len(first))

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = int(leader[row])
        return row

    pairs = distinct[near_pairs((images[row] for row in distinct.tolist()), len(distinct)).rows]
    for one, other in pairs.tolist():
        low, high = sorted((find(one), find(other)))
        leader[high] = low
    sets = np.array([find(row) for row in first.tolist()], np.int64)
    flat = np.array([image.min() == image.max() for image in images], bool)
    return np.where(flat, np.arange(len(first)), sets)


def drop_copies(
    sets: NDArray[np.int64], train: NDArray[np.int64], held: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the rows of `held` that are no copy of a row of `train`, by the numbers of `copy_sets`."""
    return held[~np.isin(sets[held], sets[train])]


def without_leaks(dataset: Dataset) -> Dataset:
    """Leave out of the test split, and tell as problems, what is a copy of an image that is trained on.

    Only where the images are the user's own: published splits stay as they were published.
    """
    if not dataset.local or dataset.test is None:
        return dataset
    train, test = dataset.train.images, dataset.test.images
    sets = copy_sets([*train, *test])
    copied = np.isin(sets[len(train) :], sets[: len(train)])
    if not copied.any():
        return dataset
    names = dataset.test.names or tuple(f"image {row} of the test" for row in range(len(test)))
    left_out = tuple(
        SkippedFile(display_name(names[row]), "a copy of an image to train on, left out of the test")
        for row in np.flatnonzero(copied).tolist()
    )
    return replace(
        dataset,
        test=dataset.test.take(np.flatnonzero(~copied)),
        problems=(*dataset.problems, *left_out),
    )
