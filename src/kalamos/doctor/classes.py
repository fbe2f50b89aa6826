"""Count the images of each class in each part, and check that they suffice."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.pool import PART_NAMES, ImageIndex

__all__ = ["MAX_CLASS_RATIO", "MIN_IMAGES_PER_CLASS", "check_classes", "count_classes", "imbalance"]

MIN_IMAGES_PER_CLASS: Final = 10
"""Classes with fewer training images are reported."""

MAX_CLASS_RATIO: Final = 10.0
"""Size of the largest class over that of the smallest with images; from here on it is reported."""


def count_classes(index: ImageIndex, classes: int) -> NDArray[np.int64]:
    """Count the images by part (as in `PART_NAMES`) and class, int64 [3, C]."""
    counts = np.bincount(index.part_of * classes + index.labels, minlength=len(PART_NAMES) * classes)
    return counts.reshape(len(PART_NAMES), classes)


def check_classes(counts: NDArray[np.int64], labels: tuple[str, ...], parts: list[int]) -> list[Finding]:
    """Check the counts int64 [3, C]; `parts` are the positions in `PART_NAMES` that have images."""
    train, *held_out = parts
    missing = np.flatnonzero(counts[train] == 0)
    few = np.flatnonzero((counts[train] > 0) & (counts[train] < MIN_IMAGES_PER_CLASS))
    few = few[np.argsort(counts[train][few], kind="stable")]
    absent = [
        (part, label)
        for part in held_out
        for label in np.flatnonzero((counts[part] == 0) & (counts[train] > 0)).tolist()
    ]
    return [
        Finding(
            "missing-class", tuple(Case(what=f"{labels[label]}: no image") for label in missing.tolist())
        ),
        Finding(
            "few", tuple(Case(what=f"{labels[label]}: {counts[train][label]}") for label in few.tolist())
        ),
        Finding(
            "absent",
            tuple(Case(what=f"{labels[label]}: none in {PART_NAMES[part]}") for part, label in absent),
        ),
        Finding("imbalance", _imbalance(counts.sum(axis=0), labels)),
    ]


def _imbalance(counts: NDArray[np.int64], labels: tuple[str, ...]) -> tuple[Case, ...]:
    ratio = imbalance(counts)
    if ratio is None or ratio < MAX_CLASS_RATIO:
        return ()
    most, least = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
    what = f"{labels[most]}: {counts[most]:,}, {labels[least]}: {counts[least]:,}, {ratio:,.0f} times fewer"
    return (Case(what=what),)


def imbalance(counts: NDArray[np.int64]) -> float | None:
    """Return the largest class over the smallest that has images; None if there are no images."""
    some = counts[counts > 0]
    return float(some.max() / some.min()) if some.size else None
