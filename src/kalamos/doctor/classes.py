"""How many images each class has in each part, and whether that will do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.pool import PART_NAMES, ImageIndex

__all__ = ["FEW", "IMBALANCE", "check_classes", "count_classes", "imbalance"]

FEW = 10
"""Classes with fewer images to train on than that are reported."""

IMBALANCE = 10.0
"""The largest class may be so many times the smallest (of those that have any images)."""


def count_classes(index: ImageIndex, classes: int) -> NDArray[np.int64]:
    """Images by part (as in `PART_NAMES`) and class, int64 [3, C]."""
    counts = np.bincount(index.part_of * classes + index.labels, minlength=len(PART_NAMES) * classes)
    return counts.reshape(len(PART_NAMES), classes)


def check_classes(counts: NDArray[np.int64], labels: tuple[str, ...], parts: list[int]) -> list[Finding]:
    """The findings about the counts int64 [3, C]; `parts` are those of `PART_NAMES` that there are."""
    train, *held_out = parts
    missing = np.flatnonzero(counts[train] == 0)
    few = np.flatnonzero((counts[train] > 0) & (counts[train] < FEW))
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
    if ratio is None or ratio < IMBALANCE:
        return ()
    most, least = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
    told = f"{labels[most]}: {counts[most]:,}, {labels[least]}: {counts[least]:,}, {ratio:,.0f} times fewer"
    return (Case(what=told),)


def imbalance(counts: NDArray[np.int64]) -> float | None:
    """The largest class over the smallest that has any images; None where there are none at all."""
    some = counts[counts > 0]
    return float(some.max() / some.min()) if some.size else None
