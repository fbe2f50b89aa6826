"""Run a recogniser over a labelled split and measure it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.errors import DatasetError, ImageError
from kalamos.evaluation.metrics import confusion_matrix, expected_calibration_error, wilson_interval
from kalamos.probabilities import softmax
from kalamos.recognizer import Recognizer

__all__ = ["Evaluation", "evaluate"]

CHUNK = 64


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one split.

    Attributes:
        truth: int64 [N], true label indices.
        predicted: int64 [N]; -1 where the image could not be read (blank), which counts as wrong.
        confidence: float64 [N], calibrated, in [0, 1]; 0 where unread.
        labels: the alphabet's labels, in order.
        sha256: fingerprint of the split.
    """

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    labels: tuple[str, ...]
    sha256: str

    @property
    def n(self) -> int:
        return len(self.truth)

    @property
    def correct(self) -> NDArray[np.bool_]:
        matches: NDArray[np.bool_] = self.truth == self.predicted
        return matches

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), self.n)

    @property
    def unread(self) -> int:
        return int((self.predicted < 0).sum())

    @property
    def ece(self) -> float:
        return expected_calibration_error(self.confidence, self.correct)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 [C, C] over the images that were read: row = truth, column = prediction."""
        read = self.predicted >= 0
        return confusion_matrix(self.truth[read], self.predicted[read], len(self.labels))

    def per_class_accuracy(self) -> NDArray[np.float64]:
        """float64 [C]; NaN for a class without images."""
        counts = np.bincount(self.truth, minlength=len(self.labels))
        right = np.bincount(self.truth[self.correct], minlength=len(self.labels))
        shares = np.full(len(counts), np.nan)
        np.divide(right, counts, out=shares, where=counts > 0)
        return shares

    def most_confused(self, k: int = 5) -> list[tuple[str, str, int]]:
        """The k most frequent mistakes: (true label, predicted label, count)."""
        mistakes = self.confusion.copy()
        np.fill_diagonal(mistakes, 0)
        order = np.argsort(-mistakes, axis=None, kind="stable")[:k]
        rows, columns = np.unravel_index(order, mistakes.shape)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return [(self.labels[r], self.labels[c], int(mistakes[r, c])) for r, c in pairs if mistakes[r, c]]


def evaluate(reader: Recognizer, split: Split, labels: tuple[str, ...]) -> Evaluation:
    """Measure `reader` on `split`, along the very path that prediction takes.

    Args:
        labels: the split's own label order; the model may have another, or more.

    Raises:
        DatasetError: the split is empty, or has a class that the model does not know.
    """
    if not len(split):
        raise DatasetError("there is nothing to evaluate: the split is empty")
    unknown = sorted(set(labels) - set(reader.labels))
    if unknown:
        raise DatasetError(
            f"the model {reader.spec.name!r} does not know {', '.join(unknown)}",
            remedy="evaluate it on a dataset of its own alphabet",
        )
    to_model = np.array([reader.labels.index(label) for label in labels], np.int64)
    predicted = np.full(len(split), -1, np.int64)
    confidence = np.zeros(len(split))
    for start in range(0, len(split), CHUNK):
        prepared, rows = [], []
        for row in range(start, min(start + CHUNK, len(split))):
            try:
                prepared.append(reader.prepare(split.images[row]))
                rows.append(row)
            except ImageError:
                continue
        if prepared:
            probabilities = softmax(reader.logits(prepared), reader.spec.temperature)
            predicted[rows] = probabilities.argmax(axis=1)
            confidence[rows] = probabilities.max(axis=1)
    return Evaluation(to_model[split.labels], predicted, confidence, reader.labels, split.sha256)
