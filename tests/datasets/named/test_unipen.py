from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.datasets import load_dataset
from kalamos.datasets.named import describe
from kalamos.errors import DatasetError


def save(folder: Path, labels: list[str]) -> None:
    count = len(labels)
    np.savez(
        folder / "unipen-train.npz",
        points=np.tile(np.array([[0, 0], [200, 1000]], np.int16), (count, 1)),
        stroke_starts=np.arange(0, 2 * count + 1, 2),
        character_ends=np.arange(1, count + 1),
        labels=np.array(labels),
        writers=np.arange(count),
    )


def test_strokes_become_images_with_their_writers(tmp_path: Path) -> None:
    save(tmp_path, ["1", "l", "I"])
    dataset = load_dataset("unipen", data_dir=tmp_path)
    assert [dataset.alphabet.labels[label] for label in dataset.train.labels] == ["1", "l", "I"]
    assert dataset.train.groups is not None
    assert dataset.train.groups.tolist() == [0, 1, 2]
    assert dataset.test is None
    assert all(image.shape[0] > 36 > image.shape[1] and image.max() == 255 for image in dataset.train.images)
    again = load_dataset("unipen", data_dir=tmp_path)
    assert again.train.sha256 == dataset.train.sha256


def test_the_digits_among_them(tmp_path: Path) -> None:
    save(tmp_path, ["1", "l", "7"])
    dataset = load_dataset("unipen-digits", data_dir=tmp_path)
    assert dataset.alphabet == DIGITS
    assert [dataset.alphabet.labels[label] for label in dataset.train.labels] == ["1", "7"]
    assert dataset.train.groups is not None
    assert dataset.train.groups.tolist() == [0, 2]
    both = load_dataset("unipen", data_dir=tmp_path).train.images
    np.testing.assert_array_equal(dataset.train.images[1], both[2])


def test_a_label_beyond_digits_and_letters_is_refused(tmp_path: Path) -> None:
    save(tmp_path, ["1", "é"])
    with pytest.raises(DatasetError, match="the label 'é'"):
        load_dataset("unipen", data_dir=tmp_path)


def test_the_real_one() -> None:
    root = os.environ.get("KALAMOS_DATA")
    if not root or not Path(root, "unipen-train.npz").exists():
        pytest.skip("KALAMOS_DATA is not set, or has no unipen-train.npz in it")
    train = load_dataset("unipen").train
    assert len(train) == 96_918
    assert train.groups is not None
    assert len(np.unique(train.groups)) == 212
    assert np.bincount(train.labels, minlength=62).min() > 0
    assert len(load_dataset("unipen-digits").train) == describe("unipen-digits").train
