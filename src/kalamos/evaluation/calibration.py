"""Calibration and selective prediction.

Temperature scaling (Guo et al. 2017) makes confidences match accuracies; risk-coverage curves say what is
gained by leaving the least confident answers to a person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.model_file import KnownRecord, OperatingPoint, SelectiveAccuracy
from kalamos.model_file.spec import MAX_WITHHELD, MIN_KNOWN_IMAGES
from kalamos.postprocessing import softmax

__all__ = [
    "ACCURACIES",
    "COVERAGES",
    "RiskCoverage",
    "fit_known",
    "fit_temperature",
    "negative_log_likelihood",
    "risk_coverage",
    "selective_accuracy",
]


COVERAGES: Final = (0.8, 0.9, 0.95, 0.99)
"""Coverages in reports: shares of the images that are answered."""

ACCURACIES: Final = (0.95, 0.99, 0.995, 0.999)
"""Target accuracies in reports and model cards."""

MAX_KNOWN_THRESHOLD: Final = 0.5
"""What is more likely a character than not is answered, however sure all validation images are."""

FEW_KNOWN_THRESHOLD: Final = 0.03
"""What is this likely a character is answered where the validation images are too few to show what withholds
0.5 % of characters. The lowest of 30 images has one new character in 31 below it."""

MIN_KNOWN_SCALE: Final = 1e-3

_TARGETS: Final = (
    *((10 - wrong) / 10 for wrong in range(9, 1, -1)),
    *((scale - wrong) / scale for scale in (200, 2000, 20_000) for wrong in range(20, 1, -1)),
)
"""What a table of operating points answers exactly: errors of 90 % to 20 %, then 10 %, 9.5 %, ... 0.01 %."""


def negative_log_likelihood(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    temperature: float = 1.0,
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Compute the mean of -log p(true label), in nats, weighted by `weights` [N] if given."""
    probabilities = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.maximum(probabilities, 1e-300)), weights=weights))


def fit_temperature(
    logits: NDArray[np.floating], labels: NDArray[np.int64], weights: NDArray[np.floating] | None = None
) -> float:
    """Find the temperature in [0.05, 20] that minimises the negative log-likelihood.

    Args:
        logits: [N, C] on data that the network has not been trained on.
        labels: int64 [N].
        weights: [N], above 0, for data whose classes are not as frequent as where the network will read.

    >>> logits = np.array([[9.0, 0.0]] * 3 + [[0.0, 9.0]])   # far too sure: one of four is wrong
    >>> temperature = fit_temperature(logits, np.zeros(4, np.int64))
    >>> softmax(logits, temperature)[0].round(2).tolist()
    [0.75, 0.25]
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, math.exp(log_t), weights),
        bounds=(math.log(0.05), math.log(20.0)),
        method="bounded",
    )
    return float(math.exp(found.x))


def fit_known(
    characters: NDArray[np.floating], outliers: NDArray[np.floating], withheld: float = MAX_WITHHELD
) -> KnownRecord:
    """Find what a network's answers to characters and to outliers mean, and below which one not to answer.

    Platt scaling (1999) over both, weighted as if there were as many of one as of the other. The threshold
    withholds at most 0.5 % of the characters, unless `withheld` says otherwise. Fewer than 200 cannot show
    that: then it is a low probability, or what their lowest quarter lets expect. Of six small models
    calibrated on 20 characters, again and again, this withheld 0.4 % to 0.8 % of thousands of unseen ones,
    and 86 % to 95 % of scribbles.

    Args:
        characters: [N] outputs for characters, N >= 1, that the network was not trained on.
        outliers: [M] outputs for what is no character, M >= 1.
        withheld: the share of the characters that the threshold may withhold, in (0, 1).

    >>> generator = np.random.default_rng(0)
    >>> found = fit_known(generator.normal(3, 1, 2000), generator.normal(-3, 1, 500))
    >>> found.withheld <= 0.005, found.answered < 0.02
    (True, True)
    """
    slope, shift = _platt_scaling(characters.astype(np.float64), outliers.astype(np.float64))
    scale = max(slope, MIN_KNOWN_SCALE)
    record = KnownRecord(scale, shift, 0.0, len(characters), 0.0, len(outliers), 1.0)
    known, others = record.probabilities(characters), record.probabilities(outliers)
    lowest, most = float(np.sort(known)[int(withheld * len(known))]), MAX_KNOWN_THRESHOLD
    if len(known) < MIN_KNOWN_IMAGES:
        expected = float(record.probabilities(np.array([_expected_low(characters, withheld)]))[0])
        most = min(most, max(FEW_KNOWN_THRESHOLD, expected))
    threshold = min(lowest, most)
    return replace(
        record,
        threshold=threshold,
        withheld=float((known < threshold).mean()),
        answered=float((others >= threshold).mean()),
    )


def _platt_scaling(characters: NDArray[np.float64], outliers: NDArray[np.float64]) -> tuple[float, float]:
    """Fit a logistic curve: slope and intercept. Both kinds weigh as much; the slope is held back."""
    from scipy.optimize import minimize

    outputs = np.concatenate([characters, outliers])
    signs = np.where(np.arange(len(outputs)) < len(characters), 1.0, -1.0)
    weights = len(outputs) / 2 / np.where(signs > 0, len(characters), len(outliers))

    def loss(found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (found[0] * outputs + found[1])
        pull = -weights * signs / (1 + np.exp(np.clip(margins, -500, 500)))
        value = float((weights * np.logaddexp(0, -margins)).sum() + found[0] ** 2 / 2)
        return value, np.array([(pull * outputs).sum() + found[0], pull.sum()])

    slope, shift = minimize(loss, np.zeros(2), jac=True, method="BFGS").x.tolist()
    return slope, shift


def _expected_low(outputs: NDArray[np.floating], withheld: float) -> float:
    """Find the output that so many of characters such as these are expected to be below.

    The lowest quarter decays exponentially (peaks over a threshold, Pickands 1975), at a rate that is known
    the less the fewer they are: averaged over what it may be, the answer is the lower.
    """
    few = math.ceil(len(outputs) / 4)
    if few < 2:
        return -math.inf
    ordered = np.sort(outputs.astype(np.float64))
    decay = float((ordered[few] - ordered[:few]).mean())
    rarer = few / (len(outputs) * withheld)
    return float(ordered[few] - few * decay * (rarer ** (1 / few) - 1))


@dataclass(frozen=True)
class RiskCoverage:
    """The share of errors among the k most confident of N images, for every k (El-Yaniv and Wiener 2010).

    Attributes:
        risk: float64 [N]; `risk[k - 1]` among the k most confident, in [0, 1].
        confidence: float64 [N], falling; `confidence[k - 1]` is the lowest among the k.
    """

    risk: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def area(self) -> float:
        """AURC: the mean risk over all coverages (Geifman and El-Yaniv 2017); lower is better."""
        return float(self.risk.mean()) if len(self.risk) else math.nan

    def accuracy_at(self, coverage: float) -> float:
        """Return the accuracy among the most confident share, in (0, 1], of the images, rounded up."""
        return 1.0 - float(self.risk[self._last(coverage)])

    def confidence_at(self, coverage: float) -> float:
        """Return the threshold (`--min-confidence`) at which this share is answered."""
        return float(self.confidence[self._last(coverage)])

    def coverage_at(self, accuracy: float) -> float:
        """Return the largest share of the images, in [0, 1], that is answered with at least this accuracy."""
        reached = np.flatnonzero(1.0 - self.risk >= accuracy - 1e-12)
        return float((reached[-1] + 1) / len(self.risk)) if len(reached) else 0.0

    def _last(self, coverage: float) -> int:
        # The rounding of a decimal share must not add an image: 0.07 * 100 is 7.000000000000001.
        return max(0, math.ceil(round(coverage * len(self.risk), 9)) - 1)


def risk_coverage(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> RiskCoverage:
    """Compute the curve for confidences [N] and correctness bool [N].

    Among equal confidences the errors are spread evenly, which is their expectation over all orders:
    the curve does not depend on the order of the images.

    >>> curve = risk_coverage(np.array([0.9, 0.5, 0.8, 0.5]), np.array([True, False, True, True]))
    >>> curve.risk.round(3).tolist()
    [0.0, 0.0, 0.167, 0.25]
    >>> curve.accuracy_at(0.5), curve.confidence_at(0.5)
    (1.0, 0.8)
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order].astype(np.float64)
    ends = np.flatnonzero(np.append(np.diff(sure) != 0, np.ones(min(len(sure), 1), bool)))
    errors_up_to = np.cumsum(~correct[order])[ends]
    taken = np.arange(1, len(sure) + 1)
    errors = np.interp(taken, np.append(0, ends + 1), np.append(0, errors_up_to))
    return RiskCoverage(errors / taken, sure)


