"""Logits to probabilities: the one softmax that prediction, calibration and evaluation share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["restricted_softmax", "softmax"]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Logits [N, C] -> probabilities float64 [N, C], rows summing to 1.

    Args:
        temperature: above 1 makes the model less sure, below 1 more (Guo et al. 2017).

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    scaled = np.divide(logits, temperature, dtype=np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    powers: NDArray[np.float64] = np.exp(scaled, out=scaled)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def restricted_softmax(
    logits: NDArray[np.floating], kept: Sequence[int], temperature: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The softmax over some of the classes, and what it takes from the others.

    Args:
        kept: those classes, K of C.

    Returns:
        Probabilities float64 [N, K], rows summing to 1; and float64 [N], the share of the probability over
        all classes that the classes left out had, in [0, 1].

    >>> probabilities, removed = restricted_softmax(np.log([[0.1, 0.3, 0.6]]), [0, 1])
    >>> probabilities.round(3).tolist(), removed.round(3).tolist()
    ([[0.25, 0.75]], [0.6])
    """
    columns = np.asarray(kept)
    # From the logits, not from the shares: of a picture of something else those may all be 0.
    within = softmax(logits[:, columns], temperature)
    removed = 1.0 - softmax(logits, temperature)[:, columns].sum(axis=1)
    return within, np.clip(removed, 0.0, 1.0)
