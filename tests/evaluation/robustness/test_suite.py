from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kalamos.evaluation.robustness.suite as suite_module
from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.errors import DatasetError, UsageError
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.robustness.suite import (
    Cell,
    Estimate,
    Outcomes,
    ShiftReport,
    measure,
    stratified_sample,
    summarise,
)
from kalamos.recognizer import Recognizer


@pytest.fixture
def small() -> ShiftReport:
    """Four images of label 0: two corruptions of the paper's, one of ours."""
    truth = np.zeros(4, np.int64)
    clean = Evaluation(truth, np.tile(np.array([0.9, 0.1], np.float32), (4, 1)), ("a", "b"), "f00")
    predicted = np.zeros((3, 3, 4), np.int64)
    predicted[0] = [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, -1]]
    predicted[2, 2] = -1
    confidence = np.where(predicted < 0, 0, 0.75).astype(np.float32)
    return summarise(("fog", "scale", "jpeg"), clean, predicted, confidence, predicted >= 0, seed=5)


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


def test_calibration_is_of_the_answers_with_case_folded() -> None:
    shares = np.tile(np.array([0.5, 0.3, 0.2], np.float32), (2, 1))
    clean = Evaluation(np.array([1, 1]), shares, ("x", "X", "7"), "f00")
    # Of two images of X: read as x and as 7; at the third strength the 7 is taken for no character.
    predicted = np.tile(np.array([0, 2]), (1, 3, 1))
    folded = np.tile(np.array([0.8, 0.4], np.float32), (1, 3, 1))
    answered = np.ones((1, 3, 2), bool)
    answered[0, 2, 1] = False
    report = summarise(("fog",), clean, predicted, folded, answered, seed=5)
    assert [cell.correct for cell in report.cells] == [0, 0, 0]
    assert [cell.ece for cell in report.cells] == pytest.approx([(0.2 + 0.4) / 2, (0.2 + 0.4) / 2, 0.2])
    assert [cell.mean_confidence for cell in report.cells] == pytest.approx([0.6, 0.6, 0.8])
    assert [cell.withheld for cell in report.cells] == [0, 0, 1]
    assert report.to_mapping()["withheld"] == 1
    assert report.ece == pytest.approx((3 * 0.2 + 2 * 0.4) / 5)


def test_the_interval_is_over_images(small: ShiftReport) -> None:
    mean = small.means["MNIST-C"]
    # Three images differ, by at most a half: a resample's mean lies between those of the extremes.
    assert 0.5 < mean.low < mean.value < mean.high < 1
    alike = small.means["photograph"]
    assert alike.low == alike.value == alike.high


def test_the_keys_are_those_documented(report: ShiftReport) -> None:
    import kalamos.evaluation.robustness.suite as module

    stored = report.to_mapping()
    assert [key for key in (*stored, *stored["cells"][0]) if key not in (module.__doc__ or "")] == []
    assert stored["worst"]["accuracy"] == min(report.accuracy(name) for name in report.names)


def test_values_in_words() -> None:
    assert str(Estimate(0.5, 0.25, 0.75)) == "50.00%   95 % interval [25.00%, 75.00%]"
    cell = Cell("fog", "MNIST-C", 1, 10, 5, 0, None, None, 0)
    assert replace(cell, correct=10).accuracy == 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 5))
def test_every_class_keeps_its_share(values: list[int], count: int, seed: int) -> None:
    labels = np.array(values)
    rows = stratified_sample(labels, count, seed)
    assert len(rows) == min(count, len(labels))
    assert len(set(rows.tolist())) == len(rows)
    assert rows.tolist() == sorted(rows.tolist())
    for label in set(values):
        wanted = len(rows) * values.count(label) / len(values)
        assert abs((labels[rows] == label).sum() - wanted) <= 2


def test_a_rare_class_stays_rare() -> None:
    labels = np.repeat([0, 1], [90, 10])
    assert np.bincount(labels[stratified_sample(labels, 20, 1)]).tolist() == [18, 2]


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    labels = np.tile(np.arange(10), 30)
    small, large = (set(stratified_sample(labels, count, 3).tolist()) for count in (50, 120))
    assert small < large
    assert small != set(stratified_sample(labels, 50, 4).tolist())


@pytest.mark.parametrize("count", [0, 6, 7])
def test_all_of_them(count: int) -> None:
    assert stratified_sample(np.zeros(6, np.int64), count, 1).tolist() == list(range(6))


def test_fewer_than_none_is_refused() -> None:
    with pytest.raises(UsageError, match="-1 images"):
        stratified_sample(np.zeros(6, np.int64), -1, 1)


