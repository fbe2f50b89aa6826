from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.evaluation.metrics import (
    brier_score,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    log_loss,
    reliability,
    truth_ranks,
    wilson_interval,
)


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


# --- against scikit-learn ------------------------------------------------------------------------


def a_measurement(seed: int, n: int = 400, classes: int = 7) -> tuple[Any, Any]:
    """Probabilities float32 [N, C] without ties, and labels; class 2 is never answered."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    scores = generator.normal(size=(n, classes))
    scores[np.arange(n), truth] += 1.5
    scores[:, 2] = -20
    powers = np.exp(scores)
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32), truth


@pytest.mark.parametrize("seed", range(3))
def test_precision_recall_f1_are_those_of_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="needs the extra 'train'")
    probabilities, truth = a_measurement(seed)
    truth[truth == 5] = 4  # a class without images
    predicted = probabilities.argmax(1)
    predicted[::50] = -1
    scores = class_scores(truth, predicted, 7)
    present = [label for label in range(7) if label != 5]
    expected = sklearn.precision_recall_fscore_support(
        truth, predicted, labels=range(7), zero_division=np.nan
    )
    assert np.isnan(scores.recall[5])
    assert scores.precision[2] == 0
    np.testing.assert_allclose(np.delete(scores.precision, 2), np.delete(expected[0], 2))
    np.testing.assert_allclose(scores.recall, expected[1])
    np.testing.assert_allclose(scores.f1, expected[2])
    assert scores.support.tolist() == expected[3].tolist()
    for average, means in (("macro", scores.macro()), ("weighted", scores.weighted())):
        theirs = sklearn.precision_recall_fscore_support(
            truth, predicted, labels=present, average=average, zero_division=0
        )
        assert means == pytest.approx(theirs[:3])


@pytest.mark.parametrize("seed", range(3))
def test_ranks_loss_and_brier_are_those_of_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="needs the extra 'train'")
    probabilities, truth = a_measurement(seed)
    ranks = truth_ranks(probabilities, truth)
    for k in range(1, 6):
        theirs = sklearn.top_k_accuracy_score(truth, probabilities, k=k, labels=range(7))
        assert (ranks < k).mean() == pytest.approx(theirs)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    assert log_loss(probabilities, truth) == pytest.approx(sklearn.log_loss(truth, exact, labels=range(7)))
    theirs = sklearn.brier_score_loss(truth, exact, labels=range(7), scale_by_half=False)
    assert brier_score(probabilities, truth) == pytest.approx(theirs)


def test_more_rows_than_one_chunk_are_all_counted() -> None:
    probabilities, truth = a_measurement(0, n=20_000)
    ranks = truth_ranks(probabilities, truth)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    assert np.array_equal(order[np.arange(20_000), ranks], truth)
    expected = np.square(probabilities.astype(np.float64) - np.eye(7)[truth]).sum(1).mean()
    assert brier_score(probabilities, truth) == pytest.approx(expected)


def test_the_earlier_of_equal_candidates_goes_first() -> None:
    even = np.full((3, 3), 1 / 3, np.float32)
    assert truth_ranks(even, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_a_certain_mistake_costs_much_but_not_infinity() -> None:
    certain = np.array([[1.0, 0.0]], np.float32)
    assert log_loss(certain, np.array([1])) == pytest.approx(87.34, abs=0.01)
    assert brier_score(certain, np.array([1])) == 2
    assert math.isnan(log_loss(certain[:0], np.array([], np.int64)))
    assert math.isnan(brier_score(certain[:0], np.array([], np.int64)))


# --- reliability ---------------------------------------------------------------------------------


def test_every_bin_has_its_interval() -> None:
    diagram = reliability(np.array([0.95] * 10 + [0.1]), np.array([True] * 9 + [False, True]))
    assert diagram.counts.tolist() == [0, 1, *[0] * 12, 10]
    assert (diagram.low[14], diagram.high[14]) == wilson_interval(9, 10)
    assert (diagram.low[1], diagram.high[1]) == wilson_interval(1, 1)
    assert np.isnan([diagram.low[0], diagram.accuracy[0], diagram.confidence[0]]).all()
    assert diagram.ece == pytest.approx((10 * 0.05 + 0.9) / 11)
