from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets import Dataset, SkippedFile, Split
from kalamos.inspection import FINDING_TYPES, inspect


def test_nothing_is_found_where_nothing_is_wrong(clean: Dataset) -> None:
    assert inspect(clean).findings == ()


@pytest.fixture
def faulty(clean: Dataset) -> Dataset:
    """One fault of every kind that a dataset of one size can have, each of its own."""
    assert clean.test is not None
    images, labels = clean.train.images.copy(), clean.train.labels.copy()
    test_images = clean.test.images.copy()
    images[0] = 0  # blank
    images[41] = images[2]  # under two labels
    images[4] = images[3]  # a copy
    images[6] = 255 - images[5]  # a near copy, of the other polarity
    images[47] = 255 - images[7]  # the same under two labels
    test_images[1] = images[8]  # crossing
    test_images[2] = 255 - images[9]  # the same, nearly
    labels[50] = 2
    labels[120:155] = 0  # few of a class
    keep = clean.test.labels != 3
    return replace(
        clean,
        alphabet=Alphabet("more", (*clean.alphabet.labels, "none")),
        train=Split(images, labels),
        test=Split(test_images[keep], clean.test.labels[keep]),
        problems=(SkippedFile("a/1.png", "truncated"), SkippedFile("notes.txt", "not an image")),
    )


def test_every_planted_fault_is_found(faulty: Dataset) -> None:
    found = {finding.kind: [case.rows for case in finding.cases] for finding in inspect(faulty).findings}
    assert found["blank"] == [(0,)]
    assert found["two-labels"] == [(2, 41)]
    assert found["copies"] == [(3, 4)]
    assert found["crossing"] == [(8, 161)]
    assert found["near-copies"] == [(5, 6)]
    assert found["near-two-labels"] == [(7, 47)]
    assert found["near-crossing"] == [(9, 162)]
    assert found["polarity"] == [(6,), (47,), (162,)]
    assert (50,) in found["suspects"]
    assert set(found) == {
        "unreadable", "blank", "two-labels", "crossing", "missing-class", "near-two-labels", "near-crossing",
        "suspects", "copies", "near-copies", "polarity", "few", "absent", "imbalance", "foreign",
    }  # fmt: skip
    assert list(found) == [kind for kind in FINDING_TYPES if kind in found]


def test_errors_come_before_warnings(faulty: Dataset) -> None:
    diagnosis = inspect(faulty, labels=False)
    assert diagnosis.findings == (*diagnosis.errors, *diagnosis.warnings)
    assert [finding.kind for finding in diagnosis.errors] == [
        "unreadable",
        "blank",
        "two-labels",
        "crossing",
        "missing-class",
    ]
    assert diagnosis.labels is None


def test_images_that_cross_from_train_to_validation(clean: Dataset) -> None:
    images = clean.train.images.copy()
    images[1] = images[0]
    train = Split(images, clean.train.labels)
    [finding] = inspect(replace(clean, train=train, val_rows=np.arange(1, 160, 2)), labels=False).errors
    assert (finding.kind, finding.cases[0].rows) == ("crossing", (0, 1))


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("labels", [False, True])
def test_hardly_any_images(count: int, labels: bool, draw) -> None:
    split = Split(draw(0, count, seed=1), np.zeros(count, np.int64))
    diagnosis = inspect(
        Dataset("small", DIGITS, split, split.take(np.zeros(0, np.int64)), "x"), labels=labels
    )
    assert {finding.kind for finding in diagnosis.findings} == {"missing-class", *(["few"] if count else [])}
