"""Measure robustness: read the same images under every corruption, along the same path as prediction.

`ShiftReport.to_mapping` (and `shift.json`) has these keys; a figure that does not exist is null:

n, seed               images, each read once as it is and once per cell; the seed of sample and corruptions
sha256                fingerprint of the sampled images and labels
clean                 {"value", "low", "high"}: accuracy on the same images as they are, 95 % Wilson interval
clean_no_ink          how many of them were found blank; they count as wrong
means                 {"all", "MNIST-C", "photograph"}: mean of each corruption's mean over its strengths;
                      95 % interval by bootstrap over the images (1,000 times; Efron 1979)
worst                 {"corruption", "accuracy"}: the lowest mean
ece, mean_confidence  over all cells' images that were answered, with the model's temperature, case folded
                      as in `Evaluation.reliability`
no_ink                corrupted images found blank, which count as wrong
withheld              corrupted images taken for something else than a character; the best label counts
cells                 [{"corruption", "group", "strength", "n", "correct", "no_ink", "accuracy",
                      "interval_95", "ece", "mean_confidence", "withheld"}, ...]; 95 % Wilson intervals
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.errors import DatasetError, UsageError, suggest
from kalamos.evaluation.evaluate import Evaluation, evaluate_split
from kalamos.evaluation.metrics import (
    Reliability,
    case_folding,
    expected_calibration_error,
    folded_confidence,
    reliability,
    wilson_interval,
)
from kalamos.evaluation.robustness.canvas import (
    MNIST_C,
    PHOTOGRAPH,
    STRENGTHS,
    Grey,
    Group,
    bright_ink,
    dark_on_light,
    framed,
)
from kalamos.evaluation.robustness.corruptions import CORRUPTIONS, corrupt
from kalamos.parallel import default_jobs, ordered_map
from kalamos.recognizer import Recognizer

__all__ = ["ALL", "Cell", "Estimate", "Outcomes", "ShiftReport", "measure", "stratified_sample", "summarise"]


ALL = "all"
"""The key of the mean over all corruptions."""

BOOTSTRAP_SAMPLES = 1000

DEFAULT_LIMIT, DEFAULT_SEED = 1000, 42

CHUNK = 64
"""Images read at a time."""

POLARITY_SAMPLE = 200
"""Images by which to tell whether a split has dark ink."""


class Answer(NamedTuple):
    """How one image was read."""

    label: int = -1
    """Its index; -1 if no ink was found."""
    confidence: float = 0.0
    folded: float = 0.0
    """The probability of both cases."""
    given: bool = False
    """Whether there is ink, and not of something else than a character."""


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
        n: images; `correct` of them were read correctly, in `no_ink` no ink was found.
        ece: of the images that were answered, like `mean_confidence`; None if there are none.
        withheld: how many were taken for something else than a character.
    """

    corruption: str
    group: Group
    strength: int
    n: int
    correct: int
    no_ink: int
    ece: float | None
    mean_confidence: float | None
    withheld: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.n)


@dataclass(frozen=True)
class ShiftReport:
    """A model's accuracy under every corruption; see this module's docstring.

    Attributes:
        cells: corruption by corruption, strengths 1, 2, 3.
        means: "all", and "MNIST-C" and "photograph" if any of their kinds were measured.
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

    @property
    def withheld(self) -> int:
        return sum(cell.withheld for cell in self.cells)

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
            "withheld": self.withheld,
            "cells": cells,
        }


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The answer to every image under every corruption.

    Attributes:
        names: the K corruptions.
        rows: int64 [N], the sample's rows in the split.
        inks: the sample's images as frames, ink bright on black, uint8 [S, S] each.
        clean: the same images measured as they are.
        predicted: int64 [K, 3, N], the model's label indices; -1 if no ink was found.
        confidence: float32 [K, 3, N], calibrated; 0 if no ink was found.
        folded: float32 [K, 3, N], the same with the probabilities of both cases summed.
        answered: bool [K, 3, N], where ink was found and not taken for something else than a character.
        seed: of the sample and of the corruptions.
    """

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    inks: tuple[Grey, ...]
    clean: Evaluation
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    folded: NDArray[np.float32]
    answered: NDArray[np.bool_]
    seed: int

    @property
    def truth(self) -> NDArray[np.int64]:
        """The model's label indices, int64 [N]."""
        return self.clean.truth

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which readings were right, bool [K, 3, N]."""
        matches: NDArray[np.bool_] = self.predicted == self.truth
        return matches

    @property
    def reliability(self) -> Reliability:
        """Confidence against accuracy, over all cells' images that were answered, case folded."""
        right = _right_folded(self.clean, self.predicted)
        return reliability(self.folded[self.answered], right[self.answered])

    def corrupted(self, name: str, strength: int, position: int) -> Grey:
        """Make again the image that was read; `position` is its place in the sample."""
        return corrupt(self.inks[position], name, strength, (self.seed, int(self.rows[position])))

    def report(self) -> ShiftReport:
        """Compute the figures."""
        return summarise(self.names, self.clean, self.predicted, self.folded, self.answered, self.seed)


