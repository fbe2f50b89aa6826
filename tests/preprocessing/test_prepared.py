"""`AlreadyNormalized.among` may miss, but must never pass an image that the steps would change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor, default_steps
from kalamos.preprocessing.prepared import AlreadyNormalized

STEPS = DEFAULT_STEPS[:-1]


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
    prepared = AlreadyNormalized.from_steps(STEPS)
    assert prepared is not None
    preprocessor = Preprocessor(DEFAULT_STEPS)
    for image, kept in zip(images, prepared.check_batch(np.stack(images)), strict=True):
        if kept:
            np.testing.assert_array_equal(preprocessor.image(image), image)


@given(st.lists(BLOBS, min_size=1, max_size=10))
def test_many_come_out_as_they_would_one_by_one(images: list[NDArray[np.uint8]]) -> None:
    preprocessor = Preprocessor(DEFAULT_STEPS)
    for image, outcome in zip(images, preprocessor.images(images), strict=True):
        assert not isinstance(outcome, Exception)
        np.testing.assert_array_equal(outcome, preprocessor.image(image))


@given(BLOBS)
def test_what_the_steps_make_is_mostly_recognised(image: NDArray[np.uint8]) -> None:
    preprocessor = Preprocessor(DEFAULT_STEPS)
    made = preprocessor.image(image)
    sides = sum(bool(side.any()) for side in (made[0], made[-1], made[:, 0], made[:, -1]))
    longer = max(np.ptp(np.nonzero(made)[0]), np.ptp(np.nonzero(made)[1])) + 1
    mass = np.argwhere(np.ones_like(made)) * made.reshape(-1, 1)
    off = mass.sum(0) / made.sum() - 14
    if (np.abs(np.abs(off) - 0.5) < 0.002).any():  # rounding decides
        return
    prepared = AlreadyNormalized.from_steps(STEPS)
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
    prepared = AlreadyNormalized.from_steps(STEPS)
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
    prepared = AlreadyNormalized.from_steps(STEPS)
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
        [{"step": "polarity"}],
        [STEPS[1], STEPS[0], *STEPS[2:]],
        [*STEPS[:2], {"step": "stroke", "size": 8}, *STEPS[3:]],
        [{"step": "polarity", "min_contrast": 255}, *STEPS[1:]],
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
