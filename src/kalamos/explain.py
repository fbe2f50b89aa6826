"""Which parts of a character an answer rests on, found by covering them (Zeiler and Fergus 2014).

Needs nothing but the model's answers, so it explains every model file, and no PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kalamos.images import ImageSource
    from kalamos.preprocessing.steps import GreyImage
    from kalamos.recognizer import Recognizer

__all__ = ["occlusion", "overlay"]

PATCH, STRIDE = 1 / 6, 1 / 14
"""Sides of the cover and of a step, as shares of the image's: about as wide as a stroke, and half of that."""

BATCH = 64

FOR, AGAINST = (255, 122, 0), (0, 122, 255)
"""RGB of what speaks for the answer and of what speaks against it; told apart by the colour-blind too."""


def occlusion(reader: Recognizer, source: ImageSource, *, label: str | None = None) -> NDArray[np.float32]:
    """Measure how much less probable a label becomes as parts of the ink are covered.

    A square cover moves over the image that the model sees. Each place gets the mean, over the covers that
    lie on it, of the fall of the label's log-probability.

    Args:
        reader: the model.
        source: any image, as for `Recognizer.predict`.
        label: of the model's alphabet; None takes its best one.

    Returns:
        float32 [S, S] in nats, S = `spec.input_size`: positive where the ink speaks for the label, negative
        where it speaks against it, 0 where there is none.

    Raises:
        ImageError: the image cannot be read, or is blank (`NoInkError`).
        AlphabetError: the model has no such label.

    >>> import numpy as np
    >>> from kalamos.recognizer import load
    >>> page = np.full((80, 60), 255, np.uint8)
    >>> page[10:70, 27:33] = 0                        # an upright stroke: 1
    >>> heat = occlusion(load("digits"), page)
    >>> heat.shape, bool(heat[:, 12:16].max() > 0), bool(heat[0, 0] == 0)
    ((28, 28), True, True)
    """
    prepared = reader.prepare(source)
    whole = _log_probabilities(reader, prepared[np.newaxis])[0]
    target = int(whole.argmax()) if label is None else reader.spec.alphabet.index(label)
    fall, covers = np.zeros(prepared.shape), np.zeros(prepared.shape)
    # Covering blank paper changes nothing, and need not be asked of the model.
    windows = list(_windows(prepared.shape[0]))
    inked = [window for window in windows if prepared[window].any()]
    for start in range(0, len(inked), BATCH):
        some = inked[start : start + BATCH]
        covered = np.repeat(prepared[np.newaxis], len(some), axis=0)
        for image, window in zip(covered, some, strict=True):
            image[window] = 0
        for window, value in zip(some, _log_probabilities(reader, covered)[:, target], strict=True):
            fall[window] += whole[target] - value
    for window in windows:
        covers[window] += 1
    # A label that has no chance at all falls by more than float32 holds.
    most = np.finfo(np.float32).max
    return np.clip(fall / covers, -most, most).astype(np.float32)


def overlay(prepared: GreyImage, heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw a heat map over what the model saw.

    Args:
        prepared: uint8 [S, S], as `Recognizer.prepare` makes it.
        heat: float32 [S, S], as `occlusion` makes it; the strongest place gets the full colour.

    Returns:
        RGB uint8 [S, S, 3].

    >>> overlay(np.full((1, 2), 100, np.uint8), np.array([[0, 2]], np.float32)).tolist()
    [[[100, 100, 100], [224, 118, 20]]]
    """
    grey = np.repeat(prepared[..., np.newaxis], 3, axis=2).astype(np.float32)
    strongest = float(np.abs(heat).max())
    if strongest > 0:
        weight = 0.8 * (np.abs(heat) / strongest)[..., np.newaxis]
        colour = np.where(heat[..., np.newaxis] > 0, FOR, AGAINST)
        grey = (grey * (1 - weight) + colour * weight).astype(np.float32)
    return grey.round().astype(np.uint8)


def _windows(side: int) -> Iterator[tuple[slice, slice]]:
    """Yield squares that together cover every place of a side x side image."""
    patch, stride = max(1, round(side * PATCH)), max(1, round(side * STRIDE))
    starts = sorted({*range(0, side - patch, stride), side - patch})
    for top in starts:
        for left in starts:
            yield slice(top, top + patch), slice(left, left + patch)


def _log_probabilities(reader: Recognizer, prepared: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute calibrated log-probabilities, uint8 [N, S, S] -> [N, C]: probabilities near 1 hardly move."""
    scaled = reader.logits(list(prepared)).astype(np.float64) / reader.spec.temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return result
