from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra 'train'")

from kalamos.outliers.scores import auroc, auroc_interval, false_positive_rate


def test_auroc_counts_ties_half() -> None:
    generator = np.random.default_rng(0)
    known, outliers = generator.integers(2, 8, 40) / 10, generator.integers(0, 6, 30) / 10
    pairs = known[:, np.newaxis] - outliers
    assert auroc(known, outliers) == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)


def test_the_interval_is_delongs_away_from_the_ends() -> None:
    """Against the variance by definition, and Wald's interval, which Wilson's is near."""
    generator = np.random.default_rng(1)
    known, outliers = generator.normal(1.2, 1, 900), generator.normal(0, 1, 700)
    wins = (known[:, np.newaxis] > outliers).astype(float)
    spread = 1.96 * np.sqrt(wins.mean(axis=1).var(ddof=1) / 900 + wins.mean(axis=0).var(ddof=1) / 700)
    low, high = auroc_interval(known, outliers)
    assert (low, high) == pytest.approx((wins.mean() - spread, wins.mean() + spread), abs=2e-3)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(100):
        # One outlier in fifty is taken for the surest of all: the true AUROC is 0.98.
        outliers = np.where(generator.random(150) < 0.02, 2.0, 0.0)
        low, high = auroc_interval(generator.random(400) + 0.5, outliers)
        covered.append(low <= 0.98 <= high)
    assert 0.9 <= np.mean(covered) <= 1.0


def test_without_a_mistake_the_interval_still_has_a_width() -> None:
    low, high = auroc_interval(np.ones(10_000), np.zeros(200))
    assert (round(low, 3), high) == (0.981, 1.0)


def test_one_outlier() -> None:
    low, high = auroc_interval(np.array([0.9, 0.8, 0.2]), np.array([0.5]))
    assert 0 < low < 2 / 3 < high < 1


def test_all_alike() -> None:
    assert auroc(np.ones(5), np.ones(7)) == 0.5
    assert false_positive_rate(np.ones(5), np.ones(7)) == 1.0


def test_false_positive_rate() -> None:
    known = np.arange(20)  # 19 of them pass a threshold of 1
    assert false_positive_rate(known, np.array([0.0, 0.9, 1.0, 30.0])) == 0.5
    assert false_positive_rate(known, np.array([0.0]), true_positive_rate=1.0) == 1.0
