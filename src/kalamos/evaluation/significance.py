"""Whether one of two models is better, or was lucky on this data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import MissingExtraError, UsageError

__all__ = ["McNemar", "mcnemar"]

FEW = 25
"""Below this many discordant pairs the chi-square approximation is poor."""


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same images.

    Attributes:
        only_a: images that only A reads right; `only_b` likewise. The others do not tell A from B.
        p_value: two-sided, in [0, 1]; how likely a difference at least as large is where neither is better.
        exact: by the binomial distribution; else by chi-square with Edwards' continuity correction.
    """

    only_a: int
    only_b: int
    p_value: float
    exact: bool

    def significant(self, level: float = 0.05) -> bool:
        """Whether chance is ruled out at this level.

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
    if discordant < FEW:
        # Without any disagreement there is no difference to explain.
        p_value = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
        return McNemar(only_a, only_b, p_value, exact=True)
    # At a tie, the correction must not make a difference of 0 into one of 1.
    statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / discordant
    return McNemar(only_a, only_b, float(chi2.sf(statistic, df=1)), exact=False)
