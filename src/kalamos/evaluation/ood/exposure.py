"""Open out-of-distribution sets by name, and prepare them for training.

Characters of another alphabet, out of its dataset.

Outliers for training: prepared as everything else is, ready to be mixed into batches.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.dataset import prepare_each
from kalamos.datasets.named import DATASETS, describe
from kalamos.errors import DatasetError, NoInkError, UsageError
from kalamos.evaluation.ood.sets import SETS, OODContext, OODSplit, OutlierSet, foreign_labels
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage

__all__ = ["default_sets", "exposure", "open_set"]

DEFAULT_SCRIPTS = ("ahcd", "emnist-47", "mnist")
"""Asked for by default, where they have classes that the reader's alphabet has not."""

EVAL_FOLDS = 5
"""In a dataset without a test split, one in this many images or groups is for `eval`."""


def scripts_for(alphabet: Alphabet) -> tuple[str, ...]:
    """The names of the default sets of other scripts for a reader of this alphabet.

    >>> from kalamos.alphabets import DIGITS
    >>> scripts_for(DIGITS)
    ('script:ahcd', 'script:emnist-47')
    """
    return tuple(
        f"script:{name}" for name in DEFAULT_SCRIPTS if foreign_labels(describe(name).alphabet, alphabet)
    )


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
    return np.flatnonzero((fold % EVAL_FOLDS == 0) == (split == "eval"))


CHUNK = 32
MAX_DRAWS_PER_IMAGE = 20
"""Images drawn for each one kept, at most: a preprocessing that finds ink on so few is of no use."""


def default_sets(alphabet: Alphabet) -> tuple[str, ...]:
    """The names of all drawn and photographed sets, and of the scripts that `alphabet` has not.

    >>> from kalamos.alphabets import ARABIC_28
    >>> default_sets(ARABIC_28)[-3:]
    ('textures', 'script:emnist-47', 'script:mnist')
    """
    return (*SETS.names(), *scripts_for(alphabet))


def exposure(
    alphabet: Alphabet,
    preprocessor: Preprocessor,
    n: int,
    seed: int,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    sets: Sequence[str] | None = None,
    jobs: int | None = None,
) -> NDArray[np.uint8]:
    """Images of none of an alphabet's characters, as a network would see them.

    The `train` family of every set in turn, so that each is drawn alike often; those on which the
    preprocessing finds no ink are rejected already, and dropped. A set of fewer images than are asked for
    begins anew.

    Args:
        n: how many to give back.
        seed: at least 0; with the same sets the same images, whatever `jobs`.
        data_dir: where the named datasets are.
        sets: names for `open_set`; by default `default_sets`, without those whose files are absent.
            Name them where a training has to be the same elsewhere.
        jobs: threads; by default one a processor.

    Returns:
        uint8 [n, S, S], in a random order.

    Raises:
        UsageError: no such set, or none at all; a negative `n` or `seed`.
        DatasetError: a set that was asked for by name is absent, or hardly any image has ink on it.

    >>> from kalamos.alphabets import DIGITS
    >>> from kalamos.preprocessing import DEFAULT_STEPS
    >>> exposure(DIGITS, Preprocessor(DEFAULT_STEPS), 5, seed=1, sets=["scribbles", "shapes"]).shape
    (5, 28, 28)
    """
    if n < 0:
        raise UsageError(f"n = {n} images are fewer than none")
    context = OODContext(alphabet, "train", seed, data_dir)
    opened = (
        _opened(default_sets(alphabet), context) if sets is None else [open_set(s, context) for s in sets]
    )
    if not opened:
        raise UsageError(
            "there is no set to draw outliers from", remedy=f"name some of {', '.join(SETS.names())}"
        )

    size = preprocessor.output_size()
    images = np.empty((n, size, size), np.uint8)
    kept = 0
    drawn = prepare_each(
        partial(_drawn, opened), MAX_DRAWS_PER_IMAGE * n, preprocessor, jobs=jobs, chunk=CHUNK
    )
    for image in drawn:
        if not isinstance(image, NoInkError):
            images[kept] = image
            kept += 1
        if kept == n:
            break
    if kept < n:
        told = f"only {kept:,} of {MAX_DRAWS_PER_IMAGE * n:,} outliers have ink on them"
        raise DatasetError(told, remedy="name other sets")
    return np.random.default_rng(seed).permutation(images)


def _opened(names: Sequence[str], context: OODContext) -> list[OutlierSet]:
    present = []
    for name in names:
        try:
            present.append(open_set(name, context))
        except DatasetError:
            continue
    return present


def _drawn(opened: Sequence[OutlierSet], number: int) -> GreyImage:
    index, which = divmod(number, len(opened))
    chosen = opened[which]
    return chosen.draw(index if chosen.size is None else index % chosen.size)
