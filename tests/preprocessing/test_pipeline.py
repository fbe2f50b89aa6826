"""The declared list: what it may say, and the numbers that come out at its end.

`AlreadyNormalized.among` may miss, but must never pass an image that the steps would change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.errors import ImageTooLargeError, NoInkError, PreprocessingError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor, default_steps
from kalamos.preprocessing.pipeline import AlreadyNormalized
from kalamos.preprocessing.steps import MAX_WORKING_PIXELS, STEPS

BLANK = np.full((200, 150), 255, np.uint8)
LAST: Mapping[str, object] = {"step": "normalise", "mean": 0.0, "std": 1.0}


def compiled(*steps: Mapping[str, object]) -> Preprocessor:
    return Preprocessor([*steps, LAST])


def test_all_steps_are_known_by_name() -> None:
    assert STEPS.names() == ("centre", "crop", "grey", "ink", "pad", "resize", "stroke")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"step": "centr"}, "unknown preprocessing step 'centr'; did you mean 'centre'"),
        ({"step": "blur"}, "choose from: centre, crop, grey, ink, pad, resize, stroke"),
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


@pytest.mark.parametrize("steps", [[], [{"step": "ink"}], [LAST, {"step": "crop"}]])
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
    assert names == ("ink", "crop", "stroke", "resize", "centre")
    assert np.array_equal(images[-1], preprocessor.image(page))


def test_the_trace_of_a_blank_page_shows_what_there_is_and_then_says_so() -> None:
    seen = []
    with pytest.raises(NoInkError):
        seen.extend(name for name, _ in Preprocessor([{"step": "grey"}, *DEFAULT_STEPS]).trace(BLANK))
    assert seen == ["grey"]


@pytest.mark.parametrize("contrast", [24, 40])
def test_steps_of_the_first_version_are_those_of_today(contrast: int) -> None:
    first = [{"step": "polarity", "min_contrast": contrast}, {"step": "ink_box", "faint": 2}]
    now = [{"step": "ink", "min_contrast": contrast}, {"step": "crop"}]
    page = np.full((200, 150), 230, np.uint8)
    page[40:160, 70:80] = 180
    old, new = (Preprocessor([*steps, *DEFAULT_STEPS[2:]]) for steps in (first, now))
    for one, other in zip(old.trace(page), new.trace(page), strict=True):
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])
    assert old.steps[:2] == tuple(first)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"step": "polarity", "faint": 1}, "has no parameter"),
        ({"step": "ink_box", "size": 3}, "has no parameter"),
        ({"step": "ink_box", "faint": "much"}, "faint = 'much' is not a whole number"),
        ({"step": "ink_box", "faint": -1}, "faint = -1 is not a whole number"),
    ],
)
def test_steps_of_the_first_version_are_checked(step: Mapping[str, object], message: str) -> None:
    with pytest.raises(PreprocessingError, match=message):
        compiled(step)


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


PREPARED_STEPS = DEFAULT_STEPS[:-1]


def blob(top: int, left: int, height: int, width: int, peak: int, seed: int) -> NDArray[np.uint8]:
    """Random ink, as dense as a digit's, in a box on a black 28x28 ground."""
    generator = np.random.default_rng(seed)
    image = np.zeros((28, 28), np.uint8)
    ink = generator.integers(0, peak + 1, (height, width))
    ink[generator.random((height, width)) < 0.4] = 0
    ink[0, 0] = ink[-1, -1] = peak
    image[top : top + height, left : left + width] = ink[: 28 - top, : 28 - left]
    return image


BLOBS = st.builds(
    blob,
    top=st.integers(0, 12),
    left=st.integers(0, 12),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    peak=st.sampled_from([30, 249, 250, 255]),
    seed=st.integers(0, 1000),
)


@given(st.lists(BLOBS, min_size=1, max_size=20))
def test_what_is_passed_over_is_what_the_steps_leave_alone(images: list[NDArray[np.uint8]]) -> None:
    prepared = AlreadyNormalized.from_steps(PREPARED_STEPS)
    assert prepared is not None
    preprocessor = Preprocessor(DEFAULT_STEPS)
    for image, kept in zip(images, prepared.check_batch(np.stack(images)), strict=True):
        if kept:
            np.testing.assert_array_equal(preprocessor.image(image), image)


