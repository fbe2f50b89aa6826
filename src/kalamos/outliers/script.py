"""Characters of another alphabet, out of its dataset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.named import DATASETS, describe
from kalamos.errors import DatasetError
from kalamos.outliers.lookalikes import foreign_labels
from kalamos.outliers.sets import OutlierSet, Setting, Side

__all__ = ["SCRIPTS", "script", "scripts_for"]

SCRIPTS = ("ahcd", "emnist-47", "mnist")
"""Asked for by default, where they have classes that the reader's alphabet has not."""

FOLDS = 5
"""Of a dataset without a test split, one in so many images or groups is for judging."""


def scripts_for(alphabet: Alphabet) -> tuple[str, ...]:
    """The names of the default sets of other scripts for a reader of this alphabet.

    >>> from kalamos.alphabets import DIGITS
    >>> scripts_for(DIGITS)
    ('script:ahcd', 'script:emnist-47')
    """
    return tuple(f"script:{name}" for name in SCRIPTS if foreign_labels(describe(name).alphabet, alphabet))


def script(name: str, dataset: str, setting: Setting) -> OutlierSet:
    """Exposed: the dataset's training images. Judged: its test images. Without classes that look known.

    Where it has no test split, one in five groups (or images) is judged, the others exposed.

    Args:
        name: what the set is to be called.
        dataset: a name or a path, as `load_dataset` takes it.

    Raises:
        DatasetError: it cannot be loaded, or each class is or looks like one of the alphabet's.
    """
    if dataset in DATASETS.names():  # refused before it is read
        _foreign(dataset, describe(dataset).alphabet, setting)
    data = load_dataset(dataset, setting.data_dir)
    kept = _foreign(dataset, data.alphabet, setting)
    split, rows = data.train, _rows(data, setting.side)
    if setting.side == "judged" and data.test is not None:
        split, rows = data.test, np.arange(len(data.test))
    wanted = [data.alphabet.index(label) for label in kept]
    rows = rows[np.isin(split.labels[rows], wanted)]
    if not len(rows):
        raise DatasetError(f"{name}: there is no {setting.side} image of {', '.join(kept)} in {dataset}")
    order = np.random.default_rng(setting.seed).permutation(rows).tolist()
    images = split.images
    return OutlierSet(
        name, lambda index: images[order[index]], len(order), f"{len(kept)} classes: {' '.join(kept)}"
    )


def _foreign(dataset: str, alphabet: Alphabet, setting: Setting) -> tuple[str, ...]:
    kept = foreign_labels(alphabet, setting.alphabet)
    if not kept:
        raise DatasetError(
            f"script:{dataset}: every class is, or looks like, one of the alphabet {setting.alphabet.name!r}",
            remedy="take a dataset of another script",
        )
    return kept


def _rows(data: Dataset, side: Side) -> NDArray[np.int64]:
    """Rows of the training images for a side, where there is no test split; else all."""
    rows = np.arange(len(data.train))
    if data.test is not None:
        return rows
    fold = rows if data.train.groups is None else data.train.groups
    return np.flatnonzero((fold % FOLDS == 0) == (side == "judged"))
