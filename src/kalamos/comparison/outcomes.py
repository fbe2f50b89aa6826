"""What a comparison found out."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kalamos.comparison.verdicts import PairwiseTest
from kalamos.evaluation.metrics import wilson_interval
from kalamos.training import EpochReport

__all__ = ["Comparison", "Failure", "Measured", "Speed", "SystemOutcome"]


@dataclass(frozen=True, eq=False)
class Measured:
    """A member that was trained, exported and measured.

    Attributes:
        correct: bool [N], which images its model file reads right.
        sha256: fingerprint of those images and their labels.
        file_bytes: size of the model file.
        trainable, parameters: how many the training changed, and how many there are.
        epochs: of its training.
        seconds: that its epochs took, validation included.
    """

    seed: int
    folder: Path
    model: Path
    correct: NDArray[np.bool_]
    sha256: str
    file_bytes: int
    trainable: int
    parameters: int
    train_count: int
    val_accuracy: float
    epochs: tuple[EpochReport, ...]
    seconds: float

    @property
    def n(self) -> int:
        return len(self.correct)

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), self.n)

    @property
    def images_per_second(self) -> float:
        """In training; the median over the epochs."""
        return statistics.median(epoch.images_per_second for epoch in self.epochs)


@dataclass(frozen=True)
class Failure:
    """A member that there is no model of, and why."""

    seed: int
    folder: Path
    message: str


@dataclass(frozen=True)
class Speed:
    """Of the network alone, one image at a time in one thread of onnxruntime.

    Attributes:
        milliseconds: an image, the median over the rounds.
        quartiles: the first and the third, over the rounds.
        ratio: to the first system measured, the median of the rounds' ratios.
    """

    milliseconds: float
    quartiles: tuple[float, float]
    ratio: float


@dataclass(frozen=True)
class SystemOutcome:
    """A system with what became of its members; figures over seeds are means."""

    name: str
    architecture: str
    members: tuple[Measured | Failure, ...]
    speed: Speed | None
    """Of its first model; None where there is none."""

    @property
    def measured(self) -> tuple[Measured, ...]:
        return tuple(member for member in self.members if isinstance(member, Measured))

    @property
    def failures(self) -> tuple[Failure, ...]:
        return tuple(member for member in self.members if isinstance(member, Failure))

    @property
    def accuracy(self) -> float:
        return self.mean(lambda member: member.accuracy)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the mean accuracy, for the number of images (not times the seeds,
        which share them): what other images might have given. `deviation` is what other seeds might.
        """
        n = min(member.n for member in self.measured)
        return wilson_interval(round(self.accuracy * n), n)

    @property
    def deviation(self) -> float | None:
        """Standard deviation (n - 1) of the accuracy over the seeds; None for a single one."""
        accuracies = [member.accuracy for member in self.measured]
        return statistics.stdev(accuracies) if len(accuracies) > 1 else None

    def mean(self, figure: Callable[[Measured], float]) -> float:
        return statistics.fmean(map(figure, self.measured))


@dataclass(frozen=True)
class Comparison:
    """Systems on the same images.

    Attributes:
        dataset: as it was asked for.
        part: which of its images; see `EvalSplits`.
        passed_over: files of the dataset that hold no usable image.
        verdicts: on every pair of systems with a model each.
    """

    dataset: str
    part: str
    n: int
    passed_over: int
    systems: tuple[SystemOutcome, ...]
    verdicts: tuple[PairwiseTest, ...]

    @property
    def failures(self) -> tuple[tuple[str, Failure], ...]:
        """Systems' names and what failed."""
        return tuple((system.name, failure) for system in self.systems for failure in system.failures)
