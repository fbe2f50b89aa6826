from __future__ import annotations

import numpy as np

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.inspection.checks import ImageIndex, Place


def blank(*sizes: tuple[int, int]) -> RaggedImages:
    return RaggedImages.of([np.full(size, number, np.uint8) for number, size in enumerate(sizes)])


def test_parts_groups_and_shapes_of_all_splits() -> None:
    train = Split(blank((3, 4), (5, 6), (7, 8)), np.array([1, 2, 3]), np.array([4, 4, 5]))
    test = Split(np.zeros((2, 9, 9), np.uint8), np.array([7, 8]), np.array([5, 6]), ("a\n.png", "b.png"))
    index = ImageIndex(Dataset("d", DIGITS, train, test, "nobody", val_rows=np.array([1])))
    assert len(index) == 5
    assert [image.shape for image in index] == [(3, 4), (5, 6), (7, 8), (9, 9), (9, 9)]
    assert index.shapes.tolist() == [[3, 4], [5, 6], [7, 8], [9, 9], [9, 9]]
    assert [index[row].shape for row in range(5)] == [image.shape for image in index]
    assert index.labels.tolist() == [1, 2, 3, 7, 8]
    assert index.part_of.tolist() == [0, 1, 0, 2, 2]
    assert index.parts() == [0, 1, 2]
    assert index.groups is not None
    assert index.groups.tolist() == [4, 4, 5, 5, 6]
    assert index.place(1) == Place("validation", 1, "2", "")
    assert index.place(3) == Place("test", 0, "7", r"a\n.png")
    assert str(index.place(4)) == "test 1 b.png"


def test_groups_that_only_one_split_has_are_none() -> None:
    train = Split(np.zeros((1, 9, 9), np.uint8), np.array([1]), np.array([4]))
    test = Split(np.zeros((1, 9, 9), np.uint8), np.array([1]))
    assert ImageIndex(Dataset("d", DIGITS, train, test, "nobody")).groups is None


def test_a_dataset_without_images() -> None:
    index = ImageIndex(
        Dataset("d", DIGITS, Split(np.zeros((0, 9, 9), np.uint8), np.zeros(0, np.int64)), None, "nobody")
    )
    assert len(index) == 0
    assert list(index) == []
    assert index.parts() == [0]
    assert index.shapes.shape == (0, 2)
