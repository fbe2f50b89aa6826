from __future__ import annotations

import numpy as np
import pytest

from kalamos.datasets.label_errors import judge_labels, nearness


def clouds(classes: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes as directions of 32 numbers, and images spread about them."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    return generator.normal(0, 1, (classes, 32))[labels] + generator.normal(
        0, spread, (len(labels), 32)
    ), labels


@pytest.mark.parametrize(("classes", "each"), [(24, 10), (47, 5), (10, 200)])
def test_swapped_labels_are_listed_and_right_ones_are_not(classes: int, each: int) -> None:
    images, labels = clouds(classes, each, 0.8)
    assert len(judge_labels(images, labels).errors) <= 0.005 * len(labels)
    generator = np.random.default_rng(1)
    swapped = generator.permutation(len(labels))[: len(labels) // 20]
    given = labels.copy()
    given[swapped] = (labels[swapped] + generator.integers(1, classes, len(swapped))) % classes
    judged = judge_labels(images, given)
    assert np.isin(judged.errors, swapped).mean() >= 0.9
    assert np.isin(swapped, judged.errors).mean() >= 0.8
    assert (judged.answers[judged.errors] == labels[judged.errors]).mean() >= 0.9
    assert (np.diff(judged.right[judged.errors]) >= 0).all()


def test_classes_that_nobody_can_tell_apart_are_not_taken_for_errors() -> None:
    images, labels = clouds(12, 20, 0.5)
    # Half of the images of a class are called by another name: no label of them is likely wrong.
    given = np.where((labels == 3) & (np.arange(len(labels)) % 2 == 0), 12, labels)
    assert judge_labels(images, given).errors == []


def test_what_says_nothing_is_not_judged() -> None:
    images, labels = clouds(3, 10, 0.1)
    alone = labels.copy()
    alone[[0, 1]] = 7  # two images of a class that lies where another does
    judged = judge_labels(images, alone)
    assert judged.errors == []
    assert judged.right[[0, 1]].tolist() == [1.0, 1.0]
    assert judge_labels(images, np.zeros(30, np.int64)).errors == []
    assert judge_labels(images[:0], labels[:0]).errors == []


def test_a_class_of_two_shapes_is_near_to_both() -> None:
    images, labels = clouds(20, 30, 0.4)
    both = labels // 2
    assert judge_labels(images, both).errors == []
    swapped = np.arange(3, 600, 40)
    both[swapped] = (both[swapped] + 1) % 10
    found = judge_labels(images, both).errors
    assert set(found) <= set(swapped.tolist())
    assert len(found) >= 13


def test_an_image_is_not_compared_with_itself() -> None:
    images = np.eye(3)[[0, 1, 1, 2, 2]]
    assert nearness(images, np.array([0, 0, 1, 1, 1]), 2) == pytest.approx(
        np.array([[0, 0], [0, 1 / 2], [1, 0], [0, 1 / 2], [0, 1 / 2]])
    )
