"""Likely label errors: images whose label a mistake explains better than an odd hand does.

Each image is compared with what is nearest to it of every class, itself left out, in the embedding of the
base model `glyphs`, which brings together what people write for one character. How sharply those cosines tell
the classes apart, and how many labels are wrong, is then fitted to the labels together: a label is right, or
with some share any other one. What is more probably wrong than right is a likely error. So a clean set has
hardly any, and one of letters that look alike too.

How well that works: docs/own-data.md (`python benchmarks/label_errors.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.model_file import Embedding, read_spec
from kalamos.postprocessing import softmax
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage
from kalamos.zoo import model_path

__all__ = ["MIN_JUDGED", "JudgedLabels", "embed_characters", "judge_labels", "nearness"]

BASE: Final = "glyphs"

EMBEDDED_TOGETHER: Final = 64
"""Images in one run of the network."""

SHARPNESSES: Final = np.geomspace(2, 200, 40)
"""Factors of the cosines, as logits, among which the likeliest is taken."""

WRONG_SHARES: Final = np.geomspace(1e-4, 0.5, 40)
"""Of the labels, that may be wrong."""

MAX_FITTED: Final = 5_000
"""Images that both are fitted to, evenly spaced: more tell no more."""

MIN_JUDGED: Final = 3
"""Images of a class from which on the others say something of each."""

NEAREST_SHARE, MIN_NEAREST = 0.1, 3
"""Images of a class that one is compared with: a share, and at least so many."""

MAX_COMPARED: Final = 200
"""Images of a class, evenly spaced, that the nearest are taken of."""

MIN_WRONG: Final = 0.5
"""A label that is as probably wrong as this is a likely error."""


@cache
def _base() -> tuple[Preprocessor, Embedding]:
    path = model_path(BASE)
    spec = read_spec(path)
    return Preprocessor(spec.preprocessing), Embedding(path.read_bytes(), spec, BASE)


def embed_characters(images: Sequence[GreyImage]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Embed images of characters as the base model `glyphs` does.

    Args:
        images: uint8 [H, W] each.

    Returns:
        Which of them have ink, int64 [M]; and their embeddings float32 [M, D].

    >>> stroke = np.zeros((28, 28), np.uint8); stroke[4:24, 13:16] = 255
    >>> rows, embeddings = embed_characters([np.zeros((28, 28), np.uint8), stroke])
    >>> rows.tolist(), embeddings.shape
    ([1], (1, 192))
    """
    preprocessor, embedding = _base()
    inked, prepared = preprocessor.images_with_ink(list(images))
    parts = [
        embedding(preprocessor.batch(prepared[start : start + EMBEDDED_TOGETHER]))
        for start in range(0, len(prepared), EMBEDDED_TOGETHER)
    ]
    found = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return np.asarray(inked, np.int64), found


@dataclass(frozen=True)
class JudgedLabels:
    """What the other images say about each image's label.

    Attributes:
        answers: int64 [N], the class that is nearest.
        right: float64 [N], the probability that the label is right, in [0, 1]; 1 where nothing can be said.
    """

    answers: NDArray[np.int64]
    right: NDArray[np.float64]

    @property
    def errors(self) -> list[int]:
        """The images whose label is likely wrong, the likeliest first."""
        order = np.argsort(self.right, kind="stable")
        found: list[int] = order[self.right[order] <= 1 - MIN_WRONG].tolist()
        return found


def nearness(
    embeddings: NDArray[np.floating], labels: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Compare each image with the images of every class that are nearest to it, itself left out.

    A tenth of a class is taken, so that one that holds two shapes, such as A and a, is near to either, and
    mistakes that are alike do not vouch for each other while they are fewer.

    Args:
        embeddings: [N, D].
        labels: int64 [N], in [0, classes); each class has two images at least.

    Returns:
        Mean cosines float64 [N, classes].
    """
    units = embeddings.astype(np.float32)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-9)
    found = np.empty((len(labels), classes))
    for code in range(classes):
        members = _evenly(np.flatnonzero(labels == code), MAX_COMPARED)
        cosines = units @ units[members].T
        cosines[members, np.arange(len(members))] = -np.inf
        count = min(max(MIN_NEAREST, round(NEAREST_SHARE * len(members))), len(members) - 1)
        found[:, code] = np.partition(cosines, -count, axis=1)[:, -count:].mean(axis=1)
    return found


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Take at most so many rows, evenly spaced."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]


def judge_labels(embeddings: NDArray[np.floating], labels: NDArray[np.int64]) -> JudgedLabels:
    """Tell how probably each label is right, by the other images.

    Args:
        embeddings: [N, D], of `embed_characters`, or of another network's last layer but one.
        labels: int64 [N]. Images of classes with fewer than `MIN_JUDGED` are not judged, and with a single
            class none.

    >>> corners = np.eye(4)[np.repeat(np.arange(4), 9)]
    >>> given = np.repeat(np.arange(4), 9); given[2] = 3
    >>> judged = judge_labels(corners, given)
    >>> judged.errors, judged.answers[2]
    ([2], np.int64(0))
    """
    found = JudgedLabels(labels.copy(), np.ones(len(labels)))
    counts = np.bincount(labels)
    rows = np.flatnonzero(counts[labels] >= MIN_JUDGED)
    present, codes = np.unique(labels[rows], return_inverse=True)
    if len(present) < 2:
        return found
    cosines = nearness(embeddings[rows], codes, len(present))
    some = _evenly(np.arange(len(rows)), MAX_FITTED)
    sharpness, share = _fit(cosines[some], codes[some])
    likely, mistaken = _likelihoods(_fitting(cosines, codes, sharpness), share, len(present))
    answers = cosines.argmax(axis=1)
    found.answers[rows] = present[answers]
    # What is nearest to its own class is contradicted by nothing.
    found.right[rows] = np.where(answers == codes, 1.0, likely / (likely + mistaken))
    return found


def _fit(cosines: NDArray[np.float64], codes: NDArray[np.int64]) -> tuple[float, float]:
    """Find the sharpness and the share of wrong labels under which the labels are likeliest."""
    best, found = -np.inf, (1.0, 0.0)
    for sharpness in SHARPNESSES.tolist():
        fitting = _fitting(cosines, codes, sharpness)
        likely, mistaken = _likelihoods(fitting[:, np.newaxis], WRONG_SHARES, cosines.shape[1])
        totals = np.log(np.maximum(likely + mistaken, np.finfo(float).tiny)).sum(axis=0)
        if totals.max() > best:
            best, found = float(totals.max()), (sharpness, float(WRONG_SHARES[totals.argmax()]))
    return found


def _fitting(cosines: NDArray[np.float64], codes: NDArray[np.int64], sharpness: float) -> NDArray[np.float64]:
    """The probability [N] that an image is of its label's class."""
    found: NDArray[np.float64] = softmax(cosines * sharpness)[np.arange(len(codes)), codes]
    return found


def _likelihoods(
    fitting: NDArray[np.float64], share: float | NDArray[np.float64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How likely each label is as the right one, and as any other by mistake."""
    return (1 - share) * fitting, share / (classes - 1) * (1 - fitting)
