"""Salt and pepper on small pictures, and ground that changes its level from band to band."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.preprocessing.dataset_noise import MIN_NOISY_PARTS
from kalamos.preprocessing.plain_ground import ink_on_plain_ground

Grey = NDArray[np.uint8]

NOISE = 24


def seven(side: int = 28, width: int = 3) -> Grey:
    """A 7 with its bar, bright on black, away from the border."""
    image = np.zeros((side, side), np.uint8)
    points = np.array([[0.25, 0.2], [0.72, 0.2], [0.45, 0.85]]) * side
    cv2.polylines(image, [points.astype(np.int32)], isClosed=False, color=255, thickness=width)
    return image


def salted(image: Grey, share: float, seed: int) -> Grey:
    chance = np.random.default_rng(seed).random(image.shape)
    noisy = image.copy()
    noisy[chance < share / 2] = 0
    noisy[chance > 1 - share / 2] = 255
    return noisy


def overlap(found: Grey | None, truth: Grey) -> float:
    assert found is not None
    one, other = found > 127, truth > 127
    return float((one & other).sum() / (one | other).sum())


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), share=st.floats(0.08, 0.2), inverted=st.booleans())
@example(seed=2558, share=0.0859375, inverted=False)
def test_salt_and_pepper_goes_and_the_strokes_stay(seed: int, share: float, inverted: bool) -> None:
    image = salted(seven(), share, seed)
    found = ink_on_plain_ground(255 - image if inverted else image, NOISE)
    assert overlap(found, seven()) > 0.7
    specks = cv2.connectedComponents((image > 127).astype(np.uint8))[0] - 2
    if specks >= MIN_NOISY_PARTS:
        assert overlap(found, seven()) > overlap(image, seven())
    else:  # by chance so few that they may be a character's dots
        assert overlap(found, seven()) >= overlap(image, seven())


def test_a_character_with_its_dots_is_no_noise() -> None:
    image = seven(32, 1)
    image[26, 4:20:4] = image[28, 6:22:4] = 255
    found = ink_on_plain_ground(image, NOISE)
    assert found is not None
    assert (found == image).all()


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("ground", [0, 255, 60])
@pytest.mark.parametrize("sides", [(8, 0), (0, 8), (8, 8), (9, 10)])
def test_a_character_is_seen_across_bands_of_ink_and_ground_exchanged(
    sides: tuple[int, int], ground: int, upright: bool
) -> None:
    ink = seven()
    image = (np.where(ink > 0, 255 - ground, ground)).astype(np.uint8)
    left, right = sides
    banded = image.copy()
    banded[:, :left] = 255 - image[:, :left]
    banded[:, 28 - right :] = 255 - image[:, 28 - right :]
    found = ink_on_plain_ground(banded if upright else np.ascontiguousarray(banded.T), NOISE)
    assert found is not None
    assert overlap(found if upright else found.T, ink) > 0.95


def test_a_stroke_from_side_to_side_is_a_stroke() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[:, 10:17] = 255
    found = ink_on_plain_ground(image, NOISE)
    assert found is not None
    assert (found == image).all()


@pytest.mark.parametrize("letter", ["H", "N", "E"])
def test_stems_of_a_letter_cut_out_along_it_are_no_bands(letter: str) -> None:
    page = np.zeros((80, 80), np.uint8)
    cv2.putText(page, letter, (10, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, 5)
    x, y, width, height = cv2.boundingRect((page > 127).view(np.uint8))
    crop = page[y : y + height, x : x + width]
    assert min(crop.shape) >= 20
    assert max(crop.shape) <= 40
    found = ink_on_plain_ground(crop, NOISE)
    assert found is None or overlap(found, crop) > 0.9
