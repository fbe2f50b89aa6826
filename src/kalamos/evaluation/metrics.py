"""The figures, in NumPy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion_matrix", "expected_calibration_error", "wilson_interval"]


def wilson_interval(correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927), which stays inside [0, 1] near the ends.

    >>> low, high = wilson_interval(9950, 10000)
    >>> round(low, 4), round(high, 4)
    (0.9934, 0.9962)
    >>> wilson_interval(0, 0)
    (0.0, 1.0)
    """
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def expected_calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """ECE (Naeini et al. 2015; 15 equal bins as Guo et al. 2017): mean gap of confidence and accuracy.

    Args:
        confidence: [N] in [0, 1].
        correct: bool [N].

    >>> expected_calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, True, False]))
    0.0
    """
    if not len(confidence):
        return math.nan
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def confusion_matrix(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """int64 [classes, classes]: row = true label, column = predicted.

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)
