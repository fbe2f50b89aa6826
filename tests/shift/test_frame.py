from __future__ import annotations

import numpy as np
import pytest

from kalamos.datasets import Dataset
from kalamos.shift.frame import bright_ink, dark_on_light, framed, ink_box


def test_an_image_of_mnists_geometry_is_a_frame_already(seven: np.ndarray, mnist: Dataset) -> None:
    assert framed(seven) is seven
    assert all(framed(image) is image for image in mnist.train.images[:300])


@pytest.mark.parametrize("shape", [(16, 16), (57, 20), (1, 9), (32, 2), (200, 300)])
def test_ink_to_the_edge_gets_room(shape: tuple[int, int]) -> None:
    frame = framed(np.full(shape, 200, np.uint8))
    side = len(frame)
    x, y, width, height = ink_box(frame)
    assert frame.shape == (side, side)
    assert 28 <= side <= 64
    assert max(width, height) == pytest.approx(side * 20 / 28, abs=1)
    assert (x + width / 2, y + height / 2) == pytest.approx((side / 2, side / 2), abs=1)
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.5)
    assert framed(frame) is frame


def test_the_polarity_is_that_of_most_images(seven: np.ndarray) -> None:
    crop = np.full((30, 2), 255, np.uint8)  # a tight crop of one stroke: no paper to be seen
    assert not dark_on_light([seven, crop, seven])
    assert dark_on_light([255 - seven, 255 - seven, seven])
    assert np.array_equal(bright_ink(crop, dark_on_light=False), crop)


def test_ink_becomes_bright_and_the_paper_black(seven: np.ndarray) -> None:
    grey = np.where(seven > 0, 60, 190).astype(np.uint8)
    for image, dark in ((seven, False), (255 - seven, True), (grey, True), (250 - grey, False)):
        assert np.array_equal(bright_ink(image, dark_on_light=dark), seven)


def test_what_is_as_good_as_blank_stays_so() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[10:12] = 9
    assert np.array_equal(bright_ink(image, dark_on_light=False), image)
    assert ink_box(image) == (0, 0, 28, 28)


def test_a_photograph_is_made_small() -> None:
    assert max(bright_ink(np.full((3000, 1000), 255, np.uint8), dark_on_light=True).shape) == 256
