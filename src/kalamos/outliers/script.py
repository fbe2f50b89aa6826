"""Characters of another alphabet, out of its dataset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.named import DATASETS, describe
from kalamos.errors import DatasetError, UsageError
from kalamos.outliers.lookalikes import foreign_labels
from kalamos.outliers.sets import SETS, OODContext, OODSplit, OutlierSet

__all__ = ["SCRIPTS", "open_set", "script", "scripts_for"]

SCRIPTS = ("ahcd", "emnist-47", "mnist")
"""Asked for by default, where they have classes that the reader's alphabet has not."""

FOLDS = 5
"""In a dataset without a test split, one in this many images or groups is for `eval`."""


def scripts_for(alphabet: Alphabet) -> tuple[str, ...]:
    """The names of the default sets of other scripts for a reader of this alphabet.

    >>> from kalamos.alphabets import DIGITS
    >>> scripts_for(DIGITS)
    ('script:ahcd', 'script:emnist-47')
    """
    return tuple(f"script:{name}" for name in SCRIPTS if foreign_labels(describe(name).alphabet, alphabet))


def open_set(name: str, context: OODContext) -> OutlierSet:
    """Open a set by its name: one of `SETS`, or `script:DATASET` for the characters of another alphabet.

    Raises:
        UsageError: no such set.
        DatasetError: the set's files are absent, or every class looks like a known one.

    >>> from kalamos.alphabets import DIGITS
    >>> import numpy as np
    >>> scribbles = open_set("scribbles", OODContext(DIGITS, "eval"))
    >>> scribbles.draw(7).dtype, np.array_equal(scribbles.draw(7), scribbles.draw(7))
    (dtype('uint8'), True)
    >>> open_set("scribles", OODContext(DIGITS, "eval"))
    Traceback (most recent call last):
    kalamos.errors.UsageError: there is no outlier set 'scribles'; did you mean 'scribbles'?
    """
    kind, _, dataset = name.partition(":")
    if kind != "script":
        return SETS.get(name)(context)
    if not dataset:
        raise UsageError(f"outlier set {name!r} names no dataset", remedy="write script:NAME, as script:ahcd")
    return script(name, dataset, context)


def script(name: str, dataset: str, context: OODContext) -> OutlierSet:
    """Open a dataset's training images (`train`) or test images (`eval`), without classes that look known.

    Without a test split, one in five groups (or images) is for `eval`, the others for `train`.

    Args:
        name: what the set is to be called.
        dataset: a name or a path, as `load_dataset` takes it.

    Raises:
        DatasetError: it cannot be loaded, or each class is or looks like one of the alphabet's.
    """
    if dataset in DATASETS.names():  # refused before it is read
        _foreign(dataset, describe(dataset).alphabet, context)
    data = load_dataset(dataset, context.data_dir)
    kept = _foreign(dataset, data.alphabet, context)
    split, rows = data.train, _rows(data, context.split)
    if context.split == "eval" and data.test is not None:
        split, rows = data.test, np.arange(len(data.test))
    wanted = [data.alphabet.index(label) for label in kept]
    rows = rows[np.isin(split.labels[rows], wanted)]
    if not len(rows):
        raise DatasetError(f"{name}: there is no {context.split} image of {', '.join(kept)} in {dataset}")
    order = np.random.default_rng(context.seed).permutation(rows).tolist()
    images = split.images
    return OutlierSet(
        name, lambda index: images[order[index]], len(order), f"{len(kept)} classes: {' '.join(kept)}"
    )


def _foreign(dataset: str, alphabet: Alphabet, context: OODContext) -> tuple[str, ...]:
    kept = foreign_labels(alphabet, context.alphabet)
    if not kept:
        raise DatasetError(
            f"script:{dataset}: every class is, or looks like, one of the alphabet {context.alphabet.name!r}",
            remedy="take a dataset of another script",
        )
    return kept


def _rows(data: Dataset, split: OODSplit) -> NDArray[np.int64]:
    """Rows of the training images for an OOD split if the dataset has no test split, else all."""
    rows = np.arange(len(data.train))
    if data.test is not None:
        return rows
    fold = rows if data.train.groups is None else data.train.groups
    return np.flatnonzero((fold % FOLDS == 0) == (split == "eval"))
