from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.errors import InvalidArrayError, PreprocessingError
from kalamos.learn.synthetic_photos import COPY_CHUNK_IMAGES, Camera, photograph, photographed, resembles
from kalamos.preprocessing import Preprocessor, default_steps

Write = Callable[..., NDArray[np.uint8]]
Glyphs = NDArray[np.uint8]


def _clean(glyphs: Glyphs, preprocessor: Preprocessor) -> Glyphs:
    return np.stack([preprocessor.image(glyph) for glyph in glyphs])


def test_threads_change_nothing(glyphs: Glyphs, preprocessor: Preprocessor) -> None:
    many = np.concatenate([glyphs] * 10)
    assert len(many) > 2 * COPY_CHUNK_IMAGES
    small = Camera(largest=96)
    once = photographed(many, small, preprocessor, seed=3, jobs=1)
    assert np.array_equal(once, photographed(many, small, preprocessor, seed=3, jobs=3))


def test_a_copy_depends_on_its_seed_and_row_alone(glyphs: Glyphs, preprocessor: Preprocessor) -> None:
    whole = photographed(glyphs, Camera(), preprocessor, seed=3)
    assert np.array_equal(whole[:4], photographed(glyphs[:4], Camera(), preprocessor, seed=3))
    other = glyphs.copy()
    other[0] = glyphs[5]
    assert np.array_equal(whole[1:], photographed(other, Camera(), preprocessor, seed=3)[1:])
    assert not np.array_equal(whole, photographed(glyphs, Camera(), preprocessor, seed=4))


def test_copies_show_their_glyphs_and_are_no_mere_copies(glyphs: Glyphs, preprocessor: Preprocessor) -> None:
    clean = _clean(glyphs, preprocessor)
    for seed in range(5):
        copies = photographed(glyphs, Camera(), preprocessor, seed=seed)
        assert copies.dtype == np.uint8
        assert all(map(resembles, copies, clean))
        assert (copies != clean).any(axis=(1, 2)).mean() > 0.5


def test_what_the_photograph_lost_comes_back_clean(glyphs: Glyphs, preprocessor: Preprocessor) -> None:
    drowned = Camera(noise=400.0, haze=0.9, jpeg=1.0)
    copies = photographed(glyphs, drowned, preprocessor, seed=0)
    clean = _clean(glyphs, preprocessor)
    assert (copies == clean).all(axis=(1, 2)).sum() >= 5


def test_a_glyph_without_ink_is_a_black_square(glyphs: Glyphs, preprocessor: Preprocessor) -> None:
    mixed = glyphs[:3].copy()
    mixed[1] = 0
    copies = photographed(mixed, Camera(), preprocessor, seed=0)
    assert copies.any(axis=(1, 2)).tolist() == [True, False, True]


def test_no_glyphs_no_copies(preprocessor: Preprocessor) -> None:
    assert photographed(np.zeros((0, 28, 28), np.uint8), Camera(), preprocessor, seed=0).shape == (0, 28, 28)


@pytest.mark.parametrize("size", [28, 32, 64])
def test_any_size_in_and_out(write: Write, size: int) -> None:
    glyphs = np.stack([write("A", size=size), write("3", size=size)])
    copies = photographed(glyphs, Camera(), Preprocessor(default_steps(size)), seed=1)
    assert copies.shape == (2, size, size)
    assert copies.max(axis=(1, 2)).min() >= 250


@pytest.mark.parametrize("images", [np.zeros((3, 28, 28)), np.zeros((28, 28), np.uint8), [1], None])
def test_what_are_no_glyphs(images: object, preprocessor: Preprocessor) -> None:
    with pytest.raises(InvalidArrayError, match="where uint8 \\[N, H, W\\] is needed"):
        photographed(images, Camera(), preprocessor, seed=0)  # type: ignore[arg-type]


def test_steps_that_make_no_squares_are_refused(glyphs: Glyphs) -> None:
    with pytest.raises(PreprocessingError, match="a square of one size"):
        photographed(glyphs, Camera(), Preprocessor([{"step": "ink"}, {"step": "normalise"}]), seed=0)


@settings(max_examples=30)
@given(images=arrays(np.uint8, st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 40))))
def test_any_glyphs_have_copies(images: Glyphs, preprocessor: Preprocessor) -> None:
    copies = photographed(images, Camera(smallest=16, largest=32), preprocessor, seed=0)
    assert copies.shape == (len(images), 28, 28)


@pytest.mark.parametrize("thickness", [1.0, 1.6, 4.0])
def test_another_pen_resembles(write: Write, preprocessor: Preprocessor, thickness: float) -> None:
    clean, other = _clean(np.stack([write("5"), write("5", thickness=thickness)]), preprocessor)
    assert resembles(other, clean)


def test_a_lost_dot_a_flood_and_another_letter_do_not(write: Write, preprocessor: Preprocessor) -> None:
    dotted = preprocessor.image(write("i"))
    stem = dotted.copy()
    stem[:9] = 0
    assert resembles(dotted, dotted)
    assert not resembles(stem, dotted)
    ring = np.zeros((28, 28), np.uint8)
    cv2.circle(ring, (14, 14), 9, 255, 1, cv2.LINE_AA)
    flooded = cv2.circle(ring.copy(), (14, 14), 9, 255, cv2.FILLED)
    assert not resembles(flooded, ring)
    assert not resembles(preprocessor.image(write("7")), ring)


def test_the_shipped_model_reads_most_photographs_of_mnist(
    mnist: Dataset, preprocessor: Preprocessor
) -> None:
    from kalamos import load

    images, labels = mnist.train.stack()[:200], mnist.train.labels[:200]
    copies = photographed(images, Camera(), preprocessor, seed=1)
    read = load("digits").logits(list(copies)).argmax(axis=1)
    assert (read == labels).mean() > 0.9


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
    assert 8 <= min(sides) < 20
    assert max(sides) > 200
    assert np.median(sides) < 64


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
