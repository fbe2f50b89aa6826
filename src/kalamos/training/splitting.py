"""Which rows of a dataset a run learns from, watches, and never looks at; kept with the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.datasets.splits import grouped_split, k_fold, stratified_split
from kalamos.errors import DatasetError, TrainingError
from kalamos.training.checkpoint import read_weights, write_weights
from kalamos.training.recipe import Recipe

__all__ = ["SPLIT", "SplitPlan", "plan_split", "read_split", "write_split"]

SPLIT = "split.safetensors"

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SplitPlan:
    """Rows of the dataset's training images, int64, sorted and disjoint; `test` is empty where the
    dataset has a test split of its own, or none was asked for.
    """

    train: Rows
    val: Rows
    test: Rows


def plan_split(dataset: Dataset, recipe: Recipe) -> SplitPlan:
    """Split the dataset's training images as the recipe says; the same recipe gives the same rows.

    An official validation split is kept to, unless folds are asked for.

    Raises:
        DatasetError: a grouped split of a dataset without groups, or nothing held out.
    """
    labels, groups = dataset.train.labels, dataset.train.groups
    if recipe.split == "grouped" and groups is None:
        raise DatasetError(
            f"{dataset.name} does not say which images belong together",
            remedy='use split = "stratified", or a CSV manifest with a column "group"',
        )
    grouped = groups if recipe.split == "grouped" else None
    rest, test = np.arange(len(labels)), np.zeros(0, np.int64)
    if recipe.test_fraction:
        rest, test = _split(labels, grouped, recipe.test_fraction, recipe.seed)
    among = None if grouped is None else grouped[rest]
    if recipe.folds:
        train, val = k_fold(labels[rest], recipe.folds, recipe.fold, recipe.seed, groups=among)
    elif dataset.val_rows is not None:
        held = np.isin(rest, dataset.val_rows)
        train, val = np.flatnonzero(~held), np.flatnonzero(held)
    elif recipe.val_fraction:
        fraction = recipe.val_fraction / (1 - recipe.test_fraction)
        train, val = _split(labels[rest], among, fraction, recipe.seed)
    else:
        train, val = rest, test[:0]
    if not len(val):
        asked = recipe.folds or recipe.val_fraction
        raise DatasetError(
            f"{dataset.name}: nothing is held out to validate on",
            remedy="give a class two images or more" if asked else "set val_fraction or folds",
        )
    return SplitPlan(rest[train], rest[val], test)


def write_split(folder: Path, plan: SplitPlan) -> None:
    rows = {"train": plan.train, "val": plan.val, "test": plan.test}
    write_weights(folder / SPLIT, {name: torch.from_numpy(part) for name, part in rows.items()})


def read_split(folder: Path) -> SplitPlan:
    """Read the rows back.

    Raises:
        What safetensors raises for a damaged file; TrainingError for one that holds something else.
    """
    kept = read_weights(folder / SPLIT)
    train, val, test = (kept[name].numpy() for name in ("train", "val", "test"))
    for rows in (train, val, test):
        if rows.ndim != 1 or rows.dtype != np.int64 or (rows < 0).any():
            raise TrainingError(f"{SPLIT} does not hold rows of a dataset")
    every = np.concatenate([train, val, test])
    if not len(train) or not len(val) or len(np.unique(every)) < len(every):
        raise TrainingError(f"{SPLIT} does not split anything")
    return SplitPlan(train, val, test)


def _split(labels: Rows, groups: Rows | None, fraction: float, seed: int) -> tuple[Rows, Rows]:
    if groups is None:
        return stratified_split(labels, fraction, seed)
    return grouped_split(labels, groups, fraction, seed)
