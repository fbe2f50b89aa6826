"""Tell capitals from small letters that share their class: a bar is no capital L.

Latin alphabets of one class for both cases put l to L. Who asks for capitals alone means by a bar an I,
which the model, that has seen the bars of both, often calls L.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ClassMask
from kalamos.postprocessing import Inference

__all__ = ["bars_as_capitals", "is_bar", "labels_without_small_l"]

Grey = NDArray[np.uint8]

STROKE_LEVEL: Final = 100
"""Levels of ink from this on (of 255) are a stroke."""

STEM_FRACTION: Final = 0.6
"""Of a letter's height, from above: an L has nothing but its stem there."""

MAX_FOOT_FRACTION: Final = 0.14
"""Of a letter's height: how far a bar's lower end reaches to the right of its stem at most, between what
real-dev's students have in an L and in an I that was taken for one."""

MIN_STEM_PX: Final = 4
"""A lower letter's slant cannot be measured."""

MEANT: Final = "I", "1"
"""What a bar may be."""


def labels_without_small_l(mask: ClassMask | None) -> tuple[str, ...] | None:
    """Return the labels of a mask that has L and no l; None of others, where a bar may be an l.

    >>> from kalamos.alphabets import LATIN_47, restrict
    >>> labels_without_small_l(restrict(LATIN_47, "IL")), labels_without_small_l(restrict(LATIN_47, "I L l"))
    (('I', 'L'), None)
    """
    return None if mask is None or "L" not in mask.only_capitals else mask.labels


def is_bar(ink: Grey) -> bool:
    """Return whether ink, uint8 [H, W], bright on black, has no foot as an L has, however it leans.

    >>> stem = np.zeros((40, 40), np.uint8)
    >>> stem[5:35, 10:14] = 255
    >>> ell = stem.copy()
    >>> ell[31:35, 10:28] = 255
    >>> is_bar(stem), is_bar(ell)
    (True, False)
    """
    rows, columns = np.nonzero(ink >= STROKE_LEVEL)
    if not len(rows):
        return False
    height = int(np.ptp(rows)) + 1
    upper = rows < rows.min() + STEM_FRACTION * height
    if np.ptp(rows[upper]) < MIN_STEM_PX:
        return False
    slope = np.polyfit(rows[upper], columns[upper], 1)[0]
    upright = columns - slope * rows
    return bool(upright[~upper].max() - upright[upper].max() <= MAX_FOOT_FRACTION * height)


def bars_as_capitals(
    found: Inference, inks: Sequence[Grey], labels: Sequence[str], asked: Sequence[Collection[str] | None]
) -> Inference:
    """Give the probability of an L to the I, or the 1, where the ink is a bar and no small l is asked for.

    Args:
        found: the answers to M images.
        inks: these, uint8 [H, W] each, bright on black.
        labels: of the probabilities' columns.
        asked: for each image what `labels_without_small_l` returns; None leaves it as it is.

    Returns:
        The same, but for two probabilities of each bar: they are exchanged. Logits stay as they are.
    """
    if "L" not in labels:
        return found
    ell, probabilities = labels.index("L"), found.probabilities.copy()
    for row, (ink, allowed) in enumerate(zip(inks, asked, strict=True)):
        meant = [labels.index(each) for each in MEANT if allowed and each in allowed and each in labels]
        if not meant:
            continue
        best = max(meant, key=lambda column: float(probabilities[row, column]))
        if probabilities[row, ell] > probabilities[row, best] and is_bar(ink):
            probabilities[row, [ell, best]] = probabilities[row, [best, ell]]
    return found._replace(probabilities=probabilities)
