"""Single steps, where the whole pipeline would not show what they do."""

from __future__ import annotations

import numpy as np
import pytest

from kalamos.errors import NoInkError, PreprocessingError
from kalamos.preprocessing import Preprocessor
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


def test_ink_keeps_bright_ink_on_pure_black_as_it_is() -> None:
    image = STROKE.copy()
    image[20, 20] = 250
    assert np.array_equal(STEPS.get("ink")(image), image)


def test_ink_is_stretched_to_full_contrast() -> None:
    assert STEPS.get("ink")(STROKE).max() == 255


@pytest.mark.parametrize("least", [0, 1])
def test_no_ink_is_found_on_black_however_low_the_least_contrast(least: int) -> None:
    with pytest.raises(NoInkError):
        STEPS.get("ink")(np.zeros((9, 9), np.uint8), min_contrast=least)


def test_a_crop_of_nothing_is_no_ink() -> None:
    with pytest.raises(NoInkError):
        STEPS.get("crop")(np.zeros((9, 9), np.uint8))


def test_crop_keeps_what_is_not_black() -> None:
    image = np.zeros((30, 30), np.uint8)
    image[4:20, 10:14], image[22, 12] = 255, 1
    assert STEPS.get("crop")(image).shape == (19, 4)