@given(st.lists(BLOBS, min_size=1, max_size=10))
def test_many_come_out_as_they_would_one_by_one(images: list[NDArray[np.uint8]]) -> None:
    preprocessor = Preprocessor(DEFAULT_STEPS)
    for image, outcome in zip(images, preprocessor.images(images), strict=True):
        if isinstance(outcome, NoInkError):
            with pytest.raises(NoInkError):
                preprocessor.image(image)
        else:
            np.testing.assert_array_equal(outcome, preprocessor.image(image))


@given(BLOBS)
def test_what_the_steps_make_is_mostly_recognised(image: NDArray[np.uint8]) -> None:
    preprocessor = Preprocessor(DEFAULT_STEPS)
    try:
        made = preprocessor.image(image)
    except NoInkError:  # hardly anything
        return
    sides = sum(bool(side.any()) for side in (made[0], made[-1], made[:, 0], made[:, -1]))
    longer = max(np.ptp(np.nonzero(made)[0]), np.ptp(np.nonzero(made)[1])) + 1
    mass = np.argwhere(np.ones_like(made)) * made.reshape(-1, 1)
    off = mass.sum(0) / made.sum() - 14
    if (np.abs(np.abs(off) - 0.5) < 0.002).any():  # rounding decides
        return
    prepared = AlreadyNormalized.from_steps(PREPARED_STEPS)
    assert prepared is not None
    expected = sides <= 1 and 17 <= longer <= 20 and made.max() >= 250
    assert prepared.check_batch(made[None])[0] == (
        expected and np.array_equal(preprocessor.image(made), made)
    )


def test_a_pixel_off_the_middle_is_not_prepared() -> None:
    page = np.zeros((60, 40), np.uint8)
    page[6:10, 5:35] = page[10:54, 28:33] = 255
    once = Preprocessor(DEFAULT_STEPS).image(page)
    off = [np.roll(once, by, axis) for axis in (0, 1) for by in (-1, 1)]
    prepared = AlreadyNormalized.from_steps(PREPARED_STEPS)
    assert prepared is not None
    assert prepared.check_batch(np.stack([once, *off])).tolist() == [True, False, False, False, False]
    assert prepared.check_batch(np.stack([once.T, *off])).tolist() == [prepared.check(once.T), *[False] * 4]


@pytest.mark.parametrize("side", [0, 1, 2, 3])
def test_a_lopsided_character_at_the_border_is_prepared(side: int) -> None:
    image = np.zeros((28, 28), np.uint8)
    image[8:28, 13:16] = 40
    image[8:11, 5:24] = 255  # so heavy at its top that the centre of mass cannot come to the middle
    image = np.ascontiguousarray(np.rot90(image, side))
    preprocessor = Preprocessor(DEFAULT_STEPS)
    once = preprocessor.image(image)
    prepared = AlreadyNormalized.from_steps(PREPARED_STEPS)
    assert prepared is not None
    assert prepared.check(once)
    np.testing.assert_array_equal(preprocessor.image(once), once)


def test_large_squares_count_as_prepared_by_their_geometry() -> None:
    preprocessor = Preprocessor(default_steps(64))
    page = np.full((200, 150), 230, np.uint8)
    page[40:160, 70:80] = 30
    once = preprocessor.image(page)
    assert preprocessor.image(once) is once
    assert [image.shape for _, image in preprocessor.trace(once)] == [(64, 64)] * 5
    assert preprocessor.images([once])[0] is not None
    np.testing.assert_array_equal(np.stack(preprocessor.images([once, once])), [once, once])


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"step": "ink"}],
        [PREPARED_STEPS[1], PREPARED_STEPS[0], *PREPARED_STEPS[2:]],
        [*PREPARED_STEPS[:2], {"step": "stroke", "size": 8}, *PREPARED_STEPS[3:]],
        [{"step": "ink", "min_contrast": 255}, *PREPARED_STEPS[1:]],
    ],
)
def test_other_steps_are_tried_one_by_one(steps: list[dict[str, object]]) -> None:
    assert AlreadyNormalized.from_steps(steps) is None


def test_one_image_is_judged_as_in_a_stack(mnist: Dataset) -> None:
    known = AlreadyNormalized.from_steps(DEFAULT_STEPS[:-1])
    assert known is not None
    generator = np.random.default_rng(0)
    images = mnist.train.stack()[:3000]
    moved = np.stack([np.roll(i, generator.integers(-2, 3, 2), (0, 1)) for i in images])
    faint = (images * 0.9).astype(np.uint8)
    noise = generator.integers(0, 256, images[:500].shape, dtype=np.uint8)
    for stack in (images, moved, faint, noise, np.zeros((1, 28, 28), np.uint8)):
        assert [known.check(image) for image in stack] == known.check_batch(stack).tolist()
