"""What a comparison measured, and pairwise significance tests."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kalamos.evaluation.metrics import McNemar, mcnemar, wilson_interval
from kalamos.learn.callbacks import EpochReport

__all__ = [
    "SIGNIFICANCE_LEVEL",
    "Comparison",
    "Failure",
    "Measured",
    "PairwiseTest",
    "Speed",
    "SystemOutcome",
    "compare_pairs",
    "holm",
    "majority_p",
]

SIGNIFICANCE_LEVEL = 0.05

Answers = NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        figures = [
            f"{system.name} {system.accuracy:.2%}" if system.measured else f"{system.name} failed"
            for system in self.systems
        ]
        return f"Comparison({self.dataset!r}, {self.part}, n = {self.n}: {', '.join(figures)})"

    @property
    def failures(self) -> tuple[tuple[str, Failure], ...]:
        """Systems' names and what failed."""
        return tuple((system.name, failure) for system in self.systems for failure in system.failures)


@dataclass(frozen=True)
class SystemOutcome:
    """A system with what became of its members; figures over seeds are means."""

    name: str
    architecture: str
    members: tuple[Measured | Failure, ...]
    speed: Speed | None
    """The first model's; None if there is no model."""

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
class PairwiseTest:
    """What is known about two systems.

    Attributes:
        a: the system that comes first; `b` the other.
        accuracy_a: mean over the seeds that both have; `accuracy_b` likewise.
        tests: McNemar's, seed by seed.
        p_value: of all seeds together, two-sided; see `majority_p`.
        p_corrected: Holm's, for the number of pairs compared.
    """

    a: str
    b: str
    accuracy_a: float
    accuracy_b: float
    tests: tuple[McNemar, ...]
    p_value: float
    p_corrected: float

    @property
    def better(self) -> str | None:
        """The system that is better beyond chance; None where the images do not show one."""
        if self.p_corrected >= SIGNIFICANCE_LEVEL or self.accuracy_a == self.accuracy_b:
            return None
        return self.a if self.accuracy_a > self.accuracy_b else self.b

    def __str__(self) -> str:
        """In words.

        >>> print(PairwiseTest("cnn2", "transfer", 0.9928, 0.6652, (), 1e-9, 1e-9))
        cnn2 is better than transfer: 99.28 % against 66.52 %, p < 0.001
        """
        first, second = (self.a, self.accuracy_a), (self.b, self.accuracy_b)
        if self.better == self.b:
            first, second = second, first
        claim = (
            f"{first[0]} is better than {second[0]}"
            if self.better
            else f"no difference is shown between {self.a} and {self.b}"
        )
        p = "p < 0.001" if self.p_corrected < 0.001 else f"p = {self.p_corrected:.3f}"
        return f"{claim}: {first[1] * 100:.2f} % against {second[1] * 100:.2f} %, {p}"


def compare_pairs(
    names: Sequence[str], answers: Sequence[Sequence[Answers | None]]
) -> tuple[PairwiseTest, ...]:
    """Compare every system with every other by McNemar's test, seed by seed.

    Args:
        names: of the systems.
        answers: for each system and seed which images it reads right, bool [N]; None where there is
            no model. Two systems' answers at one position are about the same images.

    Returns:
        A verdict for each pair that has a seed in common.
    """
    verdicts = []
    for (a, of_a), (b, of_b) in combinations(zip(names, answers, strict=True), 2):
        both = [(x, y) for x, y in zip(of_a, of_b, strict=False) if x is not None and y is not None]
        if both:
            verdicts.append(_verdict(a, b, both))
    corrected = holm([verdict.p_value for verdict in verdicts])
    return tuple(replace(verdict, p_corrected=p) for verdict, p in zip(verdicts, corrected, strict=True))


def _verdict(a: str, b: str, both: Sequence[tuple[Answers, Answers]]) -> PairwiseTest:
    tests = tuple(mcnemar(x, y) for x, y in both)
    accuracy_a, accuracy_b = (float(np.mean([pair[i].mean() for pair in both])) for i in (0, 1))
    # A seed that speaks for the system that is worse on average is no evidence for the other one.
    sign = np.sign(accuracy_a - accuracy_b)
    p = majority_p([test.p_value if (test.only_a - test.only_b) * sign > 0 else 1.0 for test in tests])
    return PairwiseTest(a, b, accuracy_a, accuracy_b, tests, p, p)


def majority_p(p_values: Sequence[float]) -> float:
    """One p value from those of K seeds, which share their images and so are not independent.

    (K / k) times the k-th smallest, k being the smallest majority of K: small only where most seeds
    show the difference. Valid whatever the dependence (Rüger 1978; Vovk and Wang 2020). Of one seed,
    its own p value.

    >>> majority_p([0.01]), majority_p([0.01, 0.04]), majority_p([0.5, 0.002, 0.01])
    (0.01, 0.04, 0.015)
    """
    count = len(p_values)
    majority = count // 2 + 1
    return min(1.0, count / majority * sorted(p_values)[majority - 1])


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for their number, in the given order (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
