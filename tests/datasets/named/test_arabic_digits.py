from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_DIGITS
from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.named.arabic_digits import MAX_DOT_HOLE_FRACTION
from kalamos.errors import DatasetError

Image = NDArray[np.uint8]


def save(folder: Path, **arrays: NDArray[np.generic]) -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None] + np.zeros((1, 28, 28), np.uint8)
    given = {"images": images, "labels": np.array([4, 0, 9]), "writers": np.array([7, 7, 2])} | arrays
    np.savez(folder / "madbase.npz", **{name: array for name, array in given.items() if array is not None})


def test_images_keep_their_labels_and_writers(tmp_path: Path) -> None:
    save(tmp_path)
    dataset = load_dataset("madbase", tmp_path)
    assert dataset.alphabet == ARABIC_DIGITS
    assert [dataset.alphabet.labels[label] for label in dataset.train.labels] == ["٤", "٠", "٩"]
    assert dataset.train.groups is not None
    assert dataset.train.groups.tolist() == [7, 7, 2]
    assert dataset.train.images[:, 0, 0].tolist() == [0, 1, 2]
    assert (dataset.test, dataset.grouped_by) == (None, "writer")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"writers": None}, "there is no array 'writers'"),
        ({"labels": np.array(["4", "0", "9"])}, "its labels are"),
        ({"writers": np.array([0.5, 1.0, 2.0])}, "its writers are float64"),
        ({"labels": np.array([4, 0, 10])}, "labels run from 0 to 10"),
        ({"labels": np.array([4, 0])}, "3 images came with 2 labels"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, arrays: dict[str, object], told: str) -> None:
    save(tmp_path, **arrays)
    with pytest.raises(DatasetError, match=told) as caught:
        load_dataset("madbase", tmp_path)
    assert "madbase" in str(caught.value)


def test_the_real_madbase(madbase: Dataset, aspect: Callable[..., float]) -> None:
    train = madbase.train
    assert np.bincount(train.labels).tolist() == [700] * 10
    assert np.bincount(train.groups).tolist() == [100] * 70
    assert np.median(train.images) == 0  # bright on black
    one, zero = (aspect(train.images[train.labels == label]) for label in (1, 0))
    assert (one > 2.5, zero < 1.2) == (True, True)  # upright
    holes = np.array([hole_fraction(image) for image in train.images[train.labels == 0]])
    assert np.mean(holes <= MAX_DOT_HOLE_FRACTION) > 0.95


def hole_fraction(image: Image) -> float:
    ink = (image > 127).astype(np.uint8)
    outside = np.pad(ink, 1)
    cv2.floodFill(outside, None, (0, 0), 1)
    holes = int((outside == 0).sum())
    return holes / (holes + int(ink.sum()))


@pytest.fixture(scope="module")
def drawn() -> Dataset:
    return load_dataset("drawn-persian-digits")


def of(dataset: Dataset, label: str) -> list[Image]:
    rows = np.flatnonzero(dataset.train.labels == dataset.alphabet.index(label))
    return [dataset.train.images[row] for row in rows]


def test_what_madbase_lacks_is_drawn_by_many_hands(drawn: Dataset) -> None:
    found, counts = np.unique(drawn.train.labels, return_counts=True)
    assert "".join(drawn.alphabet.labels[label] for label in found) == "٠٤٥٦"
    assert counts.min() >= 500
    assert drawn.train.groups is not None
    assert len(np.unique(drawn.train.groups)) >= 250
    for label in "٤٥٦":
        images = of(drawn, label)
        assert len({image.tobytes() for image in images}) == len(images)


def test_the_same_images_are_drawn_each_time(drawn: Dataset) -> None:
    assert load_dataset("drawn-persian-digits").train.sha256 == drawn.train.sha256


def test_all_ink_is_inside_and_of_one_piece(drawn: Dataset) -> None:
    for image in drawn.train.images:
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert (border.max() < 30, image.max()) == (True, 255)
    pieces = [cv2.connectedComponents((image > 60).astype(np.uint8))[0] - 1 for image in of(drawn, "٦")]
    assert set(pieces) == {1}


def test_a_five_has_a_hole_and_a_dent_below(drawn: Dataset) -> None:
    """A heart on its lobes: what tells it from the ring of the Arabic form."""
    images = of(drawn, "٥")
    assert np.mean([hole_fraction(image) > 0.02 for image in images]) > 0.8
    dented = []
    for image in images:
        ink = image > 127
        columns = np.flatnonzero(ink.any(0))
        lowest = np.array([np.flatnonzero(ink[:, column])[-1] for column in columns])
        inner = lowest[len(lowest) // 4 : -len(lowest) // 4]
        dented.append(inner.min() < lowest.max() - 1)
    assert np.mean(dented) > 0.7


def test_a_four_and_a_six_end_below_on_the_left(drawn: Dataset) -> None:
    for label in "٤٦":
        ends = []
        for image in of(drawn, label):
            rows, columns = np.nonzero(image > 127)
            ends.append(columns[rows >= rows.max() - 2].mean() < (columns.min() + columns.max()) / 2)
        assert np.mean(ends) > 0.85


def test_a_zero_is_a_dot_of_any_shape_and_never_an_open_ring_or_a_one(drawn: Dataset) -> None:
    images = of(drawn, "٠")
    assert max(hole_fraction(image) for image in images) <= MAX_DOT_HOLE_FRACTION
    assert any(hole_fraction(image) > 0 for image in images)
    boxes = np.array([cv2.boundingRect((image > 127).astype(np.uint8))[2:] for image in images])
    ratios = boxes[:, 1] / boxes[:, 0]
    assert ratios.max() < 2.5
    assert ratios.min() < 0.5
    assert np.ptp(boxes.max(axis=1)) > 15