def selective_accuracy(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> SelectiveAccuracy:
    """Find the thresholds that reach rising accuracies among the answered images, at the largest coverages.

    For a target this is the largest coverage whose empirical accuracy reaches it, over the thresholds
    that equal confidences allow. A threshold lies halfway between the least sure image that is answered and
    the next one; the first answers all, at 0.

    The accuracies are point estimates: the coverage was chosen on the same images. A bound that holds
    with high probability (SGR, Geifman and El-Yaniv 2017) asks for a higher threshold, and for thousands of
    images where few may be wrong; that all higher thresholds reach the target as well would let one wrong
    label among the surest images forbid every target.

    Args:
        confidence: [N] in [0, 1], N >= 1, calibrated, of images that the network was not trained on.
        correct: bool [N].

    >>> table = selective_accuracy(np.array([0.9, 0.5, 0.8, 0.6]), np.array([True, False, True, True]))
    >>> for point in table.points:
    ...     print(point)
    OperatingPoint(accuracy=0.75, threshold=0.0, coverage=1.0)
    OperatingPoint(accuracy=1.0, threshold=0.55, coverage=0.75)
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order].astype(np.float64)
    ends = np.flatnonzero(np.append(np.diff(sure) != 0, True))
    accuracy = np.cumsum(correct[order])[ends] / (ends + 1)
    last, following = sure[ends[:-1]], sure[ends[:-1] + 1]
    halfway = (last + following) / 2
    # Halfway may round to the following confidence, which would be answered as well.
    thresholds = np.append(np.where(halfway > following, halfway, last), 0.0)
    chosen = [len(ends) - 1]
    for target in (*_TARGETS, accuracy.max()):
        reached = np.flatnonzero(accuracy >= target)
        if len(reached) and reached[-1] != chosen[-1]:
            chosen.append(int(reached[-1]))
    points = tuple(
        OperatingPoint(float(accuracy[i]), float(thresholds[i]), float((ends[i] + 1) / len(sure)))
        for i in chosen
    )
    return SelectiveAccuracy(len(sure), points)
