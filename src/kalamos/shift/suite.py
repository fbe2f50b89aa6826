"""Run a recogniser over every corruption of the same images, along the very path that prediction takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.errors import DatasetError, UsageError, suggest
from kalamos.evaluation.evaluate import Evaluation, evaluate
from kalamos.evaluation.metrics import Reliability, reliability
from kalamos.recognizer import Recognizer
from kalamos.shift.catalogue import STRENGTHS, Grey
from kalamos.shift.corrupting import corrupt
from kalamos.shift.corruptions import CORRUPTIONS
from kalamos.shift.frame import bright_ink, dark_on_light, framed
from kalamos.shift.report import ShiftReport, summarise
from kalamos.shift.sample import stratified_sample
from kalamos.streaming import default_jobs, ordered_map

__all__ = ["DEFAULT_LIMIT", "DEFAULT_SEED", "Outcomes", "measure"]

DEFAULT_LIMIT, DEFAULT_SEED = 1000, 42
CHUNK = 64
VOTERS = 200
"""Images asked whether their ink is dark."""

Answer: TypeAlias = tuple[int, float]
"""The label's index, -1 where no ink was found; and its probability."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was read of every image under every corruption.

    Attributes:
        names: the K corruptions.
        rows: int64 [N], the sample's rows in the split.
        inks: the sample's images as frames, ink bright on black, uint8 [S, S] each.
        clean: the same images measured as they are.
        predicted: int64 [K, 3, N], the model's label indices; -1 where no ink was found.
        confidence: float32 [K, 3, N], calibrated; 0 where no ink was found.
        seed: of the sample and of the corruptions.
    """

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    inks: tuple[Grey, ...]
    clean: Evaluation
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    seed: int

    @property
    def truth(self) -> NDArray[np.int64]:
        """int64 [N], the model's label indices."""
        return self.clean.truth

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which readings were right, bool [K, 3, N]."""
        matches: NDArray[np.bool_] = self.predicted == self.truth
        return matches

    @property
    def reliability(self) -> Reliability:
        """What the confidences were worth, over all cells' images in which ink was found."""
        read = self.predicted >= 0
        return reliability(self.confidence[read], self.correct[read])

    def corrupted(self, name: str, strength: int, position: int) -> Grey:
        """The very image that was read, made again; `position` in the sample."""
        return corrupt(self.inks[position], name, strength, (self.seed, int(self.rows[position])))

    def report(self) -> ShiftReport:
        """The figures."""
        return summarise(self.names, self.clean, self.predicted, self.confidence, self.seed)


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
        raise DatasetError("there is nothing to corrupt: the split is empty")
    rows = stratified_sample(split.labels, limit, seed)
    sample = split.take(rows)
    clean = evaluate(reader, sample, labels)
    voters = np.unique(np.linspace(0, len(split) - 1, VOTERS).round().astype(int))
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
    predicted, confidence = np.empty(np.prod(shape), np.int64), np.empty(np.prod(shape), np.float32)
    answers = ordered_map(read, tasks, chunk=CHUNK, jobs=default_jobs())
    for done, (label, sure) in enumerate(answers, start=1):
        predicted[done - 1], confidence[done - 1] = label, sure
        if done % CHUNK == 0 or done == len(predicted):
            on_progress(done)
    return Outcomes(chosen, rows, inks, clean, predicted.reshape(shape), confidence.reshape(shape), seed)


def _read(reader: Recognizer, images: Sequence[Grey]) -> list[Answer]:
    answers: list[Answer] = [(-1, 0.0)] * len(images)
    found = reader.infer(images)
    for row, shares in zip(found.rows.tolist(), found.probabilities, strict=True):
        best = int(shares.argmax())
        answers[row] = best, float(shares[best])
    return answers


def _chosen(names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(CORRUPTIONS)
    for name in names:
        if name not in CORRUPTIONS:
            raise UsageError(f"there is no corruption {name!r}", remedy=suggest(name, CORRUPTIONS))
    if not names:
        raise UsageError("no corruption is chosen", remedy="leave `names` out for all of them")
    return tuple(dict.fromkeys(names))
