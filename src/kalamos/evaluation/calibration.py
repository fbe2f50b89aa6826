"""Temperature scaling (Guo et al. 2017): one number that makes confidences mean what they say."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kalamos.probabilities import softmax

__all__ = ["fit_temperature", "negative_log_likelihood"]


def negative_log_likelihood(
    logits: NDArray[np.floating], labels: NDArray[np.int64], temperature: float = 1.0
) -> float:
    """Mean of -log p(true label), in nats."""
    probabilities = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(probabilities, 1e-300)).mean())


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature in [0.05, 20] that minimises the negative log-likelihood.

    Args:
        logits: [N, C] on data that the network has not been trained on.
        labels: int64 [N].

    >>> logits = np.array([[9.0, 0.0]] * 3 + [[0.0, 9.0]])   # far too sure: one of four is wrong
    >>> temperature = fit_temperature(logits, np.zeros(4, np.int64))
    >>> softmax(logits, temperature)[0].round(2).tolist()
    [0.75, 0.25]
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, math.exp(log_t)),
        bounds=(math.log(0.05), math.log(20.0)),
        method="bounded",
    )
    return float(math.exp(found.x))
