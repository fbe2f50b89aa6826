"""Run a recogniser over a labelled split and measure it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.errors import AlphabetError, DatasetError, ImageError
from kalamos.evaluation.confusables import case_folding, merging
from kalamos.evaluation.metrics import (
    ClassScores,
    Reliability,
    brier_score,
    class_scores,
    confusion_matrix,
    log_loss,
    reliability,
    truth_ranks,
    wilson_interval,
)
from kalamos.evaluation.selective import RiskCoverage, risk_coverage
from kalamos.probabilities import softmax
from kalamos.recognizer import Recognizer

__all__ = ["Evaluation", "evaluate"]

CHUNK = 64
NAMED = 10
"""Unknown labels that a message lists."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one split; every figure follows from the probabilities.

    An image that could not be read (blank) counts as wrong, and as the least sure. It gave no
    probabilities, so calibration (`reliability`, `ece`, `nll`, `brier`) is that of the others.

    Attributes:
        truth: int64 [N], true label indices.
        probabilities: float32 [N, C], calibrated; a row of zeros where the image could not be read.
        labels: the model's labels, in order.
        sha256: fingerprint of the split.
    """

    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]
    sha256: str

    @property
    def n(self) -> int:
        return len(self.truth)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """int64 [N], label indices; -1 where unread."""
        best: NDArray[np.int64] = np.where(self.confidence > 0, self.probabilities.argmax(axis=1), -1)
        return best

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """float32 [N], the largest probability; 0 where unread."""
        largest: NDArray[np.float32] = self.probabilities.max(axis=1)
        return largest

    @cached_property
    def read(self) -> NDArray[np.bool_]:
        """Which images had ink, bool [N]."""
        return self.predicted >= 0

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Which images were read rightly, bool [N]."""
        matches: NDArray[np.bool_] = self.truth == self.predicted
        return matches

    @property
    def unread(self) -> int:
        return int(self.n - self.read.sum())

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), self.n)

    def top_k(self, k: int) -> float:
        """The share of images whose true label is among the k best candidates."""
        return float((self._ranks < k).mean())

    @property
    def case_folded_accuracy(self) -> float | None:
        """Accuracy where `a` read as `A` is right; None for an alphabet without cased pairs."""
        return self._accuracy_under(case_folding(self.labels))

    @property
    def confusables_merged_accuracy(self) -> float | None:
        """Accuracy where `0` read as `O` is right (see `confusables`); None without such labels."""
        return self._accuracy_under(merging(self.labels))

    @cached_property
    def classes(self) -> ClassScores:
        """Precision, recall and F1 by class."""
        return class_scores(self.truth, self.predicted, len(self.labels))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """int64 [C, C] over the images that were read: row = truth, column = prediction."""
        return confusion_matrix(self.truth[self.read], self.predicted[self.read], len(self.labels))

    def most_confused(self, k: int = 5) -> list[tuple[str, str, int]]:
        """The k most frequent mistakes: (true label, predicted label, count)."""
        mistakes = self.confusion.copy()
        np.fill_diagonal(mistakes, 0)
        order = np.argsort(-mistakes, axis=None, kind="stable")[:k]
        rows, columns = np.unravel_index(order, mistakes.shape)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return [(self.labels[r], self.labels[c], int(mistakes[r, c])) for r, c in pairs if mistakes[r, c]]

    @cached_property
    def reliability(self) -> Reliability:
        """Confidence against accuracy in 15 bins."""
        return reliability(self.confidence[self.read], self.correct[self.read])

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]; NaN where nothing was read."""
        return self.reliability.ece

    @property
    def nll(self) -> float:
        """Negative log-likelihood, in nats; NaN where nothing was read."""
        return log_loss(self.probabilities[self.read], self.truth[self.read])

    @property
    def brier(self) -> float:
        """Brier score, in [0, 2]; NaN where nothing was read."""
        return brier_score(self.probabilities[self.read], self.truth[self.read])

    @cached_property
    def selective(self) -> RiskCoverage:
        """Errors among the surest, for every coverage."""
        return risk_coverage(self.confidence, self.correct)

    @cached_property
    def _ranks(self) -> NDArray[np.int64]:
        ranks = truth_ranks(self.probabilities, self.truth)
        ranks[~self.read] = np.iinfo(np.int64).max  # found by no k
        return ranks

    def _accuracy_under(self, mapping: NDArray[np.int64] | None) -> float | None:
        if mapping is None:
            return None
        same = mapping[self.truth[self.read]] == mapping[self.predicted[self.read]]
        return float(same.sum() / self.n)


def evaluate(
    reader: Recognizer,
    split: Split,
    labels: tuple[str, ...],
    *,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Measure `reader` on `split`, along the very path that prediction takes.

    Args:
        labels: the split's own label order; the model may have another, or more.
        on_progress: called now and then with the number of images done.

    Raises:
        DatasetError: the split is empty, or has a class that the model does not know.
    """
    if not len(split):
        raise DatasetError("there is nothing to evaluate: the split is empty")
    to_model = _positions(reader, labels)
    probabilities = np.zeros((len(split), len(reader.labels)), np.float32)
    for start in range(0, len(split), CHUNK):
        prepared, rows = [], []
        for row in range(start, min(start + CHUNK, len(split))):
            try:
                prepared.append(reader.prepare(split.images[row]))
                rows.append(row)
            except ImageError:
                continue
        if prepared:
            probabilities[rows] = softmax(reader.logits(prepared), reader.spec.temperature)
        on_progress(min(start + CHUNK, len(split)))
    return Evaluation(to_model[split.labels], probabilities, reader.labels, split.sha256)


def _positions(reader: Recognizer, labels: tuple[str, ...]) -> NDArray[np.int64]:
    """The model's output for each of the split's labels, int64 [len(labels)]."""
    positions, unknown = [], []
    for label in labels:
        try:
            positions.append(reader.spec.alphabet.index(label))
        except AlphabetError:
            unknown.append(label)
    if unknown:
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        raise DatasetError(
            f"the model {reader.spec.name!r} does not know {', '.join(sorted(unknown)[:NAMED])}{more}",
            remedy="evaluate it on a dataset of its own alphabet",
        )
    return np.array(positions, np.int64)
