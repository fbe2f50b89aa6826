"""Metrics in NumPy: accuracy with Wilson intervals, precision and recall, calibration, McNemar's test.

Labels are indices int64, predictions likewise with -1 for an image that could not be read, and
probabilities float32 [N, C] whose rows sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.errors import MissingExtraError, UsageError

__all__ = [
    "ClassScores",
    "McNemar",
    "Proportion",
    "Reliability",
    "brier_score",
    "case_folding",
    "class_scores",
    "confusable_groups",
    "confusion_matrix",
    "expected_calibration_error",
    "folded_confidence",
    "log_loss",
    "mcnemar",
    "merging",
    "reliability",
    "truth_ranks",
    "wilson_interval",
]

CONFIDENCE_BINS = 15
"""Bins of confidence: as many as Guo et al. 2017 take, of equal mass (Nguyen and O'Connor 2015)."""

MIN_PAIRS_FOR_CHI_SQUARE = 25
"""Below this many discordant pairs the chi-square approximation is poor."""

_MIN_PROBABILITY = float(np.finfo(np.float32).tiny)
_ROWS_AT_A_TIME = 8192
"""Rows at a time, so that what is computed on the way stays far smaller than the probabilities."""


def wilson_interval(correct: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927), which stays inside [0, 1] near the ends.

    >>> low, high = wilson_interval(9950, 10000)
    >>> round(low, 4), round(high, 4)
    (0.9934, 0.9962)
    >>> wilson_interval(0, 0)
    (0.0, 1.0)
    """
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


@dataclass(frozen=True)
class Proportion:
    """A count of n images, as a share; NaN if n is 0."""

    count: int
    n: int

    @property
    def value(self) -> float:
        return self.count / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval."""
        return wilson_interval(self.count, self.n)


def confusion_matrix(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Count predictions by true label: int64 [classes, classes], row = true label, column = predicted.

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of each class, arrays [C].

    NaN means that there is nothing to divide by: recall without images; precision and F1 if the class
    has neither images nor answers. A class with images that is never answered has precision 0,
    so that forgetting a class cannot raise an average. Averages are over the classes with images,
    which is scikit-learn's `zero_division=0` with those classes as its `labels`.
    """

    support: NDArray[np.int64]
    """Images of the class, unread ones included."""
    answered: NDArray[np.int64]
    """How often the class was the answer."""
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]

    def macro(self) -> tuple[float, float, float]:
        """Mean precision, recall and F1 over the classes."""
        return self._mean((self.support > 0).astype(np.float64))

    def weighted(self) -> tuple[float, float, float]:
        """Mean precision, recall and F1, classes weighted by their images."""
        return self._mean(self.support.astype(np.float64))

    def _mean(self, weights: NDArray[np.float64]) -> tuple[float, float, float]:
        with_images = self.support > 0
        shares = weights[with_images] / weights.sum()
        means = [float(values[with_images] @ shares) for values in (self.precision, self.recall, self.f1)]
        return means[0], means[1], means[2]


def class_scores(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> ClassScores:
    """Compute precision, recall and F1 of every class; an unread image counts against its recall.

    >>> scores = class_scores(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    >>> scores.precision.tolist(), scores.recall.tolist()
    ([1.0, 0.5, nan], [0.5, 1.0, nan])
    """
    support = np.bincount(truth, minlength=classes)
    answered = np.bincount(predicted[predicted >= 0], minlength=classes)
    right = np.bincount(truth[truth == predicted], minlength=classes)
    precision = _ratio(right, answered)
    precision[(answered == 0) & (support > 0)] = 0.0
    recall, f1 = _ratio(right, support), _ratio(2 * right, support + answered)
    return ClassScores(support, answered, precision, recall, f1)


def truth_ranks(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank the true label among each row's candidates, 0 = first; int64 [N].

    Of equal probabilities the earlier label goes first, as in a prediction's candidates.

    >>> truth_ranks(np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]], np.float32), np.array([1, 1])).tolist()
    [1, 1]
    """
    ranks = np.empty(len(truth), np.int64)
    for start in range(0, len(truth), _ROWS_AT_A_TIME):
        rows, labels = probabilities[start : start + _ROWS_AT_A_TIME], truth[start : start + _ROWS_AT_A_TIME]
        own = rows[np.arange(len(labels)), labels][:, np.newaxis]
        earlier = np.arange(rows.shape[1]) < labels[:, np.newaxis]
        ranks[start : start + _ROWS_AT_A_TIME] = ((rows > own) | ((rows == own) & earlier)).sum(axis=1)
    return ranks


def log_loss(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Compute the negative log-likelihood of the true labels, in nats; NaN for no image.

    A probability below float32's smallest normal number counts as that, so one image costs 87.3 at most.

    >>> round(log_loss(np.array([[0.5, 0.5]], np.float32), np.array([0])), 4)
    0.6931
    """
    if not len(truth):
        return math.nan
    own = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(own, _MIN_PROBABILITY)).mean())


def brier_score(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Compute the squared distance to the one-hot truth (Brier 1950), in [0, 2]; NaN for no image.

    >>> brier_score(np.array([[0.5, 0.5], [1.0, 0.0]], np.float32), np.array([0, 1]))
    1.25
    """
    if not len(truth):
        return math.nan
    total = 0.0
    for start in range(0, len(truth), _ROWS_AT_A_TIME):
        # float64: of a sure and right row, 1 - 2p + sum(p^2) leaves little else than rounding.
        rows = probabilities[start : start + _ROWS_AT_A_TIME].astype(np.float64)
        rows[np.arange(len(rows)), truth[start : start + _ROWS_AT_A_TIME]] -= 1
        total += float(np.square(rows, out=rows).sum())
    return total / len(truth)


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of equal mass, the least confident first; arrays [B].

    None is empty. There are fewer than asked for where there are fewer images, or where many images have
    one confidence, which stay together.
    """

    counts: NDArray[np.int64]
    lowest: NDArray[np.float64]
    """Lowest confidence in the bin."""
    highest: NDArray[np.float64]
    """Highest confidence in the bin."""
    confidence: NDArray[np.float64]
    """Mean confidence in the bin."""
    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    """95 % Wilson interval of the accuracy, lower end."""
    high: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean gap of confidence and accuracy, in [0, 1]."""
        if not len(self.counts):
            return math.nan
        return float(np.abs(self.confidence - self.accuracy) @ self.counts / self.counts.sum())


def reliability(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = CONFIDENCE_BINS
) -> Reliability:
    """Sort confidences [N] in [0, 1] into bins of equal mass, and compare each bin's mean with its accuracy.

    Bins of equal width (Naeini et al. 2015) would leave most of them nearly empty, and put nearly all images
    of a good model into the last one, where too high and too low confidences cancel.

    >>> diagram = reliability(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, False, False, False]), bins=2)
    >>> diagram.counts.tolist(), diagram.accuracy.tolist(), diagram.lowest.tolist()
    ([2, 2], [0.0, 0.5], [0.1, 0.8])
    """
    order = np.argsort(confidence, kind="stable")
    sure, right = confidence[order].astype(np.float64), correct[order]
    # Equal confidences go together, to the bin of their middle: the order of the images does not matter.
    _, which, sizes = np.unique(sure, return_inverse=True, return_counts=True)
    middles = 2 * np.cumsum(sizes) - sizes  # in halves of an image
    _, which = np.unique((middles * bins // max(2 * len(sure), 1))[which], return_inverse=True)
    counts = np.bincount(which)
    ends = np.cumsum(counts)
    hits = np.bincount(which, weights=right)
    intervals = [wilson_interval(k, n) for k, n in zip(hits.tolist(), counts.tolist(), strict=True)]
    low, high = np.array(intervals).reshape(-1, 2).T
    return Reliability(
        counts,
        sure[ends - counts],
        sure[ends - 1],
        np.bincount(which, weights=sure) / counts,
        hits / counts,
        low,
        high,
    )


def expected_calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = CONFIDENCE_BINS
) -> float:
    """Compute the mean gap of confidence and accuracy over 15 bins of equal mass; NaN for no image.

    Args:
        confidence: [N] in [0, 1].
        correct: bool [N].

    >>> expected_calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, True, False]))
    0.0
    """
    return reliability(confidence, correct, bins).ece


def folded_confidence(
    probabilities: NDArray[np.floating], predicted: NDArray[np.int64], folding: NDArray[np.int64] | None
) -> NDArray[np.floating]:
    """Sum the probabilities of each answer and of the labels that fold into the same one, [N] in [0, 1].

    An answer counts as right with folding where the truth is any of those labels, so this is what its
    confidence must match.

    Args:
        probabilities: [N, C]; `predicted` the answers, int64 [N], none -1.
        folding: each label's representative, int64 [C], as of `case_folding`; None folds nothing.

    >>> shares = np.array([[0.5, 0.25, 0.25]])
    >>> folded_confidence(shares, np.array([0]), case_folding(("A", "B", "a"))).tolist()
    [0.75]
    """
    if folding is None:
        return probabilities[np.arange(len(predicted)), predicted]
    alike = folding == folding[predicted][:, np.newaxis]
    # A sum of rounded shares may lie above 1 by a rounding error.
    folded: NDArray[np.floating] = np.minimum(np.einsum("nc,nc->n", probabilities, alike), 1)
    return folded


def confusable_groups(labels: Sequence[str], alphabet: str = "") -> tuple[tuple[str, ...], ...]:
    """Return the groups with at least two of the labels, in the labels' order.

    Args:
        labels: those of an alphabet, or some of them.
        alphabet: its name; in "latin-47" `L` stands for `l` too.

    >>> confusable_groups(tuple("0123456789"))
    ()
    >>> confusable_groups(("0", "1", "I", "L", "O", "a"), "latin-47")
    (('0', 'O'), ('1', 'I', 'L'))
    """
    # A charset may leave a single label, which is no alphabet.
    return Alphabet(alphabet, tuple(labels)).confusable_groups if len(labels) > 1 else ()


def merging(labels: Sequence[str], alphabet: str = "") -> NDArray[np.int64] | None:
    """Map each label to the first of its confusable group, int64 [C]; None if nothing merges.

    >>> merging(("0", "a", "O")).tolist()
    [0, 1, 0]
    """
    groups = confusable_groups(labels, alphabet)
    if not groups:
        return None
    to = np.arange(len(labels))
    for group in groups:
        members = [labels.index(label) for label in group]
        to[members] = members[0]
    return to


def case_folding(labels: Sequence[str]) -> NDArray[np.int64] | None:
    """Map each label to its capital if the alphabet has it, int64 [C]; None if it has no such pair.

    >>> case_folding(("A", "B", "a")).tolist(), case_folding(("A", "B"))
    ([0, 1, 0], None)
    """
    if len(labels) < 2:
        return None
    alphabet = Alphabet("labels", tuple(labels))
    to = np.array([alphabet.index(alphabet.fold_case(label)) for label in labels], np.int64)
    return None if np.array_equal(to, np.arange(len(labels))) else to


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same images.

    Attributes:
        only_a: images that only A reads right; `only_b` likewise. The others say nothing about A against B.
        p_value: two-sided, in [0, 1]; how likely such a difference is if neither is better.
        exact: by the binomial distribution; else by chi-square with Edwards' continuity correction.
    """

    only_a: int
    only_b: int
    p_value: float
    exact: bool

    def significant(self, level: float = 0.05) -> bool:
        """Say whether chance is ruled out at this level.

        >>> McNemar(only_a=40, only_b=12, p_value=0.0002, exact=False).significant()
        True
        """
        return self.p_value < level


def mcnemar(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> McNemar:
    """Compare two models by the images on which they disagree (McNemar 1947).

    Args:
        correct_a: bool [N], which images model A reads right (`Evaluation.correct`).
        correct_b: bool [N], the same images in the same order.

    Returns:
        The exact binomial test for fewer than 25 discordant images, else chi-square with continuity
        correction (Edwards 1948; Dietterich 1998 for its use on classifiers).

    Raises:
        UsageError: the two are not boolean vectors of one length.
        MissingExtraError: SciPy, of the extra 'train', is not installed.

    >>> a, b = np.array([True] * 9 + [False]), np.array([True] * 3 + [False] * 7)
    >>> outcome = mcnemar(a, b)
    >>> outcome.only_a, outcome.only_b, outcome.exact, outcome.p_value
    (6, 0, True, 0.03125)
    """
    for correct in (correct_a, correct_b):
        if correct.dtype != np.bool_ or correct.ndim != 1:
            raise UsageError(f"McNemar's test takes bool [N], not {correct.dtype} {correct.shape}")
    if len(correct_a) != len(correct_b):
        raise UsageError(
            f"{len(correct_a)} and {len(correct_b)} answers cannot be compared pair by pair",
            remedy="evaluate both models on the same split",
        )
    try:
        from scipy.stats import binomtest, chi2
    except ImportError as error:
        raise MissingExtraError("McNemar's test needs scipy, not installed here", extra="train") from error
    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    discordant = only_a + only_b
    if discordant < MIN_PAIRS_FOR_CHI_SQUARE:
        # Without any disagreement there is no difference to explain.
        p_value = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
        return McNemar(only_a, only_b, p_value, exact=True)
    # At a tie, the correction must not make a difference of 0 into one of 1.
    statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / discordant
    return McNemar(only_a, only_b, float(chi2.sf(statistic, df=1)), exact=False)


def _ratio(part: NDArray[np.number], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
