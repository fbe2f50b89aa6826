"""The declared list: what it may say, and the numbers that come out at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from kalamos.errors import ImageTooLargeError, NoInkError, PreprocessingError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
from kalamos.preprocessing.steps import MAX_WORKING_PIXELS, STEPS

LAST: Mapping[str, object] = {"step": "normalise", "mean": 0.0, "std": 1.0}


def compiled(*steps: Mapping[str, object]) -> Preprocessor:
    return Preprocessor([*steps, LAST])


def test_all_steps_are_known_by_name() -> None:
    assert STEPS.names() == ("centre", "grey", "ink_box", "pad", "polarity", "resize", "stroke")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"step": "polarty"}, "no preprocessing step 'polarty'; did you mean 'polarity'"),
        ({"step": "blur"}, "choose from: centre, grey, ink_box, pad, polarity, resize, stroke"),
        ({"step": "resize", "sise": 20}, "'resize' has no parameter 'sise'; did you mean 'size'"),
        ({"step": "resize"}, "'resize' lacks 'size'"),
        ({"step": "pad", "px": 2, "value": -1}, "value = -1 is not a whole number between 0 and 4096"),
        ({"step": "resize", "size": 5000}, "size = 5000"),
        ({"step": "resize", "size": 2049}, "size = 2049 is not a whole number between 1 and 2048"),
        ({"step": "centre", "size": 0}, "size = 0"),
        ({"step": "resize", "size": 20.0}, "size = 20.0 is not a whole number"),
        ({"step": "resize", "size": "20"}, "size = '20'"),
        ({"step": "resize", "size": True}, "size = True"),
        ({"step": "resize", "size": None}, "size = None"),
        ({"step": "resize", "size": 20, "tolerance": float("nan")}, "tolerance = nan is not a number"),
        ({"step": "resize", "size": 20, "image": 1}, "has no parameter 'image'"),
        ({"size": 20}, "no name under 'step'"),
        ({"step": 3}, "no name under 'step'"),
        ({"step": "normalise"}, "'normalise' stands before the end"),
    ],
)
def test_a_step_that_means_nothing_is_refused(step: Mapping[str, Any], message: str) -> None:
    with pytest.raises(PreprocessingError) as caught:
        compiled(step)
    assert message in str(caught.value)


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(PreprocessingError, match="18 preprocessing steps are more than 16"):
        compiled(*[{"step": "pad", "px": 1}] * 17)


def test_an_image_is_not_padded_without_end() -> None:
    wide = compiled(*[{"step": "pad", "px": 1500}] * 3)
    with pytest.raises(ImageTooLargeError, match=r"'pad': 6,100 x 6,100 pixels are more than 16,777,216"):
        wide.image(np.full((100, 100), 9, np.uint8))


def test_parts_are_not_sought_in_a_picture_of_any_size() -> None:
    with pytest.raises(ImageTooLargeError, match="'ink_box'"):
        compiled({"step": "ink_box"}).image(np.zeros((4200, 4200), np.uint8))


@pytest.mark.parametrize("steps", [[], [{"step": "polarity"}], [LAST, {"step": "ink_box"}]])
def test_normalise_comes_last(steps: list[Mapping[str, object]]) -> None:
    with pytest.raises(PreprocessingError, match="end the list with") as caught:
        Preprocessor(steps)
    assert "the last preprocessing step is not 'normalise'" in caught.value.problem


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"std": 0}, "std = 0 would divide by zero"),
        ({"std": -1.0}, "std = -1.0 is not a number between"),
        ({"mean": "0"}, "mean = '0'"),
        ({"mean": float("inf")}, "mean = inf"),
        ({"average": 0.1}, "'normalise' has no parameter 'average'"),
    ],
)
def test_normalise_is_checked_too(parameters: Mapping[str, object], message: str) -> None:
    with pytest.raises(PreprocessingError) as caught:
        Preprocessor([{"step": "normalise", **parameters}])
    assert message in str(caught.value)


def test_the_steps_are_kept_as_declared_and_apart_from_the_caller_s() -> None:
    declared = [dict(step) for step in DEFAULT_STEPS]
    preprocessor = Preprocessor(declared)
    declared[0]["step"] = "changed"
    assert preprocessor.steps == DEFAULT_STEPS


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.1307, 0.3081), (0.5, 0.5), (0, 2)])
def test_batch_normalises_by_the_formula(mean: float, std: float) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    images[0, 0, :2] = 0, 255
    batch = Preprocessor([{"step": "normalise", "mean": mean, "std": std}]).batch(images)
    assert batch.dtype == np.float32
    assert batch.shape == (5, 1, 28, 28)
    np.testing.assert_allclose(batch[:, 0], (images / 255 - mean) / std, atol=2e-6)


def test_batch_takes_a_list_as_it_takes_an_array() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    preprocessor = Preprocessor(DEFAULT_STEPS)
    assert np.array_equal(preprocessor.batch(list(images)), preprocessor.batch(images))


def test_black_stays_exactly_black_by_default() -> None:
    batch = Preprocessor(DEFAULT_STEPS).batch(np.array([[[0, 255]]], np.uint8))
    assert batch.ravel().tolist() == [0.0, 1.0]


def test_the_trace_ends_in_what_the_network_sees() -> None:
    page = np.full((200, 150), 230, np.uint8)
    page[40:160, 70:80] = 30
    preprocessor = Preprocessor(DEFAULT_STEPS)
    names, images = zip(*preprocessor.trace(page), strict=True)
    assert names == ("polarity", "ink_box", "stroke", "resize", "centre")
    assert np.array_equal(images[-1], preprocessor.image(page))


def test_the_trace_of_a_blank_page_shows_what_there_is_and_then_says_so() -> None:
    page = np.full((200, 150), 255, np.uint8)
    page[3, 3] = 0  # dust, but ink to the first step
    seen = []
    with pytest.raises(NoInkError):
        seen.extend(name for name, _ in Preprocessor(DEFAULT_STEPS).trace(page))
    assert seen == ["polarity"]


def test_pixels_are_enough_where_the_first_step_scales_down() -> None:
    last = {"step": "normalise"}
    assert Preprocessor(DEFAULT_STEPS).min_decode_pixels == MAX_WORKING_PIXELS
    assert Preprocessor([{"step": "grey"}, *DEFAULT_STEPS]).min_decode_pixels == MAX_WORKING_PIXELS
    assert Preprocessor([{"step": "grey"}, last]).min_decode_pixels is None
    assert Preprocessor([{"step": "pad", "px": 12}, *DEFAULT_STEPS]).min_decode_pixels is None
    assert Preprocessor([{"step": "resize", "size": 28}, last]).min_decode_pixels is None


def test_with_more_pixels_than_enough_the_first_step_goes_on_with_as_many() -> None:
    page = np.full((900, 1200), 220, np.uint8)
    page[200:700, 500:560] = 40
    _, ink = next(Preprocessor(DEFAULT_STEPS).trace(page))
    assert ink.size == pytest.approx(MAX_WORKING_PIXELS, rel=0.01)
