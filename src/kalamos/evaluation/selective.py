"""What it gains to leave the unsure ones to a person: risk against coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["COVERAGES", "RiskCoverage", "risk_coverage"]

COVERAGES: Final = (0.8, 0.9, 0.95, 0.99)
"""The shares of answered images that reports speak of."""


@dataclass(frozen=True)
class RiskCoverage:
    """The share of errors among the surest k of N images, for every k (El-Yaniv and Wiener 2010).

    Attributes:
        risk: float64 [N]; `risk[k - 1]` among the surest k, in [0, 1].
        confidence: float64 [N], falling; `confidence[k - 1]` is that of the least sure of the k.
    """

    risk: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def area(self) -> float:
        """AURC: the mean risk over all coverages (Geifman and El-Yaniv 2017); lower is better."""
        return float(self.risk.mean()) if len(self.risk) else math.nan

    def accuracy_at(self, coverage: float) -> float:
        """Accuracy among the surest share `coverage`, in (0, 1], of the images, rounded up to a whole one."""
        return 1.0 - float(self.risk[self._last(coverage)])

    def confidence_at(self, coverage: float) -> float:
        """The confidence to ask for (`--min-confidence`) so that this share is answered."""
        return float(self.confidence[self._last(coverage)])

    def _last(self, coverage: float) -> int:
        # The rounding of a decimal share must not add an image: 0.07 * 100 is 7.000000000000001.
        return max(0, math.ceil(round(coverage * len(self.risk), 9)) - 1)


def risk_coverage(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> RiskCoverage:
    """The curve for confidences [N] and correctness bool [N].

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
