"""Multinomial logistic regression that begins at a head and stays near it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.probabilities import softmax
from kalamos.teaching.graph import Head

__all__ = ["fit_head"]

FIT_STEPS = 150
"""Of Nesterov's accelerated gradient descent: the loss then falls by less than a thousandth a step."""


def fit_head(
    start: Head,
    embeddings: NDArray[np.floating],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    trainable: NDArray[np.bool_],
    temperature: float = 1.0,
    penalty: float = 1e-3,
) -> Head:
    """Minimise the weighted cross-entropy of softmax(logits / temperature), plus a penalty on moving away.

    Args:
        start: a head of C classes over D numbers.
        embeddings: [N, D].
        labels: int64 [N], in [0, C).
        weights: float64 [N], above 0; only their shares count.
        trainable: bool [C], the classes whose rows may change.
        penalty: of the squared change of the weights, in units of the embeddings' mean variance.

    >>> start = Head(np.zeros((2, 1)), np.zeros(2))
    >>> found = fit_head(
    ...     start, np.array([[-1.0], [1.0]]), np.array([0, 1]), np.ones(2), trainable=np.array([False, True])
    ... )
    >>> found.weight[0].tolist(), bool(found.weight[1, 0] > 1)
    ([0.0], True)
    """
    wide = embeddings.astype(np.float64) / temperature
    shares = (weights / weights.sum())[:, np.newaxis]
    spread = float(wide.var(axis=0).mean()) or 1.0
    inputs = np.hstack([wide, np.full((len(wide), 1), 1 / temperature)])  # the last column is the bias's
    truth = np.eye(len(start.bias))[labels]
    begun = start.logits(embeddings) / temperature
    pull = np.append(np.full(wide.shape[1], penalty * spread), 0.0)
    # The largest curvature of the cross-entropy is half that of least squares (Boehning 1992).
    rate = 1 / (np.linalg.norm(inputs * np.sqrt(shares), 2) ** 2 / 2 + penalty * spread)
    change = before = np.zeros((len(start.bias), inputs.shape[1]))
    for step in range(FIT_STEPS):
        ahead = change + step / (step + 3) * (change - before)
        errors = shares * (softmax(begun + inputs @ ahead.T) - truth)
        slope = errors.T @ inputs + pull * ahead
        before, change = change, np.where(trainable[:, np.newaxis], ahead - rate * slope, 0.0)
    return Head(start.weight + change[:, :-1], start.bias + change[:, -1])
