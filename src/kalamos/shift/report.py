"""The suite's figures, and their plain form.

As a mapping (`shift.json` has these keys, and those of `saving`); a figure that there is none of is null:

n, seed               images, each read once as it is and once a cell; the seed of sample and corruptions
sha256                fingerprint of the sampled images and labels
clean                 {"value", "low", "high"}: accuracy on the same images as they are, 95 % Wilson interval
clean_no_ink          how many of them were found blank; they count as wrong
means                 {"all", "MNIST-C", "photograph"}: mean of each corruption's mean over its strengths;
                      95 % interval by bootstrap over the images (1,000 times; Efron 1979)
worst                 {"corruption", "accuracy"}: the lowest mean
ece, mean_confidence  over all cells' images in which ink was found, with the model's temperature
no_ink                corrupted images found blank, which count as wrong
cells                 [{"corruption", "group", "strength", "n", "correct", "no_ink", "accuracy",
                      "interval_95", "ece", "mean_confidence"}, ...]; 95 % Wilson intervals
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.metrics import expected_calibration_error, wilson_interval
from kalamos.shift.catalogue import MNIST_C, PHOTOGRAPH, STRENGTHS, Group
from kalamos.shift.corruptions import CORRUPTIONS

__all__ = ["ALL", "Cell", "Estimate", "ShiftReport", "summarise"]

ALL = "all"
TIMES = 1000


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1] and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2%}   95 % interval [{self.low:.2%}, {self.high:.2%}]"


@dataclass(frozen=True)
class Cell:
    """One corruption at one strength.

    Attributes:
        n: images; `correct` of them were read rightly, in `no_ink` no ink was found.
        ece: of the images in which ink was found, like `mean_confidence`; None where there are none.
    """

    corruption: str
    group: Group
    strength: int
    n: int
    correct: int
    no_ink: int
    ece: float | None
    mean_confidence: float | None

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.n)


@dataclass(frozen=True)
class ShiftReport:
    """How a model does under every corruption; see this module's docstring.

    Attributes:
        cells: corruption by corruption, strengths 1, 2, 3.
        means: "all", and "MNIST-C" and "photograph" where any of their kinds were measured.
    """

    n: int
    seed: int
    sha256: str
    clean: Estimate
    clean_no_ink: int
    means: Mapping[str, Estimate]
    ece: float | None
    mean_confidence: float | None
    cells: tuple[Cell, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions, in the order of `cells`."""
        return tuple(dict.fromkeys(cell.corruption for cell in self.cells))

    def of(self, name: str) -> tuple[Cell, ...]:
        """A corruption's cells, by rising strength."""
        return tuple(cell for cell in self.cells if cell.corruption == name)

    def accuracy(self, name: str) -> float:
        """A corruption's mean over its strengths."""
        cells = self.of(name)
        return sum(cell.accuracy for cell in cells) / len(cells)

    def worst(self, most: int = 1) -> tuple[str, ...]:
        """The corruptions with the lowest means, the worst first."""
        return tuple(sorted(self.names, key=self.accuracy)[:most])

    @property
    def no_ink(self) -> int:
        return sum(cell.no_ink for cell in self.cells)

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON types under the keys that this module's docstring lists."""
        worst = self.worst()[0]
        cells = [
            {**asdict(cell), "accuracy": cell.accuracy, "interval_95": list(cell.interval)}
            for cell in self.cells
        ]
        return {
            "n": self.n,
            "seed": self.seed,
            "sha256": self.sha256,
            "clean": asdict(self.clean),
            "clean_no_ink": self.clean_no_ink,
            "means": {group: asdict(mean) for group, mean in self.means.items()},
            "worst": {"corruption": worst, "accuracy": self.accuracy(worst)},
            "ece": self.ece,
            "mean_confidence": self.mean_confidence,
            "no_ink": self.no_ink,
            "cells": cells,
        }


def summarise(
    names: tuple[str, ...],
    clean: Evaluation,
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float32],
    seed: int,
) -> ShiftReport:
    """The figures of what was read: arrays [K, 3, N] as in `suite.Outcomes`."""
    correct, read = predicted == clean.truth, predicted >= 0
    cells = []
    for place, name in enumerate(names):
        for index, strength in enumerate(STRENGTHS):
            at = place, index
            ece, sure = _calibration(confidence[at], correct[at], read[at])
            right, blank = int(correct[at].sum()), int((~read[at]).sum())
            group = CORRUPTIONS[name].group
            cells.append(Cell(name, group, strength, clean.n, right, blank, ece, sure))
    means = {ALL: _mean(correct, seed)}
    for group in (MNIST_C, PHOTOGRAPH):
        members = [place for place, name in enumerate(names) if CORRUPTIONS[name].group == group]
        if members:
            means[group] = _mean(correct[members], seed)
    ece, sure = _calibration(confidence, correct, read)
    accuracy = Estimate(clean.accuracy, *clean.interval)
    return ShiftReport(clean.n, seed, clean.sha256, accuracy, clean.unread, means, ece, sure, tuple(cells))


def _mean(correct: NDArray[np.bool_], seed: int) -> Estimate:
    """The mean of bool [K, 3, N], and how it would vary with other images."""
    # The cells share their images, so what one image adds to the mean is drawn as a whole.
    scores = correct.mean(axis=(0, 1))
    generator = np.random.default_rng(seed)
    means = [scores[generator.integers(0, len(scores), len(scores))].mean() for _ in range(TIMES)]
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return Estimate(float(scores.mean()), low, high)


def _calibration(
    confidence: NDArray[np.float32], correct: NDArray[np.bool_], read: NDArray[np.bool_]
) -> tuple[float | None, float | None]:
    if not read.any():
        return None, None
    sure = confidence[read]
    return expected_calibration_error(sure, correct[read]), float(sure.mean(dtype=np.float64))
