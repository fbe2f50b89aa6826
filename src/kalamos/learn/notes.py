"""What a training says of its data beforehand: the classes, and what of them or of the split is odd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from kalamos.datasets import Dataset
from kalamos.datasets.class_names import alike_names, describe_alike, list_names
from kalamos.images.files import display_name

if TYPE_CHECKING:
    from kalamos.learn.run import SplitPlan

__all__ = ["split_notes"]

NAMED: Final = 10
"""Classes, files or pairs that a note names."""


def split_notes(dataset: Dataset, plan: SplitPlan) -> tuple[str, ...]:
    """Name the classes; then those without an image on a side, names that look alike, and copies left out.

    Published datasets are what they are: of them only the classes are named.
    """
    labels = dataset.alphabet.labels
    notes = [list_names(labels)]
    if not dataset.local:
        return tuple(notes)
    trained, held = (
        np.bincount(dataset.train.labels[rows], minlength=len(labels)) for rows in (plan.train, plan.val)
    )
    untrained = [label for label, count in zip(labels, trained.tolist(), strict=True) if not count]
    if untrained:
        notes.append(f"no image to train on: {_some(untrained)}; the model cannot learn these classes")
    unmeasured = [
        label for label, n, m in zip(labels, trained.tolist(), held.tolist(), strict=True) if n and not m
    ]
    if unmeasured:
        notes.append(f"nothing held out: {_some(unmeasured)}; the validation accuracy says nothing of them")
    notes += [f"class names that look alike: {describe_alike(group)}" for group in alike_names(labels)]
    if plan.near_held:
        notes.append(
            "all images that could be held out are near copies of others to train on (drawn from one font?): "
            "the validation accuracy says nothing of other hands"
        )
    dropped = np.setdiff1d(
        np.arange(len(dataset.train)), np.concatenate([plan.train, plan.val, plan.test]), assume_unique=True
    )
    if len(dropped):
        names = dataset.train.names or tuple(f"image {row}" for row in range(len(dataset.train)))
        which = _some([display_name(names[row]) for row in dropped.tolist()])
        count = "1 image is a copy" if len(dropped) == 1 else f"{len(dropped):,} images are copies"
        notes.append(f"{count} of others to train on, and not held out: {which}")
    return tuple(notes)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
