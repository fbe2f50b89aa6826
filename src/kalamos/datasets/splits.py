"""Stratified, grouped and k-fold splits, reproducible from a seed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import DatasetError

__all__ = ["block_groups", "grouped_split", "k_fold", "stratified_split"]

MAX_SEARCH_PASSES: Final = 20
"""Passes over all groups: with thousands of groups, later ones gain fractions of an image."""

SEARCH_STARTS: Final = 8
"""Searches from random orders, if there are few groups: then one search may end far from the best."""

MAX_GROUPS_FOR_STARTS: Final = 1000
"""More groups than this are searched once."""


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
    _check_fraction(fraction)
    generator = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = round(fraction * len(members))
        if len(members) >= 2:
            count = min(max(count, 1), len(members) - 1)
        held[members[:count]] = True
    return _parts(held)


def grouped_split(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of a train and a validation part that share no group (writer, font, ID block).

    Every class stays on the training side. Its share in validation comes as near to `fraction` as the
    groups allow, by a local search that moves one group at a time while the chi-square distance
    from the wanted counts falls.

    Args:
        labels: int64 [N].
        groups: int64 [N].
        fraction: share of each class that should go to validation, in (0, 1).
        seed: the same seed gives the same split.

    Returns:
        (train, validation): int64 indices, sorted, disjoint, together all of N.

    Raises:
        DatasetError: `fraction` is outside (0, 1), or no group can leave the training side without
            taking the last images of a class with it.

    >>> labels, writers = np.tile([0, 1], 10), np.repeat(np.arange(5), 4)
    >>> train, validation = grouped_split(labels, writers, 0.2, seed=42)
    >>> len(train), len(validation), set(writers[train]) & set(writers[validation])
    (16, 4, set())
    """
    _check_fraction(fraction)
    counts, codes = _counts(labels, groups)
    totals = counts.sum(axis=0)
    removable = (counts < totals).all(axis=1)
    if not removable.any():
        raise DatasetError(
            f"{len(counts)} groups are too few to split: each holds all images of a class",
            remedy="collect more groups, or split without them",
        )
    generator = np.random.default_rng(seed)
    best, distance = np.zeros(len(counts), bool), np.inf
    for _ in range(SEARCH_STARTS if len(counts) <= MAX_GROUPS_FOR_STARTS else 1):
        held = _search(counts, fraction * totals, generator.permutation(np.flatnonzero(removable)))
        found = _distance(counts[held].sum(axis=0), fraction * totals)
        if found < distance:
            best, distance = held, found
    return _parts(best[codes])


def k_fold(
    labels: NDArray[np.int64], folds: int, fold: int, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The train and the validation part of one of `folds` rounds of cross-validation, stratified.

    Every image is in the validation part of one round. Without groups the folds differ by one image
    at most, and by one of each class; with groups (which then stay whole) by as little as those
    allow. A class with a single image or group is missing from training in one round.

    Args:
        labels: int64 [N].
        folds: at least 2.
        fold: which round, in [0, folds).
        seed: the same seed gives the same folds.
        groups: int64 [N].

    Returns:
        (train, validation): int64 indices, sorted, disjoint, together all of N.

    Raises:
        DatasetError: `fold` and `folds` make no sense, or there are fewer images or groups than folds.

    >>> [k_fold(np.array([0, 0, 1, 1]), 2, fold, seed=42)[1].tolist() for fold in (0, 1)]
    [[1, 3], [0, 2]]
    """
    if not 0 <= fold < folds or folds < 2:
        raise DatasetError(
            f"there is no fold {fold} of {folds}", remedy="count folds from 0; have at least 2"
        )
    generator = np.random.default_rng(seed)
    if groups is not None:
        counts, codes = _counts(labels, groups)
        _check_enough(len(counts), "groups", folds)
        return _parts((_assign(counts, folds, generator) == fold)[codes])
    _check_enough(len(labels), "images", folds)
    # Dealt out like cards, class after class, so that what is left over of each goes to other folds.
    shuffled = generator.permutation(len(labels))
    dealt = shuffled[np.argsort(labels[shuffled], kind="stable")]
    held = np.zeros(len(labels), bool)
    held[dealt[fold::folds]] = True
    return _parts(held)


def block_groups(ids: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    """Groups of contiguous IDs: int [N] -> int64 [N], counting blocks of `size` from the lowest ID.

    For datasets whose IDs rise writer by writer, such as Hijja (108 a writer).

    >>> block_groups(np.array([1, 108, 109, 325]), 108)
    array([0, 0, 1, 3])
    """
    if size < 1:
        raise DatasetError(f"a block of {size} IDs is empty")
    wide = np.asarray(ids, np.int64)
    blocks: NDArray[np.int64] = (wide - wide.min(initial=np.iinfo(np.int64).max)) // size
    return blocks


def _search(
    counts: NDArray[np.int64], wanted: NDArray[np.float64], order: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which groups to hold out, bool [G]: a local optimum of `_distance`, never none."""
    held = np.zeros(len(counts), bool)
    left, taken = counts.sum(axis=0), np.zeros_like(counts[0])
    distance = _distance(taken, wanted)
    for _ in range(MAX_SEARCH_PASSES):
        moved = False
        for group in order.tolist():
            change = -counts[group] if held[group] else counts[group]
            # Every class has an image, so one that is down to none would lose its last.
            if not held[group] and not (left > change).all():
                continue
            candidate = _distance(taken + change, wanted)
            if candidate < distance - 1e-9:
                held[group] = not held[group]
                left, taken, distance, moved = left - change, taken + change, candidate, True
        if not moved:
            break
    if not held.any():
        held[min(order.tolist(), key=lambda group: _distance(counts[group], wanted))] = True
    return held


def _distance(counts: NDArray[np.int64], wanted: NDArray[np.float64]) -> float:
    return float(((counts - wanted) ** 2 / wanted).sum())


def _assign(counts: NDArray[np.int64], folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A fold for every group, int64 [G]: the large ones first, each to where its classes are rarest."""
    shuffled = generator.permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    shares = counts / counts.sum(axis=0)
    filled = np.zeros((folds, counts.shape[1]))
    assigned = np.zeros(len(counts), np.int64)
    for group in order.tolist():
        # The sizes break ties; an empty fold then always goes before the others.
        fold = np.lexsort((filled.sum(axis=1), (filled @ shares[group]).round(9)))[0]
        assigned[group] = fold
        filled[fold] += counts[group]
    return assigned


def _counts(
    labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images by group and class, int64 [G, C], over those that occur; and each image's row, int64 [N]."""
    if groups.shape != labels.shape:
        raise DatasetError(f"{labels.size} labels came with {groups.size} groups")
    classes, columns = np.unique(labels, return_inverse=True)
    names, rows = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts, rows


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise DatasetError(f"a validation fraction of {fraction} is not between 0 and 1")


def _check_enough(count: int, kind: str, folds: int) -> None:
    if count < folds:
        raise DatasetError(
            f"{count} {kind} are too few for {folds} folds", remedy=f"have fewer folds or more {kind}"
        )


def _parts(held: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.flatnonzero(~held), np.flatnonzero(held)
