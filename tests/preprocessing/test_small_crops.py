"""Crops of a few pixels a side: noise, bars and stains go, thin strokes and dots stay."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.preprocessing.small_crops import remove_bars, remove_impulses, remove_stains

Grey = NDArray[np.uint8]
Prepare = Callable[[Grey], Grey]


def seven() -> Grey:
    """A 7 as MNIST has them."""
    image = np.zeros((28, 28), np.uint8)
    points = np.array([[8, 5], [20, 5], [12, 23]], np.int32).reshape(-1, 1, 2)
    cv2.polylines(image, [points], False, 255, 2, cv2.LINE_AA)
    return image


def likeness(a: Grey, b: Grey) -> float:
    """Cosine at the best shift of at most a pixel."""
    fixed = b.astype(float)
    shifts = [np.roll(a, (dy, dx), (0, 1)).astype(float) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return max(float((s * fixed).sum() / np.sqrt((s * s).sum() * (fixed * fixed).sum())) for s in shifts)


def ends(image: Grey, left: int, right: int) -> Grey:
    """With `left` and `right` columns inverted."""
    striped = image.copy()
    striped[:, :left] = 255 - image[:, :left]
    striped[:, 28 - right :] = 255 - image[:, 28 - right :]
    return striped


@pytest.mark.parametrize("share", [0.08, 0.17, 0.27])
@pytest.mark.parametrize("inverted", [False, True])
def test_salt_and_pepper_go(prepare: Prepare, share: float, inverted: bool) -> None:
    clean = seven()
    drawn = np.random.default_rng(4).random(clean.shape)
    noisy = np.where(drawn < share, np.where(drawn < share / 2, 255, 0), clean).astype(np.uint8)
    assert likeness(prepare(255 - noisy if inverted else noisy), prepare(clean)) > 0.75


def test_a_few_bright_pixels_may_be_dots() -> None:
    image = seven()
    image[26, [4, 8, 12]] = 255
    assert remove_impulses(image) is image


@pytest.mark.parametrize(("left", "right"), [(7, 0), (0, 7), (7, 7), (9, 9), (4, 0)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_bars_go_and_what_crosses_them_comes_back(
    left: int, right: int, turned: bool, inverted: bool
) -> None:
    clean = np.ascontiguousarray(seven().T) if turned else seven()
    striped = np.ascontiguousarray(ends(clean.T, left, right).T) if turned else ends(clean, left, right)
    seen = remove_bars(255 - striped if inverted else striped)
    np.testing.assert_array_equal(255 - seen if inverted else seen, clean)


@pytest.mark.parametrize("share", [7, 9])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_wide_bar_goes_though_strokes_run_along_it(share: int, inverted: bool) -> None:
    clean = np.zeros((28, 28), np.uint8)
    cv2.ellipse(clean, (14, 14), (13 - share, 10), 0, 0, 360, 255, 2)
    striped = ends(clean, share, share)
    seen = remove_bars(255 - striped if inverted else striped)
    np.testing.assert_array_equal(255 - seen if inverted else seen, clean)


def fog(seed: int) -> Grey:
    """Patches from half the picture to a pixel across, about as strong as the ink that shines through."""
    generator = np.random.default_rng(seed)
    octaves = [(2, 1), (4, 0.8), (8, 0.64), (15, 0.5), (27, 0.41)]
    patches = sum(
        strength
        * cv2.resize(generator.uniform(-1, 1, (n + 1, n + 1)), (28, 28), interpolation=cv2.INTER_CUBIC)
        for n, strength in octaves
    )
    return np.clip(96 + 32 * patches + 0.3 * seven(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("inverted", [False, True])
def test_ink_is_seen_through_fog(prepare: Prepare, inverted: bool) -> None:
    pages = [255 - fog(seed) if inverted else fog(seed) for seed in range(30)]
    alike = [likeness(prepare(page), prepare(seven())) for page in pages]
    assert np.quantile(alike, 0.1) > 0.75


@pytest.mark.parametrize("pen", [2, 3, 4, 6])
@pytest.mark.parametrize("character", "LDEFTHI")
def test_the_stem_of_a_tight_crop_is_no_bar(character: str, pen: int) -> None:
    image = np.zeros((28, 22), np.uint8)
    strokes = {
        "L": ([0], [24]),
        "D": ([0, 18], [0, 24]),
        "E": ([0], [0, 12, 24]),
        "F": ([0], [0, 12]),
        "T": ([9], [0]),
        "H": ([0, 18], [12]),
        "I": ([9], [0, 24]),
    }
    down, across = strokes[character]
    for x in down:
        image[:, min(x, 22 - pen) : min(x, 22 - pen) + pen] = 255
    for y in across:
        image[min(y, 28 - pen) : min(y, 28 - pen) + pen] = 255
    assert remove_bars(image) is image
    inverted = 255 - image
    assert remove_bars(inverted) is inverted


def test_a_bar_that_is_all_there_is_stays() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[:, :5] = 255
    assert remove_bars(image) is image


def test_a_shadow_along_a_side_is_no_bar() -> None:
    image = np.full((28, 28), 200, np.uint8)
    image[8:20, 16:19] = 40
    image[:, :6] = 130
    assert remove_bars(image) is image


def test_stains_go_and_dots_stay() -> None:
    clean = seven()
    clean[25:27, 4:6] = 90
    stained = clean.copy()
    stained[10:13, 1:4] = 60
    np.testing.assert_array_equal(remove_stains(stained), clean)
    assert remove_stains(clean) is clean
    # Where letters have dots, it may be one.
    assert remove_stains(stained, near=6) is stained


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (3, 3), (4, 9)])
def test_slivers_come_through(shape: tuple[int, int]) -> None:
    for seed in range(20):
        image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        before = image.copy()
        for step in (remove_impulses, remove_bars, remove_stains):
            assert step(image).shape == shape
        np.testing.assert_array_equal(image, before)
