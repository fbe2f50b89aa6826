"""Single steps, where the whole pipeline would not show what they do."""

from __future__ import annotations

import numpy as np
import pytest

from kalamos.errors import NoInkError, PreprocessingError
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.background import foreground_intensity
from kalamos.preprocessing.components import extract_strokes
from kalamos.preprocessing.steps import STEPS

STROKE = np.zeros((40, 40), np.uint8)
STROKE[5:35, 18:22] = 200


def test_grey_does_nothing() -> None:
    assert STEPS.get("grey")(STROKE) is STROKE


def test_pad_adds_its_border_on_every_side() -> None:
    padded = STEPS.get("pad")(STROKE, px=3, value=7)
    assert padded.shape == (46, 46)
    assert np.array_equal(padded[3:-3, 3:-3], STROKE)
    assert set(padded[:3].ravel()) | set(padded[:, -3:].ravel()) == {7}


@pytest.mark.parametrize("size", [17, 18, 19, 20])
def test_resize_leaves_what_is_within_its_tolerance(size: int) -> None:
    image = np.full((size, 5), 255, np.uint8)
    assert STEPS.get("resize")(image, size=20, tolerance=0.15) is image


@pytest.mark.parametrize("size", [16, 21])
def test_resize_scales_what_is_outside_its_tolerance(size: int) -> None:
    image = np.full((size, 5), 255, np.uint8)
    assert STEPS.get("resize")(image, size=20, tolerance=0.15).shape[0] == 20


def test_resize_restores_the_contrast_that_shrinking_took() -> None:
    lines = np.zeros((200, 200), np.uint8)
    lines[:, ::10] = 255
    assert STEPS.get("resize")(lines, size=20).max() == 255


def test_resize_never_makes_a_side_vanish() -> None:
    assert STEPS.get("resize")(np.full((1000, 1), 255, np.uint8), size=20).shape == (20, 1)


def test_centre_refuses_what_does_not_fit() -> None:
    with pytest.raises(
        PreprocessingError, match="a 40x40 image does not fit into 28x28; put a 'resize' step"
    ):
        Preprocessor([{"step": "centre", "size": 28}, {"step": "normalise"}]).image(STROKE)


def test_centre_keeps_a_lopsided_character_inside() -> None:
    image = np.zeros((20, 28), np.uint8)
    image[:, 0] = 255  # all its mass on the left edge, and already as wide as the square
    image[:, -1] = 1
    square = STEPS.get("centre")(image, size=28)
    assert np.array_equal(square[4:24], image)


def test_polarity_keeps_bright_ink_on_pure_black_as_it_is() -> None:
    image = STROKE.copy()
    image[20, 20] = 250
    assert np.array_equal(STEPS.get("polarity")(image), image)


def test_polarity_stretches_to_full_contrast() -> None:
    assert STEPS.get("polarity")(STROKE).max() == 255


@pytest.mark.parametrize("least", [0, 1])
def test_polarity_finds_no_ink_on_black_however_low_the_least_contrast(least: int) -> None:
    with pytest.raises(NoInkError):
        STEPS.get("polarity")(np.zeros((9, 9), np.uint8), min_contrast=least)


def test_ink_box_of_nothing_is_no_ink() -> None:
    with pytest.raises(NoInkError):
        STEPS.get("ink_box")(np.zeros((9, 9), np.uint8))


def test_ink_box_keeps_the_dots_of_a_small_image_and_no_stains() -> None:
    image = np.zeros((30, 30), np.uint8)
    image[4:20, 10:14] = 255
    image[22:24, 11:13] = 90  # a faint dot
    image[27, 2] = 50
    assert STEPS.get("ink_box")(image).shape == (20, 4)


def test_the_paper_under_dark_ink_comes_out_black() -> None:
    page = np.full((120, 120), 210, np.uint8)
    page[30:90, 55:65] = 40
    ink, _ = foreground_intensity(page)
    assert ink[31:89, 56:64].min() > 150
    page[29:91, 54:66] = 40  # the blur against noise reaches one pixel further
    assert ink[page == 210].max() == 0


def test_a_stroke_among_more_specks_than_sixteen_bits_count_is_found() -> None:
    page = np.zeros((600, 520), np.uint8)
    page[:520:2, ::2] = 200
    page[540:596, 250:270] = 200
    # The specks, a pixel each, are labelled first.
    assert np.flatnonzero(extract_strokes(page).any(axis=1)).tolist() == list(range(540, 596))


def test_specks_are_too_small_or_too_faint() -> None:
    ink = np.zeros((100, 100), np.uint8)
    ink[20:80, 40:50] = 255  # 600 px
    ink[5:8, 5:8] = 255  # 9 px: more than a hundredth
    ink[90:92, 90:92] = 255  # 4 px: dust
    ink[60:80, 70:90] = 50  # large, but nowhere as strong as ink: a stain
    kept = extract_strokes(ink)
    assert kept[5:8, 5:8].min() == 255
    assert kept[90:92, 90:92].max() == 0
    assert kept[60:80, 70:90].max() == 0
    assert np.array_equal(kept[20:80, 40:50], ink[20:80, 40:50])
