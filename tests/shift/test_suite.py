from __future__ import annotations

import numpy as np
import pytest

import kalamos.shift.suite as suite_module
from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.errors import DatasetError, UsageError
from kalamos.recognizer import Recognizer
from kalamos.shift.suite import Outcomes, measure


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
        ({"names": ["fogg"]}, "there is no corruption 'fogg'; did you mean 'fog'"),
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
