"""From logits to predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kalamos.predictions import Candidate, Prediction
from kalamos.probabilities import restricted_softmax, softmax
from kalamos.reading_options import ReadingOptions

__all__ = ["predictions_of"]


def predictions_of(
    logits: NDArray[np.float32], temperature: float, paths: Sequence[str | None], options: ReadingOptions
) -> list[Prediction]:
    """What a model answers, within the charset, with its `top_k` candidates, or abstaining.

    Args:
        logits: float32 [N, C], of all the model's labels.
        temperature: that they are divided by.
        paths: N names for the predictions.

    >>> options = ReadingOptions(top_k=1, threshold=0.9, labels=("a", "b"), restriction=None)
    >>> predictions_of(np.array([[4, 0], [1, 0]], np.float32), 1.0, ["x.png", "y.png"], options)
    [Prediction(label='a', confidence=0.982, path='x.png'), \
Prediction(label=None, confidence=0.731, path='y.png', abstained=True)]
    """
    labels = options.labels
    removed: Sequence[float | None]
    if options.restriction is None:
        removed = [None] * len(logits)
        probabilities = softmax(logits, temperature)
    else:
        kept = options.restriction.positions
        probabilities, gone = restricted_softmax(logits, kept, temperature)
        removed = gone.tolist()
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : options.top_k]
    # Half the cost of take_along_axis, which one image alone would feel.
    confidences = probabilities[np.arange(len(order))[:, np.newaxis], order]
    predictions = []
    for path, indices, values, share in zip(
        paths, order.tolist(), confidences.tolist(), removed, strict=True
    ):
        top = tuple([Candidate(labels[i], value) for i, value in zip(indices, values, strict=True)])
        best, confidence = top[0]
        abstained = not confidence >= options.threshold  # of NaN too
        label = None if abstained else best
        predictions.append(Prediction(label, confidence, top, path, None, abstained, share))
    return predictions