def measure(
    reader: Recognizer,
    split: Split,
    labels: tuple[str, ...],
    *,
    limit: int = DEFAULT_LIMIT,
    seed: int = DEFAULT_SEED,
    names: Sequence[str] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Outcomes:
    """Read the sample as it is, then under every corruption.

    Args:
        labels: the split's own label order; the model may have another, or more.
        limit: images, a stratified sample of the split; 0 takes all.
        seed: image `row` of the split is corrupted by (seed, name, strength, row) alone.
        names: which corruptions; None takes all.
        on_progress: called now and then with the number of corrupted images read.

    Raises:
        DatasetError: the split is empty, or has a class that the model does not know.
        UsageError: no such corruption, a negative limit or seed.

    >>> import kalamos
    >>> stroke = np.zeros((28, 28), np.uint8); stroke[4:24, 12:15] = 255
    >>> ones = Split(np.stack([stroke] * 4), np.ones(4, np.int64))
    >>> measured = measure(kalamos.load("digits"), ones, tuple("0123456789"), names=["brightness", "tilted"])
    >>> report = measured.report()
    >>> report.clean.value, report.accuracy("brightness")
    (1.0, 1.0)
    """
    chosen = _chosen(names)
    if seed < 0:
        raise UsageError(f"seed {seed} is negative", remedy="use a whole number from 0")
    if not len(split):
        raise DatasetError("nothing to corrupt: the split is empty")
    rows = stratified_sample(split.labels, limit, seed)
    sample = split.take(rows)
    clean = evaluate_split(reader, sample, labels)
    voters = np.unique(np.linspace(0, len(split) - 1, POLARITY_SAMPLE).round().astype(int))
    dark = dark_on_light(split.images[row] for row in voters.tolist())
    inks = tuple(framed(bright_ink(image, dark_on_light=dark)) for image in sample.images)

    def read(tasks: list[tuple[str, int, int]]) -> list[Answer]:
        images = [
            corrupt(inks[position], name, strength, (seed, int(rows[position])))
            for name, strength, position in tasks
        ]
        return _read(reader, images)

    tasks = product(chosen, STRENGTHS, range(len(rows)))
    shape = len(chosen), len(STRENGTHS), len(rows)
    predicted, answered = np.empty(shape, np.int64), np.empty(shape, np.bool_)
    confidence, folded = np.empty(shape, np.float32), np.empty(shape, np.float32)
    columns: tuple[NDArray[Any], ...] = predicted, confidence, folded, answered
    answers = ordered_map(read, tasks, chunk=CHUNK, jobs=default_jobs())
    for done, answer in enumerate(answers, start=1):
        for array, value in zip(columns, answer, strict=True):
            array.flat[done - 1] = value
        if done % CHUNK == 0 or done == predicted.size:
            on_progress(done)
    return Outcomes(chosen, rows, inks, clean, predicted, confidence, folded, answered, seed)


def _read(reader: Recognizer, images: Sequence[Grey]) -> list[Answer]:
    answers, found, record = [Answer()] * len(images), reader.infer(images), reader.spec.known
    best = found.probabilities.argmax(axis=1)
    confidence = folded_confidence(found.probabilities, best, None)
    folded = folded_confidence(found.probabilities, best, case_folding(reader.labels))
    given = np.ones(len(best), bool)
    if record is not None and found.known is not None:
        given = found.known >= record.threshold
    columns = (each.tolist() for each in (found.rows, best, confidence, folded, given))
    for row, *answer in zip(*columns, strict=True):
        answers[row] = Answer(*answer)
    return answers


def _chosen(names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(CORRUPTIONS)
    for name in names:
        if name not in CORRUPTIONS:
            raise UsageError(f"unknown corruption {name!r}", remedy=suggest(name, CORRUPTIONS))
    if not names:
        raise UsageError("no corruption is chosen", remedy="omit `names` for all of them")
    return tuple(dict.fromkeys(names))


def stratified_sample(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Draw the rows of `count` images with the class shares of all, int64, in order.

    Args:
        labels: int64 [N].
        count: how many; 0, or more than exist, takes all.
        seed: the same seed gives the same rows; a smaller count gives some of a larger one's.

    Raises:
        UsageError: a negative count.

    >>> stratified_sample(np.array([0, 0, 0, 0, 1, 1]), 3, seed=42).tolist()
    [2, 3, 4]
    """
    if count < 0:
        raise UsageError(f"{count} images cannot be drawn", remedy="use 0 for all of them")
    if count == 0 or count >= len(labels):
        return np.arange(len(labels))
    place = np.empty(len(labels))
    generator = np.random.default_rng(seed)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        # Each class is spread evenly over [0, 1): cutting anywhere cuts all classes at the same share.
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    rows: NDArray[np.int64] = np.sort(np.argsort(place, kind="stable")[:count])
    return rows


def summarise(
    names: tuple[str, ...],
    clean: Evaluation,
    predicted: NDArray[np.int64],
    folded: NDArray[np.float32],
    answered: NDArray[np.bool_],
    seed: int,
) -> ShiftReport:
    """Compute the figures from arrays [K, 3, N], as in `Outcomes`."""
    correct, read, right_folded = predicted == clean.truth, predicted >= 0, _right_folded(clean, predicted)
    cells = []
    for place, name in enumerate(names):
        for index, strength in enumerate(STRENGTHS):
            at = place, index
            ece, sure = _calibration(folded[at], right_folded[at], answered[at])
            right, blank = int(correct[at].sum()), int((~read[at]).sum())
            withheld = int((read[at] & ~answered[at]).sum())
            group = CORRUPTIONS[name].group
            cells.append(Cell(name, group, strength, clean.n, right, blank, ece, sure, withheld))
    means = {ALL: _mean(correct, seed)}
    for group in (MNIST_C, PHOTOGRAPH):
        members = [place for place, name in enumerate(names) if CORRUPTIONS[name].group == group]
        if members:
            means[group] = _mean(correct[members], seed)
    ece, sure = _calibration(folded, right_folded, answered)
    accuracy = Estimate(clean.accuracy, *clean.interval)
    return ShiftReport(clean.n, seed, clean.sha256, accuracy, clean.unread, means, ece, sure, tuple(cells))


def _mean(correct: NDArray[np.bool_], seed: int) -> Estimate:
    """Compute the mean of bool [K, 3, N], and how it would vary with other images."""
    # The cells share their images, so what one image adds to the mean is drawn as a whole.
    scores = correct.mean(axis=(0, 1))
    generator = np.random.default_rng(seed)
    means = [scores[generator.integers(0, len(scores), len(scores))].mean() for _ in range(BOOTSTRAP_SAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return Estimate(float(scores.mean()), low, high)


def _right_folded(clean: Evaluation, predicted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which answers [K, 3, N] are right in either case."""
    folding = case_folding(clean.labels)
    right: NDArray[np.bool_] = predicted == clean.truth
    if folding is not None:
        right = (predicted >= 0) & (folding[predicted] == folding[clean.truth])
    return right


def _calibration(
    confidence: NDArray[np.float32], correct: NDArray[np.bool_], answered: NDArray[np.bool_]
) -> tuple[float | None, float | None]:
    if not answered.any():
        return None, None
    sure = confidence[answered]
    return expected_calibration_error(sure, correct[answered]), float(sure.mean(dtype=np.float64))
