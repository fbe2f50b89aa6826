"""Outliers for training: prepared as everything else is, ready to be mixed into batches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets.prepare import prepare_each
from kalamos.errors import DatasetError, NoInkError, UsageError
from kalamos.outliers.script import open_set, scripts_for
from kalamos.outliers.sets import SETS, OODContext, OutlierSet
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage

__all__ = ["default_sets", "exposure"]

CHUNK = 32
MOST_DRAWN = 20
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
    drawn = prepare_each(partial(_drawn, opened), MOST_DRAWN * n, preprocessor, jobs=jobs, chunk=CHUNK)
    for image in drawn:
        if not isinstance(image, NoInkError):
            images[kept] = image
            kept += 1
        if kept == n:
            break
    if kept < n:
        told = f"only {kept:,} of {MOST_DRAWN * n:,} outliers have ink on them"
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
