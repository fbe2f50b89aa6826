"""Varied drawings: how much, and never too much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.fonts.variation import GLYPH_IMAGE_SIDE_PX, INK_SIDE_FRACTION, vary_glyph


def many(glyph: NDArray[np.uint8], count: int = 40) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return np.stack([vary_glyph(glyph, rng) for _ in range(count)])


def bar(height: int = 96, width: int = 12) -> NDArray[np.uint8]:
    return np.full((height, width), 255, np.uint8)


def test_one_state_of_chance_gives_one_image() -> None:
    first, again, other = (vary_glyph(bar(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_two_are_alike_and_all_are_whole() -> None:
    images = many(bar())
    assert images.shape == (40, GLYPH_IMAGE_SIDE_PX, GLYPH_IMAGE_SIDE_PX)
    assert len(np.unique(images, axis=0)) == 40
    edge = np.concatenate([images[:, [0, -1]], images[:, :, [0, -1]].transpose(0, 2, 1)], axis=1)
    assert not edge.any()


def test_the_ink_fills_its_share() -> None:
    heights = [int(np.ptp(np.flatnonzero(image.any(axis=1)))) + 1 for image in many(bar())]
    assert min(heights) >= INK_SIDE_FRACTION[0] * GLYPH_IMAGE_SIDE_PX - 2
    assert max(heights) <= INK_SIDE_FRACTION[1] * GLYPH_IMAGE_SIDE_PX + 1
    assert max(heights) - min(heights) > 8


def test_strokes_become_thinner_and_thicker_but_never_vanish() -> None:
    widths = (
        many(bar()).sum(axis=(1, 2)) / 255 / [np.ptp(np.flatnonzero(i.any(axis=1))) + 1 for i in many(bar())]
    )
    assert widths.max() / widths.min() > 1.4
    hairlines = many(bar(100, 1)).sum(axis=(1, 2))
    assert hairlines.min() > 0


def test_an_upright_bar_leans_both_ways_and_stays_a_bar() -> None:
    lean = []
    for image in many(bar()):
        rows, columns = np.nonzero(image > 127)
        lean.append(np.polyfit(rows, columns, 1)[0])
    assert min(lean) < -0.1
    assert max(lean) > 0.1
    assert np.abs(lean).max() < 0.6


def test_parts_apart_stay_apart() -> None:
    glyph = np.zeros((100, 20), np.uint8)
    glyph[:20] = glyph[40:] = 255
    for image in many(glyph):
        rows = image.max(axis=1) > 100
        ink = rows[np.flatnonzero(rows)[0] : np.flatnonzero(rows)[-1] + 1]
        assert not ink.all()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_any_shape_can_be_varied(height: int, width: int, seed: int) -> None:
    image = vary_glyph(bar(height, width), np.random.default_rng(seed))
    assert image.shape == (GLYPH_IMAGE_SIDE_PX, GLYPH_IMAGE_SIDE_PX)
    assert image.any()


@pytest.mark.parametrize("value", [128, 255])
def test_a_faint_glyph_is_no_exception(value: int) -> None:
    assert vary_glyph(np.full((1, 1), value, np.uint8), np.random.default_rng(0)).any()