def test_every_cell_holds_every_image(outcomes: Outcomes, digits: Dataset) -> None:
    assert outcomes.predicted.shape == outcomes.confidence.shape == (4, 3, 40)
    assert np.array_equal(outcomes.truth, digits.train.labels[outcomes.rows])
    assert np.bincount(outcomes.truth).tolist() == [4] * 10
    assert ((outcomes.confidence > 0) == (outcomes.predicted >= 0)).all()
    assert outcomes.clean.n == 40


def test_it_is_the_way_that_prediction_takes(outcomes: Outcomes, reader: Recognizer) -> None:
    for place, name in enumerate(outcomes.names):
        for position in (0, 17):
            prediction = reader.predict(outcomes.corrupted(name, 2, position))
            assert prediction.label == reader.labels[outcomes.predicted[place, 1, position]]
            assert prediction.confidence == pytest.approx(outcomes.confidence[place, 1, position], abs=1e-4)


def test_neither_threads_nor_the_other_images_change_an_answer(
    outcomes: Outcomes, reader: Recognizer, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite_module, "default_jobs", lambda: 1)
    monkeypatch.setattr(suite_module, "CHUNK", 7)
    fewer = measure(
        reader, digits.train, digits.alphabet.labels, limit=20, seed=7, names=["thin_pen", "stripe"]
    )
    same = np.flatnonzero(np.isin(outcomes.rows, fewer.rows))
    assert len(same) == 20
    for name in fewer.names:
        here, there = fewer.names.index(name), outcomes.names.index(name)
        assert np.array_equal(fewer.predicted[here], outcomes.predicted[there][:, same])
        assert np.allclose(fewer.confidence[here], outcomes.confidence[there][:, same], atol=1e-4)


def test_another_seed_corrupts_otherwise(outcomes: Outcomes, reader: Recognizer, digits: Dataset) -> None:
    other = measure(reader, digits.train, digits.alphabet.labels, limit=40, seed=8, names=["thin_pen"])
    assert not np.array_equal(other.rows, outcomes.rows)


def test_polarity_and_sizes_do_not_matter(reader: Recognizer, digits: Dataset) -> None:
    split, labels = digits.train.take(np.arange(20)), digits.alphabet.labels
    dark = Split(255 - split.stack(), split.labels)
    ragged = Split(
        RaggedImages.of([np.pad(image, 3 * (i % 3)) for i, image in enumerate(split.images)]), split.labels
    )
    first, *others = (
        measure(reader, each, labels, limit=0, names=["tilted"]).report() for each in (split, dark, ragged)
    )
    assert first.n == 20
    assert first.accuracy("tilted") > 0.7
    assert all(abs(other.accuracy("tilted") - first.accuracy("tilted")) <= 0.1 for other in others)


def test_blank_images_are_wrong_and_told_apart(reader: Recognizer) -> None:
    blank = Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int64))
    report = measure(reader, blank, reader.labels, names=["translate", "tilted"]).report()
    assert (report.clean_no_ink, report.no_ink) == (3, 18)
    assert report.clean.value == report.means["all"].value == 0
    assert report.ece is report.mean_confidence is report.cells[0].ece is None
    assert report.to_mapping()["cells"][0]["no_ink"] == 3


def test_progress_reaches_the_end(reader: Recognizer, digits: Dataset) -> None:
    told: list[int] = []
    measure(reader, digits.train, digits.alphabet.labels, limit=25, names=["scale"], on_progress=told.append)
    assert told == [64, 75]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"names": ["fogg"]}, "unknown corruption 'fogg'; did you mean 'fog'"),
        ({"names": []}, "no corruption is chosen"),
        ({"limit": -5}, "-5 images cannot be drawn"),
        ({"seed": -5}, "seed -5 is negative"),
    ],
)
def test_wrong_usage(reader: Recognizer, digits: Dataset, options: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        measure(reader, digits.train, digits.alphabet.labels, **options).report()


def test_an_empty_split_and_foreign_labels_are_refused(reader: Recognizer, digits: Dataset) -> None:
    with pytest.raises(DatasetError, match="nothing to corrupt"):
        measure(reader, digits.train.take(np.zeros(0, np.int64)), digits.alphabet.labels).report()
    with pytest.raises(DatasetError, match="does not know"):
        measure(reader, digits.train, tuple("ابتثجحخدذر"), names=["fog"]).report()


def test_mnist_survives_what_a_person_does_not_notice(reader: Recognizer, mnist: Dataset) -> None:
    report = measure(
        reader, mnist.train, mnist.alphabet.labels, limit=60, names=["brightness", "tilted"]
    ).report()
    assert all(cell.accuracy > 0.9 for cell in report.cells)
