"""Which images to show: chosen by row, so that picture sheets and pages show the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.evaluation.evaluate import Evaluation

__all__ = ["ConfusedPair", "confused_pairs", "right_samples", "surest_mistakes", "unread_rows"]


@dataclass(frozen=True)
class ConfusedPair:
    """One kind of mistake.

    Attributes:
        truth: the true label; `predicted` the answer.
        count: how often.
        share: of the images of the true label, in (0, 1].
        rows: some of them, the surest first.
        like: the surest right reading of the true label and of the answer, where there is one.
    """

    truth: str
    predicted: str
    count: int
    share: float
    rows: tuple[int, ...]
    like: tuple[int | None, int | None]

    @property
    def frequency(self) -> str:
        """How often, in words."""
        return f"{'once' if self.count == 1 else f'{self.count:,} times'}, {self.share:.1%}"


def surest_mistakes(measured: Evaluation, most: int) -> NDArray[np.int64]:
    """Rows int64 of the images read wrongly, the surest first."""
    return _surest(measured, ~measured.correct & measured.read, most)


def unread_rows(measured: Evaluation, most: int) -> NDArray[np.int64]:
    """Rows int64 of the images that could not be read, in order."""
    return np.flatnonzero(~measured.read)[:most]


def right_samples(measured: Evaluation, most: int, seed: int = 42) -> NDArray[np.int64]:
    """Rows int64 of images read rightly: drawn at random, the same for a seed, in order."""
    right = np.flatnonzero(measured.correct)
    drawn = np.random.default_rng(seed).choice(right, min(most, len(right)), replace=False)
    rows: NDArray[np.int64] = np.sort(drawn)
    return rows


def confused_pairs(measured: Evaluation, pairs: int, each: int) -> list[ConfusedPair]:
    """The most frequent kinds of mistake, with up to `each` images of every one."""
    found = []
    for true_label, answer, count in measured.most_confused(pairs):
        truth, predicted = measured.labels.index(true_label), measured.labels.index(answer)
        rows = _surest(measured, (measured.truth == truth) & (measured.predicted == predicted), each)
        found.append(
            ConfusedPair(
                true_label,
                answer,
                count,
                count / int(measured.classes.support[truth]),
                tuple(rows.tolist()),
                (_example_of(measured, truth), _example_of(measured, predicted)),
            )
        )
    return found


def _example_of(measured: Evaluation, label: int) -> int | None:
    rows = _surest(measured, measured.correct & (measured.truth == label), 1)
    return int(rows[0]) if len(rows) else None


def _surest(measured: Evaluation, among: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(among)
    return rows[np.argsort(-measured.confidence[rows], kind="stable")][:most]
