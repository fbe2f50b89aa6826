from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.datasets.dataset import blank_images, prepare_split
from kalamos.errors import DatasetError, PreprocessingError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

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
    steps = [{"step": "ink"}, {"step": "normalise"}]
    with pytest.raises(PreprocessingError, match="square of one size"):
        prepare_split(Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int64)), Preprocessor(steps))
