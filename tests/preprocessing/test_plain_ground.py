"""What lies alone on a plain ground is taken as it is; all else is for the ink finder."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.preprocessing.plain_ground import ink_on_plain_ground, trim_padding

Grey = NDArray[np.uint8]


def letter(height: int = 80, width: int = 60, ground: int = 255, pen: int = 0) -> Grey:
    """An i with its dot."""
    page = np.full((height, width), ground, np.uint8)
    page[30:60, 28:33] = page[18:23, 28:33] = pen
    return page


@pytest.mark.parametrize(("ground", "pen"), [(255, 0), (0, 255), (200, 90), (90, 200), (128, 255)])
def test_the_ink_is_the_difference_from_the_ground(ground: int, pen: int) -> None:
    ink = ink_on_plain_ground(letter(ground=ground, pen=pen), 24)
    assert ink is not None
    np.testing.assert_array_equal(ink, (letter(ground=0, pen=1) * abs(ground - pen)).astype(np.uint8))


def test_bright_ink_on_black_is_the_picture_itself() -> None:
    page = letter(ground=0, pen=255)
    assert ink_on_plain_ground(page, 24) is page


def test_a_picture_of_one_level_has_black_ink() -> None:
    ink = ink_on_plain_ground(np.full((40, 40), 77, np.uint8), 24)
    assert ink is not None
    assert not ink.any()


@pytest.mark.parametrize("pen", [232, 255])
def test_what_differs_too_little_is_no_ink(pen: int) -> None:
    ink = ink_on_plain_ground(letter(pen=pen), 24)
    assert ink is not None
    assert not ink.any()


def test_the_noise_of_a_file_goes_and_soft_outlines_stay() -> None:
    page = cv2.GaussianBlur(letter(), (5, 5), 1)
    noisy = page.copy()
    noisy[2:12, 2:12] = 250
    ink = ink_on_plain_ground(noisy, 24)
    assert ink is not None
    assert not ink[:13, :13].any()
    near = cv2.dilate((page < 191).view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    np.testing.assert_array_equal(ink[near], 255 - page[near])


def test_dust_goes_and_the_dot_stays() -> None:
    page = letter()
    page[2:75:8, 4] = page[40, 50] = 0
    np.testing.assert_array_equal(ink_on_plain_ground(page, 24), ink_on_plain_ground(letter(), 24))


@pytest.mark.parametrize("inset", [1, 2, 4, 8])
@pytest.mark.parametrize("line", [1, 2, 4])
@pytest.mark.parametrize("grey", [0, 80, 160])
def test_a_frame_is_for_the_ink_finder(inset: int, line: int, grey: int) -> None:
    page = letter(100, 100)
    cv2.rectangle(page, (inset, inset), (99 - inset, 99 - inset), grey, line)
    ink = ink_on_plain_ground(page, 24)
    # A frame along the border, darker than its paper and lighter than the ink, is a ground like any other.
    assert ink is None or np.array_equal(ink > 0, letter(100, 100) == 0)


def spots(page: Grey) -> None:
    page[2:75:8, 3:6] = 0


def neighbour(page: Grey) -> None:
    page[20:50, :4] = 0


def grain(page: Grey) -> None:
    page -= np.random.default_rng(0).integers(0, 9, page.shape).astype(np.uint8)


def paper_in_a_frame_along_the_border(page: Grey) -> None:
    page[[0, 1, -1, -2]] = page[:, [0, 1, -1, -2]] = 60


@pytest.mark.parametrize(
    "change", [spots, neighbour, grain, paper_in_a_frame_along_the_border], ids=lambda f: f.__name__
)
def test_what_holds_more_is_for_the_ink_finder(change: object) -> None:
    page = letter()
    change(page)  # type: ignore[operator]
    assert ink_on_plain_ground(page, 24) is None


def test_a_single_stroke_may_reach_the_border() -> None:
    page = letter()[:, 28:50]
    page[18:30] = 255
    assert ink_on_plain_ground(np.ascontiguousarray(page), 24) is not None


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("width", [1, 10, 120])
def test_padding_is_trimmed_to_the_photograph(level: int, width: int) -> None:
    photo = np.random.default_rng(0).integers(140, 190, (50, 70)).astype(np.uint8)
    np.testing.assert_array_equal(trim_padding(np.pad(photo, width, constant_values=level)), photo)
    sides = ((width, width), (0, 0))
    np.testing.assert_array_equal(trim_padding(np.pad(photo, sides, constant_values=level)), photo)


@pytest.mark.parametrize("width", [20, 150])
@pytest.mark.parametrize("level", [0, 128, 175, 255])
@pytest.mark.parametrize("dark", [0.5, 0.9])
def test_a_padded_photograph_is_for_the_ink_finder(width: int, level: int, dark: float) -> None:
    rng = np.random.default_rng(0)
    light = np.linspace(150, 200, 60)  # half of it is nearer to the ink than to a white padding
    photo = np.tile(light, (80, 1)) + rng.normal(0, 2, (80, 60))
    photo[20:60, 26:32] *= 1 - dark
    padded = np.pad(photo.astype(np.uint8), width, constant_values=level)
    assert ink_on_plain_ground(padded, 24) is None


@pytest.mark.parametrize(("side", "is_plain"), [(28, True), (64, False)])
def test_tiny_ink_on_a_larger_picture_is_looked_at_from_nearer(side: int, is_plain: bool) -> None:
    page = np.full((side, side), 255, np.uint8)
    cv2.line(page, (10, 10), (13, 16), 30, 1, cv2.LINE_AA)
    cv2.line(page, (16, 10), (13, 16), 30, 1, cv2.LINE_AA)
    assert (ink_on_plain_ground(page, 24) is not None) == is_plain


def beh(height: int = 50, width: int = 44) -> Grey:
    """A letter cut out along its ink, white on black, a dot below it at the border."""
    page = np.zeros((height, width), np.uint8)
    page[20:25] = page[8:22, -6:] = 255
    page[-8:, 18:26] = 255
    return page


def test_a_crop_along_the_ink_keeps_its_dots() -> None:
    page = beh()
    np.testing.assert_array_equal(ink_on_plain_ground(page, 24), page)


def test_a_dot_within_a_letter_s_bowl_is_no_character_in_a_frame() -> None:
    page = np.full((60, 80), 255, np.uint8)
    cv2.ellipse(page, (40, 25), (26, 22), 0, 0, 180, 20, 5)
    cv2.circle(page, (40, 26), 4, 20, cv2.FILLED)
    assert ink_on_plain_ground(page, 24) is not None


def test_a_line_along_the_border_is_for_the_ink_finder() -> None:
    page = letter()
    page[:, :8] = 0  # of more ink than the letter
    assert ink_on_plain_ground(page, 24) is None


def test_a_narrow_crop_of_a_single_stroke() -> None:
    page = np.zeros((36, 3), np.uint8)
    page[8:, 1:] = page[:6, 0] = 255
    np.testing.assert_array_equal(ink_on_plain_ground(page, 24), page)
    assert ink_on_plain_ground(255 - page, 24) is None


def test_a_broken_bar_is_no_padded_photograph() -> None:
    page = np.full((200, 120), 235, np.uint8)
    for top, bottom in ((20, 70), (85, 130), (145, 180)):
        page[top:bottom, 52:68] = 30
    assert ink_on_plain_ground(page, 24) is not None
    assert trim_padding(page) is page


def test_a_character_is_no_padded_photograph() -> None:
    page = letter()
    assert trim_padding(page) is page


@given(
    height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 1000), levels=st.integers(1, 256)
)
def test_any_image_comes_through(height: int, width: int, seed: int, levels: int) -> None:
    image = np.random.default_rng(seed).integers(0, levels, (height, width)).astype(np.uint8)
    ink = ink_on_plain_ground(image, 24)
    assert ink is None or (ink.shape == image.shape and ink.dtype == np.uint8)
    assert trim_padding(image).size > 0
