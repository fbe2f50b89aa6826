from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kalamos.datasets import Dataset
from kalamos.datasets.near_duplicates import MAX_TWIN_DIFFERENCE, SIGNATURE_SIDE_PX, near_pairs, signatures


def jpeg(image, quality: int):
    return cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE
    )


def noisy(image):
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


AGAIN: dict[str, Callable] = {
    "jpeg": lambda image: jpeg(image, 75),
    "poor jpeg": lambda image: jpeg(image, 50),
    "twice as large": lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR),
    "faint": lambda image: cv2.convertScaleAbs(image, alpha=0.5, beta=60),
    "inverted": lambda image: 255 - image,
    "moved by a pixel": lambda image: np.roll(image, (1, 1), (0, 1)),
    "a wider margin": lambda image: np.pad(image, 2),
    "noise": noisy,
}


@pytest.mark.parametrize("how", AGAIN)
def test_a_picture_saved_again_is_found_and_nothing_else(draw, how: str) -> None:
    images = [image for label in range(4) for image in draw(label, 50, seed=3)]
    where = [7, 61, 133, 199]
    again = [np.ascontiguousarray(AGAIN[how](images[row])) for row in where]
    found = near_pairs([*images, *again], 204)
    assert found.rows.tolist() == [[row, 200 + position] for position, row in enumerate(where)]
    assert (found.differences >= 0).all()
    assert (found.differences <= MAX_TWIN_DIFFERENCE).all()


def test_many_copies_of_one_picture_are_all_found(draw) -> None:
    images = [*draw(0, 50, seed=3)]
    again = [jpeg(images[5], quality) for quality in (95, 85, 75, 65)]
    found = near_pairs([*images, *again], 54)
    assert {tuple(pair) for pair in found.rows.tolist()} == {
        (a, b) for a in (5, 50, 51, 52, 53) for b in (50, 51, 52, 53) if a < b
    }


def test_clean_strokes_by_different_hands_are_none() -> None:
    """What ones look like: a crowd in which everyone has close neighbours."""
    hand = np.random.default_rng(0)
    images = []
    for _ in range(800):
        page = np.zeros((112, 112), np.uint8)
        slant = hand.uniform(-20, 20)
        stroke = np.linspace((56 - slant, 20), (56 + slant, 92), 4) + hand.normal(0, 2, (4, 2))
        cv2.polylines(page, [stroke.astype(np.int32)], False, 255, int(hand.integers(6, 14)), cv2.LINE_AA)
        images.append(cv2.resize(page, (28, 28), interpolation=cv2.INTER_AREA))
    assert len(near_pairs(images, len(images)).rows) <= 32
    again = [jpeg(image, 60) for image in images[:50]]
    found = near_pairs([*images, *again], 850).rows.tolist()
    assert sum([row, 800 + row] in found for row in range(50)) >= 45


def test_place_and_size_in_the_frame_tell_characters_apart() -> None:
    comma = np.zeros((32, 32), np.uint8)
    comma[22:28, 14:18] = comma[26:30, 12:16] = 255
    assert near_pairs([comma, np.roll(comma, -18, axis=0)], 2).rows.tolist() == []
    small, capital = np.zeros((2, 96, 96), np.uint8)
    cv2.circle(small, (48, 48), 16, 255, 6, cv2.LINE_AA)
    cv2.circle(capital, (48, 48), 24, 255, 9, cv2.LINE_AA)
    assert near_pairs([small, capital], 2).rows.tolist() == []
    assert near_pairs([small[24:72, 24:72].copy(), capital[12:84, 12:84].copy()], 2).rows.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "images",
    [
        [],
        [np.zeros((5, 5), np.uint8)],
        [np.zeros((5, 5), np.uint8), np.full((5, 6), 9, np.uint8)],
        [np.zeros((1, 1), np.uint8), np.ones((1, 400), np.uint8), np.ones((300, 1), np.uint8)],
    ],
)
def test_with_nothing_to_compare_nothing_is_found(images: list) -> None:
    assert near_pairs(images, len(images)).rows.shape == (0, 2)


def test_the_answer_does_not_depend_on_the_blocks(draw, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [image for label in range(4) for image in draw(label, 30, seed=3)]
    images += [AGAIN["twice as large"](image) for image in images[::3]]
    whole = near_pairs(images, len(images))
    monkeypatch.setattr("kalamos.datasets.near_duplicates.BLOCK_ROWS", 1)
    monkeypatch.setattr("kalamos.datasets.near_duplicates.BLOCK_COLUMNS", 11)
    monkeypatch.setattr("kalamos.datasets.near_duplicates.PROJECTION_FIT_IMAGES", 13)
    parts = near_pairs(images, len(images))
    assert whole.rows.tolist() == parts.rows.tolist()
    assert len(whole.rows) == 40


def test_on_real_digits_copies_are_found_and_lookalikes_are_not(mnist: Dataset) -> None:
    ones = mnist.train.images[mnist.train.labels == 1][:2500]
    images = [*mnist.train.images[:1000], *ones]
    distinct = list({image.tobytes(): image for image in images}.values())
    again = [jpeg(image, 60) for image in distinct[:200]]
    count = len(distinct)
    found = near_pairs([*distinct, *again], count + 200).rows.tolist()
    assert sum([row, count + row] in found for row in range(200)) >= 198
    assert sum(right < count for _, right in found) <= 4


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 255)))
def test_any_image_has_one(image) -> None:
    descriptors, geometry = signatures([image], 1)
    assert descriptors.shape == (1, SIGNATURE_SIDE_PX * SIGNATURE_SIDE_PX)
    assert np.linalg.norm(descriptors) == pytest.approx(1.0, abs=1e-4) or not descriptors.any()
    assert np.isfinite(geometry).all()


def test_a_flat_image_has_none() -> None:
    descriptors, geometry = signatures([np.full((9, 9), 200, np.uint8)], 1)
    assert not descriptors.any()
    assert not geometry.any()


def test_geometry_is_in_shares_of_the_longer_side() -> None:
    image = np.zeros((100, 50), np.uint8)
    image[70:90, 20:30] = 255
    twice = np.kron(image, np.ones((2, 2), np.uint8))
    both = signatures([image, twice], 2).geometry
    assert both[0] == pytest.approx([0.0, 0.3, np.log(np.hypot(20, 10) / 12**0.5 / 100)], abs=0.02)
    assert both[1] == pytest.approx(both[0], abs=0.02)
