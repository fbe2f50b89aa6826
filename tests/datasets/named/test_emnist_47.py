from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kalamos
from kalamos.alphabets import LATIN_47
from kalamos.datasets import Dataset, load_dataset
from kalamos.errors import DatasetError


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "classes": np.array(LATIN_47.labels),
        "train_images": generator.integers(0, 256, (5, 28, 28), np.uint8),
        "train_labels": np.array([0, 46, 1, 2, 3], np.uint8),
        "test_images": generator.integers(0, 256, (4, 28, 28), np.uint8),
        "test_labels": np.array([9, 8, 7, 6], np.uint8),
        "balanced_test_idx": np.array([3, 1], np.int32),
    }


@pytest.mark.parametrize("folder", ["emnist", "."])
def test_the_bench_is_a_part_of_the_test_images(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    given = arrays()
    np.savez(tmp_path / folder / "emnist-bymerge47.npz", **given)
    loaded = load_dataset("emnist-47", tmp_path)
    assert np.array_equal(loaded.train.images, given["train_images"])
    assert np.array_equal(loaded.test.images, given["test_images"][[3, 1]])
    assert loaded.test.labels.tolist() == [6, 8]
    assert loaded.train.labels.dtype == loaded.test.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": np.array(list("abc"))}, "its classes are not those of EMNIST Balanced"),
        ({"balanced_test_idx": np.array([4])}, "does not point at test images"),
        ({"balanced_test_idx": np.array([-1])}, "does not point at test images"),
        ({"balanced_test_idx": np.array([0.5])}, "does not point at test images"),
        ({"train_labels": np.array([0, 47, 1, 2, 3])}, "labels run from 0 to 47"),
        ({"train_labels": np.array(list("abcde"))}, "labels are <U1, where int64 is needed"),
        ({"train_labels": np.array([0, 46, 1, 2, 3.5])}, "labels are float64"),
        ({"train_images": np.zeros((5, 28, 28))}, "where uint8 .* is needed"),
        ({"test_labels": np.array([9])}, "4 images came with 1 labels"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "emnist-bymerge47.npz", **{**arrays(), **changed})
    with pytest.raises(DatasetError, match=message):
        load_dataset("emnist-47", tmp_path)


def test_the_bench_is_balanced(emnist_47: Dataset) -> None:
    assert (len(emnist_47.train), len(emnist_47.test)) == (141_248, 18_800)
    assert np.bincount(emnist_47.test.labels).tolist() == [400] * 47
    assert np.bincount(emnist_47.train.labels, minlength=47).min() > 0


def test_the_images_are_upright(emnist_47: Dataset) -> None:
    rows = np.flatnonzero(emnist_47.test.labels < 10)[::10]
    images, truth = emnist_47.test.images[rows], emnist_47.test.labels[rows]
    reader = kalamos.load("digits")

    def accuracy(images: np.ndarray) -> float:
        return float(
            np.mean(
                [
                    reader.predict(image).label == str(label)
                    for image, label in zip(images, truth, strict=True)
                ]
            )
        )

    assert accuracy(images) > 0.9
    assert accuracy(images.transpose(0, 2, 1)) < 0.6
