from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.datasets import Dataset, Split
from kalamos.inspection.checks import ImageIndex
from kalamos.inspection.label_errors import LabelCheck, check_labels


def check(dataset: Dataset, *, sample: int = 1000, candidates=None):
    index = ImageIndex(dataset)
    rows = np.arange(len(index)) if candidates is None else candidates
    told, found = check_labels(index, rows, dataset.alphabet.labels, sample=sample, seed=0)
    return told, [case for _, case in found]


def mislabelled(clean: Dataset, rows: list[int], groups=None) -> Dataset:
    labels = clean.train.labels.copy()
    labels[rows] = (labels[rows] + 1) % 4
    return replace(clean, train=Split(clean.train.images, labels, groups), test=None)


def test_right_labels_are_not_suspected(clean: Dataset) -> None:
    told, cases = check(clean)
    assert (told.judged, told.of, told.skipped) == (208, 208, "")
    assert told.accuracy is not None
    assert told.accuracy > 0.98
    assert cases == []


def test_wrong_labels_are_found_and_the_right_ones_suggested(clean: Dataset) -> None:
    wrong = [3, 50, 90, 130]
    _, cases = check(mislabelled(clean, wrong))
    assert sorted(case.rows[0] for case in cases) == wrong
    suggested = {case.rows[0]: case.suggested for case in cases}
    assert suggested == {3: "ا", 50: "ب", 90: "A", 130: "<b>"}
    qualities = [case.quality for case in cases]
    assert qualities == sorted(qualities)
    assert all(quality is not None and 0 <= quality < 0.1 for quality in qualities)


def test_a_writer_who_always_errs_is_found_where_groups_are_many(clean: Dataset) -> None:
    writers = np.arange(160) % 80
    wrong = np.flatnonzero(writers == 3).tolist()
    told, cases = check(mislabelled(clean, wrong, writers))
    assert told.judged == 160
    assert sorted(case.rows[0] for case in cases[:2]) == wrong
    assert len(cases) <= 3


def test_a_few_groups_do_not_split_the_folds(clean: Dataset) -> None:
    # A group a class: with the folds kept apart, no class could be learnt.
    told, cases = check(mislabelled(clean, [3], np.repeat(np.arange(4), 40)))
    assert told.judged == 160
    assert [case.rows for case in cases] == [(3,)]


def test_a_sample_takes_its_share_of_each_class(clean: Dataset) -> None:
    told, _ = check(clean, sample=104)
    assert (told.judged, told.of) == (104, 208)


def test_rare_classes_and_blank_images_are_not_judged(clean: Dataset) -> None:
    images = clean.train.images.copy()
    images[0] = 0
    dataset = replace(clean, train=Split(images, clean.train.labels), test=None)
    told, _ = check(dataset, candidates=np.r_[0:120, 120:122])
    assert told.judged == 119


@pytest.mark.parametrize("rows", [np.zeros(0, np.int64), np.arange(40), np.r_[0:2, 40:42]])
def test_with_too_little_to_judge_it_says_so(clean: Dataset, rows) -> None:
    told, cases = check(clean, candidates=rows)
    assert told == LabelCheck(0, 208, skipped="needs two classes of at least 3 distinct images")
    assert cases == []


def test_classes_that_lie_in_one_group_each_are_judged_too(clean: Dataset) -> None:
    told, cases = check(mislabelled(clean, [70], clean.train.labels))
    assert told.judged == 160
    assert [case.rows for case in cases] == [(70,)]
