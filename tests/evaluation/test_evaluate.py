from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.datasets import Dataset, Split
from kalamos.errors import DatasetError
from kalamos.evaluation.evaluate import Evaluation, evaluate
from kalamos.evaluation.metrics import wilson_interval
from kalamos.recognizer import Recognizer


@pytest.fixture
def measured() -> Evaluation:
    """Eight images of a, b, c and d: five right, two wrong, one unread; there is no d."""
    return Evaluation(
        truth=np.array([0, 0, 0, 1, 1, 1, 2, 2]),
        predicted=np.array([0, 0, 1, 1, 1, 2, 2, -1]),
        confidence=np.array([0.9, 0.9, 0.6, 1.0, 1.0, 0.4, 0.8, 0.0]),
        labels=("a", "b", "c", "d"),
        sha256="0" * 64,
    )


def test_what_could_not_be_read_counts_as_wrong(measured: Evaluation) -> None:
    assert measured.n == 8
    assert measured.unread == 1
    assert measured.correct.tolist() == [True, True, False, True, True, False, True, False]
    assert measured.accuracy == 5 / 8
    assert measured.interval == wilson_interval(5, 8)


def test_what_could_not_be_read_is_nowhere_in_the_confusion(measured: Evaluation) -> None:
    assert measured.confusion.tolist() == [[2, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_every_class_by_itself(measured: Evaluation) -> None:
    shares = measured.per_class_accuracy()
    assert shares[:3].tolist() == [2 / 3, 2 / 3, 1 / 2]
    assert np.isnan(shares[3])


def test_calibration(measured: Evaluation) -> None:
    gaps = [2 * 0.1, 0.6, 0.0, 0.4, 0.2, 0.0]  # by bin: .9, .6, 1, .4, .8, 0
    assert measured.ece == pytest.approx(sum(gaps) / 8)


def test_the_most_frequent_mistakes_come_first(measured: Evaluation) -> None:
    assert measured.most_confused() == [("a", "b", 1), ("b", "c", 1)]
    often = replace(measured, predicted=np.array([1, 2, 1, 1, 1, 2, 2, 2]))
    assert often.most_confused() == [("a", "b", 2), ("a", "c", 1), ("b", "c", 1)]
    assert often.most_confused(k=1) == [("a", "b", 2)]
    assert replace(measured, predicted=measured.truth).most_confused() == []


def test_a_model_is_measured_on_the_path_that_prediction_takes(reader: Recognizer, digits: Dataset) -> None:
    measured = evaluate(reader, digits.test, digits.alphabet.labels)
    predictions = reader.predict_batch(list(digits.test.images))
    assert [reader.labels[i] for i in measured.predicted] == [p.label for p in predictions]
    np.testing.assert_allclose(measured.confidence, [p.confidence for p in predictions], atol=1e-6)
    assert measured.accuracy > 0.9
    assert measured.n == 60
    assert measured.sha256 == digits.test.sha256
    assert measured.truth.tolist() == digits.test.labels.tolist()


@pytest.mark.parametrize("blanks", [[0], [5, 20], list(range(60))])
def test_blank_images_are_unread(reader: Recognizer, digits: Dataset, blanks: list[int]) -> None:
    images = digits.test.images.copy()
    images[blanks] = 255
    whole = evaluate(reader, digits.test, digits.alphabet.labels)
    measured = evaluate(reader, Split(images, digits.test.labels), digits.alphabet.labels)
    assert measured.unread == len(blanks)
    assert (measured.predicted[blanks] == -1).all()
    assert (measured.confidence[blanks] == 0).all()
    others = np.setdiff1d(np.arange(60), blanks)
    assert np.array_equal(measured.predicted[others], whole.predicted[others])


def test_more_images_than_one_chunk(reader: Recognizer, digits: Dataset) -> None:
    measured = evaluate(reader, digits.train, digits.alphabet.labels)
    alone = [
        evaluate(reader, digits.train.take(np.array([i])), digits.alphabet.labels) for i in (63, 64, 299)
    ]
    assert [measured.predicted[i] for i in (63, 64, 299)] == [e.predicted[0] for e in alone]
    assert (measured.predicted >= 0).all()


def test_the_order_of_the_labels_may_differ(reader: Recognizer, digits: Dataset) -> None:
    backwards = digits.alphabet.labels[::-1]
    measured = evaluate(reader, Split(digits.test.images, 9 - digits.test.labels), backwards)
    assert measured.truth.tolist() == digits.test.labels.tolist()
    assert measured.labels == reader.labels


def test_the_model_may_know_more_than_the_split(reader: Recognizer, digits: Dataset) -> None:
    rows = np.flatnonzero(digits.test.labels < 2)
    measured = evaluate(reader, digits.test.take(rows), ("0", "1"))
    assert measured.accuracy > 0.9
    assert np.isnan(measured.per_class_accuracy()[2:]).all()


def test_a_class_that_the_model_does_not_know_is_an_error(reader: Recognizer, digits: Dataset) -> None:
    with pytest.raises(DatasetError, match="the model 'tiny' does not know A, B; evaluate it on"):
        evaluate(reader, digits.test, (*digits.alphabet.labels, "B", "A"))


def test_an_empty_split_is_an_error(reader: Recognizer, digits: Dataset) -> None:
    with pytest.raises(DatasetError, match="the split is empty"):
        evaluate(reader, digits.test.take(np.array([], np.int64)), digits.alphabet.labels)
