from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.datasets.prepare import blank_images, prepare_split
from kalamos.errors import DatasetError, PreprocessingError
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
    assert [str(problem) for problem in blank_images(split, blank)] == ["image 1: no ink", "image 4: no ink"]
    named = replace(split, names=tuple("abcdef"))
    assert [problem.where for problem in blank_images(named, blank)] == ["b", "e"]


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


@pytest.mark.parametrize("jobs", [1, 3])
def test_ragged_images_keep_their_groups_and_names_for_any_number_of_jobs(digits: Dataset, jobs: int) -> None:
    assert isinstance(digits.train.images, np.ndarray)
    # Some prepared already, some too large, some blank; several chunks of them.
    images = [
        np.pad(image, row % 3 * 5) if row % 7 else np.zeros_like(image)
        for row, image in enumerate(digits.train.images)
    ]
    names = tuple(f"{row}.png" for row in range(len(images)))
    split = Split(RaggedImages.of(images), digits.train.labels, np.arange(len(images)), names)
    preprocessor = Preprocessor(DEFAULT_STEPS)
    prepared, blank = prepare_split(split, preprocessor, jobs=jobs)
    assert blank.tolist() == list(range(0, len(images), 7))
    kept = [row for row in range(len(images)) if row % 7]
    assert prepared.groups is not None
    assert prepared.groups.tolist() == kept
    assert prepared.names == tuple(names[row] for row in kept)
    assert np.array_equal(prepared.images, np.stack([preprocessor.image(images[row]) for row in kept]))
    assert prepared.labels.tolist() == digits.train.labels[kept].tolist()


def test_steps_that_make_no_squares_are_refused() -> None:
    steps = [{"step": "polarity"}, {"step": "normalise"}]
    with pytest.raises(PreprocessingError, match="square of one size"):
        prepare_split(Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int64)), Preprocessor(steps))
