"""Temperature scaling (Guo et al. 2017): one number that makes confidences mean what they say."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kalamos.probabilities import softmax

__all__ = ["fit_temperature", "negative_log_likelihood"]


def negative_log_likelihood(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    temperature: float = 1.0,
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Mean of -log p(true label), in nats; `weights` [N] make it a weighted one."""
    probabilities = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.maximum(probabilities, 1e-300)), weights=weights))


def fit_temperature(
    logits: NDArray[np.floating], labels: NDArray[np.int64], weights: NDArray[np.floating] | None = None
) -> float:
    """The temperature in [0.05, 20] that minimises the negative log-likelihood.

    Args:
        logits: [N, C] on data that the network has not been trained on.
        labels: int64 [N].
        weights: [N], above 0, for data whose classes are not as frequent as where the network will read.

    >>> logits = np.array([[9.0, 0.0]] * 3 + [[0.0, 9.0]])   # far too sure: one of four is wrong
    >>> temperature = fit_temperature(logits, np.zeros(4, np.int64))
    >>> softmax(logits, temperature)[0].round(2).tolist()
    [0.75, 0.25]
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, math.exp(log_t), weights),
        bounds=(math.log(0.05), math.log(20.0)),
        method="bounded",
    )
    return float(math.exp(found.x))
