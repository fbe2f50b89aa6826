"""How sure a reader is of what is not a character."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.errors import DatasetError, MissingExtraError, UsageError
from kalamos.model_file import RobustnessRecord
from kalamos.outliers.exposure import default_sets
from kalamos.outliers.scores import auroc, auroc_interval, false_positive_rate
from kalamos.outliers.script import open_set
from kalamos.outliers.sets import OODContext, OutlierSet
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer

__all__ = ["TARGET", "Mistake", "OutlierReport", "SetResult", "Skipped", "measure"]

TARGET = 0.99
"""The accuracy whose threshold is looked up in the model file."""

SHOWN = 16
"""Of each set the images that the reader was surest of."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """An outlier that was read.

    Attributes:
        image: uint8 [H, W].
        seen: what the network saw, uint8 [S, S].
        label: what it was read as; `confidence` how surely, in [0, 1].
    """

    image: GreyImage
    seen: GreyImage
    label: str
    confidence: float


@dataclass(frozen=True, eq=False)
class SetResult:
    """One set of outliers against the known images. Shares are in [0, 1].

    Attributes:
        name: the set's; `note` says what is in it.
        n: its images, of which `no_ink` were found blank: rejected, with a confidence of 0.
        auroc: the chance that a known image is read more surely than an outlier.
        interval: its 95 % interval.
        fpr_at_95_tpr: the share that passes the threshold which 95 % of the known pass.
        rejected: the share that abstention at the model's own threshold rejects.
        rejected_at_target: the same at the threshold for `TARGET`; None where the model has none.
        read_as: how often each label was the answer, the most frequent first.
        surest: the images read most surely, at most 16.
    """

    name: str
    note: str
    n: int
    no_ink: int
    auroc: float
    interval: tuple[float, float]
    fpr_at_95_tpr: float
    rejected: float
    rejected_at_target: float | None
    read_as: tuple[tuple[str, int], ...]
    surest: tuple[Mistake, ...]


@dataclass(frozen=True)
class Skipped:
    """A set that could not be drawn, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class OutlierReport:
    """What `measure` found.

    Attributes:
        model: the model's own name.
        known: the number of known images; `sha256` is the fingerprint of their split.
        seed: of the drawn sets.
        threshold: the confidence below which the model abstains by itself; 0 is never.
        target_threshold: the one that reached `TARGET` on validation data; None where it was not reached, or
            not measured.
        sets: the figures, one a set.
        skipped: the sets that could not be drawn.
    """

    model: str
    known: int
    sha256: str
    seed: int
    threshold: float
    target_threshold: float | None
    sets: tuple[SetResult, ...]
    skipped: tuple[Skipped, ...]

    @property
    def mean_auroc(self) -> float:
        """Over the sets, each counting alike."""
        return float(np.mean([each.auroc for each in self.sets]))

    def records(self, date: str) -> tuple[RobustnessRecord, ...]:
        """The AUROC of each set in the form that a model file keeps; `date` is ISO 8601."""
        return tuple(RobustnessRecord("outliers", each.name, each.auroc, each.n, date) for each in self.sets)


def measure(
    reader: Recognizer,
    split: Split,
    sources: Sequence[str] | None = None,
    n: int = 1000,
    seed: int = 42,
    *,
    confidence: NDArray[np.floating] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> OutlierReport:
    """Compare a reader's confidence on known images with that on the `eval` family of each set.

    Everything goes along the very path that prediction takes. Where no ink is found the confidence is 0,
    for known images as for outliers: `auroc` counts such a known image as rejected too.

    Args:
        split: known images, such as a test split; their labels do not matter.
        sources: names for `open_set`; by default all that `default_sets` names.
        n: images a set, at most.
        seed: of the sets, at least 0.
        confidence: the reader's on `split`, [N] in [0, 1], where it is known already.
        data_dir: where the named datasets are.
        on_progress: called now and then with the number of images done, known ones and outliers.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UsageError: no such set; `n` below 1; a negative seed.
        DatasetError: the split is empty, or every set's files are absent.
    """
    if not find_spec("sklearn"):
        raise MissingExtraError("the AUROC needs scikit-learn, not installed", extra="train")
    if n < 1:
        raise UsageError(f"n = {n} leaves no outlier", remedy="use 1 or more")
    if not len(split):
        raise DatasetError("there is nothing to compare outliers with: the split is empty")
    names = default_sets(reader.spec.alphabet) if sources is None else tuple(sources)
    context = OODContext(reader.spec.alphabet, "eval", seed, data_dir)
    opened, skipped = _open_all(names, context)
    if not opened:
        reasons = "; ".join(each.reason for each in skipped)
        raise DatasetError(f"there is no set of outliers to measure with ({reasons})")
    known = _confidences(reader, list(split.images)) if confidence is None else confidence
    own, target = reader.spec.min_confidence, _target_threshold(reader)
    on_progress(done := len(split))
    results = []
    for each in opened:
        result = _measure_set(reader, each, n, known, own, target)
        results.append(result)
        on_progress(done := done + result.n)
    return OutlierReport(
        reader.spec.name, len(split), split.sha256, seed, own, target, tuple(results), skipped
    )


def _open_all(names: Sequence[str], context: OODContext) -> tuple[list[OutlierSet], tuple[Skipped, ...]]:
    opened, skipped = [], []
    for name in dict.fromkeys(names):
        try:
            opened.append(open_set(name, context))
        except DatasetError as error:
            skipped.append(Skipped(name, error.problem))
    return opened, tuple(skipped)


def _target_threshold(reader: Recognizer) -> float | None:
    try:
        return None if reader.spec.selective is None else reader.spec.selective.at(TARGET).threshold
    except UsageError:  # validation never reached it
        return None


def _measure_set(
    reader: Recognizer,
    each: OutlierSet,
    n: int,
    known: NDArray[np.floating],
    own: float,
    target: float | None,
) -> SetResult:
    images = [each.draw(index) for index in range(_count(each, n))]
    answers = reader.predict_batch(images, top_k=1, min_confidence=0.0)
    scores = np.array([answer.confidence or 0.0 for answer in answers])
    read = [row for row, answer in enumerate(answers) if answer.label is not None]
    surest = sorted(read, key=lambda row: -scores[row])[:SHOWN]
    read_as = Counter(answer.label for answer in answers if answer.label is not None)
    return SetResult(
        each.name,
        each.note,
        len(images),
        len(images) - len(read),
        auroc(known, scores),
        auroc_interval(known, scores),
        false_positive_rate(known, scores),
        _rejected(scores, own),
        None if target is None else _rejected(scores, target),
        tuple(read_as.most_common()),
        tuple(
            Mistake(images[row], reader.prepare(images[row]), answers[row].label or "", float(scores[row]))
            for row in surest
        ),
    )


def _rejected(scores: NDArray[np.floating], threshold: float) -> float:
    """The share that abstains or is blank: a confidence of 0 is never an answer."""
    return float(((scores < threshold) | (scores == 0)).mean())


def _count(each: OutlierSet, n: int) -> int:
    return n if each.size is None else min(n, each.size)


def _confidences(reader: Recognizer, images: list[GreyImage]) -> NDArray[np.float64]:
    answers = reader.predict_batch(images, top_k=1, min_confidence=0.0)
    return np.array([answer.confidence or 0.0 for answer in answers])
