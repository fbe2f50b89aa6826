from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.errors import DatasetError

KNOWN = "de258d6814fe95cec82656a5bff4cc96a9afe56d2b6b341a44892e02a30d61a5"


@pytest.fixture
def split() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
    return Split(images, np.array([0, 1, 2, 0, 1, 9]))


@pytest.mark.parametrize(
    "images", [np.zeros((3, 4), np.uint8), np.zeros((3, 4, 5), np.float32), np.zeros((3, 4, 5, 1), np.uint8)]
)
def test_images_are_uint8_of_three_dimensions(images: np.ndarray) -> None:
    with pytest.raises(DatasetError, match=re.escape("where uint8 [N, H, W] is needed")):
        Split(images, np.zeros(3, np.int64))


@pytest.mark.parametrize("labels", [np.zeros(2, np.int64), np.zeros((3, 1), np.int64)])
def test_every_image_has_one_label(labels: np.ndarray) -> None:
    with pytest.raises(DatasetError, match=f"3 images came with {labels.size} labels"):
        Split(np.zeros((3, 4, 5), np.uint8), labels)


def test_take_keeps_images_and_labels_together(split: Split) -> None:
    taken = split.take(np.array([5, 0]))
    assert np.array_equal(taken.images, split.images[[5, 0]])
    assert taken.labels.tolist() == [9, 0]
    assert len(taken) == 2


def test_the_fingerprint_is_stable(split: Split) -> None:
    assert split.sha256 == Split(split.images.copy(), split.labels.copy()).sha256
    assert re.fullmatch("[0-9a-f]{64}", split.sha256)
    # Written down, so that figures stay comparable between versions and machines.
    known = Split(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.array([3, 1]))
    assert known.sha256 == KNOWN


def test_the_fingerprint_sees_every_change(split: Split) -> None:
    pixel, label = split.images.copy(), split.labels.copy()
    pixel[5, 3, 4] ^= 1
    label[0] = 1
    others = [
        Split(pixel, split.labels),
        Split(split.images, label),
        Split(split.images.reshape(6, 5, 4), split.labels),
        split.take(np.array([1, 0, 2, 3, 4, 5])),
        split.take(np.arange(5)),
    ]
    assert len({split.sha256, *(other.sha256 for other in others)}) == 6


def test_the_memory_layout_does_not_matter(split: Split) -> None:
    assert Split(np.asfortranarray(split.images), split.labels).sha256 == split.sha256
    assert Split(split.images, split.labels.astype(">i8")).sha256 == split.sha256


@pytest.mark.parametrize("where", ["train", "test"])
@pytest.mark.parametrize("stranger", [-1, 10])
def test_labels_lie_in_the_alphabet(split: Split, where: str, stranger: int) -> None:
    labels = split.labels.copy()
    labels[2] = stranger
    whole = Dataset("six", DIGITS, split, split, "nobody")
    with pytest.raises(DatasetError, match=re.escape(f"six ({where}): labels run from")) as caught:
        replace(whole, **{where: Split(split.images, labels)})
    assert str(stranger) in caught.value.problem
    assert "'digits' has 10 classes" in caught.value.problem


def test_a_smaller_alphabet_does_not_fit(split: Split) -> None:
    with pytest.raises(DatasetError, match="labels run from 0 to 9"):
        Dataset("six", Alphabet("few", tuple("012345678")), split, split, "nobody")


def test_an_empty_split_is_allowed(split: Split) -> None:
    assert len(Dataset("six", DIGITS, split, split.take(np.array([], np.int64)), "nobody").test) == 0


def test_a_dataset_may_have_no_test_split(split: Split) -> None:
    assert Dataset("six", DIGITS, split, None, "nobody").test is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(5, np.int64)}, "6 images came with 5 groups"),
        ({"groups": np.zeros(6)}, "groups are float64, where int64 is needed"),
        ({"labels": np.zeros(6, np.float32)}, "labels are float32, where int64 is needed"),
        ({"names": ("a",) * 7}, "6 images came with 7 names"),
    ],
)
def test_parts_belong_together(split: Split, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        replace(split, **change)


@pytest.fixture
def full(split: Split) -> Split:
    return Split(split.images, split.labels, np.array([9, 9, 8, 8, 7, 7]), tuple("abcdef"))


@pytest.mark.parametrize("ragged", [False, True])
def test_take_keeps_everything_together(full: Split, ragged: bool) -> None:
    whole = replace(full, images=RaggedImages.of(list(full.images))) if ragged else full
    mask = np.zeros(6, bool)
    mask[[0, 5]] = True
    for chosen, rows in ((np.array([5, -6]), [5, 0]), (mask, [0, 5]), (np.array([], np.int64), [])):
        taken = whole.take(chosen)
        assert isinstance(taken.images, RaggedImages) == ragged
        assert taken.groups is not None
        assert [image.tolist() for image in taken.images] == full.images[rows].tolist()
        assert taken.labels.tolist() == full.labels[rows].tolist()
        assert taken.groups.tolist() == full.groups[rows].tolist()
        assert taken.names == tuple("abcdef"[row] for row in rows)


def test_images_of_one_size_have_one_fingerprint_however_they_are_kept(full: Split, split: Split) -> None:
    ragged = Split(RaggedImages.of(list(full.images)), full.labels)
    assert ragged.sha256 == full.sha256 == split.sha256
    assert np.array_equal(ragged.stack(), full.stack())


def test_ragged_fingerprints_tell_sizes_apart() -> None:
    pixels = [np.zeros(shape, np.uint8) for shape in ((2, 3), (3, 2), (1, 6))]
    labels = np.zeros(2, np.int64)
    prints = {Split(RaggedImages.of([a, b]), labels).sha256 for a in pixels for b in pixels}
    assert len(prints) == 9
    nothing = Split(RaggedImages.of([]), np.zeros(0, np.int64))
    assert len(nothing) == len(nothing.take(np.array([], np.int64))) == 0
    assert re.fullmatch("[0-9a-f]{64}", nothing.sha256)
