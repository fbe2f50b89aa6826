"""How well confidence tells the known from the outliers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.evaluation.metrics import wilson_interval

__all__ = ["auroc", "auroc_interval", "false_positive_rate"]

Scores = NDArray[np.floating]


def auroc(known: Scores, outliers: Scores) -> float:
    """The chance that a known image [N] scores higher than an outlier [M], ties counting half.

    >>> auroc(np.array([0.9, 0.8]), np.array([0.8, 0.1]))
    0.875
    """
    from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

    truth = np.repeat([1, 0], [len(known), len(outliers)])
    return float(roc_auc_score(truth, np.concatenate([known, outliers])))


def auroc_interval(known: Scores, outliers: Scores) -> tuple[float, float]:
    """95 % interval of the AUROC: Wilson's, for as many images as DeLong's variance amounts to.

    The variance is that of DeLong, DeLong and Clarke-Pearson 1988, from the scores as they are. Where both
    sides are told apart without a mistake it is 0; then the smaller side counts, as in the worst case (the
    variance is never above that of a share of the smaller side: Birnbaum and Klose 1957).

    >>> low, high = auroc_interval(np.linspace(0.5, 1, 100), np.linspace(0, 0.4, 100))
    >>> round(low, 3), high
    (0.963, 1.0)
    """
    from scipy.stats import rankdata

    area = auroc(known, outliers)
    n, m = len(known), len(outliers)
    ranks = rankdata(np.concatenate([known, outliers]))
    # For each image, the share of the other side that it stands right to (Sun and Xu 2014).
    above = (ranks[:n] - rankdata(known)) / m
    below = 1 - (ranks[n:] - rankdata(outliers)) / n
    variance = _variance(above) / n + _variance(below) / m
    least = min(n, m)
    amounts_to = max(round(area * (1 - area) / variance), least) if variance > 0 else least
    low, high = wilson_interval(area * amounts_to, amounts_to)
    return min(low, area), max(high, area)  # at the ends they differ by a rounding error


def false_positive_rate(known: Scores, outliers: Scores, *, true_positive_rate: float = 0.95) -> float:
    """The share of outliers that pass a threshold which this share of the known passes.

    FPR at 95 % TPR, as Hendrycks and Gimpel 2017 and those after them report it.

    >>> false_positive_rate(np.arange(100), np.array([50, 5, 4, 0]))
    0.5
    """
    passing = int(np.ceil(round(true_positive_rate * len(known), 9)))
    threshold = np.sort(known)[::-1][passing - 1]
    return float((outliers >= threshold).mean())


def _variance(shares: NDArray[np.float64]) -> float:
    return float(shares.var(ddof=1)) if len(shares) > 1 else 0.0
