from __future__ import annotations

import numpy as np
import pytest

from kalamos.doctor.classes import check_classes, imbalance

LABELS = ("ا", "b", "c")


def kinds(counts: list[list[int]], parts: list[int]) -> dict[str, list[str]]:
    found = check_classes(np.array(counts), LABELS, parts)
    return {finding.kind: [case.what for case in finding.cases] for finding in found if finding.cases}


def test_enough_of_each_is_fine() -> None:
    assert kinds([[10, 99, 10], [0, 0, 0], [1, 1, 1]], [0, 2]) == {}


def test_parts_that_do_not_exist_lack_nothing() -> None:
    assert kinds([[10, 10, 10], [0, 0, 0], [0, 0, 0]], [0]) == {}


def test_a_class_without_any_image_is_told_once() -> None:
    assert kinds([[10, 10, 0], [0, 0, 0], [1, 1, 0]], [0, 2]) == {"missing-class": ["c: no image"]}


def test_each_fault() -> None:
    assert kinds([[0, 9, 2], [1, 0, 1], [1, 1, 0]], [0, 1, 2]) == {
        "missing-class": ["ا: no image"],
        "few": ["c: 2", "b: 9"],
        "absent": ["b: none in validation", "c: none in test"],
    }


def test_imbalance_is_of_the_classes_that_have_images() -> None:
    assert kinds([[1000, 100, 0], [0, 0, 0], [0, 0, 0]], [0]) == {
        "missing-class": ["c: no image"],
        "imbalance": ["ا: 1,000, b: 100, 10 times fewer"],
    }


@pytest.mark.parametrize(("counts", "ratio"), [([2, 6], 3.0), ([0, 6], 1.0), ([0, 0], None)])
def test_the_ratio(counts: list[int], ratio: float | None) -> None:
    assert imbalance(np.array(counts)) == ratio
