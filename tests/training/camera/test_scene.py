from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError
from kalamos.training.camera import Camera, photograph

Write = Callable[..., NDArray[np.uint8]]


@pytest.mark.parametrize(
    "glyph",
    [
        np.zeros((28, 28), np.float32),
        np.zeros((1, 28, 28), np.uint8),
        np.zeros((0, 28), np.uint8),
        [[0, 255]],
        None,
    ],
)
def test_what_is_no_glyph(glyph: object) -> None:
    with pytest.raises(InvalidArrayError, match="where uint8 \\[H, W\\] is needed"):
        photograph(glyph, Camera(), np.random.default_rng(0))  # type: ignore[arg-type]


@given(
    glyph=st.one_of(
        arrays(np.uint8, st.tuples(st.integers(1, 64), st.integers(1, 64))),
        st.tuples(st.integers(1, 64), st.integers(1, 64), st.sampled_from([0, 1, 40, 128, 255])).map(
            lambda t: np.full(t[:2], t[2], np.uint8)
        ),
    ),
    seed=st.integers(0, 2**32),
)
def test_anything_can_be_photographed(glyph: NDArray[np.uint8], seed: int) -> None:
    before = glyph.copy()
    camera = Camera(smallest=16, largest=64)
    photo = photograph(glyph, camera, np.random.default_rng(seed))
    assert photo.dtype == np.uint8
    assert photo.ndim == 2
    assert min(photo.shape) > 0
    assert max(photo.shape) < 64 * 3
    assert np.array_equal(glyph, before)
    assert np.array_equal(photo, photograph(glyph, camera, np.random.default_rng(seed)))


def test_a_single_pixel_is_a_dot_on_paper(ideal: Camera) -> None:
    glyph = np.zeros((28, 28), np.uint8)
    glyph[14, 14] = 255
    photo = photograph(glyph, ideal, np.random.default_rng(0))
    dark = (photo < photo.max() * 0.8).mean()
    assert 0 < dark < 0.5


def test_a_black_glyph_is_blank_paper(ideal: Camera) -> None:
    photo = photograph(np.zeros((28, 28), np.uint8), ideal, np.random.default_rng(0))
    assert photo.shape == (100, 100)
    assert np.ptp(photo) == 0


@pytest.mark.parametrize("longer", [64, 100, 300])
def test_the_ink_has_the_size_asked_for(write: Write, ideal: Camera, longer: int) -> None:
    photo = photograph(write("5"), replace(ideal, smallest=longer, largest=longer), np.random.default_rng(1))
    ink = (photo < photo.max() - 60).astype(np.uint8)
    _, _, width, height = cv2.boundingRect(ink)
    assert max(width, height) == pytest.approx(longer, rel=0.12)


def test_small_photographs_are_the_most_frequent(write: Write) -> None:
    sides = [max(photograph(write("0"), Camera(margin=0), np.random.default_rng(s)).shape) for s in range(80)]
    assert min(sides) >= 64
    assert max(sides) > 200
    assert np.median(sides) < 100


def test_ink_is_dark_on_paper_and_rarely_light(write: Write) -> None:
    light_ink = 0
    for seed in range(60):
        photo = photograph(write("8"), Camera(inverted=0.5, shadow=0, light=0), np.random.default_rng(seed))
        smooth = cv2.GaussianBlur(photo, (5, 5), 0).astype(float)
        middle = np.median(smooth)
        light_ink += smooth.max() - middle > middle - smooth.min()
    assert 15 < light_ink < 45


def test_each_generator_takes_another_photograph(write: Write) -> None:
    photos = [photograph(write("3"), Camera(), np.random.default_rng(seed)) for seed in range(10)]
    assert len({photo.tobytes() for photo in photos}) == 10
