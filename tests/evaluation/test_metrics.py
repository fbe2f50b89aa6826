from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.evaluation.metrics import confusion_matrix, expected_calibration_error, wilson_interval


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe 1998, table I, method 3: the score interval without continuity correction.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_gives_the_published_values(correct: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_in_range(case: tuple[int, int]) -> None:
    correct, n = case
    low, high = wilson_interval(correct, n)
    assert 0 <= low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= high <= 1
    assert low < high
    mirrored = wilson_interval(n - correct, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_ece_by_hand() -> None:
    # Two of fifteen bins: around 0.9, one of two right, so a gap of 0.4; around 0.6, a gap of 0.4.
    confidence = np.array([0.9, 0.9, 0.61, 0.63])
    correct = np.array([True, False, True, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx((2 * 0.4 + 0.39 + 0.37) / 4)


def test_gaps_of_one_bin_cancel_and_of_two_bins_do_not() -> None:
    correct = np.array([True, False])
    assert expected_calibration_error(np.array([0.5, 0.5]), correct) == 0
    assert expected_calibration_error(np.array([0.2, 0.8]), correct) == pytest.approx(0.8)
    assert expected_calibration_error(np.array([0.2, 0.8]), correct, bins=1) == pytest.approx(0)


def test_the_ends_have_their_bins() -> None:
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert expected_calibration_error(np.array([1.0]), np.array([False])) == 1
    assert math.isnan(expected_calibration_error(np.array([]), np.array([], bool)))


def test_rows_are_the_truth() -> None:
    counts = confusion_matrix(np.array([0, 2, 2, 2]), np.array([0, 1, 1, 2]), 3)
    assert counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 1]]
    assert counts.dtype == np.int64
    assert confusion_matrix(np.array([], np.int64), np.array([], np.int64), 2).tolist() == [[0, 0], [0, 0]]
