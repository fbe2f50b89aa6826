from __future__ import annotations

import numpy as np
import pytest

from kalamos.datasets import Dataset, Split
from kalamos.datasets.prepare import prepare_split
from kalamos.errors import DatasetError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor


def test_blank_images_drop_out_with_their_labels(digits: Dataset) -> None:
    images = digits.test.images[:6].copy()
    images[1] = 0
    images[4] = 255
    split = Split(images, np.array([5, 6, 7, 8, 9, 0]))
    prepared, blank = prepare_split(split, Preprocessor(DEFAULT_STEPS))
    assert blank.tolist() == [1, 4]
    assert prepared.labels.tolist() == [5, 7, 8, 0]
    assert prepared.images.shape == (4, 28, 28)
    expected = Preprocessor(DEFAULT_STEPS).image(images[3])
    assert np.array_equal(prepared.images[2], expected)


def test_large_images_come_down_to_the_input_size() -> None:
    pages = np.full((2, 90, 120), 240, np.uint8)
    pages[:, 20:70, 50:60] = 10
    prepared, blank = prepare_split(Split(pages, np.array([1, 1])), Preprocessor(DEFAULT_STEPS))
    assert prepared.images.shape == (2, 28, 28)
    assert len(blank) == 0


def test_a_dataset_without_any_ink_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no image of the dataset has any ink"):
        prepare_split(
            Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int64)), Preprocessor(DEFAULT_STEPS)
        )
