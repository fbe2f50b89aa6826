from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.evaluation.evaluate import Evaluation
from kalamos.shift.report import Cell, Estimate, ShiftReport, summarise


@pytest.fixture
def small() -> ShiftReport:
    """Four images of label 0: two corruptions of the paper's, one of ours."""
    truth = np.zeros(4, np.int64)
    clean = Evaluation(truth, np.tile(np.array([0.9, 0.1], np.float32), (4, 1)), ("a", "b"), "f00")
    predicted = np.zeros((3, 3, 4), np.int64)
    predicted[0] = [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, -1]]
    predicted[2, 2] = -1
    confidence = np.where(predicted < 0, 0, 0.75).astype(np.float32)
    return summarise(("fog", "scale", "jpeg"), clean, predicted, confidence, seed=5)


def test_the_means_are_means_of_means(small: ShiftReport) -> None:
    assert [small.accuracy(name) for name in small.names] == pytest.approx([0.5, 1, 2 / 3])
    assert small.means["all"].value == pytest.approx((0.5 + 1 + 2 / 3) / 3)
    assert small.means["MNIST-C"].value == pytest.approx(0.75)
    assert small.means["photograph"].value == pytest.approx(2 / 3)
    assert small.worst(2) == ("fog", "jpeg")
    assert small.clean.value == 1


def test_the_cells(small: ShiftReport) -> None:
    assert [cell.correct for cell in small.of("fog")] == [3, 2, 1]
    assert [cell.no_ink for cell in small.cells] == [0, 0, 1, 0, 0, 0, 0, 0, 4]
    assert small.no_ink == 5
    first, blank = small.of("fog")[0], small.of("jpeg")[2]
    assert (first.group, first.ece, first.mean_confidence) == ("MNIST-C", pytest.approx(0), 0.75)
    assert (blank.accuracy, blank.ece, blank.mean_confidence) == (0, None, None)
    low, high = first.interval
    assert low < 0.75 < high


def test_the_interval_is_over_images(small: ShiftReport) -> None:
    mean = small.means["MNIST-C"]
    # Three images differ, by at most a half: a resample's mean lies between those of the extremes.
    assert 0.5 < mean.low < mean.value < mean.high < 1
    alike = small.means["photograph"]
    assert alike.low == alike.value == alike.high


def test_the_keys_are_those_documented(report: ShiftReport) -> None:
    import kalamos.shift.report as module

    stored = report.to_mapping()
    assert [key for key in (*stored, *stored["cells"][0]) if key not in (module.__doc__ or "")] == []
    assert stored["worst"]["accuracy"] == min(report.accuracy(name) for name in report.names)


def test_values_in_words() -> None:
    assert str(Estimate(0.5, 0.25, 0.75)) == "50.00%   95 % interval [25.00%, 75.00%]"
    cell = Cell("fog", "MNIST-C", 1, 10, 5, 0, None, None)
    assert replace(cell, correct=10).accuracy == 1
