"""Logits to probabilities: the one softmax that prediction, calibration and evaluation share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["softmax"]


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
