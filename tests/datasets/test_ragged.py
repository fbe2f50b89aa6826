from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from kalamos.datasets.ragged import ImagesBuilder, RaggedImages
from kalamos.errors import DatasetError

Images = list[NDArray[np.uint8]]
IMAGES = st.lists(arrays("u1", array_shapes(min_dims=2, max_dims=2, max_side=6)), max_size=8)


def built(images: Images, limit: int) -> NDArray[np.uint8] | RaggedImages:
    builder = ImagesBuilder(limit)
    for image in images:
        builder.append(image)
    return builder.finish()


@settings(max_examples=50)
@given(IMAGES, st.sampled_from([0, 20, 1000]))
def test_images_come_back_as_they_went_in(images: Images, limit: int) -> None:
    stored = built(images, limit)
    assert len(stored) == len(images)
    uniform = len({image.shape for image in images}) == 1
    assert isinstance(stored, np.ndarray) == uniform
    for got, image in zip(stored, images, strict=True):
        np.testing.assert_array_equal(got, image)
    if isinstance(stored, RaggedImages):
        assert stored.shapes.dtype == np.int64
        assert stored.shapes.tolist() == [list(image.shape) for image in images]


@settings(max_examples=50)
@given(IMAGES.filter(bool), st.data())
def test_every_way_to_choose_agrees_with_a_list(images: Images, data: st.DataObject) -> None:
    ragged = RaggedImages.of(images)
    indices = data.draw(st.lists(st.integers(-len(images), len(images) - 1)))
    chosen = data.draw(st.slices(len(images)))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(images), max_size=len(images))))
    for got, expected in (
        (ragged[np.array(indices, np.int64)], [images[i] for i in indices]),
        (ragged[chosen], images[chosen]),
        (ragged[mask], [image for image, wanted in zip(images, mask, strict=True) if wanted]),
    ):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_index_out_of_range_is_an_index_error() -> None:
    ragged = RaggedImages.of([np.zeros((2, 2), np.uint8)])
    assert ragged[np.int64(0)].shape == (2, 2)
    for index in (1, -2):
        with pytest.raises(IndexError):
            ragged[index]


def test_choosing_shares_the_pixels_and_nobody_can_write_to_them() -> None:
    ragged = RaggedImages.of([np.zeros((2, 2), np.uint8), np.ones((3, 1), np.uint8)])
    taken = ragged[np.array([1, 1, 0])]
    assert np.shares_memory(taken[0], ragged[1])
    with pytest.raises(ValueError, match="read-only"):
        ragged[0][0, 0] = 1


def test_stacking_needs_one_size() -> None:
    ragged = RaggedImages.of(
        [np.zeros((2, 3), np.uint8), np.ones((3, 2), np.uint8), np.ones((2, 3), np.uint8)]
    )
    assert ragged[::2].stack().shape == (2, 2, 3)
    for mixed in (ragged, ragged[:0]):
        with pytest.raises(DatasetError, match="different sizes do not form an array"):
            mixed.stack()


@pytest.mark.parametrize(
    ("pixels", "starts", "shapes"),
    [
        (np.zeros(4, np.int8), [0], [[2, 2]]),
        (np.zeros((2, 2), np.uint8), [0], [[2, 2]]),
        (np.zeros(4, np.uint8), [0, 0], [[2, 2]]),
        (np.zeros(4, np.uint8), [1], [[2, 2]]),
        (np.zeros(4, np.uint8), [-1], [[2, 2]]),
        (np.zeros(4, np.uint8), [0], [[0, 2]]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    pixels: NDArray[np.uint8], starts: list[int], shapes: list[list[int]]
) -> None:
    with pytest.raises(DatasetError, match="ragged images"):
        RaggedImages(pixels, np.array(starts, np.int64), np.array(shapes, np.int64))


def test_many_pixels_go_to_a_file_that_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    images = [np.full((50, 50 + i), i, np.uint8) for i in range(20)]
    stored = built(images, limit=4000)
    assert isinstance(stored, RaggedImages)
    half = stored[::2]
    del stored
    assert half[-1].tolist() == images[18].tolist()
    if sys.platform == "linux":
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
        assert str(tmp_path) in mapped  # on the disk, where nobody sees it,
        assert not any(tmp_path.iterdir())
        del half
        gc.collect()
        assert str(tmp_path) not in Path("/proc/self/maps").read_text(encoding="utf-8")


def test_no_room_for_the_file_is_a_dataset_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    builder = ImagesBuilder(max_in_memory=10)
    with pytest.raises(DatasetError, match="do not fit into a temporary file") as caught:
        builder.append(np.zeros((4, 4), np.uint8))
    assert "TMPDIR" in caught.value.remedy
